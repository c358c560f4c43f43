/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's own locks, held by somebody else. A bind waits for its address space's mmap_lock, and mainline
 * does so with the IOMMU's lock taken, for which every bind and unbind of the machine waits: late.ko holds
 * the one, a bare provider's bind thereby the other. What svad does must hold up nobody who does not need
 * that lock. And svad's own: a provider is asked whether it is busy with the bond's portal_lock taken.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bare/bare.h"

#define BARE "accel2"
#define LATE "/sys/module/late/parameters/"
#define MMAP_HOLD LATE "mmap_hold"
#define BUSY_HOLD LATE "busy_hold"
#define PAGE 4096u

/* The process waits in the kernel, below this function. */
static void await_blocked(pid_t pid, const char *function)
{
	uint64_t deadline = deadline_in(30000);
	char path[64], text[4096], state;
	size_t n;
	FILE *f;

	for (;; nap()) {
		if (past(deadline))
			FAIL("process %d does not wait in %s", (int)pid, function);
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		f = fopen(path, "re");
		MUST_SYS(f != NULL);
		state = 0;
		(void)fscanf(f, "%*d (%*[^)]) %c", &state);
		fclose(f);
		snprintf(path, sizeof(path), "/proc/%d/stack", (int)pid);
		f = fopen(path, "re");
		MUST_SYS(f != NULL);
		n = fread(text, 1, sizeof(text) - 1, f);
		text[n] = 0;
		fclose(f);
		if (state == 'D' && strstr(text, function))
			return;
	}
}

static void late_load(void)
{
	int r = module_load("late", "");

	if (r)
		FAIL("late.ko: %s", strerror(-r));
}

/* ---- the mmap_lock ---- */

static void bind_while_held(void *arg)
{
	struct rbond first, second;

	(void)arg;
	bond_open(&first, "accel0");
	MUST_SYS(write_file(MMAP_HOLD, "1"));
	say("held");
	bond_open(&second, "accel1");
	say("bound");
	hear_this("end");
	bond_unbind_clean(&second);
	bond_unbind_clean(&first);
}

void scenario_b_mmap_lock(void)
{
	struct rbond b;
	struct kid k;

	late_load();
	kid_start(&k, bind_while_held, NULL);
	expect(&k, "held");
	await_blocked(k.pid, "svab_bind");
	/* Neither is new to svad, nor is the device: what others do is done now. */
	bond_open(&b, "accel2");
	run_ok(&b, d_fill(pages(PAGE), 3, PAGE));
	bond_unbind_clean(&b);
	(void)bind_once("accel1");
	await_blocked(k.pid, "svab_bind");
	MUST_SYS(write_file(MMAP_HOLD, "0"));
	expect(&k, "bound");
	kid_end(&k);
	MUST_EQ(module_unload("late"), 0);
}

/* ---- the IOMMU's lock ---- */

static void bare_bind_while_held(void *arg)
{
	struct bare_bind bind = { .device = BARE };
	int fd = open("/dev/svad-bare", O_RDWR | O_CLOEXEC);

	(void)arg;
	MUST_SYS(fd >= 0);
	MUST_SYS(write_file(MMAP_HOLD, "1"));
	say("held");
	MUST_SYS(ioctl(fd, BARE_BIND, &bind) == 0);
	say("bound");
	hear_this("end");
}

/* Holds the lock until iommu_lock_release(). */
static void iommu_lock(struct kid *k)
{
	kid_start(k, bare_bind_while_held, NULL);
	expect(k, "held");
	await_blocked(k->pid, "iommu_sva_bind_device");
}

static void iommu_lock_release(struct kid *k)
{
	MUST_SYS(write_file(MMAP_HOLD, "0"));
	expect(k, "bound");
	kid_end(k);
	MUST_EQ(module_unload("late"), 0);
}

/* Each "fault" is a job on memory that nobody has touched. */
static void faults(void *arg)
{
	struct rbond b;

	bond_open(&b, arg);
	say("ready");
	while (strcmp(hear(), "fault") == 0) {
		run_ok(&b, d_fill(pages(16 * PAGE), 5, 16 * PAGE));
		say("served");
	}
	bond_unbind_clean(&b);
}

