/* SPDX-License-Identifier: GPL-2.0-or-later */
/* f: how a device stops, when it does: FLUSHED and CLEAN, with stalls pending, answers late or lost, DMA
 * late. */
#include "vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define BYTES (4u << 20)
#define P1 0x1111111111111111u

static void states_of(const char *device, bool expect_flushed)
{
	static _Alignas(64) struct sva_demo_completion done;
	int events = ctl_open();
	struct svab_dev_info info;
	bool flushed;
	struct rbond b;

	MUST(dev_get(device, &info));
	MUST(info.caps & SVAB_DEV_CAP_CAN_STOP);
	MUST(info.caps & SVAB_DEV_CAP_STALL);
	MUST(info.caps & SVAB_DEV_CAP_PORTAL);
	MUST_EQ((info.caps & SVAB_DEV_CAP_STOP_CLEAN) != 0, !expect_flushed);
	for (int busy = 0; busy < 2; busy++) {
		bond_open(&b, device);
		if (busy) {
			hw("hold %s 5", device);
			pages_at(TARGET, BYTES);
			submit(&b, d_fill(TARGET, P1, BYTES), &done);
			hw("wait-held %s 1 %d", device, ms(20000));
		}
		bond_unbind_clean(&b);
		(void)event_await_clean(events, b.id, &flushed);
		MUST_EQ(flushed, expect_flushed);
		hw("release %s", device);
	}
	close(events);
}

void scenario_f_flushed(void)
{
	states_of("accel0", true);
}

void scenario_f_clean(void)
{
	states_of("accel1", false);
}

void scenario_f_clean_beside(void)
{
	const struct work work = { .device = "accel0", .bytes = BYTES };
	struct worker w;
	struct rbond b;

	bond_open_deadline(&b, "accel1", (unsigned)ms(2000));
	run_ok(&b, d_fill(pages(4096), P1, 4096));
	hw("evtq hold");
	worker_start(&w, &work);
	hw("wait-stall accel0 1 %d", ms(20000));
	bond_unbind_clean(&b);
	hw("evtq release");
	kid_end(&w.kid);
}

/* The fault is in the event queue, or on its way to the kernel, when the stop comes. */
static void *reset_it(void *device)
{
	struct svab_dev_reset reset;

	MUST_EQ(dev_reset(device, &reset), 0);
	return NULL;
}

static void pending_on(const char *device, int held_ms, bool by_reset)
{
	static _Alignas(64) struct sva_demo_completion done;
	int events = ctl_open();
	struct svab_event e;
	struct rbond b;
	uint64_t release;
	pthread_t t;

	bond_open(&b, device);
	/* The ring's own page first, while faults are served. */
	run_ok(&b, (struct sva_demo_desc){ .op = SVA_DEMO_NOP });
	memset(&done, 0, sizeof(done));
	pages_at(TARGET, BYTES);
	MUST_SYS(madvise(TARGET, BYTES, MADV_NOHUGEPAGE) == 0);
	hw("evtq hold");
	submit(&b, d_fill(TARGET, P1, BYTES), &done);
	hw("wait-stall %s 1 %d", device, ms(20000));
	if (by_reset)
		MUST_EQ(pthread_create(&t, NULL, reset_it, (void *)(uintptr_t)device), 0);
	else
		MUST_EQ(bond_revoke(b.id), 0);
	(void)event_await(events, SVAB_EV_STOPPING, b.id);
	/* The stop has begun; as long as the interrupt is withheld the bond cannot be CLEAN. */
	for (uint64_t until = now_ns() + (uint64_t)held_ms * 1000000u; now_ns() < until;)
		if (event_next(events, &e, 10) && e.type == SVAB_EV_DRAINED && e.bond == b.id)
			FAIL("CLEAN while a fault of it was unread in the event queue");
	release = now_ns();
	hw("evtq release");
	for (;;) {
		if (!event_next(events, &e, 60000))
			FAIL("no DRAINED after the interrupt");
		if (e.bond != b.id)
			continue;
		MUST(e.type != SVAB_EV_QUARANTINED);
		if (e.type == SVAB_EV_DRAINED)
			break;
	}
	MUST(e.time_ns >= release);
	if (by_reset)
		MUST_EQ(pthread_join(t, NULL), 0);
	hw("wait-no-stall %s %d", device, ms(20000));
	bond_close(&b);
	close(events);
}

