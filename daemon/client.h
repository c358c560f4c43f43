/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CLIENT_H
#define SVAD_CLIENT_H
/*
 * client: a process that uses devices. Lives from its connection until the last of its contexts is gone from the backend.
 * ctx: its capability. A client has one current ctx; earlier ones may still be draining.
 * hold: a grant on a ctx and, once the client has used it, the bond. The charge for a bond is the hold's.
 */
#include "broker.h"
#include "policy.h"
#include "user.h"

struct client {
	struct idmap_node node; /* broker->clients */
	struct list link; /* broker->client_list */
	struct broker *broker;
	struct user *user;
	struct container *container; /* NULL: the host's. Its charges are there then, not with the user */
	struct list container_link; /* container->clients */
	struct conn *conn; /* NULL: gone, or expected back */
	struct ctx *ctx; /* the current one, or NULL */
	struct list ctxs;

	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* read when first asked for */
	size_t n_groups;
	bool groups_known;
	uint64_t netns_cookie; /* its socket's */
	struct identification *identification; /* under way, else NULL */
	struct list stranger_link; /* broker->strangers, or alone */
	bool netns_known; /* its process's, as the supervisor told: */
	uint64_t process_dev, process_inode, process_cookie; /* cookie 0: not told */
	uint64_t cgroup_id; /* for people; 0: not told, or of the host */
	char program[32];

	int pidfd; /* -1: found in a listing, its process not seen yet */
	uv_poll_t pidfd_poll;
	bool gone; /* its process or its connection ended: no more binds */
	bool freeing;
	bool expected; /* it lives and has no connection: the broker or the connection has been lost. It may come back */

	uint64_t since_ns;
	uint32_t bonds; /* charge: holds */
	uint64_t faults, errors, requests;
};

struct ctx {
	struct idmap_node node; /* broker->ctxs, by cookie */
	struct list link; /* client->ctxs */
	struct client *client;
	struct list holds;
	uint32_t generation;
	bool revoked;
};

struct hold {
	struct list link; /* ctx->holds */
	struct list bond_link; /* bond->holds, or alone */
	struct ctx *ctx;
	struct device *device;
	struct bond *bond; /* NULL: granted, not bound */
	uint64_t grant;
	uint32_t generation;
};

/* A client for a connection. Takes peer->pidfd. 0, -ENOMEM, -errno of the pidfd's poll. */
struct peer;
int client_new(struct broker *broker, const struct peer *peer, struct client **ret);
/* One that a listing names and that has no connection yet: its process is followed all the same. pidfd -1: it is dead. */
int client_new_listed(struct broker *broker, pid_t pid, uid_t uid, gid_t gid, struct client **ret);
struct client *client_find(struct broker *broker, uint64_t id);

/* Its process is gone, or left for good: every ctx is revoked, the client goes when they have. Idempotent. May free it. */
void client_end(struct client *client, enum svab_cause cause);
/* Its connection broke on our side: it keeps what it has for as long as it lives, and may come back. */
void client_expect(struct client *client);
/* `from`, which waits without a connection, is the same process as `to`: its contexts, bonds and charges become `to`'s. Frees from. */
void client_adopt(struct client *to, struct client *from);
/* Frees it when nothing is left of it. */
void client_maybe_free(struct client *client);
void client_subject(struct client *client, struct policy_subject *ret); /* groups lent */
void client_policy(struct client *client, const struct device *device, struct policy_verdict *ret);
unsigned client_draining(const struct client *client, unsigned *ret_quarantined);

int ctx_new(struct client *client, uint64_t cookie, struct ctx **ret);
struct ctx *ctx_find(struct broker *broker, uint64_t cookie);
void ctx_revoke(struct ctx *ctx, enum svab_cause cause);
void ctx_free(struct ctx *ctx); /* its holds with it; the client may follow: client_maybe_free() is the caller's */

int hold_new(struct ctx *ctx, struct device *device, uint64_t grant, struct hold **ret); /* charges */
void hold_free(struct hold *hold); /* gives the charge back */
struct hold *ctx_find_hold(struct ctx *ctx, const struct device *device);

#endif
