/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * g, m: accelerators each of which lacks one thing (tests/vm/machine.dtso). SVA is off on them, and says why;
 * or it is on, and their ends are not as others'.
 */
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define NEIGHBOUR "/sys/module/plain/parameters/neighbour"
#define NO_FLUSH "the SMMU's event interrupt cannot be found"

static bool kernel_since(unsigned major, unsigned minor)
{
	unsigned a, b;
	struct utsname u;

	MUST_SYS(uname(&u) == 0);
	MUST(sscanf(u.release, "%u.%u", &a, &b) == 2);
	return a > major || (a == major && b >= minor);
}

/* What a client gets that is allowed to try. */
static int bind_error(const char *device)
{
	struct svab_bind bound;
	uint64_t cookie;
	int ctx, r;

	cookie = ctx_new(&ctx);
	MUST_EQ(ctx_grant(cookie, device, 1000), 0);
	r = ctx_bind(ctx, device, &bound);
	close_fd(&ctx);
	if (r == 0)
		close_fd(&bound.bond_fd);
	return r;
}

static void is_off(const char *device, const char *reason, unsigned pasid_bits)
{
	struct svab_dev_info info;
	struct svab_dev_reset reset;

	if (!dev_get(device, &info))
		FAIL("%s is not registered", device);
	if (strcmp(info.reason, reason) != 0)
		FAIL("%s: the reason is \"%s\", not \"%s\"", device, info.reason, reason);
	MUST_EQ(info.state, SVAB_DEV_UNUSABLE);
	MUST_EQ(info.pasid_bits, pasid_bits);
	MUST_EQ(bind_error(device), -ENODEV);
	MUST_EQ(dev_reset(device, &reset), -EOPNOTSUPP);
	MUST_EQ(info.bonds, 0);
}

/* The finding, and the line that follows it. */
static void doctor_says(const char *device, const char *reason, const char *remedy)
{
	char line[400];
	const char *at, *next;

	snprintf(line, sizeof(line), "device %s cannot be used: %s\n", device, reason);
	ctl_says(line);
	at = strstr(ctl_out, line) + strlen(line);
	next = strchr(at, '\n');
	snprintf(line, sizeof(line), "%.*s", next ? (int)(next - at) : 0, at);
	if (!strstr(line, "-> ") || !strstr(line, remedy))
		FAIL("doctor's remedy for %s (%s) is \"%s\", not \"%s\"", device, reason, line, remedy);
}

static const struct {
	const char *device, *reason, *remedy;
	unsigned pasid_bits;
} lacking[] = {
	{ "accel4", "its page faults cannot be handled: no stall, or the kernel has no IOPF", "dma-can-stall",
	  16 },
	{ "accel5", "no PASID: the firmware or the IOMMU gives it no substreams", "pasid-num-bits", 0 },
	{ "accel6", "its DMA is not coherent with the CPU's caches", "dma-coherent", 16 },
	{ "accel7", "it is not behind an IOMMU", "iommus in its device tree node", 0 },
	{ "accel9", "SVA is off: kernel without ARM_SMMU_V3_SVA, or CPU and SMMU do not match",
	  "what the SMMUv3's driver says of it", 16 },
	/* accel2 with another device in its group: below */
	{ "accel2", "it shares its IOMMU group with other devices", "an IOMMU group of its own", 16 },
};
#define N_LACKING (sizeof(lacking) / sizeof(lacking[0]))

static void group_share(const char *device)
{
	int r = module_load("plain", "");

	if (r)
		FAIL("plain.ko: %s", strerror(-r));
	MUST_EQ(driver_unbind(device), 0);
	MUST_SYS(write_file(NEIGHBOUR, driver_device(device)));
	MUST_EQ(driver_bind(device), 0);
}

static void group_part(const char *device)
{
	struct svab_dev_info info;

	MUST_EQ(driver_unbind(device), 0);
	MUST_SYS(write_file(NEIGHBOUR, "\n"));
	MUST_EQ(driver_bind(device), 0);
	MUST(dev_get(device, &info));
	MUST_EQ(info.state, SVAB_DEV_OK);
	MUST_EQ(info.reason[0], 0);
}

