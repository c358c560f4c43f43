/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e: the end of the address space races every other end of a binding. Whichever comes first: one drain, one
 * DRAINED, nothing left. Each round is a process with DMA under way that, at a signal, does its part while
 * the scenario does the other, each after a random pause of up to a millisecond. Rounds: tens in a release
 * run, thousands on the debug kernel.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES (1u << 20)
#define MAX_BONDS 65536

enum own_end { OWN_NOTHING, OWN_UNBIND, OWN_CLOSE, OWN_CLOSE_CTX, OWN_EXIT, OWN_SEGV, OWN_MUNMAP, N_OWN };
enum other_end { KILL, REVOKE_BOND, REVOKE_CTX, RESET, DRIVER, UNLOAD, KILL_AND_REVOKE, N_OTHER };

struct start {
	volatile int go;
	const char *device;
	enum own_end own;
	uint32_t pause; /* of the kid, in spins */
};
static struct start *start; /* shared with the kid */

static void spin(uint32_t n)
{
	for (volatile uint32_t i = 0; i < n; i++)
		;
}

static void *work_on(void *arg)
{
	struct rbond *b = arg;
	static _Alignas(64) struct sva_demo_completion done;

	for (;;) {
		sigset_t all;

		/* Its portal may go at any moment: SIGBUS then parks this thread, see below. */
		submit(b, d_fill(TARGET, 9, BYTES), &done);
		if (wait_done(b, &done) == 0) {
			sigfillset(&all);
			for (;;)
				sigwaitinfo(&all, NULL);
		}
	}
	return NULL;
}

static void park(int sig)
{
	(void)sig;
	for (;;)
		pause();
}

static void racer(void *arg)
{
	struct sigaction sa = { .sa_handler = park };
	static struct rbond b;
	pthread_t t;
	int r;

	(void)arg;
	sigaction(SIGBUS, &sa, NULL);
	bond_open(&b, start->device);
	pages_at(TARGET, BYTES);
	MUST_EQ(pthread_create(&t, NULL, work_on, &b), 0);
	say("bond %llu cookie %llu", (unsigned long long)b.id, (unsigned long long)b.cookie);
	while (!start->go)
		sched_yield();
	spin(start->pause);
	switch (start->own) {
	case OWN_UNBIND:
		r = bond_unbind(&b, SVAB_PASID_NONE, NULL);
		if (r != 0 && r != -ESHUTDOWN)
			FAIL("unbind in a race: %s", strerror(-r));
		break;
	case OWN_CLOSE:
		close(b.fd);
		break;
	case OWN_CLOSE_CTX:
		close(b.ctx);
		break;
	case OWN_EXIT:
		_exit(0);
	case OWN_SEGV:
		signal(SIGSEGV, SIG_DFL);
		crash_now();
		break;
	case OWN_MUNMAP:
		munmap((void *)(uintptr_t)b.portal, 4096);
		munmap(TARGET, BYTES);
		break;
	default:
		break;
	}
	for (;;)
		pause();
}

/* What the events said of each bond: they must say DRAINED once. */
static uint8_t drained[MAX_BONDS];
static uint64_t base;

static void take_events(int events, int wait_ms)
{
	struct svab_event e;

	while (event_next(events, &e, wait_ms)) {
		wait_ms = 0;
		if (e.type == SVAB_EV_LOST)
			FAIL("%llu events were lost", (unsigned long long)e.value);
		if (e.type == SVAB_EV_QUARANTINED)
			FAIL("bond %llu was QUARANTINED in a race", (unsigned long long)e.bond);
		if (e.type != SVAB_EV_DRAINED)
			continue;
		if (!base)
			base = e.bond;
		if (drained[e.bond % MAX_BONDS]++)
			FAIL("bond %llu was drained twice", (unsigned long long)e.bond);
	}
}

static unsigned refused; /* rounds in which rmmod met the bond */

/* rmmod of the provider, which is refused while the bond is there: again and again, until it is let through.
 */
static void unload(pid_t pid)
{
	uint64_t deadline = deadline_in(60000);
	int r = module_unload("svad_accel");

	if (r == -EWOULDBLOCK) {
		refused++;
		/* A process that let go by itself is past that, or dies before it. */
		MUST_SYS(kill(pid, SIGKILL) == 0);
	}
	while (r == -EWOULDBLOCK) {
		if (past(deadline))
			FAIL("rmmod is refused for ever: %ld references", module_refs("svad_accel"));
		sched_yield();
		r = module_unload("svad_accel");
	}
	if (r != 0)
		FAIL("rmmod: %s", strerror(-r));
	MUST(!module_loaded("svad_accel"));
}

