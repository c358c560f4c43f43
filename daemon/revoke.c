/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Revoke and ResetDevice: administrators' requests that are answered when the drains that they caused have
 * ended. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../proto/status.h"
#include "bond.h"
#include "client.h"
#include "container.h"
#include "device.h"
#include "events.h"
#include "rpc.h"

struct revoke_waiter {
	struct drain_waiter waiter;
	struct revoke_op *op;
	struct revoke_waiter *next; /* of all that the op has, for freeing */
};

struct revoke_op {
	struct op op;
	uv_timer_t timer;
	struct revoke_waiter *waiters;
	uint32_t ended, clean, quarantined;
	uint64_t slowest_ns;
	uint32_t timeout_ms;
	bool started;
};

static void revoke_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct revoke_op, timer));
}

static void revoke_free(struct op *op)
{
	struct revoke_op *r = container_of(op, struct revoke_op, op);

	while (r->waiters) {
		struct revoke_waiter *w = r->waiters;

		r->waiters = w->next;
		drain_unwait(&w->waiter);
		free(w);
	}
	uv_close((uv_handle_t *)&r->timer, revoke_closed);
}

static void revoke_answer(struct revoke_op *r, bool timed_out)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__RevokeReply body = SVAD__V1__REVOKE_REPLY__INIT;

	body.ended = r->ended;
	body.clean = r->clean;
	body.quarantined = r->quarantined;
	body.pending = r->ended - r->clean - r->quarantined;
	body.slowest_ns = r->slowest_ns;
	if (timed_out) {
		status.code = SVAD_DEADLINE_EXCEEDED;
		status.message = (char *)(uintptr_t) "Some bonds have not ended in time; they go on "
						     "draining. svadctl bond list shows them.";
		reply.status = &status;
	}
	reply.id = r->op.id;
	reply.body_case = SVAD__V1__REPLY__BODY_REVOKE;
	reply.revoke = &body;
	conn_reply(r->op.conn, &reply, -1);
	op_done(&r->op);
	revoke_free(&r->op);
}

static void revoke_maybe_answer(struct revoke_op *r)
{
	if (r->started && r->op.conn && r->clean + r->quarantined == r->ended)
		revoke_answer(r, false);
}

static void revoke_done(struct drain_waiter *waiter, enum svab_pasid_state state, uint64_t took_ns)
{
	struct revoke_op *r = container_of(waiter, struct revoke_waiter, waiter)->op;

	if (state == SVAB_PASID_CLEAN)
		r->clean++;
	else
		r->quarantined++;
	if (took_ns > r->slowest_ns)
		r->slowest_ns = took_ns;
	revoke_maybe_answer(r);
}

/* The deadline of an administrator who waits for a quarantined bond: what is still quarantined then, is. */
static void revoke_timeout(uv_timer_t *timer)
{
	struct revoke_op *r = container_of(timer, struct revoke_op, timer);
	struct revoke_waiter *w;

	for (w = r->waiters; w; w = w->next)
		if (w->waiter.link && w->waiter.clean_only) {
			drain_unwait(&w->waiter);
			r->quarantined++;
		}
	revoke_answer(r, r->clean + r->quarantined != r->ended);
}

static int revoke_bond(struct revoke_op *r, struct bond *bond)
{
	struct backend *backend = bond->broker->backend;
	struct revoke_waiter *w = calloc(1, sizeof(*w));
	uint32_t deadline = device_deadline_ms(bond->device);

	if (!w)
		return -ENOMEM;
	w->op = r;
	w->next = r->waiters;
	r->waiters = w;
	w->waiter.done = revoke_done;
	/* A quarantined one is asked to stop once more, and only CLEAN is news. */
	w->waiter.clean_only = bond->drain.state == SVAB_PASID_QUARANTINED;
	r->ended++;
	if (deadline + 1000 > r->timeout_ms)
		r->timeout_ms = deadline + 1000;
	drain_wait(&bond->drain, &w->waiter);
	if (!drain_active(&bond->drain))
		return backend->ops->bond_revoke(backend, bond->node.id, SVAB_CAUSE_ADMIN);
	return 0;
}

static bool revoke_matches(const struct bond *bond, const Svad__V1__Revoke *ask,
			   const struct container *container)
{
	const struct list *pos;

	if (container)
		return bond->container == container;
	if (ask->bond)
		return bond->node.id == ask->bond;
	if (ask->device[0])
		return strcmp(bond->device->info.name, ask->device) == 0;
	if (ask->has_uid)
		return bond->uid == ask->uid;
	if (ask->client) {
		list_for_each(pos, &bond->holds)
			if (container_of(pos, struct hold, bond_link)->ctx->client->node.id == ask->client)
				return true;
		return false;
	}
	return ask->all;
}

