/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RegisterContainer and RemoveContainer: answered when what they changed is stored, and a removal when its
 * bonds have ended. */
#include "rpc_container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../proto/status.h"
#include "bond.h"
#include "client.h"
#include "container_private.h"
#include "container_store.h"
#include "container_timeline.h"
#include "device.h"

/* ---- what may be said ---- */

static bool valid_id(const char *id)
{
	size_t len = strlen(id);

	if (!len || len > CONTAINER_NAME_MAX || strchr("_.-", id[0]))
		return false;
	return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

/* True when it can be one; else answered. whole: network and ifname must be named. */
static bool check_attachment(struct conn *conn, uint64_t id, const Svad__V1__Attachment *a, bool whole)
{
	if (!a || !valid_id(a->container_id)) {
		conn_error(conn, id, SVAD_INVALID_ARGUMENT,
			   "An attachment has a container id of 1 to %u letters, digits, '_', '.' and '-', "
			   "the first "
			   "a letter or digit.",
			   CONTAINER_NAME_MAX);
		return false;
	}
	if (strlen(a->network) > CONTAINER_NAME_MAX || strlen(a->ifname) > CONTAINER_IFNAME_MAX ||
	    (whole && !a->network[0])) {
		conn_error(conn, id, SVAD_INVALID_ARGUMENT,
			   "An attachment's network has 1 to %u bytes, its ifname at most %u.",
			   CONTAINER_NAME_MAX, CONTAINER_IFNAME_MAX);
		return false;
	}
	return true;
}

static bool check_texts(struct conn *conn, uint64_t id, const Svad__V1__RegisterContainer *ask)
{
	const char *const texts[] = { ask->netns_path, ask->pod_namespace, ask->pod_name, ask->pod_uid };
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strlen(texts[i]) > CONTAINER_TEXT_MAX)
			break;
	if (i < sizeof(texts) / sizeof(texts[0]) || strlen(ask->by) > 63) {
		conn_error(conn, id, SVAD_INVALID_ARGUMENT,
			   "netns_path and what a pod is called have at most %u bytes each, by 63.",
			   CONTAINER_TEXT_MAX);
		return false;
	}
	if (ask->n_devices > CONTAINER_DEVICES_MAX) {
		conn_error(conn, id, SVAD_INVALID_ARGUMENT, "At most %u globs of devices, not %zu.",
			   CONTAINER_DEVICES_MAX, ask->n_devices);
		return false;
	}
	for (i = 0; i < ask->n_devices; i++)
		if (!ask->devices[i][0] || strlen(ask->devices[i]) >= SVAB_NAME_MAX) {
			conn_error(conn, id, SVAD_INVALID_ARGUMENT,
				   "A glob of device names has 1 to %u bytes, as the names have.",
				   (unsigned)SVAB_NAME_MAX - 1);
			return false;
		}
	return true;
}

static bool check_register(struct conn *conn, uint64_t id, const Svad__V1__RegisterContainer *ask)
{
	struct broker *broker = conn->broker;

	if (!check_attachment(conn, id, ask->attachment, true) || !check_texts(conn, id, ask))
		return false;
	if (!broker->host_cookie) {
		conn_error(conn, id, SVAD_FAILED_PRECONDITION,
			   "This kernel does not tell network namespaces by a cookie (Linux 5.14 does), so "
			   "containers "
			   "cannot be told apart: their clients follow the host's policies.");
		return false;
	}
	if (!ask->netns_cookie || !ask->netns_inode) {
		conn_error(conn, id, SVAD_INVALID_ARGUMENT,
			   "A container's netns is named by its cookie, st_dev and st_ino: see "
			   "sva_netns_identify().");
		return false;
	}
	if (ask->netns_cookie == broker->host_cookie) {
		conn_error(conn, id, SVAD_FAILED_PRECONDITION,
			   "'%s' is svad's own network namespace: a container that shares the host's (host "
			   "networking) has no registration, and its processes are clients of the host.",
			   ask->netns_path[0] ? ask->netns_path : "that");
		return false;
	}
	if (broker->shutting_down) {
		conn_error(conn, id, SVAD_UNAVAILABLE, "svad is shutting down; register when it is back.");
		return false;
	}
	return true;
}

