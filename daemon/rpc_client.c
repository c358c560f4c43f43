/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients ask. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "../proto/status.h"
#include "bond.h"
#include "client.h"
#include "container.h"
#include "device.h"
#include "events.h"
#include "rpc.h"

/* One in use, and earlier ones that drain. */
#define CTXS_PER_CLIENT 4

/* Takes over the ctx that the client says it holds, if nobody else stands for it: the broker or the
 * connection has been lost in between. The cookie is a secret of its process, and process and uid must be the
 * same: whoever else knows it gains nothing by it. */
static bool hello_resume(struct conn *conn, uint64_t cookie)
{
	struct client *client = conn->client;
	struct ctx *ctx = cookie ? ctx_find(conn->broker, cookie) : NULL;
	struct client *from = ctx ? ctx->client : NULL;

	if (!from)
		return false;
	if (from == client)
		return !ctx->revoked;
	if (from->conn || from->gone || ctx->revoked || from->uid != client->uid ||
	    from->pid != client->pid || !list_empty(&client->ctxs) ||
	    (from->container && from->container != client->container))
		return false;
	client_adopt(client, from);
	broker_enforce(conn->broker,
		       client); /* the settings may have changed while nobody could ask for its groups */
	return client->ctx == ctx;
}

void rpc_hello(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__Hello *hello = request->hello;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__HelloReply body = SVAD__V1__HELLO_REPLY__INIT;
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	uint32_t min = hello->min ? hello->min->major : 0, max = hello->max ? hello->max->major : 0;

	if (conn->hello) {
		conn_misbehaved(conn, "said Hello twice");
		conn_error(conn, request->id, SVAD_FAILED_PRECONDITION,
			   "Hello was said already on this connection.");
		return;
	}
	if (min > max || min > WIRE_VERSION_MAJOR || max < WIRE_VERSION_MAJOR) {
		conn_error(conn, request->id, SVAD_FAILED_PRECONDITION,
			   "This svad speaks version %u.%u of the protocol, the client %u to %u: install "
			   "matching versions of svad and libsvaclient.",
			   WIRE_VERSION_MAJOR, WIRE_VERSION_MINOR, min, max);
		return;
	}
	conn->hello = true;
	version.major = WIRE_VERSION_MAJOR;
	version.minor = WIRE_VERSION_MINOR;
	if (max == WIRE_VERSION_MAJOR && hello->max->minor < version.minor)
		version.minor = hello->max->minor;
	body.version = &version;
	body.server = (char *)(uintptr_t)("svad " PACKAGE_VERSION);
	if (conn->client) {
		struct client *client = conn->client;

		snprintf(client->program, sizeof(client->program), "%s", hello->program);
		wire_trim_text(client->program);
		body.context_known = hello_resume(conn, hello->context);
		body.client = client->node.id;
		body.max_bonds = conn->broker->config->bonds_per_client;
		event_client(client, SVAD__V1__EVENT_KIND__EVENT_CLIENT_CONNECTED, client->program);
	}
	reply.id = request->id;
	reply.body_case = SVAD__V1__REPLY__BODY_HELLO;
	reply.hello = &body;
	conn_reply(conn, &reply, -1);
}

void rpc_list_devices(struct conn *conn, const Svad__V1__Request *request)
{
	struct broker *broker = conn->broker;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__ListDevicesReply body = SVAD__V1__LIST_DEVICES_REPLY__INIT;
	Svad__V1__Device messages[PAGE_MAX], *pointers[PAGE_MAX];
	char reasons[PAGE_MAX][256];
	uint64_t after = request->list_devices->page ? request->list_devices->page->after : 0;
	uint32_t size = page_size(request->list_devices->page);
	struct list *pos;

	body.devices = pointers;
	list_for_each(pos, &broker->device_list) {
		struct device *device = container_of(pos, struct device, link);
		struct policy_verdict verdict;

		if (device->info.id <= after)
			continue;
		client_policy(conn->client, device, &verdict);
		if (!verdict.allowed)
			continue;
		if (body.n_devices == size) {
			body.next = pointers[size - 1]->id;
			break;
		}
		pointers[body.n_devices] = &messages[body.n_devices];
		device_fill(device, false, pointers[body.n_devices], reasons[body.n_devices]);
		body.n_devices++;
	}
	reply.id = request->id;
	reply.body_case = SVAD__V1__REPLY__BODY_LIST_DEVICES;
	reply.list_devices = &body;
	conn_reply(conn, &reply, -1);
}

/* ---- Bind ---- */

