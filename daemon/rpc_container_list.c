/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ListContainers and ReconcileContainers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../proto/status.h"
#include "bond.h"
#include "client.h"
#include "container_private.h"
#include "container_timeline.h"
#include "reconcile.h"
#include "rpc_container.h"

/* A row, and all that it points to. */
struct row {
	Svad__V1__Container msg;
	Svad__V1__ContainerLimits limits;
	Svad__V1__Attachment *attachments, **attachment_pointers;
	char **devices;
	Svad__V1__TimelineEntry *entries, **entry_pointers;
	Svad__V1__BondEnd *ends;
	Svad__V1__Attachment *entry_attachments;
};

static void row_free(struct row *row)
{
	free(row->attachments);
	free(row->attachment_pointers);
	free(row->devices);
	free(row->entries);
	free(row->entry_pointers);
	free(row->ends);
	free(row->entry_attachments);
}

static bool row_attachments(struct row *row, const struct container *c)
{
	size_t n = 0, globs = 0;
	const struct list *pos;

	list_for_each(pos, &c->attachments) {
		n++;
		globs += container_of(pos, struct attachment, link)->n_devices;
	}
	row->attachments = calloc(n + 1, sizeof(*row->attachments));
	row->attachment_pointers = calloc(n + 1, sizeof(*row->attachment_pointers));
	row->devices = calloc(globs + 1, sizeof(*row->devices));
	if (!row->attachments || !row->attachment_pointers || !row->devices)
		return false;
	row->msg.attachments = row->attachment_pointers;
	row->msg.devices = row->devices;
	list_for_each(pos, &c->attachments) {
		const struct attachment *a = container_of(pos, struct attachment, link);
		Svad__V1__Attachment *msg = &row->attachments[row->msg.n_attachments];

		if (!row->msg.n_attachments)
			row->msg.by = a->by;
		svad__v1__attachment__init(msg);
		msg->network = (char *)(uintptr_t)a->key.network;
		msg->container_id = (char *)(uintptr_t)a->key.container_id;
		msg->ifname = (char *)(uintptr_t)a->key.ifname;
		row->attachment_pointers[row->msg.n_attachments++] = msg;
		for (size_t i = 0; i < a->n_devices; i++) {
			size_t k;

			for (k = 0; k < row->msg.n_devices && strcmp(row->devices[k], a->devices[i]) != 0;
			     k++)
				;
			if (k == row->msg.n_devices)
				row->devices[row->msg.n_devices++] = a->devices[i];
		}
	}
	return true;
}

static bool row_timeline(struct row *row, const struct container *c)
{
	const struct timeline *t = c->timeline;

	row->entries = calloc(t->n + 1, sizeof(*row->entries));
	row->entry_pointers = calloc(t->n + 1, sizeof(*row->entry_pointers));
	row->ends = calloc(t->n + 1, sizeof(*row->ends));
	row->entry_attachments = calloc(t->n + 1, sizeof(*row->entry_attachments));
	if (!row->entries || !row->entry_pointers || !row->ends || !row->entry_attachments)
		return false;
	row->msg.timeline = row->entry_pointers;
	for (size_t i = 0; i < t->n; i++) {
		const struct timeline_entry *e = &t->entries[i];
		Svad__V1__TimelineEntry *msg = &row->entries[i];

		svad__v1__timeline_entry__init(msg);
		msg->kind = e->kind;
		msg->monotonic_ns = e->monotonic_ns;
		msg->realtime_ns = e->realtime_ns;
		msg->text = (char *)(uintptr_t)e->text;
		msg->client = e->client;
		msg->pid = e->pid;
		if (e->end.bond) {
			msg->bond = &row->ends[i];
			bond_end_fill(&e->end, msg->bond);
		}
		if (e->network) {
			msg->attachment = &row->entry_attachments[i];
			svad__v1__attachment__init(msg->attachment);
			msg->attachment->network = e->network;
			msg->attachment->container_id = e->container_id;
			msg->attachment->ifname = e->ifname;
		}
		row->entry_pointers[row->msg.n_timeline++] = msg;
	}
	return true;
}

