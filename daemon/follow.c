/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the broker follows its backend: events, and listings that make up for what was not seen. */
#include <errno.h>

#include "bond.h"
#include "broker_run.h"
#include "client.h"
#include "container.h"
#include "device.h"
#include "events.h"
#include "identify.h"
#include "log.h"
#include "rpc.h"

static void follow_up(void *userdata)
{
	struct broker *broker = userdata;

	broker->generation++;
}

static void follow_down(void *userdata)
{
	struct broker *broker = userdata;
	struct list *pos, *tmp;

	log_write(LOG_ERR, SVAD_MSG_DEVICE_DIED, "The device backend is gone; its %zu bonds ended with it",
		  broker->bonds.n);
	event_broker(broker, SVAD__V1__EVENT_KIND__EVENT_BACKEND_DOWN, "");
	list_for_each_safe(pos, tmp, &broker->device_list) {
		struct device *device = container_of(pos, struct device, link);

		device->info.state = SVAB_DEV_GONE;
		device->resetting = false;
	}
	while (!list_empty(&broker->bond_list))
		bond_lost(container_of(broker->bond_list.next, struct bond, link));
	list_for_each_safe(pos, tmp, &broker->client_list) {
		struct client *client = container_of(pos, struct client, link);

		while (!list_empty(&client->ctxs))
			ctx_free(container_of(client->ctxs.next, struct ctx, link));
		if (client->expected)
			client_end(client, SVAB_CAUSE_DEVICE_GONE);
		else
			client_maybe_free(client);
	}
	rpc_figures_ready(broker, NULL);
	broker_maybe_done(broker);
}

static void follow_device(void *userdata, const struct svab_dev_info *info)
{
	struct broker *broker = userdata;
	bool known = device_find(broker, info->id) != NULL;
	struct device *device = device_update(broker, info);

	if (!device)
		log_err("No memory for device %s", info->name);
	else if (!known && broker->ready)
		event_device(device, SVAD__V1__EVENT_KIND__EVENT_DEVICE_ADDED);
}

static void follow_info(void *userdata, const struct svab_info *info)
{
	struct broker *broker = userdata;

	device_sweep(broker);
	/* While a listing is under way the answers would show half of it. */
	if (broker->backend->is_synced)
		rpc_figures_ready(broker, info);
	else
		broker->backend_info = *info;
}

/* ---- a listing ---- */

static struct ctx *list_ctx(struct broker *broker, const struct svab_list_entry *e)
{
	struct ctx *ctx = ctx_find(broker, e->cookie);
	struct client *client;

	if (!ctx && e->type == SVAB_LIST_CTX) {
		if (client_new_listed(broker, e->pid, e->uid, e->gid, &client) < 0)
			return NULL;
		if (ctx_new(client, e->cookie, &ctx) < 0) {
			client_end(client, SVAB_CAUSE_CLIENT_GONE);
			return NULL;
		}
	}
	if (ctx)
		ctx->generation = broker->generation;
	return ctx;
}

static struct hold *list_hold(struct broker *broker, struct ctx *ctx, const struct svab_list_entry *e)
{
	struct device *device = device_find(broker, e->device);
	struct hold *hold = device ? ctx_find_hold(ctx, device) : NULL;

	if (!hold && device && hold_new(ctx, device, e->grant, &hold) < 0)
		return NULL;
	if (hold) {
		hold->generation = broker->generation;
		if (e->grant > broker->last_grant_id)
			broker->last_grant_id = e->grant;
	}
	return hold;
}

static void list_bond(struct broker *broker, struct ctx *ctx, const struct svab_list_entry *e)
{
	struct device *device = device_find(broker, e->device);
	struct bond *bond = bond_find(broker, e->bond);
	struct hold *hold;

	if (!bond) {
		if (!device || bond_new(broker, device, e->bond, e->pasid, &bond) < 0)
			return;
		bond->bound_ns = e->bound_ns;
		bond->faults = e->faults;
	}
	bond->generation = broker->generation;
	if (ctx) {
		hold = list_hold(broker, ctx, e);
		if (hold)
			bond_attach(bond, hold);
	}
	bond_sync(bond, e->state, e->cause, e->stopping_ns);
}

