/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_RECONCILE_H
#define SVAD_RECONCILE_H
/*
 * Finds containers whose network namespace is dead, for runtimes that forget to say so: the supervisor looks ([containers] reconcile, and soon after
 * a container's last client has gone), and what it finds dead is removed like by anybody else. Broker's loop only.
 */
#include "broker.h"

struct container;

struct reconciled {
	uint32_t looked_at, removed;
	const char *const *names; /* of those that this has removed, the first of them: n_names */
	size_t n_names;
};

/* Embedded in what waits. done is called once, never from within reconcile_now(); error: errno. */
struct reconcile_waiter {
	struct list link;
	void (*done)(struct reconcile_waiter *waiter, int error, const struct reconciled *result);
};

int reconcile_init(struct broker *broker); /* after the loop's; 0 or -ENOMEM */
void reconcile_stop(struct broker *broker); /* closes its timer; waiters are forgotten */
void reconcile_configure(struct broker *broker); /* the settings have changed */

/* A look that begins after this call. */
void reconcile_now(struct broker *broker, struct reconcile_waiter *waiter);
void reconcile_cancel(struct reconcile_waiter *waiter);
/* Why a look failed and what to do, for people. */
const char *reconcile_why(int error);

/* The last of its clients has gone: it may have been the last of its processes. */
void reconcile_suspect(struct container *container);

void reconcile_answer(struct broker *broker, uint64_t number, const void *payload, size_t len); /* CHAN_NETNS_SCANNED */

#endif
