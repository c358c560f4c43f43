/* SPDX-License-Identifier: GPL-2.0-or-later */
/* a: every kind of memory a process has, through the device; and what it may not touch. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../system/slow-file.h"

#define PAGE 4096u
#define HUGE (2u << 20)
#define P1 0x1122334455667788u
#define P2 0xa5a5a5a5deadbeefu

void scenario_a_untouched(void)
{
	size_t size = 2u << 20;
	uint64_t before, after;
	unsigned char *p = malloc(size + PAGE);
	struct rbond b;

	MUST(p != NULL);
	p = (unsigned char *)(((uintptr_t)p + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
	MUST_SYS(madvise(p, size, MADV_NOHUGEPAGE) == 0);
	MUST_EQ(resident(p, size), 0);
	bond_open(&b, "accel0");
	before = hw_figure(hw("stats"), "resumes");
	run_ok(&b, d_fill(p, P1, size));
	after = hw_figure(hw("stats"), "resumes");
	MUST_EQ(resident(p, size), size / PAGE);
	MUST(filled(p, P1, size));
	/* The kernel may fault around in files, not here: a stall for each page. */
	if (after - before < size / PAGE)
		FAIL("%zu untouched pages were filled with %llu stalls", size / PAGE,
		     (unsigned long long)(after - before));
	bond_unbind_clean(&b);
}

void scenario_a_untouched_clean(void)
{
	unsigned char *p = pages(1u << 20), *q = pages(1u << 20);
	struct rbond b;

	MUST_SYS(madvise(p, 1u << 20, MADV_NOHUGEPAGE) == 0);
	bond_open(&b, "accel1");
	run_ok(&b, d_fill(p, P2, 1u << 20));
	run_ok(&b, d_copy(q, p, 1u << 20));
	MUST(filled(q, P2, 1u << 20));
	bond_unbind_clean(&b);
}

void scenario_a_read_zero(void)
{
	/* A read of what was never written sees zeros, and the zero page is not written through. */
	unsigned char *src = pages(64 * PAGE), *dst = pages(64 * PAGE), *other = pages(PAGE);
	struct sva_demo_completion done;
	struct rbond b;

	bond_open(&b, "accel0");
	fill_cpu(dst, P1, 64 * PAGE);
	MUST_EQ(run(&b, d_crc(src, 64 * PAGE), &done), SVA_DEMO_OK);
	MUST_EQ((uint32_t)done.result, crc32c(src, 64 * PAGE));
	run_ok(&b, d_copy(dst, src, 64 * PAGE));
	MUST(filled(dst, 0, 64 * PAGE));
	run_ok(&b, d_fill(src, P2, 64 * PAGE));
	MUST(filled(src, P2, 64 * PAGE));
	MUST(filled(other, 0, PAGE));
	bond_unbind_clean(&b);
}