void scenario_m_sva_off(void)
{
	struct svab_dev_info info;
	const char *admin;

	group_share("accel2");
	for (size_t i = 0; i < N_LACKING; i++) {
		if (strcmp(lacking[i].device, "accel2") != 0)
			driver_give(lacking[i].device, "svad-accel");
		is_off(lacking[i].device, lacking[i].reason, lacking[i].pasid_bits);
	}
	driver_give("accel8", "svad-accel"); /* good for something, and has a reason all the same */

	admin = svad_start();
	ctl_is(CTL_RUN(admin, "doctor"), 0); /* three serve */
	for (size_t i = 0; i < N_LACKING; i++)
		doctor_says(lacking[i].device, lacking[i].reason, lacking[i].remedy);
	ctl_says("device accel8 is healthy, but: " NO_FLUSH);
	ctl_says("device accel0 is healthy");
	ctl_says("serves here.");
	for (size_t i = 0; i < N_LACKING; i++) {
		ctl_is(CTL_RUN(admin, "device", "show", lacking[i].device), 0);
		ctl_says(lacking[i].reason);
	}

	for (size_t i = 0; i < N_LACKING; i++)
		if (strcmp(lacking[i].device, "accel2") != 0)
			driver_take_back(lacking[i].device);
	driver_take_back("accel8");
	MUST(!dev_get("accel4", &info));
	group_part("accel2");
	svad_stop();
}

/* ---- a device that was not tried ---- */

static void accels_gone(void)
{
	int r = module_unload("svad_accel");

	if (r)
		FAIL("rmmod svad_accel: %s", strerror(-r));
}

static void await_device(const char *name, struct svab_dev_info *ret)
{
	uint64_t deadline = deadline_in(30000);

	for (; !dev_get(name, ret); nap())
		if (past(deadline))
			FAIL("%s has not come", name);
}

void scenario_g_no_stall_unseen(void)
{
	struct svab_dev_info info;
	struct rbond b;
	int r;

	/* A worker of the kernel's probes them, which has no address space to try with. */
	accels_gone();
	driver_want("accel4", "svad-accel");
	r = module_load("svad_accel", "async_probe=1");
	if (r)
		FAIL("insmod svad_accel.ko: %s", strerror(-r));
	await_device("accel4", &info);
	if (kernel_since(6, 16)) {
		MUST_EQ(info.state, SVAB_DEV_OK);
		/* The first bind finds out, and tells everybody. */
		MUST_EQ(bind_error("accel4"), -EOPNOTSUPP);
		is_off("accel4", lacking[0].reason, 16);
	} else {
		/* There it is a feature, which needs no trial. */
		is_off("accel4", lacking[0].reason, 16);
	}
	await_device("accel0", &info);
	MUST_EQ(info.state, SVAB_DEV_OK);
	bond_open(&b, "accel0");
	bond_unbind_clean(&b);

	driver_take_back("accel4");
	for (unsigned i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "accel%u", i);
		await_device(name, &info);
	}
	accels_gone();
	modules_load();
	await_idle();
}

/* ---- an SMMU that cannot be flushed ---- */

static void check_unflushed(const char *device)
{
	struct svab_dev_info info;

	MUST(dev_get(device, &info));
	MUST_EQ(info.state, SVAB_DEV_OK);
	if (strcmp(info.reason, NO_FLUSH) != 0)
		FAIL("%s: the reason is \"%s\", not \"" NO_FLUSH "\"", device, info.reason);
}

void scenario_g_unflushed_clean(void)
{
	struct sva_demo_completion *done;
	struct svab_event e;
	struct rbond b;
	uint32_t pasid;
	int events;
	void *p;

	driver_give("accel8", "svad-accel");
	check_unflushed("accel8");
	events = ctl_open();
	bond_open(&b, "accel8");
	pasid = b.pasid;
	/* Nobody would answer a fault there: all is present, and dirty. */
	p = pages(65536);
	fill_cpu(p, 1, 65536);
	done = pages(4096);
	memset(done, 0, 4096);
	submit(&b, d_fill(p, 0x8888888888888888u, 65536), done);
	MUST_EQ(wait_done(&b, done), SVA_DEMO_OK);
	MUST(filled(p, 0x8888888888888888u, 65536));
	bond_unbind_clean(&b);
	e = event_await(events, SVAB_EV_DRAINED, 0);
	MUST_EQ(e.pasid, pasid);
	close_fd(&events);
	await_idle();
	driver_take_back("accel8");
}

