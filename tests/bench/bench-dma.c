/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One engine's bandwidth beside a thread that copies through the same kind of fd, in pieces of the same size.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sva/queue.h>
#include <sva/sva.h>

#include "bench.h"

#define CHUNK (256u << 10)

static bool copy_by_fd(int mem, unsigned char *bounce, void *dst, const void *src, size_t len)
{
	for (size_t at = 0; at < len; at += CHUNK) {
		if (pread(mem, bounce, CHUNK, (off_t)((uintptr_t)src + at)) != (ssize_t)CHUNK ||
		    pwrite(mem, bounce, CHUNK, (off_t)((uintptr_t)dst + at)) != (ssize_t)CHUNK)
			return false;
	}
	return true;
}

static void at_size(struct bench *b, struct sva_queue *queue, int mem, unsigned char *src, unsigned char *dst,
		    size_t len, const char *what)
{
	unsigned char *bounce = malloc(CHUNK);
	struct samples ours = { 0 }, peer = { 0 };
	unsigned rounds = b->quick ? 5 : 15, times = (unsigned)((size_t)(64u << 20) / len);
	char name[96];
	bool ok = bounce != NULL;

	for (unsigned i = 0; ok && i < rounds + 1; i++) {
		uint64_t t = live_now_ns(), t2;

		for (unsigned k = 0; ok && k < times; k++)
			ok = sva_copy(queue, dst, src, len, NULL) == 0;
		t2 = live_now_ns();
		if (i && ok)
			sample(&ours, (double)len * times / (double)(t2 - t));
		memset(dst, (int)i, len);
		t = live_now_ns();
		for (unsigned k = 0; ok && k < times; k++)
			ok = copy_by_fd(mem, bounce, dst, src, len);
		t2 = live_now_ns();
		if (i && ok)
			sample(&peer, (double)len * times / (double)(t2 - t));
		ok = ok && !memcmp(src, dst, len);
		memset(dst, (int)i, len);
	}
	if (!ok)
		b->failed++;
	snprintf(name, sizeof(name), "DMA copy of one engine, %s", what);
	row(name, "GB/s", ok ? median(&ours) : NOTHING, median(&peer), NO_REACH, false,
	    "beside one thread, pread and pwrite of /proc/self/mem by 256 KiB");
	samples_free(&ours);
	samples_free(&peer);
	free(bounce);
}

void bench_dma(struct bench *b)
{
	const size_t most = 64u << 20;
	unsigned char *src, *dst;
	struct sva_queue *queue;
	struct sva_bond *bond;
	struct live live;
	struct sva *sva;
	int mem;

	if (!live_start(&live, b->builddir, b->libexecdir, "log_level = err\n[device \"one\"]\nengines = 1\n",
			1)) {
		b->failed++;
		return;
	}
	src = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	dst = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (src == MAP_FAILED || dst == MAP_FAILED || mem < 0 || sva_connect(live.socket, -1, &sva) < 0) {
		b->failed++;
		live_stop(&live, 1);
		return;
	}
	for (size_t i = 0; i < most; i++)
		src[i] = (unsigned char)(i * 2654435761u >> 16);
	if (sva_bind(sva, "one", &bond) < 0 || sva_queue_new(bond, 16, &queue) < 0) {
		b->failed++;
	} else {
		at_size(b, queue, mem, src, dst, most, "64 MiB a job");
		at_size(b, queue, mem, src, dst, CHUNK, "256 KiB a job");
		sva_queue_free(queue);
		sva_unbind(bond, SVA_STATE_NONE);
	}
	sva_disconnect(sva);
	close(mem);
	munmap(src, most);
	munmap(dst, most);
	live_stop(&live, 1);
}
