/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k: the bug of 2017. Process A's device faults on a page, the fault's interrupt is late; A ends, its PASID
 * goes to process B, the interrupt comes, and A's fault is handled in B's address space. First on a provider
 * that does what mainline's interface asks of it and no more, where it happens; then with svad, where it must
 * not, however late the interrupt is.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../bare/bare.h"

#define PAGE 4096u
#define P1 0x1111111111111111u
#define BARE "accel2"
#define OURS "accel0"
#define LATE "/sys/module/late/parameters/"

/* ---- a process that binds, faults when told, and says whether its page is there ---- */

static void bare_open(struct rbond *b, const char *device)
{
	struct bare_bind bare = { .flags = BARE_BIND_SLOT };
	struct svab_bind bound;
	int fd = open("/dev/svad-bare", O_RDWR | O_CLOEXEC);

	MUST_SYS(fd >= 0);
	snprintf(bare.device, sizeof(bare.device), "%s", device);
	MUST_SYS(ioctl(fd, BARE_BIND, &bare) == 0);
	*b = (struct rbond){ .ctx = -1 };
	bound = (struct svab_bind){
		.bond_fd = fd, .pasid = bare.pasid, .bond = bare.id, .portal_size = SVA_DEMO_PORTAL_SIZE
	};
	bond_map(b, &bound);
}

static void actor(void *arg)
{
	static _Alignas(64) struct sva_demo_completion done, other;
	unsigned char *page = pages_at(TARGET, PAGE), *elsewhere = pages(PAGE);
	const bool bare = *(bool *)arg;
	struct rbond b;

	memset(&done, 0, sizeof(done)); /* touched: only TARGET's page is not */
	memset(&other, 0, sizeof(other));
	if (bare)
		bare_open(&b, BARE);
	else
		bond_open(&b, OURS);
	say("pasid %u bond %llu", b.pasid, (unsigned long long)b.id);
	for (;;) {
		const char *word = hear();

		if (strcmp(word, "fault") == 0) {
			submit(&b, d_fill(page, P1, PAGE), &done);
			say("faulting");
		} else if (strcmp(word, "look") == 0) {
			say("present %d", present(page));
		} else if (strcmp(word, "pass") == 0) {
			/* A fault of its own goes the same way, behind whatever is on its way still. */
			MUST_EQ(run(&b, d_fill(elsewhere, 2, PAGE), NULL), SVA_DEMO_OK);
			say("passed, present %d", present(page));
		} else {
			return;
		}
	}
}

static void actor_start(struct kid *k, bool bare, uint32_t *ret_pasid, uint64_t *ret_bond)
{
	static bool is_bare;
	unsigned long long bond;

	is_bare = bare;
	kid_start(k, actor, &is_bare);
	MUST_EQ(sscanf(expect(k, "pasid "), "pasid %u bond %llu", ret_pasid, &bond), 2);
	if (ret_bond)
		*ret_bond = bond;
}

static void actor_fault(struct kid *k, const char *device)
{
	tell(k, "fault");
	expect(k, "faulting");
	hw("wait-stall %s 1 %d", device, ms(20000));
}

/* The same, once everything that was on its way has been handled. */
static bool actor_present_after(struct kid *k)
{
	int there = -1;

	tell(k, "pass");
	MUST_EQ(sscanf(expect(k, "passed, "), "passed, present %d", &there), 1);
	return there != 0;
}

static bool actor_present(struct kid *k)
{
	int there = -1;

	tell(k, "look");
	MUST_EQ(sscanf(expect(k, "present "), "present %d", &there), 1);
	return there != 0;
}

/* ---- the play in one act ---- */

struct act {
	bool bare;
	unsigned late_ms;   /* the interrupt, after the fault */
	unsigned record_ms; /* the record is written so much later than the fault, and before its interrupt */
	unsigned tries;	    /* so many others have bound before the interrupt comes */
	void (*before)(void);	 /* the interrupt withheld, and A's fault still to come */
	void (*meanwhile)(void); /* once A is dead, the interrupt still withheld */
	/* out, ms since the fault */
	uint32_t pasid;
	double a_gone, given, irq, drained;
	double drain;	 /* svad: how long the drain took */
	unsigned others; /* processes that were given other PASIDs meanwhile */
	bool b_present;
};