void scenario_f_stall_pending_flushed(void)
{
	pending_on("accel0", 300, false);
}

void scenario_f_stall_pending_clean(void)
{
	pending_on("accel1", 300, false);
}

void scenario_f_stall_pending_reset(void)
{
	/* A device that would have stopped with CLEAN has not, when a reset was what stopped it. */
	pending_on("accel1", 300, true);
	pending_on("accel0", 300, true);
}

static void with_response(const char *device, const char *how, uint32_t expect_final)
{
	static _Alignas(64) struct sva_demo_completion done;
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct svab_event e;
	struct rbond b;

	bond_open_deadline(&b, device, (unsigned)ms(1000));
	run_ok(&b, (struct sva_demo_desc){ .op = SVA_DEMO_NOP });
	memset(&done, 0, sizeof(done));
	pages_at(TARGET, BYTES);
	MUST_SYS(madvise(TARGET, BYTES, MADV_NOHUGEPAGE) == 0);
	hw("response %s %s", device, how);
	submit(&b, d_fill(TARGET, P1, BYTES), &done);
	hw("wait-stall %s 1 %d", device, ms(20000));
	MUST_EQ(bond_revoke(b.id), 0);
	do
		if (!event_next(events, &e, 60000))
			FAIL("neither DRAINED nor QUARANTINED");
	while (e.bond != b.id || (e.type != SVAB_EV_DRAINED && e.type != SVAB_EV_QUARANTINED));
	MUST_EQ(e.type, expect_final);
	if (e.type == SVAB_EV_QUARANTINED) {
		MUST_EQ(dev_reset(device, &reset), 0);
		MUST_EQ(reset.quarantined, 0);
		(void)event_await(events, SVAB_EV_DRAINED, b.id);
	}
	bond_close(&b);
	close(events);
}

void scenario_f_lost_response(void)
{
	/* A device that drops what is unanswered when it stops does not care. One that awaits its answers
	 * waits for ever: reset. */
	with_response("accel0", "lose 1", SVAB_EV_DRAINED);
	hw("response accel0 normal");
	with_response("accel1", "lose 1", SVAB_EV_QUARANTINED);
}

void scenario_f_late_response(void)
{
	with_response("accel0", "delay 200", SVAB_EV_DRAINED);
	with_response("accel1", "delay 200", SVAB_EV_DRAINED);
}

void scenario_f_stop_before_detach(void)
{
	/* A device at work is stopped first and detached then: the other way round its next access would
	 * fault. */
	const struct work work = { .device = "accel0", .bytes = BYTES, .loop = true };
	unsigned n = rounds(3, 10);

	for (unsigned i = 0; i < n; i++) {
		int events = ctl_open();
		struct svab_event e;
		struct worker w;

		worker_start(&w, &work);
		hw("wait-pages accel0 %llu %d",
		   (unsigned long long)hw_figure(hw("stats accel0"), "pages") + 20, ms(20000));
		hw("dma-pace accel0 100");
		MUST_EQ(bond_revoke(w.bond), 0);
		do {
			if (!event_next(events, &e, 60000))
				FAIL("no DRAINED");
			if (e.type == SVAB_EV_FAULT && e.bond == w.bond)
				FAIL("a device at work faulted in its drain (code %u): it was detached "
				     "before it had stopped",
				     e.code);
		} while (e.type != SVAB_EV_DRAINED || e.bond != w.bond);
		MUST_EQ(hw_figure(hw("stats accel0"), "busy"), 0);
		hw("dma-pace accel0 0");
		worker_kill(&w);
		close(events);
	}
}

