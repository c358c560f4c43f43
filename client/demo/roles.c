// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The demonstration's clients: ordinary programs that use libsvaclient. Each says on stdout what it has
 * reached, a line each, and waits on stdin for what to do next; when stdin ends it ends.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <sva/queue.h>
#include <sva/sva.h>

#include "demo.h"

#define NEW_IMAGE_PATTERN 0xa5

static struct sva *sva;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static int broken(const char *what, int r)
{
	say("broken %s: %s", what, sva_strerror(sva, r));
	return 1;
}

/* True when the next line is word; false: something else, or the end. No stdio: exec must not lose what a
 * buffer read ahead. */
static bool told(const char *word)
{
	char line[64];
	size_t n = 0;

	while (n + 1 < sizeof(line) && read(STDIN_FILENO, &line[n], 1) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	return !strcmp(line, word);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void fill(unsigned char *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		memcpy(p + i, &seed, 8);
	}
}

/* The CPU's own CRC-32C, by table: another implementation than the device's. */
static uint32_t crc32c(const unsigned char *p, size_t len)
{
	static uint32_t table[8][256];
	uint32_t crc = ~0u;

	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 0xff];
	for (; len >= 8; len -= 8, p += 8) {
		crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^
		      table[4][crc >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	}
	while (len--)
		crc = crc >> 8 ^ table[0][(crc ^ *p++) & 0xff];
	return ~crc;
}

/* 1. Plain malloc memory, copied and CRC'ed by the device. */
static int role_copy(const char *device)
{
	unsigned char *src = malloc(DEMO_BYTES), *dst = malloc(DEMO_BYTES);
	struct sva_queue *queue;
	struct sva_bond *bond;
	uint32_t crc = 0, cpu;
	uint64_t t;
	int r;

	if (!src || !dst)
		return broken("malloc", -ENOMEM);
	fill(src, DEMO_BYTES, 1);
	memset(dst, 0, DEMO_BYTES);
	r = sva_bind(sva, device, &bond);
	if (r < 0)
		return broken("bind", r);
	r = sva_queue_new(bond, 16, &queue);
	if (r < 0)
		return broken("queue", r);
	t = now_ns();
	r = sva_copy(queue, dst, src, DEMO_BYTES, NULL);
	t = now_ns() - t;
	if (r < 0)
		return broken("copy", r);
	r = sva_crc32c(queue, dst, DEMO_BYTES, &crc, NULL);
	if (r < 0)
		return broken("crc32c", r);
	cpu = crc32c(src, DEMO_BYTES);
	sva_queue_free(queue);
	r = sva_unbind(bond, SVA_STATE_NONE);
	if (r < 0)
		return broken("unbind", r);
	say("copied %d %d %08x %08x %llu %p", memcmp(src, dst, DEMO_BYTES) == 0, crc == cpu, crc, cpu,
	    (unsigned long long)t, (void *)src);
	free(src);
	free(dst);
	return 0;
}

/* 2. Two threads bind at once. */
struct binder {
	const char *device;
	pthread_barrier_t *barrier;
	struct sva_bond *bond;
	int r;
};

static void *bind_thread(void *arg)
{
	struct binder *b = arg;

	pthread_barrier_wait(b->barrier);
	b->r = sva_bind(sva, b->device, &b->bond);
	return NULL;
}

static int role_threads(const char *device)
{
	pthread_barrier_t barrier;
	struct binder b[2] = { { device, &barrier, NULL, 0 }, { device, &barrier, NULL, 0 } };
	pthread_t thread[2];
	unsigned references;
	uint32_t pasid[2];
	int first, last;

	pthread_barrier_init(&barrier, NULL, 2);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&thread[i], NULL, bind_thread, &b[i]))
			return broken("thread", -EAGAIN);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	if (b[0].r < 0 || b[1].r < 0)
		return broken("bind", b[0].r < 0 ? b[0].r : b[1].r);
	references = sva_bond_references(b[0].bond);
	pasid[0] = sva_bond_pasid(b[0].bond);
	pasid[1] = sva_bond_pasid(b[1].bond);
	first = sva_unbind(b[0].bond, SVA_STATE_NONE);
	last = sva_unbind(b[1].bond, SVA_STATE_NONE);
	say("threads %d %u %u %u %d %d", b[0].bond == b[1].bond, references, pasid[0], pasid[1], first, last);
	return 0;
}

