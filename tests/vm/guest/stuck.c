/* SPDX-License-Identifier: GPL-2.0-or-later */
/* f: devices that do not stop. QUARANTINED: translation cut, PASID withheld, until a reset or a stop that
 * came after all. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../system/slow-file.h"

#define PAGE 4096u
#define BYTES (4u << 20)
#define P1 0x1111111111111111u
#define DEADLINE 300u

/* A worker whose device is told not to stop, killed; returns when it is QUARANTINED. */
static void quarantine(struct worker *w, int events, const char *device, bool kill_it)
{
	const struct work work = {
		.device = device, .deadline_ms = (unsigned)ms(DEADLINE), .bytes = BYTES, .loop = true
	};
	uint64_t pages_before = hw_figure(hw("stats %s", device), "pages");
	struct svab_event e;

	worker_start(w, &work);
	hw("wait-pages %s %llu %d", device, (unsigned long long)pages_before + 20, ms(20000));
	if (kill_it)
		worker_kill(w);
	else
		MUST_EQ(bond_revoke(w->bond), 0);
	(void)event_await(events, SVAB_EV_STOP_FAILED, w->bond);
	e = event_await(events, SVAB_EV_QUARANTINED, w->bond);
	/* Not before the deadline, and not long after: 5 s is for a machine that is slow, not for the module.
	 */
	if (e.value > (uint64_t)ms(DEADLINE) * 1000000u + (uint64_t)ms(5000) * 1000000u)
		FAIL("QUARANTINED after %llu ms, deadline %d ms", (unsigned long long)(e.value / 1000000u),
		     ms(DEADLINE));
}

/* The device goes on, and reaches nothing: what the model's walk finds for this PASID is an aborting
 * descriptor, or none. A page request of the PASID that is just being handled puts that off for a moment: the
 * module tries again each second. */
static void expect_cut(const char *device, uint32_t pasid)
{
	uint64_t deadline = deadline_in(20000);

	for (;;) {
		const char *owner = hw("owner %s %u", device, pasid);

		if (strcmp(owner, "none") == 0 || hw_figure(owner, "epd0") == 1)
			return;
		if (past(deadline))
			FAIL("%s still translates for PASID %u: %s", device, pasid, owner);
		nap();
	}
}

static void expect_listed(uint64_t bond, uint32_t state)
{
	struct listed all;
	bool found = false;

	list_all(&all);
	for (unsigned i = 0; i < all.n; i++)
		if (all.at[i].type == SVAB_LIST_BOND && all.at[i].bond == bond) {
			found = true;
			MUST_EQ(all.at[i].state, state);
		}
	free(all.at);
	if (!found)
		FAIL("bond %llu is in no list", (unsigned long long)bond);
}

