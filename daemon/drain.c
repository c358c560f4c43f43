/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "drain.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/*
 *            BEGIN                STOPPED_FLUSHED            FLUSHED_ALL
 *   BOUND ----------> STOPPING --------------------> FLUSHED ------------> CLEAN
 *                        |  |                           |                   ^ ^
 *                        |  +------------- STOPPED_CLEAN | -----------------+ |
 *                        |                              |                    |
 *                        +--- STOP_FAILED, DEADLINE ----+--> QUARANTINED ----+
 *                                                              |   RESET, STOPPED_CLEAN
 *                             FLUSHED <--- STOPPED_FLUSHED ----+   (a late stop that at last succeeded)
 *
 * RESET leads to CLEAN from every state: a device that was reset has forgotten the PASID and all work for it.
 */

enum action {
	DO_REVOKE_PORTAL = 1 << 0,
	DO_CUT = 1 << 1,
	DO_INVALIDATE = 1 << 2,
	DO_RELEASE = 1 << 3,
	DO_REPORT = 1 << 4,
	DO_WAKE = 1 << 5,
	DO_STOP = 1 << 6,
	DO_FLUSH = 1 << 7,
	DO_FINISH = 1 << 8,
};

#define DO_CLEAN (DO_INVALIDATE | DO_RELEASE | DO_REPORT | DO_WAKE | DO_FINISH)
#define DO_QUARANTINE (DO_CUT | DO_REPORT | DO_WAKE)

void drain_init(struct drain *d, const struct drain_ops *ops, uint32_t deadline_ms)
{
	*d = (struct drain){
		.ops = ops,
		.state = SVAB_PASID_BOUND,
		.deadline_ms = deadline_ms,
	};
}

void drain_deinit(struct drain *d)
{
	assert(!d->waiters);
	d->ops = NULL;
}

static void drain_wake(struct drain *d)
{
	uint64_t took = d->ended_ns - d->began_ns;
	struct drain_waiter *w = d->waiters, *keep = NULL;

	/* A waiter's callback may free it, or its neighbours by drain_unwait(): each is off the list before
	 * it is called. */
	d->waiters = NULL;
	if (w)
		w->link = &w;
	while (w) {
		struct drain_waiter *one = w;

		drain_unwait(one);
		if (one->clean_only && d->state != SVAB_PASID_CLEAN) {
			one->next = keep;
			one->link = &keep;
			if (keep)
				keep->link = &one->next;
			keep = one;
			continue;
		}
		one->done(one, d->state, took);
	}
	while (keep) {
		struct drain_waiter *one = keep;

		drain_unwait(one);
		drain_wait(d, one);
	}
}

/* The order of a teardown, for every backend. stop, flush and finished are last, for d may be gone when they
 * return. */
static void drain_run(struct drain *d, unsigned actions)
{
	const struct drain_ops *ops = d->ops;

	if ((actions & DO_REVOKE_PORTAL) && ops->revoke_portal)
		ops->revoke_portal(d);
	if ((actions & DO_CUT) && ops->cut)
		ops->cut(d);
	if ((actions & DO_INVALIDATE) && ops->invalidate)
		ops->invalidate(d);
	if ((actions & DO_RELEASE) && ops->release)
		ops->release(d);
	if ((actions & DO_REPORT) && ops->report)
		ops->report(d);
	if (actions & DO_WAKE)
		drain_wake(d);

	if (actions & DO_STOP) {
		if (ops->stop)
			ops->stop(d);
	} else if (actions & DO_FLUSH) {
		if (ops->flush)
			ops->flush(d);
	} else if (actions & DO_FINISH) {
		if (ops->finished)
			ops->finished(d);
	}
}

static unsigned drain_enter(struct drain *d, enum svab_pasid_state state, uint64_t now_ns)
{
	d->state = state;
	switch (state) {
	case SVAB_PASID_STOPPING:
		d->began_ns = now_ns;
		d->deadline_ns = now_ns + (uint64_t)d->deadline_ms * 1000000u;
		return DO_REVOKE_PORTAL | DO_REPORT | DO_STOP;
	case SVAB_PASID_FLUSHED:
		/* From QUARANTINED too: the flush after a late stop has a deadline of its own. */
		if (!d->deadline_ns)
			d->deadline_ns = now_ns + (uint64_t)d->deadline_ms * 1000000u;
		return DO_REPORT | DO_FLUSH;
	case SVAB_PASID_CLEAN:
		d->ended_ns = now_ns;
		d->deadline_ns = 0;
		return DO_CLEAN;
	case SVAB_PASID_QUARANTINED:
		d->ended_ns = now_ns;
		d->deadline_ns = 0;
		d->was_quarantined = true;
		return DO_QUARANTINE;
	case SVAB_PASID_NONE:
	case SVAB_PASID_BOUND:
		break;
	}
	abort(); /* nothing enters these two */
}