/* ---- RegisterContainer ---- */

struct register_op {
	struct op op;
	struct broker *broker;
	struct store_waiter stored;
	struct registration_undo undo;
	bool existed;
};

/* Who asked has gone. The registration stands: its removal is the runtime's to ask for. */
static void register_cancel(struct op *op)
{
	(void)op;
}

static void register_answer(struct register_op *r)
{
	struct container *c = r->undo.container;
	struct conn *conn = r->op.conn;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__RegisterContainerReply body = SVAD__V1__REGISTER_CONTAINER_REPLY__INIT;
	char *names[PAGE_MAX];
	struct list *pos;

	body.container = c->id;
	body.existed = r->existed;
	body.devices = names;
	list_for_each(pos, &r->broker->device_list) {
		struct device *device = container_of(pos, struct device, link);
		struct policy_verdict verdict;

		if (body.n_devices == PAGE_MAX)
			break;
		container_check(c, NULL, device, &verdict);
		if (verdict.allowed)
			names[body.n_devices++] = device->info.name;
	}
	reply.id = r->op.id;
	reply.body_case = SVAD__V1__REPLY__BODY_REGISTER_CONTAINER;
	reply.register_container = &body;
	conn_reply(conn, &reply, -1);
}

static void register_stored(struct store_waiter *w, int error)
{
	struct register_op *r = container_of(w, struct register_op, stored);
	struct conn *conn = r->op.conn;

	if (r->broker->ending) {
		container_undo_free(&r->undo);
	} else if (error) {
		container_undo(&r->undo);
		if (conn)
			conn_error(conn, r->op.id, SVAD_UNAVAILABLE,
				   "The registry of containers cannot be stored: %s. Nothing was registered; "
				   "make room "
				   "in, or mend, [containers] state_dir (%s).",
				   strerror(-error), r->broker->config->containers_state_dir);
	} else {
		if (conn && r->undo.container->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE &&
		    container_has(r->undo.container, r->undo.made))
			register_answer(r);
		else if (conn)
			conn_error(conn, r->op.id, SVAD_ABORTED,
				   "The attachment was removed, or registered anew, while it was being "
				   "registered.");
		container_undo_free(&r->undo);
	}
	op_done(&r->op);
	free(r);
}

void rpc_register_container(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__RegisterContainer *ask = request->register_container;
	struct broker *broker = conn->broker;
	struct register_op *r;
	struct registration reg;
	int err;

	if (!check_register(conn, request->id, ask))
		return;
	reg = (struct registration){
		.key = { ask->attachment->network, ask->attachment->container_id, ask->attachment->ifname },
		.cookie = ask->netns_cookie,
		.netns_dev = ask->netns_dev,
		.netns_inode = ask->netns_inode,
		.netns_path = ask->netns_path,
		.pid = ask->pid > 0 ? ask->pid : 0,
		.pod_namespace = ask->pod_namespace,
		.pod_name = ask->pod_name,
		.pod_uid = ask->pod_uid,
		.devices = ask->devices,
		.n_devices = ask->n_devices,
		.by = ask->by,
	};
	if (ask->limits)
		reg.limits = (struct container_limits){
			.bonds = ask->limits->bonds,
			.connections = ask->limits->connections,
			.requests_per_second = ask->limits->requests_per_second,
			.drain_deadline_ms = ask->limits->drain_deadline_ms,
		};
	r = calloc(1, sizeof(*r));
	err = r ? op_init(&r->op, conn, request->id, register_cancel) : -ENOMEM;
	if (err < 0) {
		free(r);
		conn_in_flight(conn, request->id);
		return;
	}
	r->broker = broker;
	r->stored.done = register_stored;
	list_init(&r->stored.link);
	err = container_register(broker, &reg, &r->undo);
	if (err == -EBUSY)
		conn_limit(conn, request->id, "containers", CONTAINERS_MAX,
			   "svad keeps at most %u containers, and %u attachments of one; remove some.",
			   CONTAINERS_MAX, CONTAINER_ATTACHMENTS_MAX);
	else if (err < 0)
		conn_error(conn, request->id, SVAD_UNAVAILABLE, "svad is out of memory; try again.");
	if (err < 0) {
		op_done(&r->op);
		free(r);
		return;
	}
	r->existed = r->undo.replaced != NULL;
	store_wait(broker, &r->stored);
}