/* True when exactly one target is named and it exists; else answered. */
static bool revoke_check(struct conn *conn, const Svad__V1__Request *request,
			 struct container **ret_container)
{
	const Svad__V1__Revoke *ask = request->revoke;
	struct broker *broker = conn->broker;
	int targets = (ask->bond != 0) + (ask->client != 0) + (ask->device[0] != '\0') + ask->has_uid +
		      ask->all + (ask->container[0] != '\0');

	if (targets != 1) {
		conn_error(conn, request->id, SVAD_INVALID_ARGUMENT,
			   "Name exactly one of a bond, a client, a device, a uid, a container, or all.");
		return false;
	}
	if (ask->container[0]) {
		int r = container_by_name(broker, ask->container, false, ret_container);

		if (r < 0) {
			conn_error(conn, request->id,
				   r == -EEXIST ? SVAD_FAILED_PRECONDITION : SVAD_NOT_FOUND,
				   r == -EEXIST ? "'%s' is the beginning of several containers' ids; give more of it."
						: "There is no container '%s'; svadctl container list shows those "
						  "there are.",
				   ask->container);
			return false;
		}
	}
	if (ask->bond && !bond_find(broker, ask->bond)) {
		conn_error(
			conn, request->id, SVAD_NOT_FOUND,
			"There is no bond %llu; it may have ended. svadctl bond list shows those there are.",
			(unsigned long long)ask->bond);
		return false;
	}
	if (ask->client && !client_find(broker, ask->client)) {
		conn_error(conn, request->id, SVAD_NOT_FOUND,
			   "There is no client %llu; svadctl client list shows those there are.",
			   (unsigned long long)ask->client);
		return false;
	}
	if (ask->device[0] && !device_find_name(broker, ask->device)) {
		conn_error(conn, request->id, SVAD_NOT_FOUND,
			   "There is no device '%s'; svadctl device list names those there are.",
			   ask->device);
		return false;
	}
	if (!broker->backend || !broker->backend->is_synced) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE,
			   "The device backend is starting or being restarted; try again in a moment.");
		return false;
	}
	return true;
}

/* Grants that were not used yet end too: nobody named here may bind on what was given before. */
static void revoke_grants(struct broker *broker, const Svad__V1__Revoke *ask, const struct container *container)
{
	struct list *c, *x, *h, *htmp;

	list_for_each(c, &broker->client_list) {
		struct client *client = container_of(c, struct client, link);

		if (ask->bond || (ask->client && client->node.id != ask->client) ||
		    (ask->has_uid && client->uid != ask->uid) ||
		    (container && client->container != container))
			continue;
		list_for_each(x, &client->ctxs) {
			struct ctx *ctx = container_of(x, struct ctx, link);

			list_for_each_safe(h, htmp, &ctx->holds) {
				struct hold *hold = container_of(h, struct hold, link);
				struct device *device = hold->device;

				if (hold->bond || (ask->device[0] && strcmp(device->info.name, ask->device) != 0))
					continue;
				broker->backend->ops->ctx_revoke_grant(broker->backend, ctx->node.id,
								       device->info.id);
				hold_free(hold);
			}
		}
	}
}

void rpc_revoke(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__Revoke *ask = request->revoke;
	struct broker *broker = conn->broker;
	struct container *container = NULL;
	struct revoke_op *r;
	struct list *pos, *tmp;
	int err;

	/* What was bound before this was asked, we may not have read yet: it is meant too. */
	if (broker->backend)
		broker->backend->ops->catch_up(broker->backend);
	if (!revoke_check(conn, request, &container))
		return;
	r = calloc(1, sizeof(*r));
	err = r ? op_init(&r->op, conn, request->id, revoke_free) : -ENOMEM;
	if (err < 0) {
		free(r);
		conn_in_flight(conn, request->id);
		return;
	}
	uv_timer_init(&broker->loop, &r->timer);
	list_for_each_safe(pos, tmp, &broker->bond_list) {
		struct bond *bond = container_of(pos, struct bond, link);

		if (!revoke_matches(bond, ask, container))
			continue;
		err = revoke_bond(r, bond);
		if (err < 0)
			break;
	}
	if (err < 0) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE, "Only %u bonds were revoked: %s; ask again.",
			   r->ended, uv_strerror(err));
		op_done(&r->op);
		revoke_free(&r->op);
		return;
	}
	revoke_grants(broker, ask, container);
	uv_timer_start(&r->timer, revoke_timeout, ask->timeout_ms ? ask->timeout_ms : r->timeout_ms, 0);
	r->started = true;
	revoke_maybe_answer(r);
}

