/* SPDX-License-Identifier: GPL-2.0-or-later */
/* g: the device goes: unbound from its driver with bonds, removed, reset under load; and the modules' own
 * end. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define BYTES (1u << 20)

/* n bonds end, of this cause if not 0, and as many devices go. */
static void count_ends(int events, unsigned n, uint32_t cause, unsigned devices)
{
	struct svab_event e;

	while (n || devices) {
		if (!event_next(events, &e, 60000))
			FAIL("%u bonds were not drained", n);
		MUST(e.type != SVAB_EV_QUARANTINED);
		if (e.type == SVAB_EV_DEV_GONE)
			devices--;
		if (e.type != SVAB_EV_DRAINED)
			continue;
		if (cause)
			MUST_EQ(e.cause, cause);
		n--;
	}
}

void scenario_g_unbind_driver(void)
{
	enum { N = 8 };
	const struct work work = { .device = "accel2", .bytes = BYTES, .loop = true };
	int events = ctl_open();
	struct svab_dev_info info;
	struct worker w[N];
	struct kid by;

	bystander_start(&by, "accel1");
	for (int i = 0; i < N; i++)
		worker_start(&w[i], &work);
	hw("wait-pages accel2 %llu %d", (unsigned long long)hw_figure(hw("stats accel2"), "pages") + 100,
	   ms(20000));
	MUST_EQ(driver_unbind("accel2"), 0);
	/* It has returned: every bond of it is CLEAN, and the events were queued before. */
	count_ends(events, N, SVAB_CAUSE_DEVICE_GONE, 1);
	MUST(!dev_get("accel2", &info));
	MUST_EQ(hw_figure(hw("stats accel2"), "busy"), 0);
	bystander_check(&by);
	MUST_EQ(driver_bind("accel2"), 0);
	(void)event_await(events, SVAB_EV_DEV_ADDED, 0);
	MUST(dev_get("accel2", &info));
	MUST_EQ(info.state, SVAB_DEV_OK);
	MUST_EQ(info.bonds, 0);
	(void)bind_once("accel2");
	for (int i = 0; i < N; i++)
		worker_kill(&w[i]);
	kid_end(&by);
	close(events);
}

static void *unbind_it(void *arg)
{
	MUST_EQ(driver_unbind(arg), 0);
	return NULL;
}