static unsigned char *huge_pages(unsigned n)
{
	unsigned char *p = pages((n + 1) * HUGE);

	p = (unsigned char *)(((uintptr_t)p + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	MUST_SYS(madvise(p, n * HUGE, MADV_HUGEPAGE) == 0);
	return p;
}

void scenario_a_huge(void)
{
	unsigned char *p = huge_pages(4);
	uint64_t before, after;
	struct rbond b;

	/* Whatever ran before: there are four to be had. */
	MUST_SYS(write_file("/proc/sys/vm/compact_memory", "1"));
	bond_open(&b, "accel0");
	before = hw_figure(hw("stats"), "resumes");
	run_ok(&b, d_fill(p, P1, 4 * HUGE));
	after = hw_figure(hw("stats"), "resumes");
	MUST(filled(p, P1, 4 * HUGE));
	MUST_EQ(smaps_kib(p, "AnonHugePages"), 4 * HUGE / 1024);
	MUST_EQ(after - before, 4);
	run_ok(&b, d_copy(p + 2 * HUGE + 100, p, HUGE - 4096));
	bond_unbind_clean(&b);
}

/* Pages of hugetlbfs's, of 1 << bits bytes: one entry of the table above, or neighbours that are marked as
 * one. */
static void use_hugetlb(struct rbond *b, unsigned bits)
{
	enum { N = 4 };
	size_t size = (size_t)1 << bits;
	unsigned char *p, *small = pages(2 * PAGE);
	struct sva_demo_completion done;
	uint64_t before, after;
	char pool[100];

	snprintf(pool, sizeof(pool), "/sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages", size / 1024);
	MUST_SYS(write_file(pool, "4"));
	MUST_EQ(read_number(pool), N);
	p = mmap(NULL, N * size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (int)(bits << MAP_HUGE_SHIFT), -1, 0);
	MUST_SYS(p != MAP_FAILED);
	before = hw_figure(hw("stats"), "resumes");
	run_ok(b, d_fill(p, P1, N * size));
	after = hw_figure(hw("stats"), "resumes");
	MUST_EQ(after - before, N);
	/* Which of the two they are is the kernel's guess: 7.2's debug kernel takes them for shared. */
	MUST_EQ(smaps_kib(p, "Private_Hugetlb") + smaps_kib(p, "Shared_Hugetlb"), N * size / 1024);
	MUST(filled(p, P1, N * size));
	fill_cpu(p + size, P2, PAGE);
	run_ok(b, d_copy(small, p + size - PAGE, 2 * PAGE)); /* from one into the next */
	MUST(filled(small, P1, PAGE));
	MUST(filled(small + PAGE, P2, PAGE));
	MUST_SYS(munmap(p, N * size) == 0);
	MUST_EQ(run(b, d_fill(p + size, P2, PAGE), &done), SVA_DEMO_FAULT_UNMAPPED);
	MUST_EQ(done.fault_addr, (uintptr_t)p + size);
	MUST_SYS(write_file(pool, "0"));
	MUST_EQ(read_number(pool), 0); /* the device held on to none */
}

void scenario_a_hugetlb(void)
{
	struct rbond b;

	MUST_SYS(write_file("/proc/sys/vm/compact_memory", "1"));
	bond_open(&b, "accel0");
	use_hugetlb(&b, 16);
	use_hugetlb(&b, 21);
	bond_unbind_clean(&b);
}

void scenario_a_file(void)
{
	size_t size = 32 * PAGE;
	unsigned char *shared, *private, text[PAGE];
	char path[] = "/tmp/vm-file-XXXXXX";
	struct rbond b;
	int fd = mkstemp(path);

	MUST_SYS(fd >= 0);
	MUST_SYS(unlink(path) == 0);
	MUST_SYS(ftruncate(fd, (off_t)size) == 0);
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(shared != MAP_FAILED && private != MAP_FAILED);
	bond_open(&b, "accel0");
	run_ok(&b, d_fill(shared, P1, size));
	for (size_t at = 0; at < size; at += PAGE) {
		MUST_SYS(pread(fd, text, PAGE, (off_t)at) == PAGE);
		MUST(filled(text, P1, PAGE));
	}
	/* A private mapping reads the file, and writes to itself. */
	MUST(filled(private, P1, size));
	run_ok(&b, d_fill(private, P2, size));
	MUST(filled(private, P2, size));
	MUST(filled(shared, P1, size));
	bond_unbind_clean(&b);
	close(fd);
}

void scenario_a_file_end(void)
{
	/* A mapping that is longer than its file: the page behind the end is there for mmap and not for use.
	 */
	struct sva_demo_completion done;
	unsigned char *p;
	char path[] = "/tmp/vm-file-XXXXXX";
	struct rbond b;
	int fd = mkstemp(path);

	MUST_SYS(fd >= 0);
	MUST_SYS(unlink(path) == 0);
	MUST_SYS(ftruncate(fd, PAGE) == 0);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST_SYS(p != MAP_FAILED);
	bond_open(&b, "accel0");
	MUST_EQ(run(&b, d_fill(p, P1, 2 * PAGE), &done), SVA_DEMO_FAULT_UNMAPPED);
	MUST_EQ(done.fault_addr, (uintptr_t)p + PAGE);
	MUST(filled(p, P1, PAGE));
	run_ok(&b, d_fill(p, P2, PAGE));
	bond_unbind_clean(&b);
	close(fd);
}

static void cow_child(void *arg)
{
	unsigned char *p = arg;

	hear_this("look");
	MUST(filled(p, P1, 64 * PAGE));
	fill_cpu(p, 3, 64 * PAGE);
	say("looked");
	hear_this("end");
	MUST(filled(p, 3, 64 * PAGE));
}

void scenario_a_cow(void)
{
	unsigned char *p = pages(64 * PAGE);
	struct rbond b;
	struct kid k;

	fill_cpu(p, P1, 64 * PAGE);
	bond_open(&b, "accel0");
	run_ok(&b, d_fill(p, P1, 64 * PAGE)); /* the device's caches hold writable translations of it */
	kid_start(&k, cow_child, p);
	/* Now shared, copy-on-write: a write through the device must not reach the child's. */
	run_ok(&b, d_fill(p, P2, 64 * PAGE));
	tell(&k, "look");
	expect(&k, "looked");
	MUST(filled(p, P2, 64 * PAGE));
	kid_end(&k);
	MUST(filled(p, P2, 64 * PAGE));
	bond_unbind_clean(&b);
}

void scenario_a_readonly(void)
{
	unsigned char *p = pages(4 * PAGE);
	struct sva_demo_completion done;
	int events = ctl_open();
	struct svab_event e;
	struct rbond b;

	fill_cpu(p, P1, 4 * PAGE);
	MUST_SYS(mprotect(p + 2 * PAGE, PAGE, PROT_READ) == 0);
	bond_open(&b, "accel0");
	MUST_EQ(run(&b, d_fill(p, P2, 4 * PAGE), &done), SVA_DEMO_FAULT_PERMISSION);
	MUST_EQ(done.fault_addr, (uintptr_t)p + 2 * PAGE);
	MUST(filled(p, P2, 2 * PAGE));
	MUST(filled(p + 2 * PAGE, P1, 2 * PAGE));
	e = event_await(events, SVAB_EV_FAULT, b.id);
	MUST_EQ(e.code, SVAB_FAULT_PERMISSION);
	MUST_EQ(e.value & ~(uint64_t)(PAGE - 1), (uintptr_t)p + 2 * PAGE);
	MUST_EQ(e.pasid, b.pasid);
	/* A read of it is fine, and the bond is good for more. */
	run_ok(&b, d_copy(p, p + 2 * PAGE, PAGE));
	MUST(filled(p, P1, PAGE));
	/* No access at all. The IOMMU finds no valid entry for such a page: to a device it looks unmapped. */
	MUST_SYS(mprotect(p + 2 * PAGE, PAGE, PROT_NONE) == 0);
	MUST_EQ(run(&b, d_copy(p, p + 2 * PAGE, PAGE), &done), SVA_DEMO_FAULT_UNMAPPED);
	MUST_EQ(done.fault_addr, (uintptr_t)p + 2 * PAGE);
	close(events);
	bond_unbind_clean(&b);
}

void scenario_a_unmapped(void)
{
	unsigned char *p = pages(8 * PAGE);
	struct sva_demo_completion done;
	struct svab_bond_info info;
	int events = ctl_open();
	struct svab_event e;
	struct rbond b;

	bond_open(&b, "accel0");
	MUST_SYS(munmap(p + 5 * PAGE, PAGE) == 0); /* now: what is mapped next may well land there */
	MUST_EQ(run(&b, d_fill(p, P1, 8 * PAGE), &done), SVA_DEMO_FAULT_UNMAPPED);
	MUST_EQ(done.fault_addr, (uintptr_t)p + 5 * PAGE);
	MUST_EQ(done.bytes, 5 * PAGE);
	MUST(filled(p, P1, 5 * PAGE));
	MUST(filled(p + 6 * PAGE, 0, 2 * PAGE));
	e = event_await(events, SVAB_EV_FAULT, b.id);
	MUST_EQ(e.code, SVAB_FAULT_UNMAPPED);
	MUST_EQ(e.value & ~(uint64_t)(PAGE - 1), (uintptr_t)p + 5 * PAGE);
	MUST_EQ(run(&b, d_copy(p, (void *)16, 64), &done), SVA_DEMO_FAULT_UNMAPPED);
	/* The kernel's half of the address space is nobody's here. */
	if (run(&b, d_copy(p, (void *)0xffff800000000000ull, 64), &done) == SVA_DEMO_OK)
		FAIL("the device read at an address of the kernel");
	MUST_EQ(bond_info(&b, &info), 0);
	if (info.faults < 2)
		FAIL("the bond counts %llu faults", (unsigned long long)info.faults);
	run_ok(&b, d_fill(p, P2, 5 * PAGE));
	MUST(filled(p, P2, 5 * PAGE));
	close(events);
	bond_unbind_clean(&b);
}

static unsigned char globals[3 * PAGE];
static const unsigned char constants[PAGE] = { 1, 2, 3 };

static void *on_thread_stack(void *arg)
{
	unsigned char local[2 * PAGE];
	struct rbond *b = arg;

	memset(local, 0, sizeof(local));
	run_ok(b, d_fill(local, P2, sizeof(local)));
	MUST(filled(local, P2, sizeof(local)));
	return NULL;
}

void scenario_a_stack_and_globals(void)
{
	struct sva_demo_completion done;
	unsigned char local[2 * PAGE];
	struct rbond b;
	pthread_t t;

	bond_open(&b, "accel1");
	run_ok(&b, d_fill(globals, P1, sizeof(globals)));
	MUST(filled(globals, P1, sizeof(globals)));
	run_ok(&b, d_copy(local, globals, sizeof(local)));
	MUST(memcmp(local, globals, sizeof(local)) == 0);
	MUST_EQ(run(&b, d_crc(constants, PAGE), &done), SVA_DEMO_OK);
	MUST_EQ((uint32_t)done.result, crc32c(constants, PAGE));
	/* Program text and constants: the file's own pages, which nobody may write. */
	MUST_EQ(run(&b, d_fill((void *)(uintptr_t)constants, P2, 64), &done), SVA_DEMO_FAULT_PERMISSION);
	MUST_EQ(pthread_create(&t, NULL, on_thread_stack, &b), 0);
	pthread_join(t, NULL);
	bond_unbind_clean(&b);
}

void scenario_a_operations(void)
{
	static const size_t lengths[] = { 1, 7, 8, 63, 64, 100, 4095, 4096, 4097, 70001 };
	unsigned char *src = pages(80000), *dst = pages(80000);
	struct sva_demo_completion done;
	struct rbond b;

	for (size_t i = 0; i < 80000; i++)
		src[i] = (unsigned char)rnd();
	bond_open(&b, "accel0");
	MUST_EQ(run(&b, (struct sva_demo_desc){ .op = SVA_DEMO_NOP, .tag = 77 }, &done), SVA_DEMO_OK);
	MUST_EQ(done.tag, 77);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		size_t n = lengths[i], off = i * 3;

		memset(dst, 0xee, 80000);
		run_ok(&b, d_copy(dst + off, src + 1, n));
		MUST(memcmp(dst + off, src + 1, n) == 0);
		MUST_EQ(dst[off + n], 0xee);
		MUST_EQ(run(&b, d_crc(src + off, n), &done), SVA_DEMO_OK);
		MUST_EQ((uint32_t)done.result, crc32c(src + off, n));
		MUST_EQ(run(&b, d_compare(dst + off, src + 1, n), &done), SVA_DEMO_OK);
		MUST_EQ(done.result, 0);
		dst[off + n / 2] ^= 1;
		MUST_EQ(run(&b, d_compare(dst + off, src + 1, n), &done), SVA_DEMO_OK);
		MUST_EQ(done.result, 1 + n / 2);
	}
	MUST_EQ(run(&b, (struct sva_demo_desc){ .op = 99 }, &done), SVA_DEMO_BAD_DESCRIPTOR);
	MUST_EQ(run(&b, (struct sva_demo_desc){ .op = SVA_DEMO_NOP, .flags = 1 }, &done),
		SVA_DEMO_BAD_DESCRIPTOR);
	run_ok(&b, d_fill(dst, P1, 64));
	bond_unbind_clean(&b);
}

/* ---- a page that somebody else must bring ---- */

static int slow_fd;

static void copy_slow_page(void *arg)
{
	static _Alignas(64) struct sva_demo_completion done;
	unsigned char *dst = pages(PAGE), *src = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, slow_fd, 0);
	struct rbond b;

	(void)arg;
	MUST_SYS(src != MAP_FAILED);
	bond_open(&b, "accel0");
	fill_cpu(dst, P1, PAGE);
	submit(&b, d_copy(dst, src, PAGE), &done);
	say("submitted");
	MUST_EQ(wait_done(&b, &done), SVA_DEMO_OK);
	MUST(filled(dst, 0, PAGE));
	bond_unbind_clean(&b);
}