static const char *whom(const struct client *client, char *buf, size_t size)
{
	if (client->container)
		return container_describe(client->container, buf, size);
	snprintf(buf, size, "uid %u", (unsigned)client->uid);
	return buf;
}

static void bind_foreign(struct conn *conn, uint64_t id)
{
	conn_error(conn, id, SVAD_PERMISSION_DENIED,
		   "Without a [policy] in svad.conf devices are for svad's own network namespace, and this "
		   "process is in another, of no registered container: register it, or add a [policy] with "
		   "uid = %u.",
		   (unsigned)conn->client->uid);
}

static void bind_denied(struct conn *conn, uint64_t id, const struct policy_verdict *verdict,
			const char *device)
{
	char who[128];

	whom(conn->client, who, sizeof(who));
	if (verdict->why == POLICY_UNNAMED)
		conn_error(conn, id, SVAD_PERMISSION_DENIED,
			   "The %s was registered with other devices than '%s'; add it to devices in the "
			   "conf of its "
			   "CNI plugin, or to what svadctl container register is given.",
			   who, device);
	else if (verdict->why == POLICY_FOREIGN)
		bind_foreign(conn, id);
	else
		conn_error(conn, id, SVAD_PERMISSION_DENIED,
			   "Policy%s%s does not let %s use device '%s'; add a [policy] section%s "
			   "to svad.conf that does.",
			   verdict->policy ? " " : "", verdict->policy ? verdict->policy : "", who, device,
			   conn->client->container ? " with container =, pod = or network =" : "");
}

static struct device *bind_choose(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__Bind *bind = request->bind;
	const Svad__V1__Selector *s = bind->selector;
	struct policy_verdict verdict;
	struct device *device;
	enum policy_why refused;
	char reason[256], who[128];

	if (bind->device[0]) {
		if (s) {
			conn_error(conn, request->id, SVAD_INVALID_ARGUMENT,
				   "Give a device's name or a selector, not both.");
			return NULL;
		}
		device = device_find_name(conn->broker, bind->device);
		if (!device) {
			conn_error(conn, request->id, SVAD_NOT_FOUND,
				   "There is no device '%s'; sva_list_devices() or svadctl device list names "
				   "them.",
				   bind->device);
			return NULL;
		}
		client_policy(conn->client, device, &verdict);
		if (!verdict.allowed) {
			bind_denied(conn, request->id, &verdict, bind->device);
			return NULL;
		}
		if (device_health(device) == SVAD__V1__DEVICE_HEALTH__HEALTH_GONE ||
		    device_health(device) == SVAD__V1__DEVICE_HEALTH__HEALTH_RESETTING) {
			device_reason(device, reason, sizeof(reason));
			conn_error(conn, request->id, SVAD_UNAVAILABLE, "Device '%s' cannot be used now: %s.",
				   bind->device, reason);
			return NULL;
		}
		return device;
	}
	device = device_select(conn->broker, conn->client, s ? s->operations : 0, s ? s->capabilities : 0,
			       s && s->has_numa_node ? s->numa_node : -1, &refused);
	if (!device) {
		if (refused == POLICY_FOREIGN)
			bind_foreign(conn, request->id);
		else if (refused != POLICY_ALLOWS)
			conn_error(conn, request->id, SVAD_PERMISSION_DENIED,
				   "Policy does not let %s use any device that fits; add a [policy] "
				   "section to svad.conf that does%s.",
				   whom(conn->client, who, sizeof(who)),
				   conn->client->container ? ", or register it with more devices" : "");
		else
			conn_error(conn, request->id, SVAD_NOT_FOUND,
				   "No healthy device fits the selector; svadctl device list shows what "
				   "there is.");
	}
	return device;
}

