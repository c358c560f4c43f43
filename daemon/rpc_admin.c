/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators ask, but for revocation and reset (revoke.c) and figures (stats.c). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../proto/status.h"
#include "bond.h"
#include "client.h"
#include "container.h"
#include "device.h"
#include "events.h"
#include "peer.h"
#include "rpc.h"

static void status_reply(struct conn *conn, uint64_t id, const struct figures_ask *ask)
{
	struct broker *broker = conn->broker;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__StatusReply body = SVAD__V1__STATUS_REPLY__INIT;
	struct list *pos;

	(void)ask;
	body.version = (char *)(uintptr_t)PACKAGE_VERSION;
	body.broker_pid = getpid();
	body.uptime_ns = now_ns() - broker->info.started_ns;
	body.backend = (char *)(uintptr_t)(broker->config->backend == BACKEND_SIM ? "sim" : "kmod");
	body.backend_up = broker->backend && broker->backend->is_synced;
	list_for_each(pos, &broker->client_list)
		body.clients++;
	body.bonds = (uint32_t)broker->bonds.n;
	body.draining = broker->n_draining;
	body.quarantined = broker->n_quarantined;
	list_for_each(pos, &broker->device_list) {
		body.devices++;
		if (device_health(container_of(pos, struct device, link)) !=
		    SVAD__V1__DEVICE_HEALTH__HEALTH_OK)
			body.devices_degraded++;
	}
	body.shutting_down = broker->shutting_down;
	body.config = broker->config->origin ? broker->config->origin : (char *)(uintptr_t) "";
	body.broker_restarts = broker->info.broker_restarts;
	body.violations = broker->backend_info.violations;
	body.socket = broker->config->socket;
	body.admin_socket = broker->config->admin_socket;
	reply.id = id;
	reply.body_case = SVAD__V1__REPLY__BODY_GET_STATUS;
	reply.get_status = &body;
	conn_reply(conn, &reply, -1);
}

void rpc_get_status(struct conn *conn, const Svad__V1__Request *request)
{
	rpc_figures(conn, request->id, status_reply, NULL);
}

static void client_fill(struct client *client, Svad__V1__Client *msg, char comm[32])
{
	svad__v1__client__init(msg);
	msg->id = client->node.id;
	msg->pid = client->pid;
	msg->uid = client->uid;
	msg->gid = client->gid;
	peer_comm(client->pid, comm, 32);
	msg->comm = comm;
	msg->program = client->program;
	msg->bonds = client->bonds;
	msg->draining = client_draining(client, &msg->quarantined);
	msg->faults = client->faults;
	msg->errors = client->errors;
	msg->requests = client->requests;
	msg->age_ns = now_ns() - client->since_ns;
	msg->connected = client->conn != NULL;
	msg->max_bonds = client->broker->config->bonds_per_client;
	msg->netns_cookie = client->netns_cookie;
	msg->cgroup_id = client->cgroup_id;
	if (client->container)
		msg->container = client->container->name;
}

void rpc_list_clients(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__ListClients *ask = request->list_clients;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__ListClientsReply body = SVAD__V1__LIST_CLIENTS_REPLY__INIT;
	Svad__V1__Client messages[PAGE_MAX], *pointers[PAGE_MAX];
	char comm[PAGE_MAX][32];
	uint64_t after = ask->page ? ask->page->after : 0;
	uint32_t size = page_size(ask->page);
	struct list *pos;
	size_t bytes = 0;

	body.clients = pointers;
	list_for_each(pos, &conn->broker->client_list) {
		struct client *client = container_of(pos, struct client, link);

		if (client->node.id <= after || (ask->only && ask->only != client->node.id))
			continue;
		if (body.n_clients == size) {
			body.next = pointers[size - 1]->id;
			break;
		}
		pointers[body.n_clients] = &messages[body.n_clients];
		client_fill(client, pointers[body.n_clients], comm[body.n_clients]);
		bytes += svad__v1__client__get_packed_size(pointers[body.n_clients]) + PAGE_ROW;
		if (bytes > PAGE_BYTES) {
			body.next = pointers[body.n_clients - 1]->id;
			break;
		}
		body.n_clients++;
	}
	if (ask->only && !body.n_clients) {
		conn_error(conn, request->id, SVAD_NOT_FOUND,
			   "There is no client %llu; svadctl client list shows those there are.",
			   (unsigned long long)ask->only);
		return;
	}
	reply.id = request->id;
	reply.body_case = SVAD__V1__REPLY__BODY_LIST_CLIENTS;
	reply.list_clients = &body;
	conn_reply(conn, &reply, -1);
}

static bool bond_held_by(const struct bond *bond, uint64_t client)
{
	const struct list *pos;

	list_for_each(pos, &bond->holds)
		if (container_of(pos, struct hold, bond_link)->ctx->client->node.id == client)
			return true;
	return false;
}