void scenario_f_iommu_lock_faults(void)
{
	enum { ROUNDS = 50 };
	int events = ctl_open();
	struct kid holder, other;
	struct svab_event e;
	struct worker w;

	bare_take(BARE);
	late_load();
	worker_start(&w, &(struct work){ .device = "accel0" });
	kid_start(&other, faults, (void *)(uintptr_t) "accel1");
	expect(&other, "ready");
	iommu_lock(&holder);
	MUST_EQ(bond_revoke(w.bond), 0);
	(void)event_await(events, SVAB_EV_FLUSHED, w.bond);
	/* It is about to be detached, for which it needs the lock. */
	for (int i = 0; i < ROUNDS; i++) {
		tell(&other, "fault");
		expect(&other, "served");
	}
	while (event_next(events, &e, 0))
		if (e.bond == w.bond && e.type == SVAB_EV_DRAINED)
			FAIL("drained while the IOMMU's lock was held: it proves nothing");
	iommu_lock_release(&holder);
	e = event_await(events, SVAB_EV_DRAINED, w.bond);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	kid_end(&other);
	kid_end(&w.kid);
	close(events);
}

static int revoked_ctx;

static void bind_and_be_refused(void *arg)
{
	struct svab_bind bound;

	hear_this("bind");
	MUST_EQ(ctx_bind(revoked_ctx, arg, &bound), -EACCES);
	say("refused");
	hear_this("end");
}

void scenario_l_revoked_while_binding(void)
{
	uint64_t cookie = ctx_new(&revoked_ctx), bond = 0;
	int events = ctl_open();
	struct kid holder, k;
	struct svab_event e;
	bool drained = false, early = false;

	bare_take(BARE);
	late_load();
	MUST_EQ(ctx_grant(cookie, "accel0", (unsigned)ms(DRAIN_MS)), 0);
	kid_start(&k, bind_and_be_refused, (void *)(uintptr_t) "accel0");
	iommu_lock(&holder);
	tell(&k, "bind");
	await_blocked(k.pid, "iommu_sva_bind_device");
	MUST_EQ(ctx_revoke(cookie, SVAB_CAUSE_ADMIN), 0);
	while (event_next(events, &e, 0))
		early = early || e.type == SVAB_EV_CTX_GONE;
	iommu_lock_release(&holder);
	expect(&k, "refused");
	if (early)
		FAIL("the ctx was gone while a bind of it was under way");
	do {
		MUST(event_next(events, &e, 60000));
		if (e.type == SVAB_EV_BOUND && e.cookie == cookie)
			bond = e.bond;
		if (e.type == SVAB_EV_DRAINED && e.bond == bond)
			drained = true;
	} while (e.type != SVAB_EV_CTX_GONE || e.cookie != cookie);
	MUST(bond && drained);
	kid_end(&k);
	close(revoked_ctx);
	close(events);
}

void scenario_f_iommu_lock_quarantine(void)
{
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct svab_event e;
	struct kid holder;
	struct worker w;

	bare_take(BARE);
	late_load();
	hw("stop accel0 ignore");
	worker_start(&w, &(struct work){ .device = "accel0", .deadline_ms = (unsigned)ms(500) });
	iommu_lock(&holder);
	MUST_EQ(bond_revoke(w.bond), 0);
	(void)event_await(events, SVAB_EV_QUARANTINED, w.bond); /* not only when the lock is let go */
	iommu_lock_release(&holder);
	hw("stop accel0 normal");
	MUST_EQ(dev_reset("accel0", &reset), 0);
	e = event_await(events, SVAB_EV_DRAINED, w.bond);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	kid_end(&w.kid);
	close(events);
}

/* ---- the portal's lock, while the provider is asked whether it is busy ---- */

struct vouching {
	struct rbond bond;
	struct svab_unbind said;
	int r;
};

static void *vouch(void *arg)
{
	struct vouching *v = arg;

	v->r = bond_unbind(&v->bond, SVAB_PASID_FLUSHED, &v->said);
	return NULL;
}

