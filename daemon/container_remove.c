/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a container ends. Whoever asks (CNI DEL or GC, an administrator, the reconciler, a registration that
 * supersedes it) comes through container_remove(), which is idempotent; pidfds and the backend's own events
 * end bonds without it, and are found done. Each bond drains once, whoever was first; a removal counts what
 * had not become CLEAN when it was asked for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bond.h"
#include "client.h"
#include "container_private.h"
#include "container_timeline.h"
#include "device.h"
#include "events.h"
#include "log.h"
#include "mutation.h"
#include "rpc_container.h"

#define ACTIVE SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE
#define REMOVING SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVING
#define REMOVED SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED

/* ---- the count ---- */

static void end_fill(const struct bond *bond, struct bond_end *end)
{
	const struct drain *d = &bond->drain;

	*end = (struct bond_end){
		.bond = bond->node.id,
		.pasid = bond->pasid,
		.state = d->state,
		.cause = d->cause,
		.pid = bond->pid,
	};
	if (d->began_ns && d->ended_ns > d->began_ns)
		end->duration_ns = d->ended_ns - d->began_ns;
	snprintf(end->device, sizeof(end->device), "%s", bond->device->info.name);
}

static void removal_count(struct container *c, struct bond *bond)
{
	struct removal *r = &c->removal;

	if (bond->in_removal || bond->drain.state == SVAB_PASID_CLEAN)
		return;
	bond->in_removal = true;
	bond->end_named = false;
	bond->counted_stuck = bond->drain.state == SVAB_PASID_QUARANTINED;
	r->ended++;
	r->quarantined += bond->counted_stuck;
	if (r->n_ends == CONTAINER_ENDS_MAX)
		return;
	if (r->n_ends == r->room) {
		uint32_t room = r->room ? r->room * 2 : 8;
		struct bond_end *ends = realloc(r->ends, room * sizeof(*ends));

		if (!ends)
			return; /* it is counted, which is what matters */
		r->ends = ends;
		r->room = room;
	}
	bond->end_named = true;
	bond->end = r->n_ends++;
	end_fill(bond, &r->ends[bond->end]);
}

static void removal_begin(struct container *c)
{
	struct removal *r = &c->removal;
	struct list *pos;

	r->active = true;
	r->ended = r->clean = r->quarantined = r->n_ends = 0;
	r->slowest_ns = 0;
	list_for_each(pos, &c->bond_list) {
		struct bond *bond = container_of(pos, struct bond, container_link);

		bond->in_removal = false;
		removal_count(c, bond);
	}
}

/* Its end is heard of when nothing is left of it; a quarantined bond keeps it, and is all that may. */
static bool ctx_pending(const struct ctx *ctx)
{
	const struct list *pos;
	bool quarantined = false;

	list_for_each(pos, &ctx->holds) {
		const struct bond *bond = container_of(pos, struct hold, link)->bond;

		if (bond && bond->drain.state == SVAB_PASID_QUARANTINED)
			quarantined = true;
		else if (bond)
			return true;
	}
	return !quarantined;
}

static bool removal_pending(const struct container *c)
{
	const struct removal *r = &c->removal;
	const struct list *pos, *x;

	if (r->clean + r->quarantined != r->ended)
		return true;
	if (c->state == ACTIVE)
		return false; /* registered again: what is bound now is none of that removal's business */
	if (c->n_bonds_live)
		return true;
	/* A context may yet tell of a bond that was made while it was being revoked. */
	list_for_each(pos, &c->clients)
		list_for_each(x, &container_of(pos, struct client, container_link)->ctxs)
			if (ctx_pending(container_of(x, struct ctx, link)))
				return true;
	return false;
}

void removal_check(struct container *c)
{
	struct removal *r = &c->removal;
	char text[96];

	if (!r->active || c->broker->ending || (removal_pending(c) && !MUTATED("container-early-answer")))
		return;
	r->active = false;
	if (c->state == REMOVING) {
		c->state = REMOVED;
		snprintf(text, sizeof(text), "%u bonds: %u CLEAN, %u QUARANTINED", r->ended, r->clean,
			 r->quarantined);
		timeline_note(c, SVAD__V1__TIMELINE_KIND__TIMELINE_REMOVED, text);
	}
	container_ref(c);
	rpc_container_removed(c);
	container_maybe_forget(c);
	container_put(c);
}

/* One that was quarantined stays so in the count until it is CLEAN. */
static void removal_tell(struct container *c, struct bond *bond, struct bond_end *end)
{
	struct removal *r = &c->removal;
	bool clean = end->state == SVAB_PASID_CLEAN;
	bool stuck = !clean && (bond->counted_stuck || end->state == SVAB_PASID_QUARANTINED);

	if ((clean || stuck) && !bond->counted_stuck && end->duration_ns > r->slowest_ns)
		r->slowest_ns = end->duration_ns;
	r->clean += clean;
	r->quarantined += (unsigned)stuck - (unsigned)bond->counted_stuck;
	bond->counted_stuck = stuck;
	if (bond->end_named)
		r->ends[bond->end] = *end;
}

/* ---- bonds ---- */

void container_bond_added(struct container *c, struct bond *bond)
{
	bool live = bond->drain.state == SVAB_PASID_BOUND || drain_active(&bond->drain);

	if (bond->container || bond->drain.state == SVAB_PASID_CLEAN)
		return;
	bond->container = container_ref(c);
	list_append(&c->bond_list, &bond->container_link);
	bond->counted_live = live;
	c->n_bonds_live += live;
	bond->in_removal = false;
	if (c->state == ACTIVE) {
		if (!c->bound_once)
			timeline_client(c, SVAD__V1__TIMELINE_KIND__TIMELINE_FIRST_BIND, bond->client,
					bond->pid, bond->device->info.name);
		c->bound_once = true;
	} else {
		/* Also of one that was found removed when svad was started: who asks for that waits for these. */
		c->removal.active = true;
		removal_count(c, bond);
	}
}