void scenario_a_slow_page(void)
{
	/* A page that its owner is slow to bring holds up that bond, and nobody else's: not on its device,
	 * not on another. */
	struct kid k, same, other;

	slow_fd = slow_file_open(ms(60000));
	MUST_SYS(slow_fd >= 0);
	bystander_start(&same, "accel0");
	bystander_start(&other, "accel1");
	kid_start(&k, copy_slow_page, NULL);
	expect(&k, "submitted");
	MUST(slow_file_wait_read(ms(30000)));
	for (int i = 0; i < 3; i++) {
		bystander_check(&same);
		bystander_check(&other);
	}
	MUST(!hup(k.sock, 0)); /* it is still at it */
	slow_file_release();
	MUST_EQ(kid_reap(&k), 0);
	kid_end(&same);
	kid_end(&other);
	close(slow_fd);
}

void scenario_a_many_jobs(void)
{
	/* A full ring, all of it stalled at once or nearly: every job's bytes are its own. */
	static _Alignas(64) struct sva_demo_completion done[RING];
	unsigned char *p = pages(RING * 2 * PAGE);
	struct rbond b;

	MUST_SYS(madvise(p, RING * 2 * PAGE, MADV_NOHUGEPAGE) == 0);
	bond_open(&b, "accel0");
	for (int lap = 0; lap < 4; lap++) {
		for (unsigned i = 0; i < RING; i++)
			submit(&b, d_fill(p + i * 2 * PAGE, i + 1 + (unsigned)lap * 1000, 2 * PAGE),
			       &done[i]);
		for (unsigned i = 0; i < RING; i++)
			MUST_EQ(wait_done(&b, &done[i]), SVA_DEMO_OK);
		for (unsigned i = 0; i < RING; i++)
			MUST(filled(p + i * 2 * PAGE, i + 1 + (unsigned)lap * 1000, 2 * PAGE));
		MUST_SYS(madvise(p, RING * 2 * PAGE, MADV_DONTNEED) == 0);
	}
	bond_unbind_clean(&b);
}