void scenario_f_quarantine(void)
{
	unsigned n = 1000;
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct svab_event e;
	struct svab_info info;
	struct worker w;

	hw("stop accel0 ignore");
	quarantine(&w, events, "accel0", true);
	expect_cut("accel0", w.pasid);
	expect_listed(w.bond, SVAB_PASID_QUARANTINED);
	ctl_info(&info);
	MUST_EQ(info.quarantined, 1);
	for (unsigned i = 0; i < n; i++) {
		if (bind_once(i & 1 ? "accel1" : "accel2") == w.pasid)
			FAIL("PASID %u, quarantined, was given to process %u", w.pasid, i);
		/* Their events are read as they come: more than a thousand of them do not fit. */
		while (event_next(events, &e, 0))
			if (e.type == SVAB_EV_LOST)
				FAIL("%llu events were lost", (unsigned long long)e.value);
	}
	expect_cut("accel0", w.pasid);
	MUST_EQ(dev_reset("accel0", &reset), 0);
	MUST_EQ(reset.clean, 1);
	MUST_EQ(reset.quarantined, 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	for (uint64_t deadline = deadline_in(60000); bind_once("accel1") != w.pasid;)
		if (past(deadline))
			FAIL("PASID %u did not come back after the reset", w.pasid);
	close(events);
}

void scenario_f_quarantine_clean_device(void)
{
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct worker w;

	hw("stop accel1 ignore");
	quarantine(&w, events, "accel1", true);
	expect_cut("accel1", w.pasid);
	MUST_EQ(dev_reset("accel1", &reset), 0);
	MUST_EQ(reset.quarantined, 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	close(events);
}

void scenario_f_asked_again(void)
{
	/* An administrator asks a quarantined bond's device once more, and this time it stops. */
	int events = ctl_open();
	struct worker w;

	hw("stop accel0 ignore");
	quarantine(&w, events, "accel0", true);
	hw("stop accel0 normal");
	MUST_EQ(bond_revoke(w.bond), 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	close(events);
}

void scenario_f_stops_late(void)
{
	/* The device obeys after the deadline. Nobody hears of it; asked again, it says so, and that is
	 * enough. */
	int events = ctl_open();
	struct worker w;

	hw("stop accel0 delay %d", ms(DEADLINE + 300));
	quarantine(&w, events, "accel0", true);
	hw("wait-idle accel0 %d", ms(20000));
	hw("stop accel0 normal");
	MUST_EQ(bond_revoke(w.bond), 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	close(events);
}

void scenario_f_stop_fails(void)
{
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct worker w;

	hw("stop accel0 fail");
	quarantine(&w, events, "accel0", true);
	expect_cut("accel0", w.pasid);
	MUST_EQ(dev_reset("accel0", &reset), 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	close(events);
}

static void live_but_quarantined(void *arg)
{
	static _Alignas(64) struct sva_demo_completion done;
	struct svab_bind again;
	struct rbond b;
	int r;

	(void)arg;
	bond_open_deadline(&b, "accel0", (unsigned)ms(DEADLINE));
	pages_at(TARGET, BYTES);
	submit(&b, d_fill(TARGET, P1, BYTES), &done);
	say("bond %llu pasid %u", (unsigned long long)b.id, b.pasid);
	hear_this("bind");
	MUST(!portal_alive(&b));
	r = ctx_grant(b.cookie, "accel0", 1000);
	MUST_EQ(r, 0);
	MUST_EQ(ctx_bind(b.ctx, "accel0", &again), -EBUSY);
	say("refused");
	hear_this("other");
	/* Another device is another matter: the same address space, and so the same PASID. */
	MUST_EQ(ctx_grant(b.cookie, "accel1", 20000), 0);
	MUST_EQ(ctx_bind(b.ctx, "accel1", &again), 0);
	MUST_EQ(again.pasid, b.pasid);
	close(again.bond_fd);
	say("busy");
	hear_this("again");
	MUST_EQ(ctx_bind(b.ctx, "accel0", &again), 0);
	close(again.bond_fd);
	say("bound");
	hear_this("end");
}

void scenario_f_rebind_busy(void)
{
	int events = ctl_open();
	struct svab_dev_reset reset;
	unsigned long long id;
	uint64_t cfgi;
	struct worker w;

	hw("stop accel0 ignore");
	kid_start(&w.kid, live_but_quarantined, NULL);
	MUST_EQ(sscanf(expect(&w.kid, "bond "), "bond %llu pasid %u", &id, &w.pasid), 2);
	hw("wait-pages accel0 1 %d", ms(20000));
	MUST_EQ(bond_revoke(id), 0);
	(void)event_await(events, SVAB_EV_QUARANTINED, id);
	expect_cut("accel0", w.pasid); /* the process lives: it is the module that cut it */
	/* Refused, and before the PASID was attached again even for a moment: the SMMU was told nothing. */
	cfgi = hw_figure(hw("stats"), "cfgi");
	tell(&w.kid, "bind");
	expect(&w.kid, "refused");
	MUST_EQ(hw_figure(hw("stats"), "cfgi"), cfgi);
	tell(&w.kid, "other");
	expect(&w.kid, "busy");
	hw("stop accel0 normal");
	MUST_EQ(dev_reset("accel0", &reset), 0);
	MUST_EQ(reset.clean, 1);
	(void)event_await(events, SVAB_EV_DRAINED, id);
	tell(&w.kid, "again");
	expect(&w.kid, "bound");
	kid_end(&w.kid);
	close(events);
}

void scenario_f_exit_in_quarantine(void)
{
	/* Revoked and stuck while the process lives; then it ends. The number stays withheld. */
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct worker w;

	hw("stop accel0 ignore");
	quarantine(&w, events, "accel0", false);
	expect_cut("accel0", w.pasid);
	worker_kill(&w);
	for (int i = 0; i < 50; i++)
		if (bind_once("accel1") == w.pasid)
			FAIL("PASID %u, quarantined, was given out when its process ended", w.pasid);
	expect_listed(w.bond, SVAB_PASID_QUARANTINED);
	MUST_EQ(dev_reset("accel0", &reset), 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	close(events);
}

void scenario_f_stuck_is_alone(void)
{
	/* Ten stuck drains on one device; on the others processes bind, work, end, and are drained as ever.
	 */
	enum { STUCK = 10 };
	const struct work work = {
		.device = "accel0", .deadline_ms = (unsigned)ms(20000), .bytes = BYTES, .loop = true
	};
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct worker w[STUCK];
	struct svab_event e;
	struct kid by;

	hw("stop accel0 ignore");
	bystander_start(&by, "accel1");
	for (int i = 0; i < STUCK; i++)
		worker_start(&w[i], &work);
	for (int i = 0; i < STUCK; i++)
		worker_kill(&w[i]);
	/* All ten wait for their deadline now. */
	for (int i = 0; i < 20; i++) {
		const struct work other = { .device = i & 1 ? "accel1" : "accel2", .bytes = 64 * PAGE };
		uint64_t begin = now_ns();
		struct worker o;

		worker_start(&o, &other);
		worker_kill(&o);
		e = event_await(events, SVAB_EV_DRAINED, o.bond);
		if (e.time_ns - begin > (uint64_t)ms(10000) * 1000000u)
			FAIL("a drain took %llu ms beside stuck ones",
			     (unsigned long long)((e.time_ns - begin) / 1000000u));
		bystander_check(&by);
	}
	kid_end(&by);
	/* A reset ends all ten, whether they wait for their stop still or are quarantined by now. */
	MUST_EQ(dev_reset("accel0", &reset), 0);
	MUST_EQ(reset.quarantined, 0);
	await_idle();
	close(events);
}

/* ---- a device without a stop ---- */

void scenario_f_no_stop(void)
{
	struct svab_dev_info info;
	struct svab_unbind u;
	struct rbond b;

	MUST(dev_get("accel3", &info));
	MUST(!(info.caps & SVAB_DEV_CAP_CAN_STOP));
	bond_open(&b, "accel3");
	run_ok(&b, d_fill(pages(8 * PAGE), P1, 8 * PAGE));
	/* Nobody vouches and the device cannot be asked: refused, and nothing changes. */
	MUST_EQ(bond_unbind(&b, SVAB_PASID_NONE, NULL), -EINVAL);
	MUST(portal_alive(&b));
	run_ok(&b, d_fill(pages(8 * PAGE), P1, 8 * PAGE));
	MUST_EQ(bond_unbind(&b, SVAB_PASID_FLUSHED, &u), 0);
	MUST_EQ(u.state, SVAB_PASID_CLEAN);
	bond_close(&b);
}

void scenario_f_no_stop_killed(void)
{
	/* Its process is killed: nobody vouches, so only a reset makes it CLEAN. */
	const struct work work = {
		.device = "accel3", .deadline_ms = (unsigned)ms(DEADLINE), .bytes = BYTES, .loop = true
	};
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct worker w;

	worker_start(&w, &work);
	worker_kill(&w);
	(void)event_await(events, SVAB_EV_QUARANTINED, w.bond);
	expect_cut("accel3", w.pasid);
	MUST_EQ(dev_reset("accel3", &reset), 0);
	MUST_EQ(reset.clean, 1);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	close(events);
}

/* ---- a page that does not come ---- */

static int slow_fd;

static void touch_slow_page(void *arg)
{
	static _Alignas(64) struct sva_demo_completion done;
	unsigned char *dst = pages(PAGE), *src = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, slow_fd, 0);
	struct rbond b;

	(void)arg;
	MUST_SYS(src != MAP_FAILED);
	bond_open_deadline(&b, "accel0", (unsigned)ms(DEADLINE));
	fill_cpu(dst, P1, PAGE);
	say("bond %llu pasid %u", (unsigned long long)b.id, b.pasid);
	submit(&b, d_copy(dst, src, PAGE), &done);
	hear_this("end");
}

static void await_quarantined(unsigned n)
{
	uint64_t deadline = deadline_in(60000);
	struct svab_info info;

	for (;;) {
		ctl_info(&info);
		if (info.quarantined == n && !info.draining)
			return;
		if (past(deadline))
			FAIL("%u quarantined and %u draining, not %u and 0", info.quarantined, info.draining,
			     n);
		nap();
	}
}

void scenario_f_hostile_page(void)
{
	/* The device's fault sleeps on a page that another process keeps from it. Its drain does not wait for
	 * ever, no other drain waits at all, and once the page is let go it becomes CLEAN. */
	uint64_t deadline = deadline_in(60000);
	int events = ctl_open();
	unsigned long long id;
	struct svab_info info;
	struct worker w, o;

	slow_fd = slow_file_open(ms(60000));
	MUST_SYS(slow_fd >= 0);
	kid_start(&w.kid, touch_slow_page, NULL);
	MUST_EQ(sscanf(expect(&w.kid, "bond "), "bond %llu pasid %u", &id, &w.pasid), 2);
	MUST(slow_file_wait_read(ms(30000)));
	MUST_EQ(bond_revoke(id), 0);
	for (int i = 0; i < 5; i++) {
		const struct work other = { .device = i & 1 ? "accel1" : "accel2", .bytes = 64 * PAGE };

		worker_start(&o, &other);
		worker_kill(&o);
		(void)event_await(events, SVAB_EV_DRAINED, o.bond);
	}
	await_quarantined(1);
	expect_listed(id, SVAB_PASID_QUARANTINED);
	slow_file_release();
	for (;;) {
		ctl_info(&info);
		if (info.quarantined == 0 && info.draining == 0)
			break;
		if (past(deadline))
			FAIL("still QUARANTINED after the page was let go");
		(void)bond_revoke(id); /* asks once more; -ENOENT when it is CLEAN already */
		nap();
	}
	kid_end(&w.kid);
	close(slow_fd);
	close(events);
}

void scenario_f_hostile_page_waits(void)
{
	/* Nobody asks for another try. Each comes after twice the time, however often the device says that it
	 * has stopped; a timer is never early, but for the tick that has begun. */
	int events = ctl_open();
	unsigned long long id;
	struct worker w;

	slow_fd = slow_file_open(ms(60000));
	MUST_SYS(slow_fd >= 0);
	kid_start(&w.kid, touch_slow_page, NULL);
	MUST_EQ(sscanf(expect(&w.kid, "bond "), "bond %llu pasid %u", &id, &w.pasid), 2);
	MUST(slow_file_wait_read(ms(30000)));
	MUST_EQ(bond_revoke(id), 0);
	for (uint64_t s = 1; s <= 4; s *= 2) {
		struct svab_event failed = event_await(events, SVAB_EV_QUARANTINED, id);
		struct svab_event again = event_await(events, SVAB_EV_FLUSHED, id);

		if (again.time_ns - failed.time_ns < s * 1000000000u - 50000000u)
			FAIL("tried again after %llu ms, not %llu s",
			     (unsigned long long)(again.time_ns - failed.time_ns) / 1000000u,
			     (unsigned long long)s);
	}
	slow_file_release();
	(void)bond_revoke(id);
	(void)event_await(events, SVAB_EV_DRAINED, id);
	kid_end(&w.kid);
	close(slow_fd);
	close(events);
}

void scenario_f_hostile_page_killed(void)
{
	/* The same, and the process is killed: its address space cannot end before the page comes, the
	 * binding must. */
	struct kid same;
	int events = ctl_open();
	unsigned long long id;
	struct worker w;

	slow_fd = slow_file_open(ms(60000));
	MUST_SYS(slow_fd >= 0);
	bystander_start(&same, "accel0");
	kid_start(&w.kid, touch_slow_page, NULL);
	MUST_EQ(sscanf(expect(&w.kid, "bond "), "bond %llu pasid %u", &id, &w.pasid), 2);
	MUST(slow_file_wait_read(ms(30000)));
	MUST_SYS(kill(w.kid.pid, SIGKILL) == 0);
	(void)event_await(events, SVAB_EV_QUARANTINED, id);
	bystander_check(&same);
	slow_file_release();
	MUST_EQ(kid_reap(&w.kid), SIGKILL);
	(void)bond_revoke(id);
	(void)event_await(events, SVAB_EV_DRAINED, id);
	bystander_check(&same);
	kid_end(&same);
	close(slow_fd);
	close(events);
}
