/* SPDX-License-Identifier: GPL-2.0-or-later */
/* c: every way a process ends in the middle of DMA. The PASID is withheld until CLEAN, and good for others
 * after. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u
#define BYTES (4u << 20)

/* STOPPING comes before DRAINED, both once, and both name the cause. */
static void expect_end(int events, const struct worker *w, uint32_t cause)
{
	struct svab_event e;

	if (cause == SVAB_CAUSE_MM_RELEASED)
		(void)event_await(events, SVAB_EV_MM_RELEASED, w->bond);
	e = event_await(events, SVAB_EV_STOPPING, w->bond);
	MUST_EQ(e.cause, cause);
	e = event_await(events, SVAB_EV_DRAINED, w->bond);
	MUST_EQ(e.cause, cause);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	MUST_EQ(e.pasid, w->pasid);
}

static void killed_on(const char *device)
{
	const struct work work = { .device = device, .bytes = BYTES };
	int events = ctl_open();
	struct worker w;

	hw("hold %s 50", device);
	worker_start(&w, &work);
	hw("wait-held %s 1 %d", device, ms(20000));
	worker_kill(&w);
	expect_end(events, &w, SVAB_CAUSE_MM_RELEASED);
	hw("release %s", device);
	close(events);
}

void scenario_c_sigkill(void)
{
	unsigned n = rounds(5, 20);

	for (unsigned i = 0; i < n; i++) {
		killed_on("accel0");
		killed_on("accel1");
	}
}

static void crash(void *arg)
{
	static _Alignas(64) struct sva_demo_completion done;
	struct rlimit no_core = { 0, 0 };
	struct rbond b;

	setrlimit(RLIMIT_CORE, &no_core);
	bond_open(&b, arg);
	pages_at(TARGET, BYTES);
	submit(&b, d_fill(TARGET, 1, BYTES), &done);
	say("bond %llu pasid %u", (unsigned long long)b.id, b.pasid);
	hear_this("crash");
	crash_now();
	FAIL("a write to address 8 went well");
}

void scenario_c_segv(void)
{
	int events = ctl_open();
	unsigned long long id;
	struct worker w;

	hw("hold accel0 50");
	kid_start(&w.kid, crash, (void *)(uintptr_t) "accel0");
	MUST_EQ(sscanf(expect(&w.kid, "bond "), "bond %llu pasid %u", &id, &w.pasid), 2);
	w.bond = id;
	hw("wait-held accel0 1 %d", ms(20000));
	tell(&w.kid, "crash");
	MUST_EQ(kid_reap(&w.kid) & 0x7f, SIGSEGV);
	expect_end(events, &w, SVAB_CAUSE_MM_RELEASED);
	close(events);
}

/* ---- oom ---- */

#define CGROUP "/sys/fs/cgroup/svad-oom"

static void eat(void *arg)
{
	static _Alignas(64) struct sva_demo_completion done;
	struct rbond b;
	char text[32];

	(void)arg;
	snprintf(text, sizeof(text), "%d", (int)getpid());
	if (!write_file(CGROUP "/cgroup.procs", text))
		FAIL("%s: %s", CGROUP "/cgroup.procs", strerror(errno));
	bond_open(&b, "accel0");
	pages_at(TARGET, BYTES);
	submit(&b, d_fill(TARGET, 1, BYTES), &done);
	say("bond %llu pasid %u", (unsigned long long)b.id, b.pasid);
	hear_this("eat");
	for (;;) {
		unsigned char *p = pages(1u << 20);

		memset(p, 1, 1u << 20);
	}
}

void scenario_c_oom(void)
{
	int events = ctl_open();
	unsigned long long id;
	struct worker w;

	(void)write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUP, 0755) < 0 && errno != EEXIST)
		skip("no cgroup can be made: %s", strerror(errno));
	if (!write_file(CGROUP "/memory.max", "33554432"))
		skip("this guest has no memory controller: %s", strerror(errno));
	hw("hold accel0 50");
	kid_start(&w.kid, eat, NULL);
	MUST_EQ(sscanf(expect(&w.kid, "bond "), "bond %llu pasid %u", &id, &w.pasid), 2);
	w.bond = id;
	hw("wait-held accel0 1 %d", ms(20000));
	tell(&w.kid, "eat");
	MUST_EQ(kid_reap(&w.kid), SIGKILL);
	/* The reaper takes the memory of a dying process from under it: the device must be off it all the
	 * same. */
	expect_end(events, &w, SVAB_CAUSE_MM_RELEASED);
	MUST_SYS(rmdir(CGROUP) == 0);
	close(events);
}