void container_bond_state(struct bond *bond)
{
	struct container *c = bond->container;
	const struct drain *d = &bond->drain;
	bool live = d->state == SVAB_PASID_BOUND || drain_active(d);
	struct bond_end end;

	if (!c || c->broker->ending)
		return;
	c->n_bonds_live += (unsigned)live - (unsigned)bond->counted_live;
	bond->counted_live = live;
	end_fill(bond, &end);
	if (bond->in_removal)
		removal_tell(c, bond, &end);
	if (d->state == SVAB_PASID_CLEAN && d->was_quarantined)
		timeline_bond(c, SVAD__V1__TIMELINE_KIND__TIMELINE_QUARANTINE_END, &end, bond->client);
	else if (d->state == SVAB_PASID_QUARANTINED ||
		 (d->state == SVAB_PASID_CLEAN && d->cause != SVAB_CAUSE_UNBIND))
		timeline_bond(c, SVAD__V1__TIMELINE_KIND__TIMELINE_BOND_END, &end, bond->client);
	removal_check(c);
}

void container_bond_freed(struct bond *bond)
{
	struct container *c = bond->container;

	if (!c)
		return;
	list_remove(&bond->container_link);
	bond->container = NULL;
	c->n_bonds_live -= bond->counted_live;
	removal_check(c);
	container_maybe_forget(c);
	container_put(c);
}

void container_ctx_gone(struct container *c)
{
	if (c)
		removal_check(c);
}

/* ---- the end itself ---- */

void container_enforce(struct container *c)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &c->clients)
		broker_enforce(c->broker, container_of(pos, struct client, container_link));
}

static void log_removal(const struct container *c, const char *by)
{
	char id[320], cookie[48], who[192];
	const char *fields[] = { id, cookie, NULL };

	snprintf(id, sizeof(id), "SVAD_CONTAINER=%s", c->name);
	snprintf(cookie, sizeof(cookie), "SVAD_NETNS_COOKIE=%llu", (unsigned long long)c->cookie);
	log_fields(LOG_INFO, SVAD_MSG_CONTAINER_REMOVED, fields,
		   "Removing %s (by %s): %u clients, %zu bonds to end",
		   container_describe(c, who, sizeof(who)), by, c->n_clients, (size_t)c->removal.ended);
}

/* A bond of its that a process elsewhere holds as well (one that shares the memory, and has left the
 * container's netns) is not ended by what its own clients let go of. */
static void revoke_shared(struct container *c, enum svab_cause cause)
{
	struct backend *backend = c->broker->backend;
	struct list *pos, *tmp, *h;

	if (!backend || !backend->is_up)
		return;
	list_for_each_safe(pos, tmp, &c->bond_list) {
		struct bond *bond = container_of(pos, struct bond, container_link);
		bool shared = false;

		list_for_each(h, &bond->holds)
			shared |= container_of(h, struct hold, bond_link)->ctx->client->container != c;
		if (shared && bond->drain.state == SVAB_PASID_BOUND)
			backend->ops->bond_revoke(backend, bond->node.id, cause);
	}
}

bool container_remove(struct container *c, struct attachment *a, enum svab_cause cause, const char *by)
{
	struct registry *registry = &c->broker->registry;
	struct list *pos, *tmp;

	if (c->state != ACTIVE)
		return false;
	if (a && (a->link.next != &c->attachments || a->link.prev != &c->attachments)) {
		timeline_attachment(c, SVAD__V1__TIMELINE_KIND__TIMELINE_REMOVE_ASKED, a, by);
		attachment_free(a);
		container_changed(c);
		container_enforce(c);
		return false;
	}
	container_ref(c);
	c->state = REMOVING;
	registry->n_active--;
	registry->n_tombstones++;
	c->broker->counters.containers_removed++;
	removal_begin(c);
	container_changed(c);
	timeline_attachment(c, SVAD__V1__TIMELINE_KIND__TIMELINE_REMOVE_ASKED, a, by);
	log_removal(c, by);
	event_container(c, SVAD__V1__EVENT_KIND__EVENT_CONTAINER_REMOVED, by);
	/* What they are bound to must stop; one that has ended by itself has had its contexts revoked. */
	if (MUTATED("container-wrong-cause"))
		cause = SVAB_CAUSE_CLIENT_GONE;
	list_for_each_safe(pos, tmp, &c->clients)
		if (!MUTATED("container-skip-clients"))
			client_end(container_of(pos, struct client, container_link), cause);
	revoke_shared(c, cause);
	if (MUTATED("container-no-tombstone"))
		c->netns_dead = true;
	removal_check(c);
	container_put(c);
	return true;
}

void container_netns_dead(struct container *c, const char *by)
{
	container_ref(c);
	if (!c->netns_dead) {
		c->netns_dead = true;
		timeline_note(c, SVAD__V1__TIMELINE_KIND__TIMELINE_NETNS_DEAD, by);
		container_changed(c);
	}
	container_remove(c, NULL, SVAB_CAUSE_CONTAINER_GONE, by);
	container_maybe_forget(c);
	container_put(c);
}

void container_drop(struct container *c, bool revived)
{
	container_remove(c, NULL, SVAB_CAUSE_CONTAINER_GONE, "its registration could not be kept");
	if (revived)
		return;
	/* It was never there: nobody is to be refused for it once its bonds have ended. */
	c->netns_dead = true;
	container_maybe_forget(c);
}