static bool row_make(struct row *row, struct container *c, bool timeline)
{
	Svad__V1__Container *msg = &row->msg;
	struct policy_limits limits;
	const char *policy;
	const struct list *pos;

	memset(row, 0, sizeof(*row));
	svad__v1__container__init(msg);
	msg->id = c->id;
	msg->name = c->name;
	msg->pod_namespace = c->pod_namespace;
	msg->pod_name = c->pod_name;
	msg->pod_uid = c->pod_uid;
	msg->netns_cookie = c->cookie;
	msg->netns_inode = c->netns_inode;
	msg->netns_path = c->netns_path;
	svad__v1__container_limits__init(&row->limits);
	container_limits_get(c, NULL, &limits, &policy);
	row->limits.bonds = limits.bonds;
	row->limits.connections = limits.connections;
	row->limits.requests_per_second = limits.requests_per_second;
	row->limits.drain_deadline_ms = limits.drain_deadline_ms;
	msg->limits = &row->limits;
	msg->policy = (char *)(uintptr_t)(policy ? policy : "");
	msg->state = c->state;
	msg->clients = c->n_clients;
	msg->connections = c->connections;
	msg->bonds = c->bonds;
	list_for_each(pos, &c->bond_list) {
		const struct bond *bond = container_of(pos, struct bond, container_link);

		msg->draining += drain_active(&bond->drain);
		msg->quarantined += bond->drain.state == SVAB_PASID_QUARANTINED;
	}
	msg->faults = c->faults;
	msg->requests = c->requests;
	msg->refused = c->refused;
	msg->age_ns = now_ns() - c->since_ns;
	msg->cgroup_ids = c->cgroup_ids;
	msg->n_cgroup_ids = c->n_cgroup_ids;
	msg->pid = c->pid;
	return row_attachments(row, c) && (!timeline || row_timeline(row, c));
}

/* A row that would not fit a packet by itself: what there is most of is cut short, the timeline in its
 * middle. */
static size_t row_fit(struct row *row)
{
	Svad__V1__Container *msg = &row->msg;
	size_t size;

	while ((size = svad__v1__container__get_packed_size(msg)) + PAGE_ROW > PAGE_BYTES) {
		if (msg->n_timeline > 16) {
			memmove(&msg->timeline[8], &msg->timeline[9],
				(msg->n_timeline - 9) * sizeof(msg->timeline[0]));
			msg->n_timeline--;
		} else if (msg->n_devices > 16) {
			msg->n_devices -= 16;
		} else if (msg->n_attachments > 1) {
			msg->n_attachments--;
		} else {
			break;
		}
	}
	return size + PAGE_ROW;
}

static bool has_network(const struct container *c, const char *network)
{
	const struct list *pos;

	list_for_each(pos, &c->attachments)
		if (strcmp(container_of(pos, struct attachment, link)->key.network, network) == 0)
			return true;
	return false;
}

struct page {
	struct row *rows[PAGE_MAX];
	Svad__V1__Container *pointers[PAGE_MAX];
	size_t n, bytes;
	uint64_t next;
	uint32_t size;
	bool nomem;
};

/* False: the page is full, or there is no memory. */
static bool page_add(struct page *page, struct container *c, bool timeline)
{
	struct row *row;
	size_t bytes;

	if (page->n == page->size) {
		page->next = page->pointers[page->n - 1]->id;
		return false;
	}
	row = malloc(sizeof(*row));
	if (!row || !row_make(row, c, timeline)) {
		if (row)
			row_free(row);
		free(row);
		page->nomem = true;
		return false;
	}
	bytes = row_fit(row);
	if (page->bytes + bytes > PAGE_BYTES && page->n) {
		row_free(row);
		free(row);
		page->next = page->pointers[page->n - 1]->id;
		return false;
	}
	page->bytes += bytes;
	page->rows[page->n] = row;
	page->pointers[page->n++] = &row->msg;
	return true;
}

/* The one that was asked for by its name or attachment; NULL: answered. */
static struct container *list_one(struct conn *conn, uint64_t id, const Svad__V1__ListContainers *ask)
{
	struct container *c = NULL;
	int r;

