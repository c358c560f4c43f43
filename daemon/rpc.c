/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests: one table, checked before any handler runs. */
#include "rpc.h"

#include <errno.h>
#include <stdio.h>

#include "../proto/status.h"
#include "client.h"
#include "device.h"
#include "rpc_container.h"

#define CLIENT (1u << CONN_CLIENT)
#define ADMIN (1u << CONN_ADMIN)

static const struct method {
	Svad__V1__Request__BodyCase body;
	unsigned kinds;
	bool before_hello;
	rpc_handler handler;
} methods[] = {
	{ SVAD__V1__REQUEST__BODY_HELLO, CLIENT | ADMIN, true, rpc_hello },
	{ SVAD__V1__REQUEST__BODY_LIST_DEVICES, CLIENT, false, rpc_list_devices },
	{ SVAD__V1__REQUEST__BODY_BIND, CLIENT, false, rpc_bind },
	{ SVAD__V1__REQUEST__BODY_LIST_BONDS, CLIENT, false, rpc_list_bonds },
	{ SVAD__V1__REQUEST__BODY_SUBSCRIBE, CLIENT, false, rpc_subscribe },
	{ SVAD__V1__REQUEST__BODY_GET_STATUS, ADMIN, false, rpc_get_status },
	{ SVAD__V1__REQUEST__BODY_GET_STATS, ADMIN, false, rpc_get_stats },
	{ SVAD__V1__REQUEST__BODY_LIST_CLIENTS, ADMIN, false, rpc_list_clients },
	{ SVAD__V1__REQUEST__BODY_ADMIN_LIST_BONDS, ADMIN, false, rpc_admin_list_bonds },
	{ SVAD__V1__REQUEST__BODY_ADMIN_LIST_DEVICES, ADMIN, false, rpc_admin_list_devices },
	{ SVAD__V1__REQUEST__BODY_REVOKE, ADMIN, false, rpc_revoke },
	{ SVAD__V1__REQUEST__BODY_RESET_DEVICE, ADMIN, false, rpc_reset_device },
	{ SVAD__V1__REQUEST__BODY_WATCH, ADMIN, false, rpc_watch },
	{ SVAD__V1__REQUEST__BODY_RELOAD, ADMIN, false, rpc_reload },
	{ SVAD__V1__REQUEST__BODY_PROBE_HARDWARE, ADMIN, false, rpc_probe_hardware },
	{ SVAD__V1__REQUEST__BODY_REGISTER_CONTAINER, ADMIN, false, rpc_register_container },
	{ SVAD__V1__REQUEST__BODY_REMOVE_CONTAINER, ADMIN, false, rpc_remove_container },
	{ SVAD__V1__REQUEST__BODY_LIST_CONTAINERS, ADMIN, false, rpc_list_containers },
	{ SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS, ADMIN, false, rpc_reconcile_containers },
};

static const struct method *method_find(Svad__V1__Request__BodyCase body)
{
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].body == body)
			return &methods[i];
	return NULL;
}

void rpc_handle(struct conn *conn, const void *data, size_t len, struct wire_fds *fds)
{
	struct broker *broker = conn->broker;
	const struct method *method;
	Svad__V1__Request *request;

	wire_arena_reset(&broker->arena);
	if (wire_decode_request(data, len, &broker->arena, &request) < 0) {
		/* Packets keep their bounds, so the next one may be good: the connection stays. Without an id
		 * there is only id 0 to say it with. */
		conn_misbehaved(conn, "sent %zu bytes that are not a request", len);
		conn_error(conn, 0, SVAD_INVALID_ARGUMENT, "These %zu bytes are not a svad.v1.Request.", len);
		return;
	}
	if (!request->id) {
		conn_misbehaved(conn, "sent a request with id 0");
		conn_error(conn, 0, SVAD_INVALID_ARGUMENT,
			   "A request's id must not be 0, which marks events.");
		return;
	}
	if (fds->n || request->fds) {
		conn_misbehaved(conn, "sent %u fds (announced %u) with a request that takes none", fds->n,
				request->fds);
		conn_error(conn, request->id, SVAD_INVALID_ARGUMENT,
			   "This request takes no fds, but %u came and %u were announced.", fds->n,
			   request->fds);
		return;
	}
	method = method_find(request->body_case);
	if (!method) {
		conn_misbehaved(conn, "sent a request of an unknown kind");
		conn_error(conn, request->id, SVAD_UNIMPLEMENTED,
			   "This svad does not know that request; it may be older than the client.");
		return;
	}
	if (!(method->kinds & (1u << conn->kind))) {
		conn_misbehaved(conn, "sent a request that belongs on the %s socket",
				conn->kind == CONN_CLIENT ? "admin" : "client");
		conn_error(conn, request->id, SVAD_PERMISSION_DENIED,
			   "That request belongs on the %s socket.",
			   conn->kind == CONN_CLIENT ? "admin" : "client");
		return;
	}
	if (!method->before_hello && !conn->hello) {
		conn_misbehaved(conn, "sent a request before Hello");
		conn_error(conn, request->id, SVAD_FAILED_PRECONDITION,
			   "Say Hello first: it settles the version of the protocol.");
		return;
	}
	method->handler(conn, request);
}

uint32_t page_size(const Svad__V1__Page *page)
{
	uint32_t size = page && page->size ? page->size : PAGE_DEFAULT;

	return size < PAGE_MAX ? size : PAGE_MAX;
}

void device_fill(const struct device *device, bool admin, Svad__V1__Device *msg, char reason[256])
{
	const struct svab_dev_info *i = &device->info;

	svad__v1__device__init(msg);
	msg->id = i->id;
	msg->name = (char *)(uintptr_t)i->name;
	msg->bus = (char *)(uintptr_t)i->bus;
	msg->numa_node = i->numa_node;
	msg->pasid_bits = i->pasid_bits;
	msg->operations = i->operations;
	msg->capabilities = i->caps;
	msg->health = device_health(device);
	device_reason(device, reason, 256);
	msg->reason = reason;
	msg->engines = i->engines;
	msg->bonds = device->holds;
	msg->max_bonds = device_max_bonds(device);
	if (!admin)
		return;
	msg->bonds = device->bonds;
	msg->draining = device->draining;
	msg->quarantined = device->quarantined;
	msg->faults = i->faults;
	msg->errors = i->errors;
	msg->stop_failures = i->stop_failures;
	msg->jobs = i->jobs;
	msg->bytes = i->bytes;
	msg->drain_deadline_ms = device_deadline_ms(device);
	msg->drained = i->drained;
	msg->engines_busy = i->engines_busy;
}
