/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures: the broker's own, and the backend's, which are asked for anew for every GetStats. */
#include <errno.h>
#include <stdlib.h>

#include "../proto/status.h"
#include "device.h"
#include "log.h"
#include "rpc.h"

struct stats_op {
	struct op op;
	struct list waiting; /* broker->info_waiters */
	figures_fn answer;
	struct figures_ask ask;
};

#define MAX_COUNTERS 64

struct counter_list {
	Svad__V1__Counter counters[MAX_COUNTERS], *pointers[MAX_COUNTERS];
	size_t n;
};

static void add(struct counter_list *list, const char *name, const char *help, uint64_t value, bool gauge)
{
	Svad__V1__Counter *c = &list->counters[list->n];

	svad__v1__counter__init(c);
	c->name = (char *)(uintptr_t)name;
	c->help = (char *)(uintptr_t)help;
	c->value = value;
	c->gauge = gauge;
	list->pointers[list->n++] = c;
}

static void stats_collect(struct broker *broker, struct counter_list *l)
{
	const struct counters *c = &broker->counters;
	const struct svab_info *i = &broker->backend_info;

	add(l, "svad_connections", "Open connections, administrators' included", broker->n_conns, true);
	add(l, "svad_clients", "Client processes known, those still draining included", broker->clients.n,
	    true);
	add(l, "svad_bonds", "Bonds in any state", broker->bonds.n, true);
	add(l, "svad_bonds_draining", "Bonds in STOPPING or FLUSHED", broker->n_draining, true);
	add(l, "svad_bonds_quarantined", "Bonds whose device did not stop", broker->n_quarantined, true);
	add(l, "svad_charged_uids", "Users with anything charged to them", broker->users.n, true);
	add(l, "svad_containers", "Containers registered", broker->registry.n_active, true);
	add(l, "svad_containers_removed",
	    "Removed containers whose clients are still refused: their netns lives, or a bond of theirs does",
	    broker->registry.n_tombstones, true);
	add(l, "svad_backend_up", "1 while the device backend serves",
	    broker->backend && broker->backend->is_synced, true);
	add(l, "svad_broker_restarts_total", "Times that the broker was restarted",
	    broker->info.broker_restarts, false);
	add(l, "svad_connections_total", "Connections accepted", c->connections, false);
	add(l, "svad_connections_refused_total", "Connections refused for a limit", c->connections_refused,
	    false);
	add(l, "svad_accept_failures_total", "Connections dropped for want of fds or memory",
	    c->accept_failures, false);
	add(l, "svad_requests_total", "Requests received", c->requests, false);
	add(l, "svad_requests_refused_total", "Requests answered with an error", c->requests_refused, false);
	add(l, "svad_requests_rate_limited_total", "Requests over requests_per_second", c->rate_limited,
	    false);
	add(l, "svad_bad_messages_total", "Messages that broke the protocol", c->bad_messages, false);
	add(l, "svad_grants_total", "Grants given", c->grants, false);
	add(l, "svad_bonds_total", "Bonds that were BOUND", c->bonds, false);
	add(l, "svad_drains_total", "Bonds that became CLEAN", c->drains, false);
	add(l, "svad_quarantines_total", "Bonds that were QUARANTINED", c->quarantines, false);
	add(l, "svad_quarantines_ended_total", "Quarantined bonds that became CLEAN", c->quarantines_ended,
	    false);
	add(l, "svad_faults_total", "Faults of devices in clients' memory", c->faults, false);
	add(l, "svad_stop_failures_total", "Stops that a device refused or was late with", c->stop_failures,
	    false);
	add(l, "svad_clients_gone_total", "Clients that ended", c->clients_gone, false);
	add(l, "svad_events_total", "Events sent to subscribers", c->events_sent, false);
	add(l, "svad_events_lost_total", "Events that slow subscribers missed", c->events_lost, false);
	add(l, "svad_reloads_total", "Configurations adopted after the first", c->reloads, false);
	add(l, "svad_containers_registered_total", "Registrations of containers' attachments",
	    c->containers_registered, false);
	add(l, "svad_containers_removed_total", "Containers that were removed", c->containers_removed, false);
	add(l, "svad_store_writes_total", "Times that the registry of containers was stored", c->store_writes,
	    false);
	add(l, "svad_store_failures_total", "Times that it could not be", c->store_failures, false);
	add(l, "svad_store_damaged_total", "Stored containers that were lost to damage", c->store_damaged,
	    false);
	add(l, "svad_reconciles_total", "Looks for dead network namespaces that found out", c->reconciles, false);
	add(l, "svad_reconcile_failing", "1 when the last look could not", c->reconcile_failing, true);
	add(l, "svad_reconcile_interval_seconds", "0: svad does not look by itself",
	    broker->config ? (broker->config->reconcile_ms + 999u) / 1000u : 0, true);
	add(l, "svad_log_lost_total", "Log records that could not be written", log_lost(), false);
	add(l, "svad_pasids_free", "PASIDs that can be given away", i->pasids_free, true);
	add(l, "svad_pasids", "PASIDs in all", i->pasids_total, true);
	if (broker->config->backend == BACKEND_SIM) { /* nobody counts what a real IOMMU refuses */
		add(l, "svad_dma_blocked_total",
		    "Device accesses that the IOMMU refused, translation being cut", i->dma_blocked, false);
		add(l, "svad_checker_violations_total",
		    "Accesses that must not happen, as the simulated device's checker saw them",
		    i->violations, false);
	}
	add(l, "svad_backend_events_lost_total", "Backend events that the broker missed and listed again for",
	    i->events_lost, false);
}