/* ---- reset ---- */

struct reset_op {
	struct op op;
	struct broker *broker;
	uint32_t device;
	uv_timer_t timer;
	bool answered; /* the backend's answer is still to come, and nobody waits for it */
};

static void reset_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct reset_op, timer));
}

/* The connection is gone. The object stays for the backend's answer. */
static void reset_cancel(struct op *op)
{
	struct reset_op *r = container_of(op, struct reset_op, op);

	r->answered = true;
	uv_timer_stop(&r->timer);
}

static void reset_timeout(uv_timer_t *timer)
{
	struct reset_op *r = container_of(timer, struct reset_op, timer);

	conn_error(r->op.conn, r->op.id, SVAD_DEADLINE_EXCEEDED,
		   "The device has not finished its reset yet; svadctl device show tells when it has.");
	op_done(&r->op);
	r->answered = true;
}

static void reset_done(void *userdata, int result, const struct svab_dev_reset *reset)
{
	struct reset_op *r = userdata;
	struct device *device = device_find(r->broker, r->device);

	if (device)
		device->resetting = false;
	if (!r->answered) {
		if (result < 0) {
			conn_error(r->op.conn, r->op.id,
				   result == -EOPNOTSUPP ? SVAD_FAILED_PRECONDITION : SVAD_UNAVAILABLE,
				   result == -EOPNOTSUPP ? "This device cannot be reset%s."
							 : "The reset failed: %s.",
				   result == -EOPNOTSUPP ? "" : uv_strerror(result));
		} else {
			Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
			Svad__V1__ResetDeviceReply body = SVAD__V1__RESET_DEVICE_REPLY__INIT;

			body.clean = reset->clean;
			body.quarantined = reset->quarantined;
			reply.id = r->op.id;
			reply.body_case = SVAD__V1__REPLY__BODY_RESET_DEVICE;
			reply.reset_device = &body;
			conn_reply(r->op.conn, &reply, -1);
		}
		op_done(&r->op);
	}
	uv_close((uv_handle_t *)&r->timer, reset_closed);
}

void rpc_reset_device(struct conn *conn, const Svad__V1__Request *request)
{
	struct broker *broker = conn->broker;
	struct device *device = device_find_name(broker, request->reset_device->device);
	struct reset_op *r;
	int err;

	if (!device) {
		conn_error(conn, request->id, SVAD_NOT_FOUND,
			   "There is no device '%s'; svadctl device list names those there are.",
			   request->reset_device->device);
		return;
	}
	if (!broker->backend || !broker->backend->is_synced) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE,
			   "The device backend is starting or being restarted; try again in a moment.");
		return;
	}
	if (!(device->info.caps & SVAB_DEV_CAP_CAN_RESET)) {
		conn_error(conn, request->id, SVAD_FAILED_PRECONDITION, "Device '%s' cannot be reset.",
			   device->info.name);
		return;
	}
	/* The backend would refuse a second one, and that answer would pass for the end of the first. */
	if (device->resetting) {
		conn_error(
			conn, request->id, SVAD_UNAVAILABLE,
			"Device '%s' is being reset already; svadctl device show tells when that has ended.",
			device->info.name);
		return;
	}
	r = calloc(1, sizeof(*r));
	err = r ? op_init(&r->op, conn, request->id, reset_cancel) : -ENOMEM;
	if (err < 0) {
		free(r);
		conn_in_flight(conn, request->id);
		return;
	}
	r->broker = broker;
	r->device = device->info.id;
	uv_timer_init(&broker->loop, &r->timer);
	err = broker->backend->ops->dev_reset(broker->backend, device->info.id, reset_done, r);
	if (err < 0) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE,
			   "The backend cannot be asked now: %s; try again.", uv_strerror(err));
		op_done(&r->op);
		uv_close((uv_handle_t *)&r->timer, reset_closed);
		return;
	}
	device->resetting = true;
	uv_timer_start(&r->timer, reset_timeout,
		       request->reset_device->timeout_ms ? request->reset_device->timeout_ms : 10000, 0);
}