static void follow_entry(void *userdata, const struct svab_list_entry *e)
{
	struct broker *broker = userdata;
	struct ctx *ctx = list_ctx(broker, e);

	if (e->type == SVAB_LIST_GRANT && ctx)
		list_hold(broker, ctx, e);
	else if (e->type == SVAB_LIST_BOND)
		list_bond(broker, ctx, e);
}

static void follow_synced(void *userdata)
{
	struct broker *broker = userdata;
	struct list *pos, *tmp, *c, *ctmp, *h, *htmp;

	/* What the listing did not name has ended while we did not look. */
	list_for_each_safe(pos, tmp, &broker->bond_list) {
		struct bond *bond = container_of(pos, struct bond, link);

		if (bond->generation != broker->generation)
			bond_sync(bond, SVAB_PASID_CLEAN, SVAB_CAUSE_NONE, 0);
	}
	list_for_each_safe(pos, tmp, &broker->client_list) {
		struct client *client = container_of(pos, struct client, link);

		list_for_each_safe(c, ctmp, &client->ctxs) {
			struct ctx *ctx = container_of(c, struct ctx, link);

			list_for_each_safe(h, htmp, &ctx->holds) {
				struct hold *hold = container_of(h, struct hold, link);

				if (hold->generation != broker->generation)
					hold_free(hold);
			}
			if (ctx->generation != broker->generation)
				ctx_free(ctx);
		}
		if (client->expected && (list_empty(&client->ctxs) || client->pidfd < 0))
			client_end(client, SVAB_CAUSE_CLIENT_GONE);
		else if (client->expected && identify_pending(client))
			continue; /* which settings are its own is not known yet */
		else if (client->expected)
			broker_enforce(broker,
				       client); /* the settings may have changed while there was no broker */
		else
			client_maybe_free(client);
	}
	if (broker->shutting_down)
		broker_revoke_all(broker); /* those that the listing has brought */
	rpc_figures_ready(broker, NULL);
	event_broker(broker, SVAD__V1__EVENT_KIND__EVENT_BACKEND_UP, "");
	broker->synced = true;
	broker_maybe_ready(broker);
	broker_maybe_done(broker);
}

/* ---- events ---- */

static void on_bound(struct broker *broker, const struct svab_event *event)
{
	struct ctx *ctx = ctx_find(broker, event->cookie);
	struct device *device = device_find(broker, event->device);
	struct hold *hold = ctx && device ? ctx_find_hold(ctx, device) : NULL;
	struct bond *bond = bond_find(broker, event->bond);

	/* Older than a listing, which has not named its hold: a later grant's is none of its business. Nor is
	 * the bond, when the listing named it as others'. */
	if (hold && event->grant && hold->grant != event->grant) {
		if (bond)
			return;
		hold = NULL;
	}
	if (!hold || (!bond && bond_new(broker, device, event->bond, event->pasid, &bond) < 0)) {
		/* Its grant was revoked while the client was binding, or there is no memory to follow it: it
		 * must not live on unfollowed. Or it has come and gone between a loss of events and the
		 * listing: then there is no more to it. */
		if (broker->backend->ops->bond_revoke(broker->backend, event->bond, SVAB_CAUSE_POLICY) <= 0)
			log_write(LOG_NOTICE, NULL, "Bond %llu has no grant any more; it is revoked",
				  (unsigned long long)event->bond);
		return;
	}
	hold->generation = ctx->generation = bond->generation = broker->generation;
	bond->bound_ns = event->time_ns;
	bond_attach(bond, hold);
	broker->counters.bonds++;
	event_bond(bond, SVAD__V1__EVENT_KIND__EVENT_BOUND, event->time_ns, 0);
}

