// SPDX-License-Identifier: GPL-2.0-or-later
/* The six scenes. Each verifies what it shows; the first thing that is not as it must be ends the
 * demonstration. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <sva/demo_accel.h>

#include "../ctl/units.h"
#include "demo.h"

#define EV(name) SVAD__V1__EVENT_KIND__EVENT_##name

/* Reads what demo_hear() left; all of it must be there. */
#define scan(d, c, n, ...)                                                                                   \
	(sscanf((c)->line, __VA_ARGS__) == (n) || demo_fail(d, "a client's line: %s", (c)->line))
#define check(d, cond, what) ((cond) || demo_fail(d, "%s", what))

/* A client whose long copy is under way on device and held there. */
static struct demo_child *held_dma(struct demo *d, const char *device, unsigned *pasid,
				   unsigned long long *bond)
{
	struct demo_child *c;

	if (!demo_fault(d, NULL, 0, "hold %s", device))
		return NULL;
	c = demo_spawn(d, "dma", device);
	if (!c || !demo_hear(d, c, "submitted") || !scan(d, c, 2, "%u %llu", pasid, bond) ||
	    !demo_fault(d, NULL, 0, "wait %s held %d", device, DEMO_WAIT_MS))
		return NULL;
	return c;
}

static bool scene_copy(struct demo *d)
{
	struct demo_child *c = demo_spawn(d, "copy", d->device[0]);
	unsigned crc, cpu;
	int same, equal;
	unsigned long long ns;
	char address[32], took[UNITS_MAX];
	double rate;

	if (!c || !demo_hear(d, c, "copied") ||
	    !scan(d, c, 6, "%d %d %x %x %llu %31s", &same, &equal, &crc, &cpu, &ns, address) ||
	    !demo_reap(d, c, 0))
		return false;
	if (!check(d, same, "the device's copy differs") ||
	    !check(d, equal && crc == cpu, "the device's CRC differs"))
		return false;
	d->verified += 2 * DEMO_BYTES;
	rate = (double)DEMO_BYTES / (double)ns;
	demo_say(d, "%zu MiB at %s copied in %s (%.1f %cB/s), every byte compared by the CPU", DEMO_MIB,
		 address, units_ns(ns, took), rate < 0.1 ? rate * 1000 : rate, rate < 0.1 ? 'M' : 'G');
	demo_say(d, "CRC-32C by the device %08x, by the CPU %08x", crc, cpu);
	return true;
}

static bool scene_threads(struct demo *d)
{
	struct demo_child *c = demo_spawn(d, "threads", d->device[1]);
	unsigned references, pasid[2];
	int one, first, last;

	if (!c || !demo_hear(d, c, "threads") ||
	    !scan(d, c, 6, "%d %u %u %u %d %d", &one, &references, &pasid[0], &pasid[1], &first, &last) ||
	    !demo_reap(d, c, 0))
		return false;
	if (!check(d, one, "two handles") || !check(d, references == 2, "not two references") ||
	    !check(d, pasid[0] == pasid[1], "two PASIDs") ||
	    !check(d, first == 1 && last == 0, "the unbinds' results"))
		return false;
	demo_say(d, "one handle, %u references, one PASID (%u); the first unbind leaves 1, the second drains",
		 references, pasid[0]);
	return true;
}

static double ms(uint64_t from, uint64_t to)
{
	return (double)(int64_t)(to - from) / 1e6;
}

/* Has *c bind, and when that does not get the PASID, others after it. The kernel's PASID is its address
 * space's to the very end: CLEAN is when it may go, and the memory manager frees it a moment later. */
static bool bind_reusing(struct demo *d, struct demo_child **c, unsigned pasid, unsigned *ret_pasid,
			 unsigned long long *ret_bond)
{
	uint64_t deadline = units_now() + (uint64_t)DEMO_WAIT_MS * 1000000u;

	for (;;) {
		if (!demo_tell(d, *c, "bind") || !demo_hear(d, *c, "bound") ||
		    !scan(d, *c, 2, "%u %llu", ret_pasid, ret_bond))
			return false;
		if (*ret_pasid == pasid || !d->kmod || units_now() >= deadline)
			return true;
		if (!demo_tell(d, *c, "exit") || !demo_reap(d, *c, 0))
			return false;
		*c = demo_spawn(d, "binder", d->device[0]);
		if (!*c || !demo_hear(d, *c, "ready"))
			return false;
	}
}