static double since(uint64_t from)
{
	return (double)(now_ns() - from) / 1e6;
}

static void play(struct act *act)
{
	const char *device = act->bare ? BARE : OURS;
	int events = act->bare ? -1 : ctl_open();
	uint64_t fault, irq_at, bond, deadline;
	bool released = false, have_b = false;
	struct svab_event e = { 0 };
	struct kid a, b = { .pidfd = -1, .sock = -1 };

	actor_start(&a, act->bare, &act->pasid, &bond);
	if (act->record_ms)
		hw("evtq late %u", act->record_ms);
	hw("evtq hold");
	if (act->before)
		act->before();
	actor_fault(&a, device);
	fault = now_ns();
	irq_at = fault + (uint64_t)act->late_ms * 1000000u;
	kid_kill(&a);
	act->a_gone = since(fault);
	if (act->meanwhile)
		act->meanwhile();
	deadline = irq_at + (uint64_t)ms(60000) * 1000000u;
	while (!released || !have_b) {
		/* On a bare provider it proves nothing before B has the PASID. */
		if (!released && now_ns() >= irq_at &&
		    (have_b || (!act->bare && act->others >= act->tries))) {
			act->irq = since(fault);
			hw("evtq release");
			released = true;
		}
		if (!have_b) {
			uint32_t pasid;

			actor_start(&b, act->bare, &pasid, NULL);
			if (pasid == act->pasid) {
				act->given = since(fault);
				have_b = true;
			} else {
				act->others++;
				kid_kill(&b);
			}
		}
		if (past(deadline))
			FAIL("PASID %u was not given to anybody else", act->pasid);
		for (int i = 0; i < 20; i++)
			nap();
	}
	if (!act->bare) {
		e = event_await(events, SVAB_EV_DRAINED, bond);
		act->drained = (double)(e.time_ns - fault) / 1e6;
		act->drain = (double)e.value / 1e6;
		close(events);
	}
	hw("wait-empty %d", ms(20000));
	if (act->bare) {
		/* The fault's handling is a work item: no event says when it is over. */
		for (deadline = deadline_in(10000); !(act->b_present = actor_present(&b)) && !past(deadline);)
			nap();
	} else {
		act->b_present = actor_present_after(&b);
	}
	kid_kill(&b);
}

void scenario_k_bare(void)
{
	struct act act = { .bare = true, .late_ms = 1500 };

	bare_take(BARE);
	play(&act);
	if (act.given > act.irq)
		FAIL("the PASID was given on after %.0f ms only, when the interrupt had come: it proves "
		     "nothing",
		     act.given);
	if (!act.b_present)
		FAIL("A's fault was not handled in B's address space: has this kernel learnt it?");
	note("PASID %u: A gone after %.0f ms, given to B after %.0f ms, interrupt after %.0f ms: B's page, "
	     "never touched by B, is present",
	     act.pasid, act.a_gone, act.given, act.irq);
	if (hw_violations(NULL) == 0)
		FAIL("the checker saw nothing wrong in it");
}

static void never(struct act act)
{
	play(&act);
	note("PASID %u: A gone after %.0f ms, interrupt after %.0f ms, CLEAN after %.0f ms (drain %.0f ms), "
	     "given to B after %.0f ms, %u others",
	     act.pasid, act.a_gone, act.irq, act.drained, act.drain, act.given, act.others);
	if (act.b_present)
		FAIL("A's fault was handled in B's address space");
	if (act.drained < act.irq)
		FAIL("CLEAN after %.1f ms, and the interrupt came after %.1f ms", act.drained, act.irq);
	if (act.given < act.irq)
		FAIL("PASID %u was given to B while A's fault was unread", act.pasid);
}

void scenario_k_late_1ms(void)
{
	never((struct act){ .late_ms = 1 });
}

void scenario_k_late_100ms(void)
{
	never((struct act){ .late_ms = 100, .tries = 4 });
}

void scenario_k_late_3s(void)
{
	never((struct act){ .late_ms = 3000, .tries = 8 });
}

static void overflow(void)
{
	hw("evtq overflow");
}