static void on_unref(struct broker *broker, const struct svab_event *event)
{
	struct ctx *ctx = ctx_find(broker, event->cookie);
	struct device *device = device_find(broker, event->device);
	struct hold *hold = ctx && device ? ctx_find_hold(ctx, device) : NULL;

	/* A later grant's hold is none of this event's business. */
	if (hold && (!event->grant || hold->grant == event->grant))
		hold_free(hold);
}

static void on_ctx_gone(struct broker *broker, const struct svab_event *event)
{
	struct ctx *ctx = ctx_find(broker, event->cookie);
	struct container *container;
	struct client *client;

	if (!ctx)
		return;
	client = ctx->client;
	container = client->container ? container_ref(client->container) : NULL;
	ctx_free(ctx);
	if (client->expected && list_empty(&client->ctxs))
		client_end(client, SVAB_CAUSE_CLIENT_GONE);
	else
		client_maybe_free(client);
	container_ctx_gone(container);
	container_put(container);
	broker_maybe_done(broker);
}

static void on_fault(struct broker *broker, const struct svab_event *event)
{
	struct device *device = device_find(broker, event->device);
	struct bond *bond = bond_find(broker, event->bond);
	struct list *pos;

	broker->counters.faults++;
	if (device)
		device->info.faults++;
	if (!bond)
		return;
	bond->faults++;
	list_for_each(pos, &bond->holds)
		container_of(pos, struct hold, bond_link)->ctx->client->faults++;
	if (bond->container)
		bond->container->faults++;
	event_fault(bond, event);
}

static void follow_event(void *userdata, const struct svab_event *event)
{
	struct broker *broker = userdata;
	struct device *device = device_find(broker, event->device);
	struct bond *bond;

	switch ((enum svab_event_type)event->type) {
	case SVAB_EV_BOUND:
		on_bound(broker, event);
		break;
	case SVAB_EV_UNREF:
		on_unref(broker, event);
		break;
	case SVAB_EV_STOPPING:
	case SVAB_EV_FLUSHED:
	case SVAB_EV_DRAINED:
	case SVAB_EV_QUARANTINED:
		bond = bond_find(broker, event->bond);
		if (bond)
			bond_event(bond, event);
		/* A bond that would not stop may have been all that a shutdown waits for. */
		if (event->type == SVAB_EV_QUARANTINED)
			broker_maybe_done(broker);
		break;
	case SVAB_EV_CTX_GONE:
		on_ctx_gone(broker, event);
		break;
	case SVAB_EV_FAULT:
		on_fault(broker, event);
		break;
	case SVAB_EV_STOP_FAILED:
		broker->counters.stop_failures++;
		if (device)
			device->info.stop_failures++;
		break;
	case SVAB_EV_DEV_GONE:
		if (device) {
			device->info.state = SVAB_DEV_GONE;
			event_device(device, SVAD__V1__EVENT_KIND__EVENT_DEVICE_GONE);
		}
		break;
	case SVAB_EV_DEV_RESET:
		if (device) {
			device->info.stop_failures = 0;
			event_device(device, SVAD__V1__EVENT_KIND__EVENT_DEVICE_RESET);
		}
		break;
	case SVAB_EV_DEV_ADDED:
		if (device) {
			/* Usable from the moment that it is announced; its figures are refreshed a moment
			 * later. */
			device->info.state = SVAB_DEV_OK;
			device->info.reason[0] = '\0';
			event_device(device, SVAD__V1__EVENT_KIND__EVENT_DEVICE_ADDED);
		}
		break;
	case SVAB_EV_LOST:
		log_warning("Missed %llu events of the backend; listing again",
			    (unsigned long long)event->value);
		broker->generation++;
		break;
	case SVAB_EV_MM_RELEASED:
		break; /* STOPPING, with this cause, follows */
	}
}

const struct backend_handler broker_backend_handler = {
	.up = follow_up,
	.down = follow_down,
	.device = follow_device,
	.entry = follow_entry,
	.synced = follow_synced,
	.event = follow_event,
	.info = follow_info,
};
