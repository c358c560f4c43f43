/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bond.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "container.h"
#include "device.h"
#include "events.h"
#include "log.h"
#include "peer.h"

static void bond_log_quarantine(const struct bond *bond, const char *msg_id, const char *text)
{
	char b[48], p[32], d[96], c[48], pid[32];
	const char *fields[] = { b, p, d, c, pid, NULL };

	snprintf(b, sizeof(b), "SVAD_BOND=%llu", (unsigned long long)bond->node.id);
	snprintf(p, sizeof(p), "SVAD_PASID=%u", bond->pasid);
	snprintf(d, sizeof(d), "SVAD_DEVICE=%s", bond->device->info.name);
	snprintf(c, sizeof(c), "SVAD_CLIENT=%llu", (unsigned long long)bond->client);
	snprintf(pid, sizeof(pid), "SVAD_CLIENT_PID=%d", (int)bond->pid);
	log_fields(LOG_WARNING, msg_id, fields, "Bond %llu (device %s, PASID %u, pid %d): %s",
		   (unsigned long long)bond->node.id, bond->device->info.name, bond->pasid, (int)bond->pid,
		   text);
}

/* Moves it from one of the broker's two counts to the other as its state asks. */
static void bond_count(struct bond *bond)
{
	bool draining = drain_active(&bond->drain), quarantined = bond->drain.state == SVAB_PASID_QUARANTINED;

	bond->broker->n_draining += (unsigned)draining - (unsigned)bond->counted_draining;
	bond->device->draining += (unsigned)draining - (unsigned)bond->counted_draining;
	bond->broker->n_quarantined += (unsigned)quarantined - (unsigned)bond->counted_quarantined;
	bond->device->quarantined += (unsigned)quarantined - (unsigned)bond->counted_quarantined;
	bond->counted_draining = draining;
	bond->counted_quarantined = quarantined;
}

static void bond_report(struct drain *d)
{
	struct bond *bond = container_of(d, struct bond, drain);
	struct broker *broker = bond->broker;
	uint64_t took = d->ended_ns - d->began_ns;

	bond_count(bond);
	if (broker->ending)
		return;
	switch (d->state) {
	case SVAB_PASID_STOPPING:
		event_bond(bond, SVAD__V1__EVENT_KIND__EVENT_STOPPING, d->began_ns, 0);
		break;
	case SVAB_PASID_FLUSHED:
		event_bond(bond, SVAD__V1__EVENT_KIND__EVENT_FLUSHED, now_ns(), 0);
		break;
	case SVAB_PASID_QUARANTINED:
		broker->counters.quarantines++;
		event_bond(bond, SVAD__V1__EVENT_KIND__EVENT_QUARANTINED, d->ended_ns, took);
		bond_log_quarantine(bond, SVAD_MSG_QUARANTINED,
				    "the device did not stop in time; the PASID is withheld until it is "
				    "reset or stops after all");
		break;
	case SVAB_PASID_CLEAN:
		if (d->was_quarantined) {
			broker->counters.quarantines_ended++;
			bond_log_quarantine(bond, SVAD_MSG_RELEASED, "out of quarantine, CLEAN");
		}
		broker->counters.drains++;
		event_bond(bond, SVAD__V1__EVENT_KIND__EVENT_CLEAN, d->ended_ns, took);
		break;
	case SVAB_PASID_NONE:
	case SVAB_PASID_BOUND:
		break;
	}
	container_bond_state(bond);
}

static void bond_free(struct bond *bond)
{
	struct list *pos, *tmp;

	/* The charges of everybody who held it. */
	list_for_each_safe(pos, tmp, &bond->holds)
		hold_free(container_of(pos, struct hold, bond_link));
	bond->device->bonds--;
	idmap_remove(&bond->broker->bonds, &bond->node);
	list_remove(&bond->link);
	container_bond_freed(bond);
	drain_deinit(&bond->drain);
	free(bond);
}

static void bond_finished(struct drain *d)
{
	struct bond *bond = container_of(d, struct bond, drain);
	struct broker *broker = bond->broker;

	bond_free(bond);
	broker_maybe_done(broker);
}

/* The backend acts, the broker follows: there is nothing to stop or flush from here. */
static const struct drain_ops bond_drain_ops = {
	.report = bond_report,
	.finished = bond_finished,
};