void rpc_admin_list_bonds(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__AdminListBonds *ask = request->admin_list_bonds;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__ListBondsReply body = SVAD__V1__LIST_BONDS_REPLY__INIT;
	Svad__V1__Bond messages[PAGE_MAX], *pointers[PAGE_MAX];
	char comm[PAGE_MAX][32];
	uint64_t after = ask->page ? ask->page->after : 0;
	uint32_t size = page_size(ask->page);
	struct list *pos;
	size_t bytes = 0;

	/* On a later page: it has gone meanwhile, and the list ends. */
	if (!after && ask->client && !client_find(conn->broker, ask->client)) {
		conn_error(conn, request->id, SVAD_NOT_FOUND,
			   "There is no client %llu; svadctl client list shows those there are.",
			   (unsigned long long)ask->client);
		return;
	}
	if (!after && ask->device[0] && !device_find_name(conn->broker, ask->device)) {
		conn_error(conn, request->id, SVAD_NOT_FOUND,
			   "There is no device '%s'; svadctl device list names those there are.",
			   ask->device);
		return;
	}
	body.bonds = pointers;
	list_for_each(pos, &conn->broker->bond_list) {
		struct bond *bond = container_of(pos, struct bond, link);

		if (bond->node.id <= after || (ask->only && ask->only != bond->node.id) ||
		    (ask->client && !bond_held_by(bond, ask->client)) ||
		    (ask->device[0] && strcmp(ask->device, bond->device->info.name) != 0) ||
		    (ask->quarantined && bond->drain.state != SVAB_PASID_QUARANTINED))
			continue;
		if (body.n_bonds == size) {
			body.next = pointers[size - 1]->id;
			break;
		}
		pointers[body.n_bonds] = &messages[body.n_bonds];
		bond_fill(bond, pointers[body.n_bonds], comm[body.n_bonds]);
		bytes += svad__v1__bond__get_packed_size(pointers[body.n_bonds]) + PAGE_ROW;
		if (bytes > PAGE_BYTES) {
			body.next = pointers[body.n_bonds - 1]->id;
			break;
		}
		body.n_bonds++;
	}
	if (ask->only && !body.n_bonds) {
		conn_error(conn, request->id, SVAD_NOT_FOUND,
			   "There is no bond %llu; svadctl bond list shows those there are.",
			   (unsigned long long)ask->only);
		return;
	}
	reply.id = request->id;
	reply.body_case = SVAD__V1__REPLY__BODY_LIST_BONDS;
	reply.list_bonds = &body;
	conn_reply(conn, &reply, -1);
}

static void devices_reply(struct conn *conn, uint64_t id, const struct figures_ask *ask)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__ListDevicesReply body = SVAD__V1__LIST_DEVICES_REPLY__INIT;
	Svad__V1__Device messages[PAGE_MAX], *pointers[PAGE_MAX];
	char reasons[PAGE_MAX][256];
	struct list *pos;

	body.devices = pointers;
	list_for_each(pos, &conn->broker->device_list) {
		struct device *device = container_of(pos, struct device, link);

		if (device->info.id <= ask->after ||
		    (ask->only[0] && strcmp(ask->only, device->info.name) != 0))
			continue;
		if (body.n_devices == ask->size) {
			body.next = pointers[ask->size - 1]->id;
			break;
		}
		pointers[body.n_devices] = &messages[body.n_devices];
		device_fill(device, true, pointers[body.n_devices], reasons[body.n_devices]);
		body.n_devices++;
	}
	if (ask->only[0] && !body.n_devices) {
		conn_error(conn, id, SVAD_NOT_FOUND,
			   "There is no device '%s'; svadctl device list names those there are.", ask->only);
		return;
	}
	reply.id = id;
	reply.body_case = SVAD__V1__REPLY__BODY_LIST_DEVICES;
	reply.list_devices = &body;
	conn_reply(conn, &reply, -1);
}

void rpc_admin_list_devices(struct conn *conn, const Svad__V1__Request *request)
{
	const Svad__V1__AdminListDevices *list = request->admin_list_devices;
	struct figures_ask ask = { .after = list->page ? list->page->after : 0,
				   .size = page_size(list->page) };

	if (strlen(list->only) >= sizeof(ask.only)) {
		conn_error(conn, request->id, SVAD_NOT_FOUND,
			   "There is no device '%s': names have at most %zu characters.", list->only,
			   sizeof(ask.only) - 1);
		return;
	}
	strcpy(ask.only, list->only);
	rpc_figures(conn, request->id, devices_reply, &ask);
}

void rpc_watch(struct conn *conn, const Svad__V1__Request *request)
{
	struct broker *broker = conn->broker;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__WatchReply body = SVAD__V1__WATCH_REPLY__INIT;
	struct list *pos;

	list_remove(&conn->watch_link);
	if (!request->watch->off)
		list_append(&broker->watchers, &conn->watch_link);
	reply.id = request->id;
	reply.body_case = SVAD__V1__REPLY__BODY_WATCH;
	reply.watch = &body;
	conn_reply(conn, &reply, -1);
	if (request->watch->off || !request->watch->snapshot)
		return;
	list_for_each(pos, &broker->bond_list) {
		struct bond *bond = container_of(pos, struct bond, link);
		Svad__V1__Event event = SVAD__V1__EVENT__INIT;

		event.kind = SVAD__V1__EVENT_KIND__EVENT_BOUND;
		event.monotonic_ns = bond->bound_ns;
		event.client = bond->client;
		event.pid = bond->pid;
		event.uid = bond->uid;
		event.bond = bond->node.id;
		event.device = bond->device->info.name;
		event.device_id = bond->device->info.id;
		event.pasid = bond->pasid;
		event.state = (Svad__V1__PasidState)bond->drain.state;
		event.cause = (Svad__V1__Cause)bond->drain.cause;
		if (bond->container)
			event.container = bond->container->name;
		conn_event(conn, &event);
	}
}

void rpc_reload(struct conn *conn, const Svad__V1__Request *request)
{
	struct broker *broker = conn->broker;
	int r;

	(void)request->reload;
	if (broker->reloading) {
		conn_error(conn, request->id, SVAD_ABORTED,
			   "A reload is under way already; ask again when it is done.");
		return;
	}
	/* The supervisor reads the files; its answer comes as CHAN_RELOAD_RESULT. */
	r = chan_send(broker->chan, CHAN_RELOAD, 0, NULL, 0, NULL, 0);
	if (r < 0) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE,
			   "The supervisor cannot be asked now: %s; try again.", uv_strerror(r));
		return;
	}
	broker->reloading = true;
	broker->reload_conn = conn;
	broker->reload_id = request->id;
}