static bool scene_kill(struct demo *d)
{
	const struct demo_event *stopping, *flushed, *clean, *bound;
	unsigned long long bond, other_bond;
	unsigned pasid, other_pasid;
	struct demo_child *c, *other;
	uint64_t killed, seen;

	other = demo_spawn(d, "binder", d->device[0]);
	if (!other || !demo_hear(d, other, "ready"))
		return false;
	c = held_dma(d, d->device[0], &pasid, &bond);
	if (!c)
		return false;
	killed = units_now();
	kill(c->pid, SIGKILL);
	if (!demo_wait(d, c->pidfd, DEMO_WAIT_MS, "the killed client's pidfd"))
		return false;
	seen = units_now();
	stopping = demo_event(d, 0, EV(STOPPING), bond, 0);
	flushed = stopping ? demo_event(d, 0, EV(FLUSHED), bond, 0) : NULL;
	clean = flushed ? demo_event(d, 0, EV(CLEAN), bond, 0) : NULL;
	if (!clean || !bind_reusing(d, &other, pasid, &other_pasid, &other_bond))
		return false;
	bound = demo_event(d, 0, EV(BOUND), other_bond, 0);
	if (!bound || !check(d, other_pasid == pasid && bound->pasid == pasid, "the PASID was not reused") ||
	    !check(d,
		   killed <= stopping->ns && stopping->ns <= flushed->ns && flushed->ns <= clean->ns &&
			   clean->ns <= bound->ns,
		   "the events are out of order"))
		return false;
	demo_say(d,
		 "ms: kill 0.00, pidfd %.2f, STOPPING %.2f, FLUSHED %.2f, CLEAN %.2f, PASID %u reused %.2f",
		 ms(killed, seen), ms(killed, stopping->ns), ms(killed, flushed->ns), ms(killed, clean->ns),
		 pasid, ms(killed, bound->ns));
	return demo_reap(d, c, SIGKILL) && demo_fault(d, NULL, 0, "unhold %s", d->device[0]) &&
	       demo_tell(d, other, "exit") && demo_reap(d, other, 0);
}

static bool scene_exec(struct demo *d)
{
	const struct demo_event *stopping, *clean;
	unsigned long long bond;
	size_t changed;
	struct demo_child *c;
	unsigned pasid;
	int there;

	c = held_dma(d, d->device[0], &pasid, &bond);
	if (!c || !demo_tell(d, c, "exec") || !demo_hear(d, c, "image") || !scan(d, c, 1, "%d", &there) ||
	    !check(d, there, "the new image's memory lies elsewhere"))
		return false;
	/* Now the device may go on, if it still could. */
	if (!demo_fault(d, NULL, 0, "unhold %s", d->device[0]))
		return false;
	stopping = demo_event(d, 0, EV(STOPPING), bond, 0);
	clean = stopping ? demo_event(d, 0, EV(CLEAN), bond, 0) : NULL;
	if (!clean || !demo_fault(d, NULL, 0, "wait %s idle %d", d->device[0], DEMO_WAIT_MS) ||
	    !demo_tell(d, c, "check") || !demo_hear(d, c, "checked") || !scan(d, c, 1, "%zu", &changed) ||
	    !demo_reap(d, c, 0) || !check(d, changed == 0, "the new image's memory was written"))
		return false;
	d->verified += DEMO_BYTES;
	demo_say(d,
		 "CLEAN %.2f ms after STOPPING; %zu MiB of the new image at the old DMA's address: untouched",
		 ms(stopping->ns, clean->ns), DEMO_MIB);
	return true;
}

static bool scene_unmap(struct demo *d)
{
	unsigned long long bond, other_bond, fault, fault_at, unmapped, bytes;
	struct demo_child *c, *other;
	unsigned pasid, other_pasid, status;
	const struct demo_event *e;
	int r, equal;

	/* Both copies are under way on the same device. */
	c = held_dma(d, d->device[0], &pasid, &bond);
	other = c ? held_dma(d, d->device[0], &other_pasid, &other_bond) : NULL;
	if (!other || !demo_tell(d, c, "unmap") || !demo_hear(d, c, "unmapped") ||
	    !scan(d, c, 1, "%llx", &unmapped) || !demo_fault(d, NULL, 0, "unhold %s", d->device[0]))
		return false;
	if (!demo_tell(d, c, "wait") || !demo_hear(d, c, "waited") ||
	    !scan(d, c, 4, "%d %u %llx %llu", &r, &status, &fault_at, &bytes) ||
	    !check(d, status == SVA_DEMO_FAULT_UNMAPPED, "no fault was reported to the client") ||
	    !check(d, fault_at >= unmapped && fault_at < unmapped + DEMO_BYTES / 2,
		   "the fault's address is wrong"))
		return false;
	e = demo_event(d, 0, EV(FAULT), bond, 0);
	if (!e || !demo_tell(d, other, "wait") || !demo_hear(d, other, "waited") ||
	    !scan(d, other, 4, "%d %u %llx %llu", &r, &status, &fault, &bytes) ||
	    !check(d, r >= 0 && status == SVA_DEMO_OK, "the neighbour's copy failed"))
		return false;
	if (!demo_tell(d, other, "compare") || !demo_hear(d, other, "compared") ||
	    !scan(d, other, 1, "%d", &equal) || !check(d, equal, "the neighbour's bytes are wrong") ||
	    !demo_tell(d, c, "half") || !demo_hear(d, c, "compared") || !scan(d, c, 1, "%d", &equal) ||
	    !check(d, equal, "what was copied before the fault is wrong"))
		return false;
	d->verified += DEMO_BYTES + DEMO_BYTES / 2;
	demo_say(d, "fault at 0x%llx reported to the client; the neighbour's %zu MiB are right", fault_at,
		 DEMO_MIB);
	return demo_tell(d, c, "exit") && demo_reap(d, c, 0) && demo_tell(d, other, "exit") &&
	       demo_reap(d, other, 0);
}

