/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_BROKER_H
#define SVAD_BROKER_H
/*
 * The broker's one object. Its memory holds no truth of its own: connections are in the kernel, lifetimes in pidfds, contexts, grants,
 * bonds and their states in the backend's list, settings in the supervisor. All of it belongs to the loop's one thread.
 *
 *   user --- charges of ---> client --- owns ---> ctx --- has ---> hold --- on ---> bond --- of ---> device
 *                              |                                 (a grant and, once BOUND, its bond)
 *                             conn
 */
#include <uv.h>

#include "../proto/wire.h"
#include "backend.h"
#include "channel.h"
#include "config.h"
#include "idmap.h"
#include "list.h"

/* Containers; see container.h. */
struct registry {
	struct idmap by_cookie; /* active ones and tombstones */
	struct idmap by_netns; /* the same, by a hash of dev and inode */
	struct idmap by_key; /* attachments, those of removed containers too */
	struct list all; /* by id, forgotten ones too */
	uint64_t last_id;
	unsigned n_active, n_tombstones, n_forgotten; /* tombstones: those whose bonds drain too */
	struct store *store;
};

struct client;
struct conn;
struct listener;
struct reconcile;

struct counters {
	uint64_t connections, connections_refused, accept_failures;
	uint64_t requests, requests_refused, bad_messages, rate_limited;
	uint64_t grants, bonds, drains, quarantines, quarantines_ended;
	uint64_t faults, stop_failures, clients_gone, events_sent, events_lost, reloads, logs_lost;
	uint64_t containers_registered, containers_removed, store_writes, store_failures, store_damaged;
	uint64_t reconciles; /* looks for dead netnses that found out */
	uint64_t reconcile_failing; /* 1: the last one could not */
};

struct broker {
	uv_loop_t loop;
	struct config *config;
	uint64_t config_generation; /* changes with it */
	struct chan_info info;
	struct counters counters;

	int chan;
	uv_poll_t chan_poll;
	uv_timer_t tick, deadline;
	void *chan_buf;

	int listen_fds[2]; /* clients', administrators'; -1 once listening */
	struct listener *listen_client, *listen_admin;
	struct backend *backend;
	struct svab_info backend_info;
	struct list info_waiters; /* requests that wait for backend_info (struct stats_op) */
	struct list probe_waiters; /* requests that wait for the supervisor's look at vfio devices (rpc_probe.c) */

	struct idmap users; /* by uid */
	struct idmap clients; /* by id */
	struct idmap ctxs; /* by cookie */
	struct idmap bonds; /* by id */
	struct registry registry; /* containers */
	uint64_t host_cookie; /* of the netns that svad was started in; 0: the kernel does not tell */
	struct list identifying; /* identify.c's: clients that the supervisor is asked about */
	struct list strangers; /* of another netns than the host's, and of no container yet */
	uint64_t last_identification;
	unsigned n_asked, n_listed; /* unanswered; clients of a listing among those that are asked about */
	struct reconcile *reconcile;
	struct list client_list; /* by id, ascending */
	struct list bond_list; /* by id, ascending */
	struct list device_list;
	struct list conns;
	struct list watchers; /* administrators that watch */
	uint64_t last_client_id, last_grant_id;
	uint32_t generation; /* of the last listing: what a listing did not name is gone */
	uint32_t device_walk; /* the same for devices, which are named without a listing too */
	unsigned n_conns;
	unsigned n_draining, n_quarantined;

	bool reloading; /* asked for, and not answered by the supervisor yet */
	struct conn *reload_conn; /* who asked; NULL: gone meanwhile */
	uint64_t reload_id;
	bool synced; /* there has been a listing */
	bool ready, shutting_down, shutdown_done, ending;
	uint64_t shutdown_at_ns;

	/* One packet at a time is received, decoded and answered: these serve them all. */
	unsigned char *rx, *tx;
	struct wire_arena arena;
};

static inline uint64_t now_ns(void)
{
	return uv_hrtime(); /* CLOCK_MONOTONIC on Linux */
}

/* Ready when the listing is known, and of whom it tells. */
void broker_maybe_ready(struct broker *broker);
/* Ends what policy no longer lets the client hold. */
void broker_enforce(struct broker *broker, struct client *client);
/* Checks whether a shutdown under way has nothing left to wait for. */
void broker_maybe_done(struct broker *broker);

extern const struct backend_handler broker_backend_handler;
int backend_sim_new(uv_loop_t *loop, const struct backend_handler *handler, void *userdata, struct backend **ret);

#endif