int bond_new(struct broker *broker, struct device *device, uint64_t id, uint32_t pasid, struct bond **ret)
{
	struct bond *bond = calloc(1, sizeof(*bond));
	struct list *at;

	if (!bond)
		return -ENOMEM;
	bond->broker = broker;
	bond->device = device;
	bond->pasid = pasid;
	bond->generation = broker->generation;
	bond->bound_ns = now_ns();
	bond->pid = -1;
	list_init(&bond->holds);
	list_init(&bond->container_link);
	drain_init(&bond->drain, &bond_drain_ops, 0);
	device->bonds++;
	idmap_insert(&broker->bonds, &bond->node, id);
	/* Sorted by id, which is how they come except in a listing. */
	for (at = broker->bond_list.prev; at != &broker->bond_list; at = at->prev)
		if (container_of(at, struct bond, link)->node.id < id)
			break;
	bond->link.prev = at;
	bond->link.next = at->next;
	at->next->prev = &bond->link;
	at->next = &bond->link;
	*ret = bond;
	return 0;
}

struct bond *bond_find(struct broker *broker, uint64_t id)
{
	struct idmap_node *node = idmap_find(&broker->bonds, id);

	return node ? container_of(node, struct bond, node) : NULL;
}

void bond_attach(struct bond *bond, struct hold *hold)
{
	if (hold->bond == bond)
		return;
	hold->bond = bond;
	list_remove(&hold->bond_link); /* of an earlier bond whose end we have not heard of */
	list_append(&bond->holds, &hold->bond_link);
	if (!bond->client) {
		bond->client = hold->ctx->client->node.id;
		bond->pid = hold->ctx->client->pid;
		bond->uid = hold->ctx->client->uid;
	}
	if (hold->ctx->client->container)
		container_bond_added(hold->ctx->client->container, bond);
}

void bond_event(struct bond *bond, const struct svab_event *event)
{
	struct drain *d = &bond->drain;

	bond->generation = bond->broker->generation;
	switch (event->type) {
	case SVAB_EV_STOPPING:
		drain_input(d, DRAIN_BEGIN, event->cause, event->time_ns);
		break;
	case SVAB_EV_FLUSHED:
		drain_input(d, DRAIN_STOPPED_FLUSHED, event->cause, event->time_ns);
		break;
	case SVAB_EV_QUARANTINED:
	case SVAB_EV_DRAINED:
		bond_sync(bond, event->type == SVAB_EV_DRAINED ? SVAB_PASID_CLEAN : SVAB_PASID_QUARANTINED,
			  event->cause,
			  event->time_ns > event->value ? event->time_ns - event->value : event->time_ns);
		break;
	default:
		break;
	}
}

/* Steps that were not seen (events lost, or a restart of this process) are made up for in their order, so
 * that everybody who listens sees the same sequence and the state machine has no back doors. */
void bond_sync(struct bond *bond, enum svab_pasid_state state, enum svab_cause cause, uint64_t stopping_ns)
{
	struct drain *d = &bond->drain;
	uint64_t now = now_ns();

	if (state == SVAB_PASID_BOUND || state == SVAB_PASID_NONE)
		return;
	if (d->state == SVAB_PASID_BOUND)
		drain_input(d, DRAIN_BEGIN, cause, stopping_ns ? stopping_ns : now);
	if (state == SVAB_PASID_FLUSHED && d->state != SVAB_PASID_FLUSHED)
		drain_input(d, DRAIN_STOPPED_FLUSHED, cause, now);
	else if (state == SVAB_PASID_QUARANTINED)
		drain_input(d, DRAIN_DEADLINE, cause, now);
	else if (state == SVAB_PASID_CLEAN)
		drain_input(d, d->state == SVAB_PASID_FLUSHED ? DRAIN_FLUSHED_ALL : DRAIN_STOPPED_CLEAN,
			    cause, now);
}

void bond_lost(struct bond *bond)
{
	if (bond->drain.state == SVAB_PASID_BOUND)
		drain_input(&bond->drain, DRAIN_BEGIN, SVAB_CAUSE_DEVICE_GONE, now_ns());
	drain_input(&bond->drain, DRAIN_RESET, SVAB_CAUSE_DEVICE_GONE, now_ns());
}

void bond_fill(const struct bond *bond, Svad__V1__Bond *msg, char comm[32])
{
	const struct list *pos;
	uint64_t now = now_ns();

	svad__v1__bond__init(msg);
	msg->id = bond->node.id;
	msg->device_id = bond->device->info.id;
	msg->device = bond->device->info.name;
	msg->pasid = bond->pasid;
	msg->state = (Svad__V1__PasidState)bond->drain.state;
	msg->cause = (Svad__V1__Cause)bond->drain.cause;
	msg->client = bond->client;
	msg->pid = bond->pid;
	msg->uid = bond->uid;
	msg->age_ns = now > bond->bound_ns ? now - bond->bound_ns : 0;
	if (bond->drain.began_ns && now > bond->drain.began_ns)
		msg->draining_ns = now - bond->drain.began_ns;
	msg->faults = bond->faults;
	list_for_each(pos, &bond->holds)
		msg->references++;
	peer_comm(bond->pid, comm, 32);
	msg->comm = comm;
	if (bond->container)
		msg->container = bond->container->name;
}