/* True when within limits; else answered. */
static bool bind_limits(struct conn *conn, const Svad__V1__Request *request, struct device *device)
{
	struct client *client = conn->client;
	uint32_t max = device_max_bonds(device);
	struct policy_verdict verdict;
	char who[128];

	client_policy(client, device, &verdict);
	if (client->bonds >= verdict.bonds_per_client) {
		conn_limit(conn, request->id, "bonds_per_client", verdict.bonds_per_client,
			   "This client has %u bonds or grants, the limit bonds_per_client is %u; unbind "
			   "one, or raise it in svad.conf.",
			   client->bonds, verdict.bonds_per_client);
		return false;
	}
	if (client->container) {
		if (client->container->bonds >= verdict.container.bonds) {
			conn_limit(conn, request->id, "bonds_per_container", verdict.container.bonds,
				   "The %s has %u bonds or grants, the limit bonds_per_container is %u; end "
				   "some, or "
				   "raise it in svad.conf or where the container was registered.",
				   whom(client, who, sizeof(who)), client->container->bonds,
				   verdict.container.bonds);
			return false;
		}
	} else if (client->user->bonds >= verdict.bonds_per_uid) {
		conn_limit(conn, request->id, "bonds_per_uid", verdict.bonds_per_uid,
			   "uid %u has %u bonds or grants, the limit bonds_per_uid is %u; end some, or raise "
			   "it in svad.conf.",
			   (unsigned)client->uid, client->user->bonds, verdict.bonds_per_uid);
		return false;
	}
	if (max && device->holds >= max) {
		conn_limit(conn, request->id, "max_bonds", max,
			   "Device '%s' has %u bonds or grants, its max_bonds is %u; take another device, or "
			   "wait.",
			   device->info.name, device->holds, max);
		return false;
	}
	return true;
}

/* The client's current ctx, made now if it has none or has lost it. *ret_fd: the client's end when it is to
 * be handed over, else -1. */
static int bind_ctx(struct client *client, uint64_t held, struct ctx **ret, int *ret_fd)
{
	struct broker *broker = client->broker;
	struct svab_ctx_create create = {
		.size = sizeof(create),
		.uid = client->uid,
		.gid = client->gid,
		.pid = client->pid,
	};
	struct list *pos;
	unsigned n = 0;
	int r;

	*ret_fd = -1;
	if (client->ctx && client->ctx->node.id == held) {
		*ret = client->ctx;
		return 0;
	}
	/* Each ctx costs fds here, in the device and in flight until the client reads them. */
	list_for_each(pos, &client->ctxs)
		n++;
	if (n >= CTXS_PER_CLIENT)
		return -EBUSY;
	/* A ctx whose fd the client no longer has cannot be given again: it ends, and with it what was bound
	 * through it. */
	if (client->ctx)
		ctx_revoke(client->ctx, SVAB_CAUSE_LAST_CLOSE);
	do {
		if (getrandom(&create.cookie, sizeof(create.cookie), GRND_NONBLOCK) !=
		    (ssize_t)sizeof(create.cookie))
			return -EAGAIN;
	} while (!create.cookie || ctx_find(broker, create.cookie));
	r = broker->backend->ops->ctx_create(broker->backend, &create, ret_fd);
	if (r < 0)
		return r;
	r = ctx_new(client, create.cookie, ret);
	if (r < 0) {
		close(*ret_fd);
		*ret_fd = -1;
		broker->backend->ops->ctx_revoke(broker->backend, create.cookie, SVAB_CAUSE_LAST_CLOSE);
	}
	return r;
}

static uint32_t deadline_ms(struct client *client, const struct device *device)
{
	uint32_t ms = device_deadline_ms(device);
	struct policy_limits limits;

	if (!client->container)
		return ms;
	container_limits_get(client->container, client, &limits, NULL);
	return limits.drain_deadline_ms && limits.drain_deadline_ms < ms ? limits.drain_deadline_ms : ms;
}

