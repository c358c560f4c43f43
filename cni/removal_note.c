// SPDX-License-Identifier: GPL-2.0-or-later
#include "removal_note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE_MAX 1024 /* of its content */
#define HEX_LEN 64

/* ---- SHA-256 (FIPS 180-4) of something short ---- */

static uint32_t rotated(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static void sha256_block(uint32_t state[8], const unsigned char *block)
{
	static const uint32_t k[64] = {
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
		0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
		0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
		0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
		0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
		0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
		0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
		0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
		0xc67178f2,
	};
	uint32_t w[64], v[8];

	for (unsigned i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (unsigned i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, state, sizeof(v));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + (rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)) +
			      ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		uint32_t t2 = (rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)) +
			      ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (unsigned i = 0; i < 8; i++)
		state[i] += v[i];
}

static void sha256_hex(const char *text, size_t len, char hex[HEX_LEN + 1])
{
	uint32_t state[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};
	unsigned char buf[NOTE_MAX + 72] = { 0 };
	size_t total = (len + 9 + 63) / 64 * 64;

	memcpy(buf, text, len);
	buf[len] = 0x80;
	for (unsigned i = 0; i < 8; i++)
		buf[total - 1 - i] = (unsigned char)((uint64_t)len * 8 >> (8 * i));
	for (size_t at = 0; at < total; at += 64)
		sha256_block(state, buf + at);
	for (unsigned i = 0; i < 8; i++)
		(void)snprintf(hex + 8 * i, 9, "%08x", state[i]);
}

/* ---- the note ---- */

static bool a_line(const char *text)
{
	if (!text)
		return false;
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

static int compose(const char *network, const char *container_id, const char *ifname, char text[NOTE_MAX],
		   char name[HEX_LEN + 1])
{
	int len;

	if (!a_line(network) || !a_line(container_id) || !a_line(ifname))
		return -EINVAL;
	len = snprintf(text, NOTE_MAX, "%s\n%s\n%s\n", network, container_id, ifname);
	if (len >= NOTE_MAX)
		return -EINVAL;
	sha256_hex(text, (size_t)len, name);
	return len;
}

static int open_directory(const char *state_dir, bool create)
{
	int state, removed, r;

	if (!state_dir)
		return -EINVAL;
	state = open(state_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (state < 0)
		return -errno;
	if (create && mkdirat(state, "removed", 0700) < 0 && errno != EEXIST) {
		r = -errno;
		(void)close(state);
		return r;
	}
	removed = openat(state, "removed", O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
	r = removed < 0 ? -errno : removed;
	(void)close(state);
	return r;
}

static int write_file(int directory, const char *name, const char *text, size_t len)
{
	int r = 0, fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len); /* shorter than a page: all or nothing */
	if (n != (ssize_t)len)
		r = n < 0 ? -errno : -ENOSPC;
	else if (fsync(fd) < 0)
		r = -errno;
	(void)close(fd);
	if (r < 0)
		(void)unlinkat(directory, name, 0);
	return r;
}

int removal_note_write(const char *state_dir, const char *network, const char *container_id,
		       const char *ifname)
{
	char text[NOTE_MAX], name[HEX_LEN + 1], temporary[HEX_LEN + 32];
	int len = compose(network, container_id, ifname, text, name), directory, r;

	if (len < 0)
		return len;
	directory = open_directory(state_dir, true);
	if (directory < 0)
		return directory;
	/* svad passes over names that begin with a dot. */
	(void)snprintf(temporary, sizeof(temporary), ".%s.%ld", name, (long)gettid());
	(void)unlinkat(directory, temporary, 0); /* of a process that was killed and had this number */
	r = write_file(directory, temporary, text, (size_t)len);
	if (r == 0 && renameat(directory, temporary, directory, name) < 0) {
		r = -errno;
		(void)unlinkat(directory, temporary, 0);
	}
	if (r == 0 && fsync(directory) < 0)
		r = -errno;
	(void)close(directory);
	return r;
}

int removal_note_drop(const char *state_dir, const char *network, const char *container_id,
		      const char *ifname)
{
	char text[NOTE_MAX], name[HEX_LEN + 1];
	int len = compose(network, container_id, ifname, text, name), directory, r = 0;

	if (len < 0)
		return len;
	directory = open_directory(state_dir, false);
	if (directory < 0)
		return directory == -ENOENT ? 0 : directory;
	if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
		r = -errno;
	(void)close(directory);
	return r;
}