	if (ask->attachment) {
		struct attachment_key key = { ask->attachment->network, ask->attachment->container_id,
					      ask->attachment->ifname };
		struct attachment *a = attachment_find(conn->broker, &key, ask->removed);

		if (a)
			return a->container;
		conn_error(conn, id, SVAD_NOT_FOUND,
			   "There is no attachment %s/%s/%s; svadctl container list shows those there are.",
			   key.network, key.container_id, key.ifname);
		return NULL;
	}
	r = container_by_name(conn->broker, ask->only, ask->removed, &c);
	if (r == -EEXIST)
		conn_error(conn, id, SVAD_FAILED_PRECONDITION,
			   "'%s' is the beginning of several containers' ids; give more of it.", ask->only);
	else if (r < 0)
		conn_error(conn, id, SVAD_NOT_FOUND,
			   "There is no container '%s'; svadctl container list shows those there are%s.",
			   ask->only, ask->removed ? "" : ", with --removed those that were");
	return r < 0 ? NULL : c;
}

void rpc_list_containers(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__ListContainers *ask = request->list_containers;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__ListContainersReply body = SVAD__V1__LIST_CONTAINERS_REPLY__INIT;
	uint64_t after = ask->page ? ask->page->after : 0;
	struct page page = { .size = page_size(ask->page) };
	struct list *pos;

	if (ask->only[0] || ask->attachment) {
		struct container *c = list_one(conn, request->id, ask);

		if (!c)
			return;
		page_add(&page, c, ask->timeline);
	} else {
		list_for_each(pos, &conn->broker->registry.all) {
			struct container *c = container_of(pos, struct container, link);

			if (c->id <= after ||
			    (c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED && !ask->removed) ||
			    (ask->network[0] && !has_network(c, ask->network)))
				continue;
			if (!page_add(&page, c, false))
				break;
		}
	}
	if (page.nomem) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE, "svad is out of memory; try again.");
	} else {
		body.containers = page.pointers;
		body.n_containers = page.n;
		body.next = page.next;
		reply.id = request->id;
		reply.body_case = SVAD__V1__REPLY__BODY_LIST_CONTAINERS;
		reply.list_containers = &body;
		conn_reply(conn, &reply, -1);
	}
	for (size_t i = 0; i < page.n; i++) {
		row_free(page.rows[i]);
		free(page.rows[i]);
	}
}

/* ---- ReconcileContainers ---- */

struct reconcile_op {
	struct op op;
	struct reconcile_waiter waiter;
};

static void reconcile_gone(struct op *op)
{
	struct reconcile_op *r = container_of(op, struct reconcile_op, op);

	reconcile_cancel(&r->waiter);
	free(r);
}

static void reconcile_done(struct reconcile_waiter *waiter, int error, const struct reconciled *result)
{
	struct reconcile_op *r = container_of(waiter, struct reconcile_op, waiter);
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__ReconcileContainersReply body = SVAD__V1__RECONCILE_CONTAINERS_REPLY__INIT;

	if (error) {
		conn_error(r->op.conn, r->op.id,
			   error == ETIMEDOUT ? SVAD_DEADLINE_EXCEEDED : SVAD_UNAVAILABLE, "%s",
			   reconcile_why(error));
	} else {
		body.looked_at = result->looked_at;
		body.removed = result->removed;
		body.names = (char **)(uintptr_t)result->names;
		/* They are the first of them; the count tells of all. */
		body.n_names = result->n_names < PAGE_MAX ? result->n_names : PAGE_MAX;
		reply.id = r->op.id;
		reply.body_case = SVAD__V1__REPLY__BODY_RECONCILE_CONTAINERS;
		reply.reconcile_containers = &body;
		conn_reply(r->op.conn, &reply, -1);
	}
	op_done(&r->op);
	free(r);
}

void rpc_reconcile_containers(struct conn *conn, const Svad__V1__Request *request)
{
	struct reconcile_op *r = calloc(1, sizeof(*r));
	int err = r ? op_init(&r->op, conn, request->id, reconcile_gone) : -ENOMEM;

	if (err < 0) {
		free(r);
		conn_in_flight(conn, request->id);
		return;
	}
	r->waiter.done = reconcile_done;
	reconcile_now(conn->broker, &r->waiter);
}