/* ---- RemoveContainer ---- */

struct remove_op;

/* One container of the removal: an id may be of several, when netnses were registered with the same. */
struct part {
	struct list link; /* container->removal_ops; alone: done */
	struct remove_op *remove;
	struct container *container; /* a reference */
	bool whole; /* its last attachment went: it has ended, whoever may have registered it anew since */
};

struct remove_op {
	struct op op;
	struct broker *broker;
	uv_timer_t timer;
	struct store_waiter stored;
	bool waits_for_store;
	int store_error;
	struct part *parts;
	size_t n_parts, waiting;
	uint32_t attachments_left;
	bool started;
};

static void remove_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct remove_op, timer));
}

static void remove_free(struct op *op)
{
	struct remove_op *r = container_of(op, struct remove_op, op);

	for (size_t i = 0; i < r->n_parts; i++) {
		list_remove(&r->parts[i].link);
		container_put(r->parts[i].container);
	}
	free(r->parts);
	r->parts = NULL;
	r->n_parts = 0;
	store_unwait(&r->stored);
	uv_close((uv_handle_t *)&r->timer, remove_closed);
}

void bond_end_fill(const struct bond_end *end, Svad__V1__BondEnd *msg)
{
	svad__v1__bond_end__init(msg);
	msg->bond = end->bond;
	msg->device = (char *)(uintptr_t)end->device;
	msg->pasid = end->pasid;
	msg->state = (Svad__V1__PasidState)end->state;
	msg->duration_ns = end->duration_ns;
	msg->pid = end->pid;
	msg->cause = (Svad__V1__Cause)end->cause;
}

static void remove_fill(const struct remove_op *r, Svad__V1__RemoveContainerReply *body,
			Svad__V1__BondEnd messages[CONTAINER_ENDS_MAX],
			Svad__V1__BondEnd *pointers[CONTAINER_ENDS_MAX])
{
	body->known = true;
	body->attachments_left = r->attachments_left;
	body->bonds = pointers;
	for (size_t i = 0; i < r->n_parts; i++) {
		const struct removal *m = &r->parts[i].container->removal;

		if (!r->parts[i].whole)
			continue; /* other attachments are left of it, and it goes on */
		body->ended += m->ended;
		body->clean += m->clean;
		body->quarantined += m->quarantined;
		if (m->slowest_ns > body->slowest_ns)
			body->slowest_ns = m->slowest_ns;
		for (uint32_t k = 0; k < m->n_ends && body->n_bonds < CONTAINER_ENDS_MAX; k++) {
			pointers[body->n_bonds] = &messages[body->n_bonds];
			bond_end_fill(&m->ends[k], &messages[body->n_bonds++]);
		}
	}
	body->pending = body->ended - body->clean - body->quarantined;
}

