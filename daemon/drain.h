/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_DRAIN_H
#define SVAD_DRAIN_H
/*
 * The drain: everything between "this bond must end" and "this PASID may be reused".
 *
 * One state machine for every backend. svad-simdev, which plays device, IOMMU and kernel, runs it with all its ops: there it *is*
 * the drain. The broker runs it with what it has (stop = ask the backend to revoke, report = tell the waiters) and feeds it the
 * backend's events: there it follows. Only drain_input() in drain.c changes a state.
 *
 * Not thread-safe: one loop owns a drain. Time is CLOCK_MONOTONIC in ns and always passed in, so that tests own the clock.
 */
#include <stdbool.h>
#include <stdint.h>

#include "../kmod/svabroker.h"

enum drain_input {
	DRAIN_BEGIN,           /* something ends the bond; only the first one counts */
	DRAIN_STOPPED_FLUSHED, /* the device acknowledged its stop with a Stop Marker */
	DRAIN_STOPPED_CLEAN,   /* ... after all its responses had arrived */
	DRAIN_STOP_FAILED,     /* the device refused, or has no stop */
	DRAIN_FLUSHED_ALL,     /* no page request for the PASID is left in the IOMMU */
	DRAIN_DEADLINE,        /* the deadline passed */
	DRAIN_RETRY,           /* somebody asks a quarantined bond's device once more */
	DRAIN_RESET,           /* the device was reset: it has forgotten the PASID and all its work */
};

struct drain;

/* Called by drain_input() only. Each may be NULL. stop and flush are asynchronous: they start the work and its end comes back
 * as an input, possibly from within the call; so they are always the last that one input does. What each input does, in order:
 *   BEGIN                       revoke_portal, report, stop
 *   STOPPED_FLUSHED             report, flush
 *   STOPPED_CLEAN, FLUSHED_ALL, RESET
 *                               invalidate, release, report, the waiters, finished
 *   STOP_FAILED, DEADLINE       cut, report, the waiters
 *   RETRY                       stop */
struct drain_ops {
	void (*revoke_portal)(struct drain *d); /* the client's mapping goes first: no new work */
	void (*stop)(struct drain *d); /* ask the device */
	void (*flush)(struct drain *d); /* answer or discard every queued page request of the PASID */
	void (*cut)(struct drain *d); /* quarantine: translation off, the PASID and its mm are kept */
	void (*invalidate)(struct drain *d); /* PASID table entry and IOTLB */
	void (*release)(struct drain *d); /* drop the mm reference: from here the PASID may be reused */
	void (*report)(struct drain *d); /* the state changed; d may not be freed here */
	void (*finished)(struct drain *d); /* CLEAN, after all the above and the waiters: last call, d may be freed here */
};

struct drain_waiter {
	struct drain_waiter *next, **link;
	/* Called once: state is CLEAN or QUARANTINED. The waiter is off the list already and may be freed here. */
	void (*done)(struct drain_waiter *w, enum svab_pasid_state state, uint64_t took_ns);
	bool clean_only; /* QUARANTINED is not an answer for this one */
};

struct drain {
	const struct drain_ops *ops;
	enum svab_pasid_state state;
	enum svab_cause cause; /* of the first DRAIN_BEGIN */
	uint64_t began_ns;     /* STOPPING entered; 0 before */
	uint64_t ended_ns;     /* CLEAN or (last) QUARANTINED entered; 0 before */
	uint64_t deadline_ns;  /* of the drain under way; 0: none is armed. The owner watches the clock and feeds DRAIN_DEADLINE */
	uint32_t deadline_ms;
	bool was_quarantined;
	struct drain_waiter *waiters;
};

void drain_init(struct drain *d, const struct drain_ops *ops, uint32_t deadline_ms); /* state BOUND */
void drain_deinit(struct drain *d); /* no waiter may be left */

/* The one function that makes transitions. True when the input meant something in this state. After it returned true for an input that leads to
 * CLEAN, d may have been freed by ops->finished. cause: for DRAIN_BEGIN, and for DRAIN_RESET of a BOUND one. */
bool drain_input(struct drain *d, enum drain_input input, enum svab_cause cause, uint64_t now_ns);

/* Asks to be told of the result. At once when there is one already. */
void drain_wait(struct drain *d, struct drain_waiter *w);
void drain_unwait(struct drain_waiter *w); /* a waiter that gives up; fine when it was called or never waited */

static inline bool drain_active(const struct drain *d)
{
	return d->state == SVAB_PASID_STOPPING || d->state == SVAB_PASID_FLUSHED;
}

const char *drain_state_name(enum svab_pasid_state state); /* "BOUND" */
const char *drain_cause_name(enum svab_cause cause); /* "last close" */

#endif