void scenario_k_full_queue(void)
{
	never((struct act){ .late_ms = 300, .tries = 4, .meanwhile = overflow });
	/* And A's fault finds the queue full: its record is written once there is room. */
	never((struct act){ .late_ms = 300, .tries = 4, .before = overflow });
}

static void junk(void)
{
	/* Records of others arrive while the flush looks. */
	for (int i = 0; i < 10; i++) {
		hw("evtq junk 7");
		nap();
	}
}

void scenario_k_more_events(void)
{
	never((struct act){ .late_ms = 300, .tries = 4, .meanwhile = junk });
}

/* Processes bind until one is given this PASID: in its address space A's fault must not have been handled. */
static void next_owner(uint32_t pasid)
{
	uint64_t deadline = deadline_in(60000);
	uint32_t again = 0;
	struct kid b;

	while (again != pasid) {
		actor_start(&b, false, &again, NULL);
		if (again != pasid)
			kid_kill(&b);
		if (past(deadline))
			FAIL("PASID %u did not come back", pasid);
	}
	if (actor_present_after(&b))
		FAIL("A's fault was handled in B's address space");
	kid_kill(&b);
}

/* No DRAINED of this bond for so long. */
static void not_drained(int events, uint64_t bond, int for_ms, const char *meanwhile)
{
	struct svab_event e;

	for (uint64_t until = now_ns() + (uint64_t)for_ms * 1000000u; now_ns() < until;)
		if (event_next(events, &e, 10) && e.type == SVAB_EV_DRAINED && e.bond == bond)
			FAIL("CLEAN while %s", meanwhile);
}

/* A lives and its bond is revoked, so that the first invalidation of its configuration is the detaching's:
 * only behind that does the SMMU write the record, and the flush has looked before. */
static void record_at_detach(void)
{
	int events = ctl_open();
	struct svab_event e;
	uint64_t bond;
	uint32_t pasid;
	struct kid a;

	actor_start(&a, false, &pasid, &bond);
	hw("evtq late cfgi");
	hw("evtq hold");
	actor_fault(&a, OURS);
	MUST_EQ(bond_revoke(bond), 0);
	(void)event_await(events, SVAB_EV_STOPPING, bond);
	hw("wait-pending 1 %d", ms(20000));
	not_drained(events, bond, 400, "a fault of it was unread that was recorded when it was detached");
	hw("evtq release");
	e = event_await(events, SVAB_EV_DRAINED, bond);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	hw("evtq normal");
	kid_kill(&a);
	next_owner(pasid);
	close(events);
}

/* The SMMU itself is late: the record is written after the device has stopped and the flush has looked, its
 * interrupt comes later still. */
void scenario_k_late_record(void)
{
	static const unsigned late[] = { 2, 20, 100 };

	record_at_detach();

	for (unsigned i = 0; i < 3; i++) {
		never((struct act){ .late_ms = 400, .record_ms = late[i], .tries = 8 });
		hw("evtq normal");
	}
}

/* ---- each third of the flush by itself: late.ko holds the kernel's own steps ---- */

static void held_step(const char *step)
{
	uint64_t bond, deadline = deadline_in(20000);
	char hold[100], held[100], number[16];
	int events = ctl_open(), r;
	uint32_t pasid;
	struct svab_event e;
	struct kid a;

	r = module_load("late", "");
	if (r)
		FAIL("late.ko: %s", strerror(-r));
	snprintf(hold, sizeof(hold), LATE "%s_hold", step);
	snprintf(held, sizeof(held), LATE "%s_held", step);
	actor_start(&a, false, &pasid, &bond);
	snprintf(number, sizeof(number), "%u", pasid);
	MUST_SYS(write_file(LATE "pasid", number));
	MUST_SYS(write_file(hold, "1"));
	actor_fault(&a, OURS);
	while (read_number(held) != 1) {
		if (past(deadline))
			FAIL("the fault did not reach the held step");
		nap();
	}
	kid_kill(&a);
	(void)event_await(events, SVAB_EV_STOPPING, bond);
	/* The queue is empty, the device has stopped; the fault is in the kernel's hands, and A's PASID must
	 * stay A's. */
	not_drained(events, bond, 400,
		    strcmp(step, "work") == 0 ? "a fault of it was in the kernel's fault queue"
					      : "a fault of it was in the kernel's event thread");
	MUST_SYS(write_file(hold, "0"));
	e = event_await(events, SVAB_EV_DRAINED, bond);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	next_owner(pasid);
	close(events);
	MUST_EQ(module_unload("late"), 0);
}