static bool scene_quarantine(struct demo *d)
{
	unsigned long long bond, others_bond;
	const struct demo_event *stopping, *quarantined, *clean;
	unsigned pasid, others_pasid[3];
	struct demo_child *c, *others[3];
	int unbound, rebound, code;
	char id[32];

	c = held_dma(d, d->device[0], &pasid, &bond);
	if (!c || !demo_fault(d, NULL, 0, "stop %s ignore forever", d->device[0]))
		return false;
	snprintf(id, sizeof(id), "%llu", bond);
	code = demo_svadctl(d, "bond", "revoke", id);
	if (!check(d, code == CTL_REMAINS, "svadctl bond revoke did not say that something is quarantined"))
		return false;
	stopping = demo_event(d, 0, EV(STOPPING), bond, 0);
	quarantined = stopping ? demo_event(d, 0, EV(QUARANTINED), bond, 0) : NULL;
	if (!quarantined || !demo_tell(d, c, "rebind") || !demo_hear(d, c, "rebound") ||
	    !scan(d, c, 2, "%d %d", &unbound, &rebound) ||
	    !check(d, rebound == -EBUSY, "a new bind was not refused with EBUSY"))
		return false;
	for (int i = 0; i < 3; i++) {
		others[i] = demo_spawn(d, "binder", d->device[i > 0]);
		if (!others[i] || !demo_hear(d, others[i], "ready") || !demo_tell(d, others[i], "bind") ||
		    !demo_hear(d, others[i], "bound") ||
		    !scan(d, others[i], 2, "%u %llu", &others_pasid[i], &others_bond) ||
		    !check(d, others_pasid[i] != pasid, "the withheld PASID was given away"))
			return false;
	}
	demo_say(d,
		 "QUARANTINED %.0f ms after STOPPING; PASID %u withheld: others got %u, %u, %u; its own "
		 "rebind: EBUSY",
		 ms(stopping->ns, quarantined->ns), pasid, others_pasid[0], others_pasid[1], others_pasid[2]);
	if (!check(d, !demo_svadctl(d, "device", "reset", d->device[0]), "svadctl device reset failed"))
		return false;
	clean = demo_event(d, 0, EV(CLEAN), bond, 0);
	if (!clean || !check(d, clean->ns >= quarantined->ns, "CLEAN before QUARANTINED") ||
	    !demo_fault(d, NULL, 0, "stop %s obey", d->device[0]) ||
	    !demo_fault(d, NULL, 0, "unhold %s", d->device[0]))
		return false;
	demo_say(d, "svadctl device reset %s: CLEAN, the PASID is free again", d->device[0]);
	for (int i = 0; i < 3; i++)
		if (!demo_tell(d, others[i], "exit") || !demo_reap(d, others[i], 0))
			return false;
	return demo_tell(d, c, "exit") && demo_reap(d, c, 0);
}

const struct demo_scene demo_scenes[] = {
	{ "plain malloc memory, nothing registered, nothing pinned", scene_copy },
	{ "two threads of a process bind the same device", scene_threads },
	{ "SIGKILL in the middle of DMA", scene_kill },
	{ "exec in the middle of DMA", scene_exec },
	{ "munmap in the middle of DMA", scene_unmap },
	{ "a device that ignores stop", scene_quarantine },
};
const size_t demo_n_scenes = sizeof(demo_scenes) / sizeof(demo_scenes[0]);