void rpc_bind(struct conn *conn, const Svad__V1__Request *request)
{
	struct broker *broker = conn->broker;
	struct client *client = conn->client;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__BindReply body = SVAD__V1__BIND_REPLY__INIT;
	struct svab_ctx_grant grant = { .size = sizeof(grant) };
	struct device *device;
	struct hold *hold = NULL;
	struct ctx *ctx;
	int fd = -1, r;

	/* The client may know of an end (its unbind was answered) that we have not read yet: that bond and
	 * its charge are in no way now. */
	if (broker->backend)
		broker->backend->ops->catch_up(broker->backend);
	if (broker->shutting_down || client->gone) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE,
			   "svad is shutting down; bind again when it is back.");
		return;
	}
	if (!broker->backend || !broker->backend->is_synced) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE,
			   "The device backend is starting or being restarted; try again in a moment.");
		return;
	}
	device = bind_choose(conn, request);
	if (!device)
		return;

	if (client->ctx && client->ctx->node.id == request->bind->context)
		hold = ctx_find_hold(client->ctx, device);
	if (hold && hold->bond && hold->bond->drain.state != SVAB_PASID_BOUND) {
		conn_error(conn, request->id, SVAD_ABORTED,
			   hold->bond->drain.state == SVAB_PASID_QUARANTINED
				   ? "The last bond of this process with device '%s' is quarantined: the "
				     "device did not stop; svadctl device reset %s."
				   : "The last bond of this process with device '%s' is still draining; bind "
				     "again when it is CLEAN.",
			   device->info.name, device->info.name);
		return;
	}
	if (!hold && !bind_limits(conn, request, device))
		return;

	r = bind_ctx(client, request->bind->context, &ctx, &fd);
	if (r < 0) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE, "Cannot make a context: %s; try again.",
			   uv_strerror(r));
		return;
	}
	if (!hold) {
		r = hold_new(ctx, device, ++broker->last_grant_id, &hold);
		if (r == 0) {
			grant.cookie = ctx->node.id;
			grant.device = device->info.id;
			grant.grant = hold->grant;
			grant.deadline_ms = deadline_ms(client, device);
			r = broker->backend->ops->ctx_grant(broker->backend, &grant);
			if (r < 0)
				hold_free(hold);
		}
		if (r < 0) {
			/* The ctx fd, if it is new, is not handed over: the next Bind, with the old cookie,
			 * makes another. */
			if (fd >= 0)
				close(fd);
			conn_error(conn, request->id, SVAD_UNAVAILABLE,
				   "Cannot grant the device now: %s; try again.", uv_strerror(r));
			return;
		}
		broker->counters.grants++;
	}

	body.device_id = device->info.id;
	body.device = device->info.name;
	body.grant = hold->grant;
	body.context = ctx->node.id;
	body.drain_deadline_ms = deadline_ms(client, device);
	reply.id = request->id;
	reply.body_case = SVAD__V1__REPLY__BODY_BIND;
	reply.bind = &body;
	conn_reply(conn, &reply, fd);
	if (fd >= 0)
		close(fd);
}

/* ---- the client's own bonds, and events about them ---- */

void rpc_list_bonds(struct conn *conn, const Svad__V1__Request *request)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__ListBondsReply body = SVAD__V1__LIST_BONDS_REPLY__INIT;
	Svad__V1__Bond messages[PAGE_MAX], *pointers[PAGE_MAX];
	char comm[PAGE_MAX][32];
	uint64_t after = request->list_bonds->page ? request->list_bonds->page->after : 0;
	uint32_t size = page_size(request->list_bonds->page), i;
	size_t bytes = 0;
	struct list *c, *h;

	body.bonds = pointers;
	/* A client's bonds are few (bonds_per_client), in no order: collect the page's smallest ids by
	 * insertion. */
	list_for_each(c, &conn->client->ctxs) {
		list_for_each(h, &container_of(c, struct ctx, link)->holds) {
			struct bond *bond = container_of(h, struct hold, link)->bond;
			uint32_t at;

			if (!bond || bond->node.id <= after)
				continue;
			for (at = 0; at < body.n_bonds && pointers[at]->id < bond->node.id; at++)
				;
			if (at < body.n_bonds && pointers[at]->id == bond->node.id)
				continue;
			if (at == size) {
				body.next = 1; /* one more than fits; the real key is set below */
				continue;
			}
			if (body.n_bonds == size) {
				body.next = 1;
				i = (uint32_t)(pointers[size - 1] - messages);
				memmove(&pointers[at + 1], &pointers[at],
					(size - 1 - at) * sizeof(pointers[0]));
			} else {
				i = (uint32_t)body.n_bonds;
				memmove(&pointers[at + 1], &pointers[at],
					(body.n_bonds - at) * sizeof(pointers[0]));
				body.n_bonds++;
			}
			pointers[at] = &messages[i];
			bond_fill(bond, pointers[at], comm[i]);
		}
	}
	for (i = 0; i < body.n_bonds; i++) {
		bytes += svad__v1__bond__get_packed_size(pointers[i]) + PAGE_ROW;
		if (bytes > PAGE_BYTES) {
			body.n_bonds = i;
			body.next = 1;
		}
	}
	if (body.next)
		body.next = pointers[body.n_bonds - 1]->id;
	reply.id = request->id;
	reply.body_case = SVAD__V1__REPLY__BODY_LIST_BONDS;
	reply.list_bonds = &body;
	conn_reply(conn, &reply, -1);
}

void rpc_subscribe(struct conn *conn, const Svad__V1__Request *request)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__SubscribeReply body = SVAD__V1__SUBSCRIBE_REPLY__INIT;

	conn->subscribed = !request->subscribe->off;
	reply.id = request->id;
	reply.body_case = SVAD__V1__REPLY__BODY_SUBSCRIBE;
	reply.subscribe = &body;
	conn_reply(conn, &reply, -1);
}