static void remove_answer(struct remove_op *r, bool timed_out)
{
	static Svad__V1__BondEnd messages[CONTAINER_ENDS_MAX], *pointers[CONTAINER_ENDS_MAX]; /* one thread */
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__RemoveContainerReply body = SVAD__V1__REMOVE_CONTAINER_REPLY__INIT;
	char text[256];

	remove_fill(r, &body, messages, pointers);
	if (timed_out) {
		status.code = SVAD_DEADLINE_EXCEEDED;
		status.message =
			(char *)(uintptr_t)(r->waiting ? "Some bonds have not ended in time; they go on "
							 "draining. "
							 "svadctl container show tells when they have."
						       : "The removal has not been stored in time.");
		reply.status = &status;
	} else if (r->store_error) {
		status.code = SVAD_UNAVAILABLE;
		snprintf(text, sizeof(text),
			 "Its bonds have ended, but that it was removed cannot be stored: %s. See "
			 "[containers] "
			 "state_dir.",
			 strerror(-r->store_error));
		status.message = text;
		reply.status = &status;
	}
	reply.id = r->op.id;
	reply.body_case = SVAD__V1__REPLY__BODY_REMOVE_CONTAINER;
	reply.remove_container = &body;
	conn_reply(r->op.conn, &reply, -1);
	op_done(&r->op);
	remove_free(&r->op);
}

static void remove_maybe_answer(struct remove_op *r)
{
	if (r->started && r->op.conn && !r->waiting && !r->waits_for_store)
		remove_answer(r, false);
}

static void remove_stored(struct store_waiter *w, int error)
{
	struct remove_op *r = container_of(w, struct remove_op, stored);

	r->waits_for_store = false;
	r->store_error = error;
	remove_maybe_answer(r);
}

static void remove_timeout(uv_timer_t *timer)
{
	remove_answer(container_of(timer, struct remove_op, timer), true);
}

void rpc_container_removed(struct container *c)
{
	while (!list_empty(&c->removal_ops)) {
		struct part *part = container_of(c->removal_ops.next, struct part, link);

		list_remove(&part->link);
		part->remove->waiting--;
		remove_maybe_answer(part->remove);
	}
}

static uint32_t slowest_deadline(const struct remove_op *r)
{
	uint32_t ms = r->broker->config->drain_deadline_ms;
	const struct list *pos;

	for (size_t i = 0; i < r->n_parts; i++)
		list_for_each(pos, &r->parts[i].container->bond_list) {
			uint32_t d =
				device_deadline_ms(container_of(pos, struct bond, container_link)->device);

			ms = d > ms ? d : ms;
		}
	return ms;
}

static int add_part(struct remove_op *r, struct container *c)
{
	struct part *parts;

	for (size_t i = 0; i < r->n_parts; i++)
		if (r->parts[i].container == c)
			return 0;
	parts = realloc(r->parts, (r->n_parts + 1) * sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	r->parts = parts;
	parts[r->n_parts++] = (struct part){ .remove = r, .container = container_ref(c) };
	return 0;
}

static int find_by_id(struct remove_op *r, const char *id, bool active)
{
	struct list *pos, *x;
	int err = 0;

	list_for_each(pos, &r->broker->registry.all) {
		struct container *c = container_of(pos, struct container, link);

		if ((c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE) != active)
			continue;
		list_for_each(x, &c->attachments)
			if (!err &&
			    strcmp(container_of(x, struct attachment, link)->key.container_id, id) == 0)
				err = add_part(r, c);
	}
	return err;
}

/* Everything that the request names; of what is gone already the last that is remembered. */
static int remove_find(struct remove_op *r, const Svad__V1__Attachment *ask, struct attachment **ret_one)
{
	struct attachment_key key = { ask->network, ask->container_id, ask->ifname };
	int err;

	*ret_one = NULL;
	if (ask->network[0] || ask->ifname[0]) {
		*ret_one = attachment_find(r->broker, &key, true);
		return *ret_one ? add_part(r, (*ret_one)->container) : 0;
	}
	err = find_by_id(r, ask->container_id, true);
	if (err || r->n_parts)
		return err;
	err = find_by_id(r, ask->container_id, false);
	/* The latest, which is the last. */
	for (; r->n_parts > 1; r->n_parts--) {
		container_put(r->parts[0].container);
		memmove(r->parts, r->parts + 1, (r->n_parts - 1) * sizeof(r->parts[0]));
	}
	return err;
}

static void remove_all_of(struct container *c, const char *id, const char *by)
{
	struct list *pos, *tmp;
	bool others = false;

	list_for_each(pos, &c->attachments)
		others |= strcmp(container_of(pos, struct attachment, link)->key.container_id, id) != 0;
	if (!others) {
		container_remove(c, NULL, SVAB_CAUSE_CONTAINER_GONE, by);
		return;
	}
	list_for_each_safe(pos, tmp, &c->attachments) {
		struct attachment *a = container_of(pos, struct attachment, link);

		if (strcmp(a->key.container_id, id) == 0)
			container_remove(c, a, SVAB_CAUSE_CONTAINER_GONE, by);
	}
}

static void remove_unknown(struct conn *conn, uint64_t id)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__RemoveContainerReply body = SVAD__V1__REMOVE_CONTAINER_REPLY__INIT;

	reply.id = id;
	reply.body_case = SVAD__V1__REPLY__BODY_REMOVE_CONTAINER;
	reply.remove_container = &body;
	conn_reply(conn, &reply, -1);
}

