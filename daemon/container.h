/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CONTAINER_H
#define SVAD_CONTAINER_H
/*
 * A container: one network namespace, known by its cookie (which the kernel never gives twice within a boot), and the attachments that runtimes
 * have registered for it. What its clients hold is charged to it. It outlives its removal: as a tombstone, which refuses whoever is left in its
 * netns, until that netns is dead and its bonds are CLEAN; then as one of the few that are remembered, for people who ask what became of them.
 * Broker's loop only.
 */
#include "broker.h"
#include "container_policy.h"

struct bond;
struct client;
struct conn;
struct hold;

#define CONTAINER_NAME_MAX 255u
#define CONTAINER_IFNAME_MAX 15u
#define CONTAINER_DEVICES_MAX 64u /* globs of one attachment */
#define CONTAINER_TEXT_MAX 1023u /* a path, a glob, a pod's name */
#define CONTAINERS_MAX 16384u /* registered ones and tombstones */
#define CONTAINER_ATTACHMENTS_MAX 64u /* of one container */
#define CONTAINER_ENDS_MAX 256u /* bonds that a removal names; its counts tell of all */
#define CONTAINERS_REMEMBERED 64u

/* 0: not limited. */
struct container_limits {
	uint32_t bonds, connections, requests_per_second, drain_deadline_ms;
};

struct attachment_key {
	const char *network, *container_id, *ifname; /* "" where there is none, never NULL */
};

struct attachment {
	struct list link; /* container->attachments, in the order of registration */
	struct idmap_node node; /* registry.by_key, by a hash of its key */
	struct container *container;
	struct attachment_key key; /* owned */
	char **devices; /* globs; none: whatever policy allows */
	size_t n_devices;
	struct container_limits limits;
	char *by;
	int64_t since_realtime_ns; /* CLOCK_REALTIME of its registration */
};

/* How one bond ended, or does. */
struct bond_end {
	uint64_t bond;
	char device[SVAB_NAME_MAX];
	uint32_t pasid;
	enum svab_pasid_state state;
	enum svab_cause cause;
	uint64_t duration_ns;
	pid_t pid;
};

/* A removal, under way or the last one. Each bond that had not become CLEAN when it was asked for is counted once; everybody who asks for the same
 * removal gets its one result. */
struct removal {
	bool active; /* something is left to end */
	uint32_t ended, clean, quarantined; /* pending = ended - clean - quarantined */
	uint64_t slowest_ns;
	struct bond_end *ends;
	uint32_t n_ends, room;
};

struct timeline;

struct container {
	struct idmap_node node; /* registry.by_cookie, unless forgotten */
	struct idmap_node netns_node; /* registry.by_netns, by a hash of dev and inode; unless forgotten */
	struct list link; /* registry.all, by id */
	struct broker *broker;
	uint64_t id; /* ascending with time */
	char *name; /* container id of its first attachment */
	unsigned refs; /* bonds, requests; the registry's own is one */

	uint64_t cookie, netns_dev, netns_inode;
	char *netns_path; /* "" when nobody said */
	pid_t pid; /* of its first process as the runtime said; 0: not said */
	char *pod_namespace, *pod_name, *pod_uid; /* "" when there is none */
	struct list attachments;
	struct container_limits registered; /* the smallest that its attachments ask for */
	uint64_t generation; /* changes with whatever decides what it may do */

	Svad__V1__ContainerState state;
	unsigned suspect; /* reconcile.c's: looks to come, since its last client has gone */
	bool netns_dead; /* nothing can come from it any more */
	bool forgotten; /* in neither map: kept for people only */
	uint64_t since_ns; /* CLOCK_MONOTONIC of its registration, or of its restoration */
	int64_t since_realtime_ns;
	struct removal removal;
	struct list removal_ops; /* requests that wait for it */
	struct timeline *timeline;

