/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "events.h"

#include "bond.h"
#include "client.h"
#include "conn.h"
#include "container.h"
#include "device.h"

static void event_watchers(struct broker *broker, const Svad__V1__Event *event)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &broker->watchers)
		conn_event(container_of(pos, struct conn, watch_link), event);
}

/* To every client that holds the bond. */
static void event_holders(struct bond *bond, const Svad__V1__Event *event)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &bond->holds) {
		struct client *client = container_of(pos, struct hold, bond_link)->ctx->client;

		if (client->conn && client->conn->subscribed)
			conn_event(client->conn, event);
	}
}

static void event_fill_bond(const struct bond *bond, Svad__V1__Event *event)
{
	event->client = bond->client;
	event->pid = bond->pid;
	event->uid = bond->uid;
	event->bond = bond->node.id;
	event->device = bond->device->info.name;
	event->device_id = bond->device->info.id;
	event->pasid = bond->pasid;
	event->state = (Svad__V1__PasidState)bond->drain.state;
	event->cause = (Svad__V1__Cause)bond->drain.cause;
	if (bond->container)
		event->container = bond->container->name;
}

void event_bond(struct bond *bond, Svad__V1__EventKind kind, uint64_t time_ns, uint64_t duration_ns)
{
	Svad__V1__Event event = SVAD__V1__EVENT__INIT;

	event.kind = kind;
	event.monotonic_ns = time_ns;
	event.duration_ns = duration_ns;
	event_fill_bond(bond, &event);
	event_watchers(bond->broker, &event);
	event_holders(bond, &event);
}

void event_fault(struct bond *bond, const struct svab_event *from)
{
	Svad__V1__Event event = SVAD__V1__EVENT__INIT;

	event.kind = SVAD__V1__EVENT_KIND__EVENT_FAULT;
	event.monotonic_ns = from->time_ns;
	event.address = from->value;
	event.code = from->code;
	event_fill_bond(bond, &event);
	event_watchers(bond->broker, &event);
	event_holders(bond, &event);
}

void event_device(struct device *device, Svad__V1__EventKind kind)
{
	struct broker *broker = device->broker;
	Svad__V1__Event event = SVAD__V1__EVENT__INIT;
	struct list *pos, *tmp;

	event.kind = kind;
	event.monotonic_ns = now_ns();
	event.device = device->info.name;
	event.device_id = device->info.id;
	event_watchers(broker, &event);
	list_for_each_safe(pos, tmp, &broker->conns) {
		struct conn *conn = container_of(pos, struct conn, link);
		struct policy_verdict verdict;

		if (!conn->subscribed || !conn->client)
			continue;
		client_policy(conn->client, device, &verdict);
		if (verdict.allowed)
			conn_event(conn, &event);
	}
}

void event_client(struct client *client, Svad__V1__EventKind kind, const char *text)
{
	Svad__V1__Event event = SVAD__V1__EVENT__INIT;

	if (list_empty(&client->broker->watchers))
		return;
	event.kind = kind;
	event.monotonic_ns = now_ns();
	event.client = client->node.id;
	event.pid = client->pid;
	event.uid = client->uid;
	event.text = (char *)(uintptr_t)text;
	if (client->container)
		event.container = client->container->name;
	event_watchers(client->broker, &event);
}

void event_container(struct container *container, Svad__V1__EventKind kind, const char *text)
{
	Svad__V1__Event event = SVAD__V1__EVENT__INIT;

	event.kind = kind;
	event.monotonic_ns = now_ns();
	event.container = container->name;
	event.text = (char *)(uintptr_t)text;
	event_watchers(container->broker, &event);
}

void event_broker(struct broker *broker, Svad__V1__EventKind kind, const char *text)
{
	Svad__V1__Event event = SVAD__V1__EVENT__INIT;

	event.kind = kind;
	event.monotonic_ns = now_ns();
	event.text = (char *)(uintptr_t)text;
	event_watchers(broker, &event);
}
