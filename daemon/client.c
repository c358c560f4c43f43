/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bond.h"
#include "conn.h"
#include "container.h"
#include "device.h"
#include "events.h"
#include "identify.h"
#include "log.h"
#include "mutation.h"
#include "peer.h"

static void client_free_now(struct client *client)
{
	if (client->pidfd >= 0)
		close(client->pidfd);
	free(client->groups);
	free(client);
}

static void on_pidfd_closed(uv_handle_t *handle)
{
	client_free_now(container_of((uv_poll_t *)handle, struct client, pidfd_poll));
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
	struct client *client = container_of(poll, struct client, pidfd_poll);

	(void)status;
	(void)events;
	uv_poll_stop(poll);
	client_end(client, SVAB_CAUSE_CLIENT_GONE);
}

static int client_init(struct broker *broker, uid_t uid, struct client **ret)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->broker = broker;
	client->pidfd = -1;
	client->uid = uid;
	client->since_ns = now_ns();
	list_init(&client->ctxs);
	list_init(&client->link);
	list_init(&client->container_link);
	list_init(&client->stranger_link);
	client->user = user_get(broker, uid);
	if (!client->user) {
		free(client);
		return -ENOMEM;
	}
	*ret = client;
	return 0;
}

static void client_register(struct client *client)
{
	struct broker *broker = client->broker;

	idmap_insert(&broker->clients, &client->node, ++broker->last_client_id);
	list_append(&broker->client_list, &client->link);
}

static int client_follow(struct client *client)
{
	int r = uv_poll_init(&client->broker->loop, &client->pidfd_poll, client->pidfd);

	/* Starting one that was initialised cannot fail. */
	return r < 0 ? r : uv_poll_start(&client->pidfd_poll, UV_READABLE, on_pidfd);
}

int client_new(struct broker *broker, const struct peer *peer, struct client **ret)
{
	struct client *client;
	int r;

	r = client_init(broker, peer->uid, &client);
	if (r < 0) {
		close(peer->pidfd);
		return r;
	}
	client->pid = peer->pid;
	client->gid = peer->gid;
	client->netns_cookie = peer->netns_cookie;
	client->pidfd = peer->pidfd;
	r = client_follow(client);
	if (r < 0) {
		user_put(client->user);
		client_free_now(client);
		return r;
	}
	client_register(client);
	*ret = client;
	return 0;
}

int client_new_listed(struct broker *broker, pid_t pid, uid_t uid, gid_t gid, struct client **ret)
{
	struct client *client;
	int r;

	r = client_init(broker, uid, &client);
	if (r < 0)
		return r;
	client->pid = pid;
	client->gid = gid;
	client->expected = true;
	if (peer_open(pid, uid, &client->pidfd) == 0) {
		r = client_follow(client);
		if (r < 0) {
			user_put(client->user);
			client_free_now(client);
			return r;
		}
		client->groups_known = peer_proc_groups(pid, &client->groups, &client->n_groups) == 0;
	}
	client_register(client);
	identify_listed(client);
	*ret = client;
	return 0;
}

struct client *client_find(struct broker *broker, uint64_t id)
{
	struct idmap_node *node = idmap_find(&broker->clients, id);

	return node ? container_of(node, struct client, node) : NULL;
}

void client_maybe_free(struct client *client)
{
	if (client->freeing || client->conn || !client->gone || !list_empty(&client->ctxs))
		return;
	client->freeing = true;
	identify_cancel(client);
	idmap_remove(&client->broker->clients, &client->node);
	list_remove(&client->link);
	container_leave(client);
	user_put(client->user);
	client->user = NULL;
	if (client->pidfd >= 0)
		uv_close((uv_handle_t *)&client->pidfd_poll, on_pidfd_closed);
	else
		client_free_now(client);
}

void client_end(struct client *client, enum svab_cause cause)
{
	struct list *pos, *tmp;

	if (!client->gone) {
		client->gone = true;
		client->expected = false;
		client->broker->counters.clients_gone++;
		/* First of all: what it was bound to must stop. */
		list_for_each_safe(pos, tmp, &client->ctxs)
			ctx_revoke(container_of(pos, struct ctx, link), cause);
		event_client(client, SVAD__V1__EVENT_KIND__EVENT_CLIENT_GONE, "");
		container_client_gone(client);
		if (client->conn)
			conn_close(client->conn, false);
	}
	client_maybe_free(client);
}

void client_expect(struct client *client)
{
	client->conn = NULL;
	if (client->gone || list_empty(&client->ctxs)) {
		client_end(client, SVAB_CAUSE_CLIENT_GONE);
		return;
	}
	client->expected = true;
}

void client_adopt(struct client *to, struct client *from)
{
	struct list *pos, *tmp, *h;

	list_for_each_safe(pos, tmp, &from->ctxs) {
		struct ctx *ctx = container_of(pos, struct ctx, link);

		list_remove(&ctx->link);
		list_append(&to->ctxs, &ctx->link);
		ctx->client = to;
		list_for_each(h, &ctx->holds) {
			struct bond *bond = container_of(h, struct hold, link)->bond;

			if (bond && bond->client == from->node.id)
				bond->client = to->node.id;
			if (bond && to->container)
				container_bond_added(to->container, bond);
		}
	}
	to->ctx = from->ctx;
	from->ctx = NULL;
	/* The uid is the same; the container is, or could not be told yet. */
	charge_hold(to, (int)from->bonds);
	charge_hold(from, -(int)from->bonds);
	to->faults += from->faults;
	to->errors += from->errors;
	from->gone = true;
	from->expected = false;
	client_maybe_free(from);
}

/* What cannot be told is the host's. Of a client that a listing named only its process is known. */
static bool foreign(const struct client *client)
{
	uint64_t host = client->broker->host_cookie;

	if (client->container || !host || MUTATED("policy-foreign-root"))
		return false;
	return (client->netns_cookie && client->netns_cookie != host) ||
	       (client->process_cookie && client->process_cookie != host);
}

void client_subject(struct client *client, struct policy_subject *ret)
{
	if (!client->groups_known && client->conn) {
		/* Without them a policy by group just does not apply. */
		if (peer_groups(client->conn->fd, &client->groups, &client->n_groups) < 0)
			client->n_groups = 0;
		client->groups_known = true;
	}
	*ret = (struct policy_subject){
		.uid = client->uid,
		.gid = client->gid,
		.groups = client->groups,
		.n_groups = client->n_groups,
		.daemon_uid = client->broker->info.daemon_uid,
		.foreign = foreign(client),
	};
}

void client_policy(struct client *client, const struct device *device, struct policy_verdict *ret)
{
	struct policy_subject who;

	if (client->container && !MUTATED("container-host-policy")) {
		container_check(client->container, client, device, ret);
		return;
	}
	client_subject(client, &who);
	policy_check(client->broker->config, &who, device->info.name, ret);
}

unsigned client_draining(const struct client *client, unsigned *ret_quarantined)
{
	struct list *c, *h;
	unsigned draining = 0, quarantined = 0;

	list_for_each(c, &client->ctxs) {
		struct ctx *ctx = container_of(c, struct ctx, link);

		list_for_each(h, &ctx->holds) {
			struct hold *hold = container_of(h, struct hold, link);

			if (hold->bond && drain_active(&hold->bond->drain))
				draining++;
			if (hold->bond && hold->bond->drain.state == SVAB_PASID_QUARANTINED)
				quarantined++;
		}
	}
	*ret_quarantined = quarantined;
	return draining;
}