void scenario_k_held_thread(void)
{
	held_step("thread");
}

void scenario_k_held_work(void)
{
	held_step("work");
}

/* ---- rounds ---- */

void scenario_k_thousand(void)
{
	/* Each process is B to the one before and A to the next: it looks at its page, then faults on it and
	 * is killed. The fault's interrupt comes when the next process has bound, or is about to. */
	static bool seen[1u << 16];
	unsigned n = rounds(1000, 1000), reused = 0, at_once = 0;
	uint32_t pasid, last = 0;
	bool held = false;

	for (unsigned i = 0; reused < n; i++) {
		struct kid k;

		if (i > 2 * n + 100)
			FAIL("a PASID was reused in %u of %u rounds only: it proves nothing", reused, i);
		if (held && rnd_below(2)) {
			hw("evtq release");
			held = false;
		}
		actor_start(&k, false, &pasid, NULL);
		/* Every earlier owner died with its fault unread. With svad that keeps the PASID from coming
		 * straight back, as often as not, but not from coming back. */
		MUST(pasid < sizeof(seen) / sizeof(seen[0]));
		reused += seen[pasid];
		seen[pasid] = true;
		at_once += pasid == last;
		if (held)
			hw("evtq release");
		if (actor_present_after(&k))
			FAIL("round %u: a fault of an earlier owner of PASID %u was handled in its address "
			     "space",
			     i, pasid);
		hw("evtq hold");
		held = true;
		actor_fault(&k, OURS);
		kid_kill(&k);
		last = pasid;
		if (i && i % 250 == 0)
			note("%u rounds, the PASID was an earlier one's in %u, the last one's in %u", i,
			     reused, at_once);
	}
	hw("evtq release");
}

/* ---- side by side, for the demonstration ---- */

static const char *describe(const struct act *act)
{
	return act->b_present ? "PRESENT: A's fault filled it" : "untouched";
}

void pair(void)
{
	struct act bare = { .bare = true, .late_ms = 1000 }, ours = { .late_ms = 1000 };
	struct utsname u;

	uname(&u);
	bare_take(BARE);
	play(&bare);
	hw("reset");
	driver_restore();
	play(&ours);
	hw("reset");
	printf("\nThe bug of 2017, on Linux %s today: a device's page fault whose interrupt comes %u ms "
	       "late\n\n",
	       u.release, bare.late_ms);
	printf("  %-46s %-28s %s\n", "", "bare provider", "svad");
	printf("  %-46s %-28u %u\n", "process A's PASID", bare.pasid, ours.pasid);
	printf("  %-46s %-7.0f%-21s %.0f ms\n", "A is killed; its process is gone after", bare.a_gone, "ms",
	       ours.a_gone);
	printf("  %-46s %-7.0f%-21s %.0f ms\n", "its PASID is process B's after", bare.given, "ms",
	       ours.given);
	printf("  %-46s %-7.0f%-21s %.0f ms\n", "A's fault reaches the kernel after", bare.irq, "ms",
	       ours.irq);
	printf("  %-46s %-28s %s\n", "B's page at A's address, never touched by B", describe(&bare),
	       describe(&ours));
	printf("\n  svad's drain took %.0f ms: it had the device stopped at once, and then waited for the "
	       "interrupt that was late,\n"
	       "  until A's fault had been read and answered as A's. Until then the PASID was nobody else's "
	       "(%u processes that bound\n"
	       "  meanwhile were given others). With no interrupt late, the same drain takes a few "
	       "milliseconds.\n",
	       ours.drain, ours.others);
	if (!bare.b_present || ours.b_present || ours.given < ours.irq) {
		printf("  This is not what should have been seen.\n");
		fflush(stdout);
		_exit(1);
	}
	fflush(stdout);
}