void scenario_g_unbind_quarantined(void)
{
	/* A device that does not stop is unbound from its driver: the removal resets it, and only then
	 * returns. */
	const struct work work = { .device = "accel2", .deadline_ms = 300, .bytes = BYTES, .loop = true };
	int events = ctl_open();
	struct worker w;
	pthread_t t;

	hw("stop accel2 ignore");
	worker_start(&w, &work);
	hw("wait-pages accel2 %llu %d", (unsigned long long)hw_figure(hw("stats accel2"), "pages") + 10,
	   ms(20000));
	worker_kill(&w);
	(void)event_await(events, SVAB_EV_QUARANTINED, w.bond);
	MUST_EQ(pthread_create(&t, NULL, unbind_it, (void *)(uintptr_t) "accel2"), 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	pthread_join(t, NULL);
	MUST_EQ(hw_figure(hw("stats accel2"), "enabled"), 0);
	hw("stop accel2 normal");
	MUST_EQ(driver_bind("accel2"), 0);
	(void)bind_once("accel2");
	close(events);
}

void scenario_g_unbind_stop_all(void)
{
	/* The same, but it stops when it is asked to stop altogether: no reset is needed. */
	const struct work work = { .device = "accel2", .deadline_ms = 300, .bytes = BYTES, .loop = true };
	int events = ctl_open();
	struct worker w[3];
	uint64_t resets;

	hw("stop accel2 ignore-one");
	for (int i = 0; i < 3; i++)
		worker_start(&w[i], &work);
	for (int i = 0; i < 3; i++)
		worker_kill(&w[i]);
	await_drained(3);
	resets = hw_figure(hw("stats accel2"), "resets");
	MUST_EQ(driver_unbind("accel2"), 0);
	for (int i = 0; i < 3; i++)
		MUST_EQ(event_await(events, SVAB_EV_DRAINED, 0).state, SVAB_PASID_CLEAN);
	MUST_EQ(hw_figure(hw("stats accel2"), "resets"), resets);
	MUST_EQ(hw_figure(hw("stats accel2"), "enabled"), 0);
	hw("stop accel2 normal");
	MUST_EQ(driver_bind("accel2"), 0);
	(void)bind_once("accel2");
	close(events);
}

void scenario_g_vanish(void)
{
	/* Pulled out: its registers read as ones and it answers nothing. Quarantined until it is back and was
	 * reset. */
	const struct work work = {
		.device = "accel2", .deadline_ms = (unsigned)ms(500), .bytes = BYTES, .loop = true
	};
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct worker w;
	struct kid by;

	bystander_start(&by, "accel1");
	worker_start(&w, &work);
	hw("wait-pages accel2 %llu %d", (unsigned long long)hw_figure(hw("stats accel2"), "pages") + 10,
	   ms(20000));
	hw("vanish accel2");
	worker_kill(&w);
	(void)event_await(events, SVAB_EV_QUARANTINED, w.bond);
	bystander_check(&by);
	hw("return accel2");
	MUST_EQ(dev_reset("accel2", &reset), 0);
	MUST_EQ(reset.quarantined, 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	(void)bind_once("accel2");
	kid_end(&by);
	close(events);
}

void scenario_g_reset_under_load(void)
{
	/* Reset in the middle of everybody's work: all its bonds end, the other devices' do not notice, and
	 * it can be bound at once. */
	enum { N = 6 };
	const struct work work = { .device = "accel0", .bytes = BYTES, .loop = true };
	unsigned n = rounds(5, 15);
	struct kid by;

	bystander_start(&by, "accel1");
	for (unsigned i = 0; i < n; i++) {
		int events = ctl_open();
		struct svab_dev_reset reset;
		struct worker w[N];

		for (int k = 0; k < N; k++)
			worker_start(&w[k], &work);
		MUST_EQ(dev_reset("accel0", &reset), 0);
		MUST_EQ(reset.quarantined, 0);
		bystander_check(&by);
		for (int k = 0; k < N; k++)
			worker_kill(&w[k]);
		count_ends(events, N, 0, 0);
		close(events);
	}
	kid_end(&by);
}

void scenario_g_unload_refused(void)
{
	/* Neither module goes while there is a bond, quarantined or not; nor svabroker while its device is
	 * open. */
	int events = ctl_open();
	struct svab_dev_reset reset;
	struct worker w;
	struct rbond b;
	const struct work work = {
		.device = "accel0", .deadline_ms = (unsigned)ms(300), .bytes = BYTES, .loop = true
	};

	bond_open(&b, "accel0");
	MUST_EQ(module_unload("svad_accel"), -EWOULDBLOCK);
	MUST_EQ(module_unload("svabroker"), -EWOULDBLOCK);
	bond_unbind_clean(&b);
	hw("stop accel0 ignore");
	worker_start(&w, &work);
	worker_kill(&w);
	(void)event_await(events, SVAB_EV_QUARANTINED, w.bond);
	MUST_EQ(module_unload("svad_accel"), -EWOULDBLOCK);
	MUST_EQ(module_unload("svabroker"), -EWOULDBLOCK);
	hw("stop accel0 normal");
	MUST_EQ(dev_reset("accel0", &reset), 0);
	(void)event_await(events, SVAB_EV_DRAINED, w.bond);
	close(events);
}

static void use_modules(void *arg)
{
	struct svab_dev_info info;
	unsigned char *p = pages(16 * PAGE);
	struct rbond b;

	(void)arg;
	for (int i = 0; i < 4; i++) {
		char name[24];

		snprintf(name, sizeof(name), "accel%d", i);
		MUST(dev_get(name, &info));
		MUST_EQ(info.state, SVAB_DEV_OK);
		if (*info.reason)
			FAIL("%s: %s", name, info.reason);
	}
	bond_open(&b, "accel0");
	run_ok(&b, d_fill(p, 5, 16 * PAGE));
	MUST(filled(p, 5, 16 * PAGE));
	bond_unbind_clean(&b);
}

static void unload(const char *name)
{
	/* The last reference may fall a moment after the last event. */
	uint64_t deadline = deadline_in(20000);
	int r;

	while ((r = module_unload(name)) == -EWOULDBLOCK && !past(deadline))
		nap();
	if (r)
		FAIL("rmmod %s: %s", name, strerror(-r));
}

void scenario_g_unload(void)
{
	/* Out and in again, and nothing of them stays behind. */
	unsigned n = rounds(3, 20);

	for (unsigned i = 0; i < n; i++) {
		struct kid k;

		kid_start(&k, use_modules, NULL);
		MUST_EQ(kid_reap(&k), 0);
		unload("svad_accel");
		MUST(!driver_bound("accel0"));
		unload("svabroker");
		MUST(access("/dev/svabroker", F_OK) < 0);
		modules_load();
		MUST(driver_bound("accel0"));
	}
}