void scenario_f_late_dma(void)
{
	/* Transactions under way when the stop comes: it waits for them, and none arrives after. */
	const struct work work = { .device = "accel0", .bytes = BYTES };
	unsigned n = rounds(3, 10);

	for (unsigned i = 0; i < n; i++) {
		int events = ctl_open();
		unsigned char *p;
		struct worker w;

		worker_start(&w, &work);
		hw("wait-pages accel0 %llu %d",
		   (unsigned long long)hw_figure(hw("stats accel0"), "pages") + 20, ms(20000));
		hw("late-dma accel0 200");
		worker_kill(&w);
		(void)event_await(events, SVAB_EV_DRAINED, w.bond);
		/* The frames it had are free now: what takes them up stays as it is. */
		p = pages(BYTES);
		fill_cpu(p, P1, BYTES);
		hw("wait-idle accel0 %d", ms(20000));
		MUST(filled(p, P1, BYTES));
		MUST_SYS(munmap(p, BYTES) == 0);
		hw("late-dma accel0 0");
		close(events);
	}
}

void scenario_f_after_clean(void)
{
	/* The device says that it has stopped with a transaction still on its way, and the SMMU keeps what it
	 * was told to forget: the transaction reaches memory after CLEAN, and the checker must know that it
	 * is after. */
	static _Alignas(64) struct sva_demo_completion done;
	uint64_t deadline = deadline_in(20000);
	unsigned char *p = pages(PAGE);
	int events = ctl_open();
	const char *text = "";
	struct rbond b;

	bond_open(&b, "accel0");
	run_ok(&b, d_fill(p, P1, PAGE)); /* the SMMU knows the way */
	hw("late-dma accel0 %d lie", ms(3000));
	submit(&b, d_fill(p, P1, PAGE), &done);
	hw("wait-busy accel0 1 %d", ms(20000));
	hw("ignore-cfgi 1000");
	MUST_EQ(bond_revoke(b.id), 0);
	(void)event_await(events, SVAB_EV_DRAINED, b.id);
	watch_sync();
	while (!hw_violations(&text)) {
		if (past(deadline))
			FAIL("the checker saw nothing wrong in an access after CLEAN");
		nap();
	}
	if (!strstr(text, "after CLEAN"))
		FAIL("the checker saw something else first: %s", text);
	bond_close(&b);
	close(events);
}

void scenario_f_portal_goes_first(void)
{
	/* The portal is taken away before the device is asked: nothing new can be submitted while it stops.
	 */
	static _Alignas(64) struct sva_demo_completion done;
	int events = ctl_open(), r;
	struct svab_unbind u;
	struct rbond b;

	bond_open(&b, "accel0");
	MUST(portal_alive(&b));
	run_ok(&b, d_fill(pages(PAGE), P1, PAGE));
	hw("hold accel0 5");
	pages_at(TARGET, BYTES);
	submit(&b, d_fill(TARGET, P1, BYTES), &done);
	hw("wait-held accel0 1 %d", ms(20000));
	hw("stop accel0 delay %d", ms(1000));
	MUST_EQ(bond_revoke(b.id), 0);
	(void)event_await(events, SVAB_EV_STOPPING, b.id);
	MUST(hup(b.fd, 20000));
	MUST(!portal_alive(&b));
	MUST(!portal_alive(&b)); /* and no second look brings it back */
	(void)event_await(events, SVAB_EV_DRAINED, b.id);
	MUST(!portal_alive(&b));
	/* It may be asked how that ended, or told that it is over. */
	r = bond_unbind(&b, SVAB_PASID_NONE, &u);
	MUST(r == -ESHUTDOWN || (r == 0 && u.state == SVAB_PASID_CLEAN));
	bond_close(&b);
	close(events);
}

void scenario_f_new_mapping_of_revoked(void)
{
	/* A portal mapped anew after the revocation, and one moved by mremap before it. */
	struct rbond b, moved;
	unsigned char *at;
	void *p;

	bond_open(&b, "accel0");
	at = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(at != MAP_FAILED);
	p = mremap((void *)(uintptr_t)b.portal, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE);
	if (p != MAP_FAILED) {
		MUST(p == at + PAGE);
		b.portal = p;
	}
	MUST(portal_alive(&b));
	/* It must not grow over what lies behind it. */
	MUST(mremap((void *)(uintptr_t)b.portal, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	moved = b;
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0);
	MUST_SYS(p != MAP_FAILED);
	moved.portal = p;
	MUST(portal_alive(&moved));
	MUST_EQ(bond_revoke(b.id), 0);
	MUST(hup(b.fd, 20000));
	MUST(!portal_alive(&b));
	MUST(!portal_alive(&moved));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0);
	if (p != MAP_FAILED) {
		moved.portal = p;
		MUST(!portal_alive(&moved));
	}
	await_drained(0);
	bond_close(&b);
}