	/* What is charged to it, instead of to the uids of its clients. */
	struct list clients; /* client->container_link */
	struct list bond_list; /* bond->container_link: those in any state */
	uint32_t n_clients, n_bonds_live; /* live: BOUND or draining */
	uint32_t connections;
	uint32_t bonds; /* holds: bonds, and grants that may become one */
	uint64_t tokens_ns; /* of requests_per_second: see conn.c */
	uint64_t faults, requests, refused;
	uint64_t limit_logged_ns; /* conn.c's */
	uint64_t cgroup_ids[8];
	unsigned n_cgroup_ids;
	bool bound_once;

	struct container_policy policy; /* what the settings say of it; container_policy.c's */

	/* The store's: its line as it is written. */
	char *line;
	size_t line_len;
};

int registry_init(struct broker *broker); /* with the loop there; 0 or -ENOMEM */
void registry_stop(struct broker *broker); /* closes its handles */
void registry_deinit(struct broker *broker); /* after every client and bond */

/* ---- looking up ---- */

/* Active, or a tombstone (look at its state). NULL: the cookie is of no container. */
struct container *container_by_cookie(struct broker *broker, uint64_t cookie);
/* The same by the netns's st_dev and st_ino. Of several (a recycled inode) the latest. */
struct container *container_by_netns(struct broker *broker, uint64_t dev, uint64_t inode);
/* An active one before removed ones, else the latest. removed: those too. NULL: none. */
struct attachment *attachment_find(struct broker *broker, const struct attachment_key *key, bool removed);
/* By container id of any of its attachments, or the beginning of exactly one container's. removed: those too, when no active one fits.
 * An active one before one that is being removed. -ENOENT; -EEXIST: it is of several. */
int container_by_name(struct broker *broker, const char *name, bool removed, struct container **ret);

/* Active ones and tombstones, by id, ascending. fn may remove a container (it stays in the list until the next turn of the loop). Stops when fn
 * returns non-zero, and returns that. */
int container_each(struct broker *broker, int (*fn)(struct container *container, void *userdata), void *userdata);

struct container *container_ref(struct container *container);
void container_put(struct container *container); /* NULL is fine. Frees it when nobody needs it */

/* ---- clients ---- */

/* From now on the client is the container's: what it holds, and its connection when it has one, is charged there and no longer to its uid. Once for
 * each client. One that joins a container that is not active is ended (CONTAINER_GONE), and may have been freed when this returns. */
void container_join(struct container *container, struct client *client);
/* The client goes (client_maybe_free(), which is all that calls this). What it is still charged with goes back. Fine when it is of none. */
void container_leave(struct client *client);
void container_client_gone(struct client *client); /* its process has, for the timeline; fine when it is of none */
/* For people; each id once, the first few. 0 is none. */
void container_note_cgroup(struct container *container, uint64_t cgroup_id);

/* Charges of holds and connections: to the container when there is one, else to the user. */
void charge_hold(struct client *client, int n); /* +1, -1 */
void charge_conn(struct conn *conn, int n);

/* ---- bonds ---- */

void container_bond_added(struct container *container, struct bond *bond); /* BOUND, or joined with its client */
void container_bond_state(struct bond *bond); /* its drain's state has changed */
void container_bond_freed(struct bond *bond);
void container_ctx_gone(struct container *container); /* a ctx of one of its clients: a removal may be done */

/* ---- ending ---- */

/* Ends the attachment, or with NULL all of them; with the last one goes the container: state REMOVING, every ctx of its clients is revoked with
 * the cause, their connections are closed; REMOVED when nothing is left. Never blocks; asking again changes nothing. by: who asked, for the timeline.
 * Returns whether this call is what removed the container. */
bool container_remove(struct container *container, struct attachment *attachment, enum svab_cause cause, const char *by);
/* The netns is provably dead: its tombstone may go when its bonds are CLEAN. Removes the container when that had not been asked. */
void container_netns_dead(struct container *container, const char *by);

/* "container web (shop/web-1)" for messages and logs. buf is returned. */
const char *container_describe(const struct container *container, char *buf, size_t size);

#endif