static void do_other(enum other_end other, const char *device, struct kid *k, uint64_t bond, uint64_t cookie)
{
	struct svab_dev_reset reset;
	int r;

	switch (other) {
	case KILL:
		kill(k->pid, SIGKILL);
		break;
	case REVOKE_BOND:
		r = bond_revoke(bond);
		MUST(r == 0 || r == -ENOENT);
		break;
	case REVOKE_CTX:
		r = ctx_revoke(cookie, SVAB_CAUSE_ADMIN);
		MUST(r == 0 || r == -ENOENT);
		break;
	case RESET:
		r = dev_reset(device, &reset);
		MUST(r == 0);
		break;
	case DRIVER:
		MUST_EQ(driver_unbind(device), 0);
		break;
	case UNLOAD:
		unload(k->pid);
		break;
	case KILL_AND_REVOKE:
		kill(k->pid, SIGKILL);
		(void)bond_revoke(bond);
		(void)ctx_revoke(cookie, SVAB_CAUSE_ADMIN);
		break;
	default:
		break;
	}
}

static void one_round(int events, const char *device, enum own_end own, enum other_end other)
{
	uint64_t deadline = deadline_in(60000);
	unsigned long long bond, cookie;
	struct kid k;

	start->go = 0;
	start->device = device;
	start->own = own;
	start->pause = rnd_below(4) ? rnd_below(200000) : 0;
	kid_start(&k, racer, NULL);
	MUST_EQ(sscanf(expect(&k, "bond "), "bond %llu cookie %llu", &bond, &cookie), 2);
	start->go = 1;
	spin(rnd_below(4) ? rnd_below(200000) : 0);
	do_other(other, device, &k, bond, cookie);
	if (other != KILL && other != KILL_AND_REVOKE)
		kill(k.pid, SIGKILL);
	(void)kid_reap(&k);
	while (!drained[bond % MAX_BONDS]) {
		if (past(deadline))
			FAIL("bond %llu was not drained (own end %d, other %d)", bond, own, other);
		take_events(events, 100);
	}
	/* A module that went away in between comes back; so does a device. */
	if (other == UNLOAD)
		modules_load();
	if (other == DRIVER && !driver_bound(device))
		MUST_EQ(driver_bind(device), 0);
}

static void race(const char *device, const enum own_end *own, unsigned n_own, const enum other_end *other,
		 unsigned n_other, unsigned n)
{
	int events = ctl_open();

	start = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_SYS(start != MAP_FAILED);
	for (unsigned i = 0; i < n; i++) {
		one_round(events, device, own[rnd_below(n_own)], other[rnd_below(n_other)]);
		if (i && i % 500 == 0)
			note("%u rounds", i);
	}
	await_idle();
	take_events(events, 0);
	close(events);
}

#define RACE(device, n, own, other)                                                                          \
	race(device, own, sizeof(own) / sizeof(*(own)), other, sizeof(other) / sizeof(*(other)), n)

static const enum other_end killed[] = { KILL };
static const enum own_end all_ways[] = { OWN_NOTHING, OWN_UNBIND, OWN_CLOSE, OWN_CLOSE_CTX,
					 OWN_EXIT,    OWN_SEGV,	  OWN_MUNMAP };

void scenario_e_release_unbind(void)
{
	static const enum own_end own[] = { OWN_UNBIND };

	RACE("accel0", rounds(30, 500), own, killed);
}

void scenario_e_release_close(void)
{
	static const enum own_end own[] = { OWN_CLOSE, OWN_CLOSE_CTX };

	RACE("accel0", rounds(30, 500), own, killed);
}

void scenario_e_release_revoke(void)
{
	static const enum own_end own[] = { OWN_EXIT, OWN_SEGV, OWN_NOTHING };
	static const enum other_end other[] = { REVOKE_BOND, REVOKE_CTX, KILL_AND_REVOKE };

	RACE("accel1", rounds(30, 500), own, other);
}

void scenario_e_unbind_revoke(void)
{
	static const enum own_end own[] = { OWN_UNBIND, OWN_CLOSE };
	static const enum other_end other[] = { REVOKE_BOND, REVOKE_CTX };

	RACE("accel0", rounds(30, 500), own, other);
}

void scenario_e_release_reset(void)
{
	static const enum own_end own[] = { OWN_EXIT, OWN_UNBIND, OWN_CLOSE };
	static const enum other_end other[] = { RESET };

	RACE("accel0", rounds(20, 300), own, other);
}

void scenario_e_release_removal(void)
{
	static const enum own_end own[] = { OWN_EXIT, OWN_UNBIND, OWN_CLOSE, OWN_NOTHING };
	static const enum other_end other[] = { DRIVER };

	RACE("accel2", rounds(20, 300), own, other);
}