/* One thread vouches for the device, another touches the portal for the first time in a new mapping. */
static void vouch_and_touch(void *arg)
{
	struct vouching v = { .r = 0 };
	struct rbond again;
	uint64_t deadline;
	pthread_t thread;
	void *p;

	bond_open_deadline(&v.bond, "accel0", *(unsigned *)arg);
	run_ok(&v.bond, d_fill(pages(PAGE), 3, PAGE));
	again = v.bond;
	p = mmap(NULL, SVA_DEMO_PORTAL_SIZE, PROT_READ, MAP_SHARED, v.bond.fd, 0);
	MUST_SYS(p != MAP_FAILED);
	again.portal = p;
	say("bond %llu", (unsigned long long)v.bond.id);
	hear_this("vouch");
	MUST_EQ(pthread_create(&thread, NULL, vouch, &v), 0);
	hear_this("touch");
	(void)portal_alive(&again); /* once it has its answer: a page, or none any more */
	MUST_EQ(pthread_join(thread, NULL), 0);
	/* QUARANTINED is told in time, also before the portal could be had: whoever had waited longer comes first. */
	for (deadline = deadline_in(30000); portal_alive(&again) || portal_alive(&v.bond); nap())
		if (past(deadline))
			FAIL("the portal is still there");
	say("unbind %d state %u", v.r, v.said.state);
	hear_this("end");
}

/* Both threads are in the kernel: one in the provider's busy(), the other waits for its lock. The bond. */
static uint64_t busy_begin(struct kid *k, unsigned deadline_ms)
{
	uint64_t deadline = deadline_in(30000);
	unsigned long long id;

	late_load();
	kid_start(k, vouch_and_touch, &deadline_ms);
	MUST_EQ(sscanf(expect(k, "bond "), "bond %llu", &id), 1);
	MUST_SYS(write_file(BUSY_HOLD, "1"));
	tell(k, "vouch");
	for (; read_number(LATE "busy_held") != 1; nap())
		if (past(deadline))
			FAIL("the provider was not asked whether it is busy");
	tell(k, "touch");
	await_blocked(k->pid, "svab_portal_fault");
	return id;
}

/* What the unbind said: 0 or -errno, and the state. */
static int busy_end(struct kid *k, unsigned *ret_state)
{
	int r;

	MUST_SYS(write_file(BUSY_HOLD, "0"));
	MUST_EQ(sscanf(expect(k, "unbind "), "unbind %d state %u", &r, ret_state), 2);
	kid_end(k);
	MUST_EQ(module_unload("late"), 0);
	return r;
}

/* Others bind the same device, work and unbind; end by themselves. */
static void busy_for_others(void)
{
	struct rbond b;

	bond_open(&b, "accel0");
	run_ok(&b, d_fill(pages(PAGE), 3, PAGE));
	bond_unbind_clean(&b);
	(void)bind_once("accel0");
	(void)bind_once("accel1");
}

void scenario_f_busy_slow(void)
{
	unsigned state;
	struct kid k;

	(void)busy_begin(&k, (unsigned)ms(DRAIN_MS));
	busy_for_others();
	MUST_EQ(read_number(LATE "busy_held"), 1);
	MUST_EQ(busy_end(&k, &state), 0);
	MUST_EQ(state, SVAB_PASID_CLEAN);
}

void scenario_f_busy_revoked(void)
{
	int events = ctl_open(), r;
	struct svab_event e;
	uint64_t id, stops;
	unsigned state;
	struct kid k;

	id = busy_begin(&k, (unsigned)ms(500));
	stops = hw_figure(hw("stats accel0"), "stops");
	MUST_EQ(bond_revoke(id), 0);
	(void)event_await(events, SVAB_EV_QUARANTINED, id); /* though the portal cannot go */
	/* Each op that ends a PASID comes after busy() has returned. */
	MUST_EQ(hw_figure(hw("stats accel0"), "stops"), stops);
	busy_for_others();
	r = busy_end(&k, &state);
	e = event_await(events, SVAB_EV_DRAINED, id);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	/* The end had another cause: its result, or that there is nothing to unbind any more. */
	if (r != -ESHUTDOWN) {
		MUST_EQ(r, 0);
		MUST(state == SVAB_PASID_CLEAN || state == SVAB_PASID_QUARANTINED);
	}
	close(events);
}