/* ---- SVAB_UNBIND's answers ---- */

void scenario_f_vouched(void)
{
	static const uint32_t nonsense[] = { SVAB_PASID_BOUND, SVAB_PASID_STOPPING, SVAB_PASID_QUARANTINED,
					     77 };
	static const uint32_t good[] = { SVAB_PASID_FLUSHED, SVAB_PASID_CLEAN };
	struct svab_unbind u;
	struct rbond b;

	for (unsigned i = 0; i < 2; i++) {
		bond_open(&b, "accel0");
		run_ok(&b, d_fill(pages(8 * PAGE), P1, 8 * PAGE));
		for (unsigned k = 0; k < sizeof(nonsense) / sizeof(*nonsense); k++)
			MUST_EQ(bond_unbind(&b, nonsense[k], NULL), -EINVAL);
		MUST(portal_alive(&b));
		MUST_EQ(bond_unbind(&b, good[i], &u), 0);
		MUST_EQ(u.state, SVAB_PASID_CLEAN);
		MUST_EQ(bond_unbind(&b, good[i], &u), -ESHUTDOWN);
		bond_close(&b);
	}
}

void scenario_f_vouched_falsely(void)
{
	/* Vouched for, and visibly not so: refused, or stopped all the same. What it never is: believed. */
	static _Alignas(64) struct sva_demo_completion done;
	struct svab_unbind u;
	struct rbond b;
	int r;

	bond_open(&b, "accel0");
	hw("hold accel0 5");
	pages_at(TARGET, BYTES);
	submit(&b, d_fill(TARGET, P1, BYTES), &done);
	hw("wait-held accel0 1 %d", ms(20000));
	r = bond_unbind(&b, SVAB_PASID_CLEAN, &u);
	if (r == 0) {
		MUST_EQ(u.state, SVAB_PASID_CLEAN);
		MUST_EQ(hw_figure(hw("stats accel0"), "busy"), 0);
	} else {
		MUST_EQ(r, -EBUSY);
		MUST(portal_alive(&b));
		hw("release accel0");
		MUST_EQ(wait_done(&b, &done), SVA_DEMO_OK);
		MUST_EQ(bond_unbind(&b, SVAB_PASID_CLEAN, &u), 0);
		MUST_EQ(u.state, SVAB_PASID_CLEAN);
	}
	bond_close(&b);
}

static volatile int interrupted = -1;
static pthread_t unbinder;

static void nothing(int sig)
{
	(void)sig;
}

static void *unbind_once(void *arg)
{
	struct svab_unbind u = { .size = sizeof(u) };
	struct rbond *b = arg;

	interrupted = bond_unbind(b, SVAB_PASID_NONE, &u); /* goes on after a signal */
	MUST_EQ(u.state, SVAB_PASID_CLEAN);
	return NULL;
}

void scenario_f_unbind_interrupted(void)
{
	/* Signals rain on a thread that waits for its drain: the call can be made again, and gives the one
	 * result. */
	struct sigaction sa = { .sa_handler = nothing };
	int events = ctl_open();
	struct svab_event e;
	struct rbond b;

	sigaction(SIGUSR1, &sa, NULL);
	bond_open(&b, "accel0");
	hw("stop accel0 delay %d", ms(500));
	MUST_EQ(pthread_create(&unbinder, NULL, unbind_once, &b), 0);
	(void)event_await(events, SVAB_EV_STOPPING, b.id);
	do
		pthread_kill(unbinder, SIGUSR1);
	while (!event_next(events, &e, 5) || e.bond != b.id || e.type != SVAB_EV_DRAINED);
	pthread_join(unbinder, NULL);
	MUST_EQ(interrupted, 0);
	bond_close(&b);
	close(events);
}