void scenario_e_release_unload(void)
{
	static const enum own_end own[] = { OWN_EXIT, OWN_UNBIND, OWN_CLOSE };
	static const enum other_end other[] = { UNLOAD };

	RACE("accel0", rounds(20, 300), own, other);
	if (!refused)
		FAIL("rmmod met no bond in any round");
	note("rmmod met the bond in %u rounds, and went through in all", refused);
}

void scenario_e_everything(void)
{
	static const enum other_end other[] = {
		KILL, REVOKE_BOND, REVOKE_CTX, RESET, DRIVER, KILL_AND_REVOKE
	};

	RACE("accel0", rounds(30, 300), all_ways, other);
	RACE("accel1", rounds(30, 300), all_ways, other);
}

/* ---- one bond, two ctxs ---- */

enum let_go { LET_UNBIND, LET_CLOSE, LET_REVOKE, N_LET_GO };

struct holder {
	struct rbond b;
	enum let_go how;
	uint32_t pause; /* in spins */
	uint32_t state; /* LET_UNBIND: the answer */
	pthread_barrier_t *both;
};

static void *let_go(void *arg)
{
	struct holder *h = arg;
	struct svab_unbind u;
	int r = pthread_barrier_wait(h->both);

	MUST(r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD);
	spin(h->pause);
	switch (h->how) {
	case LET_UNBIND:
		MUST_EQ(bond_unbind(&h->b, SVAB_PASID_NONE, &u), 0);
		h->state = u.state;
		break;
	case LET_CLOSE:
		/* The portal's mapping is a reference to the fd's file as well. */
		MUST_SYS(munmap((void *)(uintptr_t)h->b.portal, SVA_DEMO_PORTAL_SIZE) == 0);
		h->b.portal = NULL;
		close_fd(&h->b.fd);
		break;
	default:
		MUST_EQ(ctx_revoke(h->b.cookie, SVAB_CAUSE_ADMIN), 0);
	}
	return NULL;
}

/* The ctx that let go first, whose end is no more than an UNREF; the other's was the bond's. */
static uint64_t first_of_two(int events, uint64_t bond)
{
	uint64_t deadline = deadline_in(60000), first = 0;
	struct svab_event e;

	while (!past(deadline)) {
		if (!event_next(events, &e, 1000))
			continue;
		if (e.type == SVAB_EV_LOST)
			FAIL("%llu events were lost", (unsigned long long)e.value);
		if (e.bond != bond)
			continue;
		if (e.type == SVAB_EV_UNREF) {
			if (first)
				FAIL("both ctxs of bond %llu were told that the other holds it",
				     (unsigned long long)bond);
			first = e.cookie;
		}
		if (e.type != SVAB_EV_DRAINED)
			continue;
		if (!first)
			FAIL("bond %llu was drained while a ctx held it", (unsigned long long)bond);
		MUST(e.cookie != first);
		return first;
	}
	FAIL("bond %llu was not drained", (unsigned long long)bond);
}

void scenario_e_two_ctxs(void)
{
	/* One bond in two ctxs, which let go of it at the same moment, each in a thread of its own. Whoever
	 * is first lets go of its share, the other ends the bond; never both, never neither. */
	unsigned n = rounds(100, 1000), first[2] = { 0 };
	pthread_barrier_t both;
	int events = ctl_open();

	MUST_EQ(pthread_barrier_init(&both, NULL, 2), 0);
	for (unsigned i = 0; i < n; i++) {
		struct holder h[2];
		unsigned winner;
		pthread_t t;

		for (int k = 0; k < 2; k++) {
			h[k] = (struct holder){ .how = rnd_below(N_LET_GO),
						.pause = rnd_below(4) ? rnd_below(20000) : 0,
						.both = &both };
			bond_open(&h[k].b, "accel0");
		}
		MUST_EQ(h[0].b.id, h[1].b.id);
		MUST_EQ(pthread_create(&t, NULL, let_go, &h[1]), 0);
		(void)let_go(&h[0]);
		MUST_EQ(pthread_join(t, NULL), 0);
		winner = first_of_two(events, h[0].b.id) == h[1].b.cookie;
		first[winner]++;
		if (h[winner].how == LET_UNBIND)
			MUST_EQ(h[winner].state, SVAB_PASID_BOUND);
		if (h[!winner].how == LET_UNBIND)
			MUST_EQ(h[!winner].state, SVAB_PASID_CLEAN);
		for (int k = 0; k < 2; k++) {
			bond_close(&h[k].b);
			free(h[k].b.ring);
		}
	}
	note("one thread was first %u times, the other %u times", first[0], first[1]);
	/* No race if the order is always the same. */
	if (n >= 50 && (!first[0] || !first[1]))
		FAIL("one of the two threads was first in each of %u rounds", n);
	close(events);
}