/* 3 to 6. A long copy is submitted; what happens to it is the scene's business. */
static int role_dma(const char *device)
{
	static struct sva_demo_completion done;
	struct sva_demo_desc desc = { .op = SVA_DEMO_COPY, .len = DEMO_BYTES };
	unsigned char *src, *dst;
	struct sva_queue *queue;
	struct sva_bond *bond, *again;
	char at[32];
	int r;

	src = mmap(NULL, DEMO_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	dst = mmap(NULL, DEMO_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (src == MAP_FAILED || dst == MAP_FAILED)
		return broken("mmap", -errno);
	fill(src, DEMO_BYTES, (uint64_t)getpid());
	r = sva_bind(sva, device, &bond);
	if (r < 0)
		return broken("bind", r);
	r = sva_queue_new(bond, 16, &queue);
	if (r < 0)
		return broken("queue", r);
	desc.src = (uint64_t)(uintptr_t)src;
	desc.dst = (uint64_t)(uintptr_t)dst;
	desc.completion = (uint64_t)(uintptr_t)&done;
	r = sva_queue_submit(queue, &desc, &done);
	if (r < 0)
		return broken("submit", r);
	say("submitted %u %llu", sva_bond_pasid(bond), (unsigned long long)sva_bond_id(bond));

	for (char line[64];;) {
		size_t n = 0;

		while (n + 1 < sizeof(line) && read(STDIN_FILENO, &line[n], 1) == 1 && line[n] != '\n')
			n++;
		line[n] = 0;
		if (!strcmp(line, "exec")) {
			snprintf(at, sizeof(at), "%p", (void *)dst);
			execl("/proc/self/exe", "svad-demo", "--child", "new-image", at, (char *)NULL);
			return broken("exec", -errno);
		}
		if (!strcmp(line, "unmap")) {
			munmap(dst + DEMO_BYTES / 2, DEMO_BYTES / 2);
			say("unmapped %p", (void *)(dst + DEMO_BYTES / 2));
		} else if (!strcmp(line, "wait")) {
			r = sva_queue_wait(queue, &done, DEMO_WAIT_MS);
			say("waited %d %u %llx %llu", r, done.status, (unsigned long long)done.fault_addr,
			    (unsigned long long)done.bytes);
		} else if (!strcmp(line, "compare")) {
			say("compared %d", memcmp(src, dst, DEMO_BYTES) == 0);
		} else if (!strcmp(line, "half")) {
			say("compared %d", memcmp(src, dst, DEMO_BYTES / 2) == 0);
		} else if (!strcmp(line, "rebind")) {
			sva_queue_free(queue);
			queue = NULL;
			r = sva_unbind(bond, SVA_STATE_NONE);
			say("rebound %d %d", r, sva_bind(sva, device, &again));
		} else {
			sva_queue_free(queue);
			return strcmp(line, "exit") ? 1 : 0;
		}
	}
}

/* 4. What the client became by exec: memory where the old image's destination was, which nobody else may
 * write. */
static int role_new_image(const char *at)
{
	void *want = NULL;
	unsigned char *p;
	size_t changed = 0;

	if (sscanf(at, "%p", &want) != 1)
		return 2;
	p = mmap(want, DEMO_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		 -1, 0);
	if (p == MAP_FAILED)
		return broken("mmap", -errno);
	memset(p, NEW_IMAGE_PATTERN, DEMO_BYTES);
	say("image %d", p == want);
	if (!told("check"))
		return 1;
	for (size_t i = 0; i < DEMO_BYTES; i++)
		changed += p[i] != NEW_IMAGE_PATTERN;
	say("checked %zu", changed);
	return 0;
}

/* Binds when told, ends when told. */
static int role_binder(const char *device)
{
	struct sva_bond *bond;
	int r;

	say("ready");
	if (!told("bind"))
		return 1;
	r = sva_bind(sva, device, &bond);
	if (r < 0)
		return broken("bind", r);
	say("bound %u %llu", sva_bond_pasid(bond), (unsigned long long)sva_bond_id(bond));
	if (!told("exit"))
		return 1;
	r = sva_unbind(bond, SVA_STATE_NONE);
	return r < 0 ? broken("unbind", r) : 0;
}

int demo_role(const char *role, const char *arg)
{
	static const struct {
		const char *name;
		bool connects;
		int (*run)(const char *arg);
	} roles[] = {
		{ "copy", true, role_copy },
		{ "threads", true, role_threads },
		{ "dma", true, role_dma },
		{ "binder", true, role_binder },
		{ "new-image", false, role_new_image },
	};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		int r;

		if (strcmp(roles[i].name, role))
			continue;
		r = roles[i].connects ? sva_connect(NULL, -1, &sva) : 0;
		r = r < 0 ? broken("connect", r) : roles[i].run(arg);
		sva_disconnect(sva);
		return r;
	}
	return 2;
}