void scenario_g_unflushed(void)
{
	struct svab_dev_reset reset;
	struct svab_bond_info info;
	struct svab_unbind u = { .size = sizeof(u) };
	struct svab_bind bound;
	struct svab_event e;
	struct rbond b = { .ctx = -1, .fd = -1 };
	int r, events;

	r = module_load("plain", "");
	if (r)
		FAIL("plain.ko: %s", strerror(-r));
	driver_give("accel8", "svad-plain");
	check_unflushed("plain");
	events = ctl_open();
	b.cookie = ctx_new(&b.ctx);
	MUST_EQ(ctx_grant(b.cookie, "plain", (unsigned)ms(DRAIN_MS)), 0);
	MUST_EQ(ctx_bind(b.ctx, "plain", &bound), 0);
	MUST_EQ(bound.portal_size, 0);
	b.fd = bound.bond_fd;

	/* It has stopped, and that is all that can be known: not CLEAN. It is not for want of time. */
	MUST_EQ(bond_unbind(&b, SVAB_PASID_NONE, &u), 0);
	MUST_EQ(u.state, SVAB_PASID_QUARANTINED);
	MUST(u.drain_ns < (uint64_t)ms(DRAIN_MS) * 1000000u);
	event_await(events, SVAB_EV_FLUSHED, bound.bond);
	event_await(events, SVAB_EV_STOP_FAILED, bound.bond);
	event_await(events, SVAB_EV_QUARANTINED, bound.bond);

	/* Nor is it when it is asked again, or by a process's word. */
	MUST_EQ(bond_revoke(bound.bond), 0);
	event_await(events, SVAB_EV_QUARANTINED, bound.bond);
	MUST_EQ(ctx_grant(b.cookie, "plain", 1000), 0);
	MUST_EQ(ctx_bind(b.ctx, "plain", &bound), -EBUSY);
	MUST_EQ(bond_info(&b, &info), 0);
	MUST_EQ(info.state, SVAB_PASID_QUARANTINED);
	while (event_next(events, &e, 0))
		if (e.type == SVAB_EV_DRAINED)
			FAIL("CLEAN, though nothing was flushed");

	MUST_EQ(dev_reset("plain", &reset), 0);
	MUST_EQ(reset.clean, 1);
	MUST_EQ(reset.quarantined, 0);
	event_await(events, SVAB_EV_DRAINED, info.bond);
	/* It had its answer. */
	MUST_EQ(bond_unbind(&b, SVAB_PASID_NONE, NULL), -ESHUTDOWN);

	/* It had not stopped when it was cut: what it says is CLEAN by then is what the SMMU has ended. */
	MUST_SYS(write_file("/sys/module/plain/parameters/stop", "-110"));
	MUST_EQ(ctx_grant(b.cookie, "plain", (unsigned)ms(DRAIN_MS)), 0);
	close_fd(&b.fd);
	MUST_EQ(ctx_bind(b.ctx, "plain", &bound), 0);
	b.fd = bound.bond_fd;
	MUST_EQ(bond_unbind(&b, SVAB_PASID_NONE, &u), 0);
	MUST_EQ(u.state, SVAB_PASID_QUARANTINED);
	MUST_SYS(write_file("/sys/module/plain/parameters/stop", "4"));
	MUST_EQ(bond_revoke(bound.bond), 0);
	event_await(events, SVAB_EV_FLUSHED, bound.bond);
	event_await(events, SVAB_EV_QUARANTINED, bound.bond);
	MUST_EQ(dev_reset("plain", &reset), 0);
	MUST_EQ(reset.clean, 1);
	event_await(events, SVAB_EV_DRAINED, bound.bond);
	bond_close(&b);
	close_fd(&events);
	await_idle();
	driver_take_back("accel8");
}