static uint32_t count_attachments(const struct container *c)
{
	const struct list *pos;
	uint32_t n = 0;

	if (c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE)
		list_for_each(pos, &c->attachments)
			n++;
	return n;
}

static void remove_run(struct remove_op *r, const Svad__V1__RemoveContainer *ask, struct attachment *one)
{
	const char *by = ask->by[0] ? ask->by : "an administrator";

	for (size_t i = 0; i < r->n_parts; i++) {
		struct part *part = &r->parts[i];
		struct container *c = part->container;

		list_init(&part->link);
		if (one)
			container_remove(c, one, SVAB_CAUSE_CONTAINER_GONE, by);
		else
			remove_all_of(c, ask->attachment->container_id, by);
		r->attachments_left += count_attachments(c);
		part->whole = c->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE;
		if (part->whole && c->removal.active) {
			list_append(&c->removal_ops, &part->link);
			r->waiting++;
		}
	}
}

void rpc_remove_container(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__RemoveContainer *ask = request->remove_container;
	struct broker *broker = conn->broker;
	struct attachment *one;
	struct remove_op *r;
	int err;

	if (!check_attachment(conn, request->id, ask->attachment, false))
		return;
	/* What was bound before this was asked, we may not have read yet: it is meant too. */
	if (broker->backend)
		broker->backend->ops->catch_up(broker->backend);
	r = calloc(1, sizeof(*r));
	err = r ? op_init(&r->op, conn, request->id, remove_free) : -ENOMEM;
	if (err < 0) {
		free(r);
		conn_in_flight(conn, request->id);
		return;
	}
	r->broker = broker;
	uv_timer_init(&broker->loop, &r->timer);
	list_init(&r->stored.link);
	r->stored.done = remove_stored;
	err = remove_find(r, ask->attachment, &one);
	for (size_t i = 0; i < r->n_parts; i++)
		list_init(&r->parts[i].link);
	if (err < 0 || !r->n_parts) {
		if (err < 0)
			conn_error(conn, request->id, SVAD_UNAVAILABLE, "svad is out of memory; try again.");
		else
			remove_unknown(conn, request->id);
		op_done(&r->op);
		remove_free(&r->op);
		return;
	}
	remove_run(r, ask, one);
	uv_timer_start(&r->timer, remove_timeout,
		       ask->timeout_ms ? ask->timeout_ms : slowest_deadline(r) + 1000, 0);
	r->waits_for_store = true;
	store_wait(broker, &r->stored);
	r->started = true;
	remove_maybe_answer(r);
}
