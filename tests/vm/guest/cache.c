/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * d: memory that changes under running DMA. The model keeps a TLB that only the proper commands invalidate,
 * and its checker compares every access with a fresh walk: a missing invalidation is a violation there, and
 * wrong bytes here.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u
#define HUGE (2u << 20)
#define SIZE (64u * PAGE)
#define P1 0x1111111111111111u
#define P2 0x2222222222222222u
#define KSM "/sys/kernel/mm/ksm/"

/* A thread that lets the device write one range, again and again, while the scenario changes it. */
struct writer {
	struct rbond b;
	pthread_t thread;
	void *at;
	size_t size;
	uint64_t pattern;
	volatile bool stop, faults_are_fine;
	volatile unsigned laps;
	unsigned faulted;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		struct sva_demo_completion done;
		uint64_t pattern = __atomic_load_n(&w->pattern, __ATOMIC_ACQUIRE);
		uint32_t status = run(&w->b, d_fill(w->at, pattern, w->size), &done);

		if (status != SVA_DEMO_OK) {
			w->faulted++;
			if (!w->faults_are_fine ||
			    (status != SVA_DEMO_FAULT_UNMAPPED && status != SVA_DEMO_FAULT_PERMISSION))
				FAIL("the writer's job ended with status %u at %#llx", status,
				     (unsigned long long)done.fault_addr);
		}
		__atomic_add_fetch(&w->laps, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void writer_start(struct writer *w, const char *device, void *at, size_t size, bool faults_are_fine)
{
	*w = (struct writer){ .at = at, .size = size, .pattern = P1, .faults_are_fine = faults_are_fine };
	bond_open(&w->b, device);
	MUST_EQ(pthread_create(&w->thread, NULL, write_on, w), 0);
}

/* n more laps have begun and ended since this was called. */
static void writer_laps(struct writer *w, unsigned n)
{
	unsigned from = __atomic_load_n(&w->laps, __ATOMIC_ACQUIRE);
	uint64_t deadline = deadline_in(60000);

	while (__atomic_load_n(&w->laps, __ATOMIC_ACQUIRE) - from < n + 1) {
		if (past(deadline))
			FAIL("the device has stopped writing");
		nap();
	}
}

static void writer_stop(struct writer *w)
{
	__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
	pthread_join(w->thread, NULL);
	bond_unbind_clean(&w->b);
}

static void expect_no_violation(const char *when)
{
	const char *text;

	if (hw_violations(&text) != 0)
		FAIL("%s: %s", when, text);
}

/* Frames that were just freed, taken up again: if the device still wrote them, these bytes would change. */
static void check_reuse(struct writer *w, size_t size)
{
	unsigned char *p = pages(size);

	fill_cpu(p, P2, size);
	writer_laps(w, 2);
	MUST(filled(p, P2, size));
	MUST_SYS(munmap(p, size) == 0);
}

void scenario_d_munmap(void)
{
	unsigned n = rounds(10, 30);
	struct writer w;

	pages_at(TARGET, SIZE);
	writer_start(&w, "accel0", TARGET, SIZE, true);
	for (unsigned i = 0; i < n; i++) {
		writer_laps(&w, 1);
		MUST_SYS(munmap(TARGET, SIZE) == 0);
		check_reuse(&w, SIZE);
		pages_at(TARGET, SIZE);
	}
	writer_laps(&w, 1);
	writer_stop(&w);
	MUST(w.faulted > 0);
	MUST(filled(TARGET, P1, PAGE));
}

void scenario_d_mremap(void)
{
	unsigned n = rounds(10, 30);
	unsigned char *other = (unsigned char *)TARGET + (1u << 30);
	struct writer w;

	pages_at(TARGET, SIZE);
	writer_start(&w, "accel0", TARGET, SIZE, true);
	for (unsigned i = 0; i < n; i++) {
		writer_laps(&w, 1);
		MUST_SYS(mremap(TARGET, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other);
		/* The same frames, at an address the device was not told of. */
		fill_cpu(other, P2, SIZE);
		writer_laps(&w, 1);
		MUST(filled(other, P2, SIZE));
		MUST_SYS(mremap(other, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, TARGET) == TARGET);
	}
	writer_laps(&w, 1);
	writer_stop(&w);
	MUST(filled(TARGET, P1, SIZE));
}

void scenario_d_mprotect(void)
{
	unsigned n = rounds(10, 30);
	struct writer w;

	pages_at(TARGET, SIZE);
	writer_start(&w, "accel0", TARGET, SIZE, true);
	for (unsigned i = 0; i < n; i++) {
		unsigned char before[64];

		writer_laps(&w, 1);
		fill_cpu(TARGET, P2, SIZE);
		MUST_SYS(mprotect(TARGET, SIZE, PROT_READ) == 0);
		/* From here on nobody may write it: what it holds now is what it holds until it is writable
		 * again. */
		memcpy(before, (char *)TARGET + SIZE - 64, 64);
		writer_laps(&w, 2);
		MUST(memcmp(before, (char *)TARGET + SIZE - 64, 64) == 0);
		MUST_SYS(mprotect(TARGET, SIZE, PROT_READ | PROT_WRITE) == 0);
	}
	writer_laps(&w, 1);
	writer_stop(&w);
	MUST(w.faulted > 0);
}

void scenario_d_dontneed(void)
{
	unsigned n = rounds(10, 30);
	struct writer w;

	pages_at(TARGET, SIZE);
	writer_start(&w, "accel0", TARGET, SIZE, false);
	for (unsigned i = 0; i < n; i++) {
		writer_laps(&w, 1);
		MUST_SYS(madvise(TARGET, SIZE, MADV_DONTNEED) == 0);
		check_reuse(&w, SIZE);
	}
	writer_stop(&w);
	MUST(filled(TARGET, P1, SIZE));
}

/* Copies of pages of KSM's that writes have made: here only the device writes any. */
static uint64_t ksm_copies(void)
{
	FILE *f = fopen("/proc/vmstat", "re");
	unsigned long long n = 0;
	bool found = false;
	char line[128];

	MUST_SYS(f != NULL);
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "cow_ksm %llu", &n) == 1;
	fclose(f);
	MUST(found);
	return n;
}

/* ksmd has merged pages, and the device has written those, n times more. */
static void ksm_await(uint64_t n)
{
	uint64_t from = ksm_copies(), deadline = deadline_in(60000);

	while (ksm_copies() - from < n) {
		if (past(deadline))
			FAIL("the device wrote %llu pages of KSM's, not %llu (pages_sharing %llu)",
			     (unsigned long long)(ksm_copies() - from), (unsigned long long)n,
			     (unsigned long long)read_number(KSM "pages_sharing"));
		nap();
	}
}

void scenario_d_ksm(void)
{
	/* Equal pages become one, write-protected, while the device writes one side of them all the time: a
	 * write that went to the page as it was would be lost, or be seen on the other side. */
	unsigned char *p = pages_at(TARGET, 2 * SIZE), *twin = p + SIZE;
	unsigned n = rounds(6, 20);
	uint64_t before;
	struct writer w;

	if (!write_file(KSM "pages_to_scan", "10000") || !write_file(KSM "sleep_millisecs", "1"))
		skip("this kernel has no KSM");
	/* Or it looks ever more rarely at pages that were found changed. */
	(void)write_file(KSM "smart_scan", "0");
	MUST_SYS(madvise(p, 2 * SIZE, MADV_NOHUGEPAGE) == 0);
	fill_cpu(twin, P1, SIZE);
	writer_start(&w, "accel0", p, SIZE, false);
	writer_laps(&w, 1); /* the TLB holds writable translations */
	before = ksm_copies();
	MUST_SYS(madvise(p, 2 * SIZE, MADV_MERGEABLE) == 0);
	MUST(write_file(KSM "run", "1"));
	for (unsigned i = 0; i < n; i++) {
		ksm_await(16); /* it writes what stands there: merged in its hands, taken apart, merged */
		__atomic_store_n(&w.pattern, P2, __ATOMIC_RELEASE);
		writer_laps(&w, 2);
		MUST(filled(p, P2, SIZE));
		MUST(filled(twin, P1, SIZE));
		__atomic_store_n(&w.pattern, P1, __ATOMIC_RELEASE);
	}
	note("the device wrote %llu merged pages", (unsigned long long)(ksm_copies() - before));
	writer_laps(&w, 1); /* the last is of P1 */
	writer_stop(&w);
	MUST(write_file(KSM "run", "2"));
	MUST(filled(p, P1, SIZE));
	MUST(filled(twin, P1, SIZE));
	expect_no_violation("KSM");
}

/* Aligned: TARGET is. Moved there when it is made up: a page that the device touched before the advice would
 * be a small one, and no huge one could come. */
static unsigned char *huge_target(void)
{
	unsigned char *p = pages(2 * HUGE);

	MUST_SYS(madvise(p, 2 * HUGE, MADV_HUGEPAGE) == 0);
	MUST_SYS(mremap(p, 2 * HUGE, 2 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, TARGET) == TARGET);
	return TARGET;
}

void scenario_d_thp_split(void)
{
	unsigned char *p = huge_target();
	unsigned n = rounds(4, 12), split = 0;
	struct writer w;

	writer_start(&w, "accel0", p, HUGE, true);
	for (unsigned i = 0; i < n; i++) {
		bool whole;

		writer_laps(&w, 1);
		whole = smaps_kib(p, "AnonHugePages") != 0;
		/* A hole in the middle splits the entry, and the rest stays. */
		MUST_SYS(munmap(p + 100 * PAGE, PAGE) == 0);
		MUST_EQ(smaps_kib(p, "AnonHugePages"), 0);
		split += whole;
		writer_laps(&w, 1);
		MUST_SYS(mprotect(p + 300 * PAGE, PAGE, PROT_READ) == 0);
		writer_laps(&w, 1);
		MUST(filled(p, P1, 100 * PAGE));
		MUST_SYS(munmap(p, HUGE) == 0);
		huge_target();
	}
	writer_stop(&w);
	MUST(w.faulted > 0);
	note("%u huge pages split in %u rounds", split, n);
	if (!split)
		FAIL("there never was a huge page to split");
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

void scenario_d_thp_collapse(void)
{
	unsigned n = rounds(4, 12), collapsed = 0;
	unsigned char *p = huge_target();
	struct writer w;

	MUST_SYS(madvise(p, HUGE, MADV_NOHUGEPAGE) == 0);
	writer_start(&w, "accel0", p, HUGE, false);
	for (unsigned i = 0; i < n; i++) {
		uint64_t old;

		writer_laps(&w, 1);
		old = frame(p);
		MUST_SYS(madvise(p, HUGE, MADV_HUGEPAGE) == 0);
		/* 512 frames give way to one block: the device must be at the new place from now on. */
		if (madvise(p, HUGE, MADV_COLLAPSE) == 0 && frame(p) != old)
			collapsed++;
		check_reuse(&w, HUGE);
		MUST_SYS(madvise(p, HUGE, MADV_NOHUGEPAGE) == 0);
		MUST_SYS(madvise(p, HUGE, MADV_DONTNEED) == 0);
	}
	writer_laps(&w, 1);
	writer_stop(&w);
	MUST(filled(p, P1, HUGE));
	if (!collapsed)
		FAIL("MADV_COLLAPSE never collapsed anything");
}

static unsigned move_to(int node)
{
	static void *at[SIZE / PAGE];
	static int nodes[SIZE / PAGE], status[SIZE / PAGE];
	unsigned moved = 0;

	for (unsigned i = 0; i < SIZE / PAGE; i++) {
		at[i] = (char *)TARGET + i * PAGE;
		nodes[i] = node;
		status[i] = -1;
	}
	MUST_SYS(syscall(SYS_move_pages, 0, SIZE / PAGE, at, nodes, status, 2 /* MPOL_MF_MOVE */) >= 0);
	for (unsigned i = 0; i < SIZE / PAGE; i++)
		moved += status[i] == node;
	return moved;
}

void scenario_d_migrate(void)
{
	/* Pages moved from one node of memory to the other and back, under the device's hands. */
	unsigned n = rounds(6, 30), moved = 0;
	uint64_t before, after;
	struct writer w;

	if (access("/sys/devices/system/node/node1", F_OK) < 0)
		skip("this guest has one node of memory");
	pages_at(TARGET, SIZE);
	MUST_SYS(madvise(TARGET, SIZE, MADV_NOHUGEPAGE) == 0);
	writer_start(&w, "accel0", TARGET, SIZE, false);
	for (unsigned i = 0; i < n; i++) {
		writer_laps(&w, 1);
		before = frame(TARGET);
		moved += move_to(i % 2 ? 0 : 1);
		after = frame(TARGET);
		if (i == 0 && before == after)
			note("the first page stayed where it was");
		check_reuse(&w, SIZE);
	}
	writer_stop(&w);
	MUST(filled(TARGET, P1, SIZE));
	note("%u pages were on the other node afterwards, of %u", moved, n * (SIZE / PAGE));
	if (moved < n * (SIZE / PAGE) / 4)
		FAIL("only %u of %u pages moved", moved, n * (SIZE / PAGE));
}

void scenario_d_compact(void)
{
	/* Compaction, with holes for it to close. It moves what it likes: whatever it moved, the bytes are
	 * right. */
	size_t size = 16u << 20;
	unsigned n = rounds(5, 20), moved = 0;
	unsigned char *holes = pages(size);
	uint64_t old[SIZE / PAGE];
	struct writer w;

	MUST_SYS(madvise(holes, size, MADV_NOHUGEPAGE) == 0);
	pages_at(TARGET, SIZE);
	MUST_SYS(madvise(TARGET, SIZE, MADV_NOHUGEPAGE) == 0);
	fill_cpu(holes, P2, size);
	for (size_t at = 0; at < size; at += 2 * PAGE)
		MUST_SYS(madvise(holes + at, PAGE, MADV_DONTNEED) == 0);
	writer_start(&w, "accel0", TARGET, SIZE, false);
	for (unsigned i = 0; i < n; i++) {
		writer_laps(&w, 1);
		for (unsigned k = 0; k < SIZE / PAGE; k++)
			old[k] = frame((char *)TARGET + k * PAGE);
		if (!write_file("/proc/sys/vm/compact_memory", "1"))
			FAIL("compact_memory: %s", strerror(errno));
		for (unsigned k = 0; k < SIZE / PAGE; k++)
			moved += old[k] && old[k] != frame((char *)TARGET + k * PAGE);
	}
	writer_laps(&w, 1);
	writer_stop(&w);
	MUST(filled(TARGET, P1, SIZE));
	for (size_t at = PAGE; at < size; at += 2 * PAGE)
		MUST(filled(holes + at, P2, PAGE));
	note("%u pages moved", moved);
}

void scenario_d_fork_under_dma(void)
{
	/* fork() makes everything copy-on-write while the device writes it: one invalidation for all of it.
	 */
	unsigned n = rounds(6, 20);
	struct writer w;

	pages_at(TARGET, SIZE);
	writer_start(&w, "accel1", TARGET, SIZE, false);
	for (unsigned i = 0; i < n; i++) {
		struct kid k;
		pid_t pid;

		writer_laps(&w, 1);
		pid = fork();
		MUST_SYS(pid >= 0);
		if (pid == 0) {
			unsigned char seen[64];

			/* What the child has is a moment of the past, and stays as it is. */
			memcpy(seen, (char *)TARGET + SIZE / 2, 64);
			for (int k2 = 0; k2 < 20; k2++)
				nap();
			_exit(memcmp(seen, (char *)TARGET + SIZE / 2, 64) != 0);
		}
		kid_adopt(&k, pid, -1);
		MUST_EQ(kid_reap(&k), 0);
	}
	writer_stop(&w);
	MUST(filled(TARGET, P1, SIZE));
}

void scenario_d_ignored_invalidation(void)
{
	/* The test of the test: one invalidation is dropped by the model, and the checker must see what comes
	 * of it. */
	unsigned char *p = pages_at(TARGET, PAGE);
	struct sva_demo_completion done;
	struct rbond b;

	bond_open(&b, "accel0");
	run_ok(&b, d_fill(p, P1, PAGE));
	expect_no_violation("before");
	hw("ignore-tlbi 1");
	MUST_SYS(madvise(p, PAGE, MADV_DONTNEED) == 0);
	(void)run(&b, d_fill(p, P1, PAGE), &done);
	if (hw_violations(NULL) == 0)
		FAIL("a dropped TLB invalidation was not seen by the checker");
	hw("reset");
	/* And none once the invalidations are obeyed. */
	MUST_SYS(madvise(p, PAGE, MADV_DONTNEED) == 0);
	run_ok(&b, d_fill(p, P2, PAGE));
	MUST(filled(p, P2, PAGE));
	expect_no_violation("after");
	bond_unbind_clean(&b);
}