static void stats_reply(struct conn *conn, uint64_t id, const struct figures_ask *ask)
{
	struct broker *broker = conn->broker;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__StatsReply body = SVAD__V1__STATS_REPLY__INIT;
	Svad__V1__Device messages[PAGE_MAX], *pointers[PAGE_MAX];
	char reasons[PAGE_MAX][256];
	struct counter_list list = { .n = 0 };
	struct list *pos;

	(void)ask;
	stats_collect(broker, &list);
	body.counters = list.pointers;
	body.n_counters = list.n;
	body.devices = pointers;
	body.monotonic_ns = now_ns();
	list_for_each(pos, &broker->device_list) {
		struct device *device = container_of(pos, struct device, link);

		if (body.n_devices == PAGE_MAX)
			break;
		pointers[body.n_devices] = &messages[body.n_devices];
		device_fill(device, true, pointers[body.n_devices], reasons[body.n_devices]);
		body.n_devices++;
	}
	reply.id = id;
	reply.body_case = SVAD__V1__REPLY__BODY_GET_STATS;
	reply.get_stats = &body;
	conn_reply(conn, &reply, -1);
}

static void stats_free(struct op *op)
{
	struct stats_op *s = container_of(op, struct stats_op, op);

	list_remove(&s->waiting);
	free(s);
}

void rpc_figures_ready(struct broker *broker, const struct svab_info *info)
{
	struct list *pos, *tmp;

	if (info)
		broker->backend_info = *info;
	list_for_each_safe(pos, tmp, &broker->info_waiters) {
		struct stats_op *s = container_of(pos, struct stats_op, waiting);

		s->answer(s->op.conn, s->op.id, &s->ask);
		op_done(&s->op);
		stats_free(&s->op);
	}
}

void rpc_figures(struct conn *conn, uint64_t id, figures_fn answer, const struct figures_ask *ask)
{
	struct broker *broker = conn->broker;
	struct stats_op *s = calloc(1, sizeof(*s));
	bool first = list_empty(&broker->info_waiters);
	int r = s ? op_init(&s->op, conn, id, stats_free) : -ENOMEM;

	if (r < 0) {
		free(s);
		conn_in_flight(conn, id);
		return;
	}
	s->answer = answer;
	if (ask)
		s->ask = *ask;
	list_append(&broker->info_waiters, &s->waiting);
	/* Whoever asks while a refresh is under way shares its answer. */
	if (!broker->backend || !broker->backend->is_synced)
		rpc_figures_ready(broker, NULL);
	else if (first && broker->backend->ops->refresh(broker->backend) < 0)
		rpc_figures_ready(broker, NULL);
}

void rpc_get_stats(struct conn *conn, const Svad__V1__Request *request)
{
	rpc_figures(conn, request->id, stats_reply, NULL);
}
