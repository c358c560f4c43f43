/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry of containers on disk, and the notes of what ended while svad could not be told: read and
 * written here, where the rights are; what they say is the broker's business. STATE_DIR is to be a local file
 * system (RUNTIME_DIR is): a write is done at once, in this loop.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "supervisor_private.h"

#define FILE_NAME "containers"
#define TEMPORARY ".containers.tmp"
#define NOTES "removed"
#define NOTE_NAME_LEN 64u
#define NOTE_MAX 1024u
#define NOTES_MAX 32u /* handed over at a time: a broker that does not read yet has room for them, and for what it must be told */
#define DAMAGED_MAX 16u	 /* files kept; the last one is written over */
#define STORE_MAX (64u << 20)

static int open_dir(struct supervisor *s)
{
	const char *path = s->config->containers_state_dir;
	int fd;

	/* Its parent is RUNTIME_DIR, or whatever the administrator has made. */
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* ---- writing ---- */

static int copy_all(int from, int to)
{
	char buf[65536];
	uint64_t total = 0;

	for (off_t at = 0;;) {
		ssize_t n = pread(from, buf, sizeof(buf), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		at += n;
		total += (uint64_t)n;
		if (total > STORE_MAX)
			return -EFBIG;
		for (char *p = buf; n > 0;) {
			ssize_t w = write(to, p, (size_t)n);

			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				return w < 0 ? -errno : -EIO;
			p += w;
			n -= w;
		}
	}
}

static int store_write(struct supervisor *s, int text)
{
	int dir = open_dir(s), fd, r;

	if (dir < 0)
		return dir;
	unlinkat(dir, TEMPORARY, 0);
	fd = openat(dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
		close(dir);
		return r;
	}
	r = copy_all(text, fd);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(dir, TEMPORARY, dir, FILE_NAME) < 0)
		r = -errno;
	if (r == 0 && fsync(dir) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, TEMPORARY, 0);
	close(dir);
	return r;
}

void store_ask(struct supervisor *s, uint64_t seq, int text)
{
	int r = text < 0 ? -EBADMSG : store_write(s, text);

	if (r < 0)
		log_write(LOG_ERR, SVAD_MSG_STORE, "cannot write %s/" FILE_NAME ": %s",
			  s->config->containers_state_dir, strerror(-r));
	child_send(&s->child[CHILD_BROKER], CHAN_STORE_ACK, seq << 32 | (uint32_t)-r, NULL, 0, NULL, 0);
}

void store_set_aside(struct supervisor *s)
{
	int dir = open_dir(s);
	char name[64];
	struct stat st;
	unsigned n;

	if (dir < 0)
		return;
	for (n = 1; n < DAMAGED_MAX; n++) {
		snprintf(name, sizeof(name), FILE_NAME ".damaged-%u", n);
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
			break;
	}
	snprintf(name, sizeof(name), FILE_NAME ".damaged-%u", n);
	if (renameat(dir, FILE_NAME, dir, name) < 0)
		log_write(LOG_ERR, SVAD_MSG_STORE, "cannot set the damaged %s/" FILE_NAME " aside: %s",
			  s->config->containers_state_dir, strerror(errno));
	else
		log_write(LOG_WARNING, SVAD_MSG_STORE,
			  "the damaged registry of containers is kept as %s/%s for a look at it",
			  s->config->containers_state_dir, name);
	close(dir);
}

/* ---- handing over ---- */

static void boot_id(char *buf, size_t size)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	if (!buf[0])
		snprintf(buf, size, "unknown");
}

static bool note_name(const char *name)
{
	size_t n = 0;

	while (isxdigit((unsigned char)name[n]))
		n++;
	return n == NOTE_NAME_LEN && !name[n];
}

static bool hand_over_note(struct supervisor *s, int dir, const char *name)
{
	char text[NOTE_NAME_LEN + 1 + NOTE_MAX];
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;
	int64_t when;

	if (fd < 0)
		return true;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= (off_t)NOTE_MAX)
		n = read(fd, text + NOTE_NAME_LEN + 1, NOTE_MAX);
	close(fd);
	if (n <= 0) {
		log_warning("%s/" NOTES "/%s is no note of a removal; it is deleted",
			    s->config->containers_state_dir, name);
		unlinkat(dir, name, 0);
		return true;
	}
	memcpy(text, name, NOTE_NAME_LEN);
	text[NOTE_NAME_LEN] = '\n';
	when = (int64_t)st.st_mtim.tv_sec * (int64_t)NS_PER_S + st.st_mtim.tv_nsec;
	if (chan_send(s->child[CHILD_BROKER].fd, CHAN_NOTE, (uint64_t)when, text,
		      (uint32_t)(NOTE_NAME_LEN + 1 + (size_t)n), NULL, 0) < 0)
		return false;
	s->store.notes_out++;
	return true;
}

/* The notes that are there; what is too much at a time is left for the next look, once these are done. */
static void hand_over_notes(struct supervisor *s, int state)
{
	int fd = openat(state, NOTES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;
	bool all = true;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fstat(fd, &st) < 0)
		memset(&st, 0, sizeof(st));
	while (all && (e = readdir(dir)))
		if (note_name(e->d_name))
			all = s->store.notes_out < NOTES_MAX && hand_over_note(s, fd, e->d_name);
	s->store.notes_seen = all ? st.st_mtim : (struct timespec){ 0 };
	closedir(dir);
}

/* Before the broker listens: who was registered, and who has been removed since. */
int store_hand_over(struct supervisor *s)
{
	struct child *broker = &s->child[CHILD_BROKER];
	int dir = open_dir(s), fd = -1, r;
	char boot[64];

	s->store.notes_out = 0;
	boot_id(boot, sizeof(boot));
	if (dir < 0)
		log_write(LOG_ERR, SVAD_MSG_STORE,
			  "cannot use [containers] state_dir %s: %s; containers cannot be registered",
			  s->config->containers_state_dir, strerror(-dir));
	else
		fd = openat(dir, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	r = child_send(broker, CHAN_STORED, 0, boot, (uint32_t)strlen(boot), fd >= 0 ? &fd : NULL, fd >= 0);
	if (fd >= 0)
		close(fd);
	if (dir >= 0) {
		if (r == 0)
			hand_over_notes(s, dir);
		close(dir);
	}
	return r;
}

/* Notes come while svad runs, too: of somebody who could not reach the broker just then. */
void store_tick(struct supervisor *s)
{
	int dir;
	struct stat st;
	char path[4096];

	if (s->phase != PHASE_RUN || !s->child[CHILD_BROKER].ready || s->store.notes_out)
		return;
	if ((size_t)snprintf(path, sizeof(path), "%s/" NOTES, s->config->containers_state_dir) >=
		    sizeof(path) ||
	    stat(path, &st) < 0)
		return;
	if (st.st_mtim.tv_sec == s->store.notes_seen.tv_sec &&
	    st.st_mtim.tv_nsec == s->store.notes_seen.tv_nsec)
		return;
	dir = open_dir(s);
	if (dir < 0)
		return;
	hand_over_notes(s, dir);
	close(dir);
}

void store_note_done(struct supervisor *s, const char *name)
{
	char path[4096];

	if (!note_name(name) || (size_t)snprintf(path, sizeof(path), "%s/" NOTES "/%s",
						 s->config->containers_state_dir, name) >= sizeof(path))
		return;
	unlink(path);
	if (s->store.notes_out)
		s->store.notes_out--;
}