/* ---- exit_group with threads at work ---- */

static void *submit_on(void *arg)
{
	struct rbond *b = arg;
	unsigned char *p = pages(64 * PAGE);

	for (;;) {
		struct sva_demo_completion done;

		if (run(b, d_fill(p, 3, 64 * PAGE), &done) == 0)
			pause();
	}
	return NULL;
}

static void exit_with_threads(void *arg)
{
	static const char *const devices[] = { "accel0", "accel1", "accel2" };
	static struct rbond b[3];
	pthread_t t;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		bond_open(&b[i], devices[i]);
		MUST_EQ(pthread_create(&t, NULL, submit_on, &b[i]), 0);
	}
	say("bond %llu %llu %llu", (unsigned long long)b[0].id, (unsigned long long)b[1].id,
	    (unsigned long long)b[2].id);
	hear_this("exit");
	_exit(0);
}

void scenario_c_exit_group(void)
{
	unsigned n = rounds(5, 30);

	for (unsigned i = 0; i < n; i++) {
		int events = ctl_open(), drained = 0;
		unsigned long long id[3];
		struct svab_event e;
		struct kid k;

		kid_start(&k, exit_with_threads, NULL);
		MUST_EQ(sscanf(expect(&k, "bond "), "bond %llu %llu %llu", &id[0], &id[1], &id[2]), 3);
		tell(&k, "exit");
		MUST_EQ(kid_reap(&k), 0);
		while (drained < 3) {
			if (!event_next(events, &e, 60000))
				FAIL("%d of 3 bonds drained", drained);
			if (e.type != SVAB_EV_DRAINED)
				continue;
			MUST(e.bond == id[0] || e.bond == id[1] || e.bond == id[2]);
			drained++;
		}
		close(events);
	}
}

/* ---- the PASID, after ---- */

void scenario_c_reusable(void)
{
	/* The kernel frees an mm lazily, so the number comes back soon and not at once. Each try is a
	 * process. */
	const struct work work = { .device = "accel0", .bytes = 0 };
	uint64_t deadline = deadline_in(60000);
	int events = ctl_open();
	unsigned pasid, tries = 0;
	struct worker w;

	worker_start(&w, &work);
	kid_end(&w.kid);
	expect_end(events, &w, SVAB_CAUSE_MM_RELEASED);
	do {
		if (past(deadline))
			FAIL("PASID %u was CLEAN and came not back in %u binds", w.pasid, tries);
		pasid = bind_once("accel1");
		tries++;
	} while (pasid != w.pasid);
	note("PASID %u came back at bind %u", pasid, tries);
	close(events);
}

void scenario_c_withheld(void)
{
	/* While the drain is under way the number is nobody's: the device is slow to stop, others bind and
	 * end meanwhile. */
	const struct work work = { .device = "accel0", .bytes = BYTES };
	unsigned pasid, binds = 0;
	int events = ctl_open();
	bool drained = false;
	struct svab_event e;
	struct worker w;

	hw("hold accel0 50");
	worker_start(&w, &work);
	hw("wait-held accel0 1 %d", ms(20000));
	hw("stop accel0 delay %d", ms(4000));
	MUST_SYS(kill(w.kid.pid, SIGKILL) == 0);
	(void)event_await(events, SVAB_EV_STOPPING, w.bond);
	MUST_EQ(kid_reap(&w.kid), SIGKILL); /* the process has exited long before its device has stopped */
	while (!drained) {
		uint64_t given;

		pasid = bind_once("accel1");
		given = now_ns();
		binds++;
		/* The event is queued a moment after the reference is dropped. */
		while (!drained && event_next(events, &e, pasid == w.pasid ? 1000 : 0))
			drained = e.type == SVAB_EV_DRAINED && e.bond == w.bond;
		if (pasid == w.pasid && (!drained || e.time_ns > given + 50000000u))
			FAIL("PASID %u was given out again while its device was at work", pasid);
	}
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	note("%u binds meanwhile", binds);
	if (binds < 5)
		FAIL("only %u binds fell into the drain: it proves nothing", binds);
	close(events);
}