bool drain_input(struct drain *d, enum drain_input input, enum svab_cause cause, uint64_t now_ns)
{
	unsigned actions = 0;

	switch (d->state) {
	case SVAB_PASID_BOUND:
		if (input != DRAIN_BEGIN && input != DRAIN_RESET)
			return false;
		d->cause = cause;
		actions = drain_enter(d, SVAB_PASID_STOPPING, now_ns);
		if (input == DRAIN_RESET) {
			/* Seen from outside: the same sequence. The device itself needs no stop any more. */
			drain_run(d, actions & ~(unsigned)DO_STOP);
			actions = drain_enter(d, SVAB_PASID_CLEAN, now_ns);
		}
		break;

	case SVAB_PASID_STOPPING:
		if (input == DRAIN_STOPPED_FLUSHED)
			actions = drain_enter(d, SVAB_PASID_FLUSHED, now_ns);
		else if (input == DRAIN_STOPPED_CLEAN || input == DRAIN_RESET)
			actions = drain_enter(d, SVAB_PASID_CLEAN, now_ns);
		else if (input == DRAIN_STOP_FAILED || input == DRAIN_DEADLINE)
			actions = drain_enter(d, SVAB_PASID_QUARANTINED, now_ns);
		else
			return false;
		break;

	case SVAB_PASID_FLUSHED:
		if (input == DRAIN_FLUSHED_ALL || input == DRAIN_RESET)
			actions = drain_enter(d, SVAB_PASID_CLEAN, now_ns);
		else if (input == DRAIN_DEADLINE)
			actions = drain_enter(d, SVAB_PASID_QUARANTINED, now_ns);
		else
			return false;
		break;

	case SVAB_PASID_QUARANTINED:
		if (input == DRAIN_STOPPED_CLEAN || input == DRAIN_FLUSHED_ALL || input == DRAIN_RESET)
			actions = drain_enter(d, SVAB_PASID_CLEAN, now_ns);
		else if (input == DRAIN_STOPPED_FLUSHED)
			actions = drain_enter(d, SVAB_PASID_FLUSHED, now_ns);
		else if (input == DRAIN_RETRY)
			actions = DO_STOP;
		else
			return false;
		break;

	case SVAB_PASID_NONE:
	case SVAB_PASID_CLEAN:
		return false;
	}

	drain_run(d, actions);
	return true;
}

void drain_wait(struct drain *d, struct drain_waiter *w)
{
	if (d->state == SVAB_PASID_CLEAN || (d->state == SVAB_PASID_QUARANTINED && !w->clean_only)) {
		w->next = NULL;
		w->link = NULL;
		w->done(w, d->state, d->ended_ns - d->began_ns);
		return;
	}
	w->next = d->waiters;
	w->link = &d->waiters;
	if (w->next)
		w->next->link = &w->next;
	d->waiters = w;
}

void drain_unwait(struct drain_waiter *w)
{
	if (!w->link)
		return;
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	w->link = NULL;
	w->next = NULL;
}

const char *drain_state_name(enum svab_pasid_state state)
{
	static const char *const names[] = {
		[SVAB_PASID_NONE] = "NONE",	    [SVAB_PASID_BOUND] = "BOUND",
		[SVAB_PASID_STOPPING] = "STOPPING", [SVAB_PASID_FLUSHED] = "FLUSHED",
		[SVAB_PASID_CLEAN] = "CLEAN",	    [SVAB_PASID_QUARANTINED] = "QUARANTINED",
	};

	return (unsigned)state < sizeof(names) / sizeof(names[0]) ? names[state] : "UNKNOWN";
}

const char *drain_cause_name(enum svab_cause cause)
{
	static const char *const names[] = {
		[SVAB_CAUSE_NONE] = "none",
		[SVAB_CAUSE_UNBIND] = "unbind",
		[SVAB_CAUSE_LAST_CLOSE] = "last close",
		[SVAB_CAUSE_MM_RELEASED] = "mm released",
		[SVAB_CAUSE_CLIENT_GONE] = "client gone",
		[SVAB_CAUSE_CONTAINER_GONE] = "container gone",
		[SVAB_CAUSE_ADMIN] = "administrator",
		[SVAB_CAUSE_POLICY] = "policy",
		[SVAB_CAUSE_DEVICE_GONE] = "device gone",
		[SVAB_CAUSE_DEVICE_RESET] = "device reset",
		[SVAB_CAUSE_SHUTDOWN] = "shutdown",
	};

	return (unsigned)cause < sizeof(names) / sizeof(names[0]) ? names[cause] : "unknown";
}
