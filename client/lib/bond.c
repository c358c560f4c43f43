/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bonds: their references, their end, and what one may ask of them. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "internal.h"

struct sva_bond *sva_bond_by_id(struct sva *sva, uint64_t id)
{
	for (struct sva_bond *bond = sva->bonds; bond; bond = bond->next)
		if (bond->id == id)
			return bond;
	return NULL;
}

void sva_bond_mark_revoked(struct sva_bond *bond, uint32_t state, uint32_t cause)
{
	atomic_store(&bond->revoked, true);
	if (bond->told || bond->ending) /* the program itself ends it: no news */
		return;
	bond->told = true;
	sva_event_push(bond->sva, bond,
		       &(struct sva_event){
			       .reason = SVA_REVOKED,
			       .state = state,
			       .cause = cause,
			       .pasid = bond->pasid,
		       });
}

void sva_bonds_check(struct sva *sva)
{
	for (struct sva_bond *bond = sva->bonds; bond; bond = bond->next)
		if (!atomic_load(&bond->revoked) && sva_hung_up(bond->fd))
			sva_bond_mark_revoked(bond, SVAB_PASID_STOPPING, SVAB_CAUSE_NONE);
}

void sva_bond_unlink(struct sva_bond *bond)
{
	for (struct sva_bond **p = &bond->sva->bonds; *p; p = &(*p)->next) {
		if (*p == bond) {
			*p = bond->next;
			return;
		}
	}
}

void sva_bond_close(struct sva_bond *bond)
{
	if (sva_alive(bond->sva)) {
		/* In a child the epoll set is the parent's, and at the portal's address there is something
		 * else. */
		if (bond->fd >= 0 && !bond->hup_seen)
			(void)epoll_ctl(bond->sva->epoll_fd, EPOLL_CTL_DEL, bond->fd, NULL);
		if (bond->portal)
			(void)munmap(bond->portal, bond->portal_size);
	}
	bond->portal = NULL;
	sva_fd_close(&bond->fd);
	bond->ctx = sva_ctx_unref(bond->ctx);
}

void sva_bond_unref_mem(struct sva_bond *bond)
{
	struct sva_ring *ring;

	if (--bond->mem > 0)
		return;
	while ((ring = bond->rings)) {
		bond->rings = ring->next;
		free(ring->desc);
		free(ring);
	}
	free(bond);
}

/* ---- how a revoked bond's drain ended: the broker knows ------------------------------------------ */

struct find_out {
	uint64_t bond, next;
	uint32_t state;
};

static int parse_bonds(struct call *call, const Svad__V1__Reply *reply, struct wire_fds *fds)
{
	const Svad__V1__ListBondsReply *list = reply->list_bonds;
	struct find_out *out = call->out;

	(void)fds;
	if (reply->body_case != SVAD__V1__REPLY__BODY_LIST_BONDS)
		return -EPROTO;
	if (list->next != 0 && (list->next <= out->next || list->n_bonds == 0))
		return -EPROTO;
	for (size_t i = 0; i < list->n_bonds; i++)
		if (list->bonds[i]->id == out->bond)
			out->state = (uint32_t)list->bonds[i]->state;
	out->next = list->next;
	return 0;
}

/* Lock held. SVAB_PASID_CLEAN, _QUARANTINED or -errno. */
static int await_final(struct sva *sva, struct sva_bond *bond, uint64_t deadline)
{
	struct find_out out = { .bond = bond->id };
	struct call call = { .parse = parse_bonds, .out = &out };
	Svad__V1__Page page = SVAD__V1__PAGE__INIT;
	Svad__V1__ListBonds list = SVAD__V1__LIST_BONDS__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	int r;

	list.page = &page;
	req.body_case = SVAD__V1__REQUEST__BODY_LIST_BONDS;
	req.list_bonds = &list;
	if (!bond->final) {
		do {
			page.after = out.next;
			r = sva_rpc(sva, &req, &call, deadline);
			if (r < 0)
				return r;
		} while (out.next != 0);
		if (!bond->final && (out.state == SVAB_PASID_NONE || out.state == SVAB_PASID_CLEAN))
			bond->final = SVAB_PASID_CLEAN; /* a bond that is no more is CLEAN */
		else if (!bond->final && out.state == SVAB_PASID_QUARANTINED)
			bond->final = SVAB_PASID_QUARANTINED;
	}
	while (!bond->final) {
		if (sva_remaining_ms(deadline) == 0)
			return -ETIMEDOUT;
		r = sva_conn_await_up(sva, deadline, true);
		if (r < 0)
			return r;
		sva_pump(sva, deadline);
	}
	return (int)bond->final;
}

/* ---- unbind ------------------------------------------------------------------------------------- */

int sva_unbind(struct sva_bond *bond, enum sva_state state)
{
	uint32_t final = (uint32_t)state;
	uint64_t deadline;
	struct sva *sva;
	char name[64];
	int r;

	if (!bond)
		return sva_fail(NULL, -EINVAL, "no bond was given");
	sva = bond->sva;
	if (!sva_alive(sva))
		return sva_fail_owner(sva);
	if (state != SVA_STATE_NONE && state != SVA_STATE_FLUSHED && state != SVA_STATE_CLEAN)
		return sva_fail(sva, -EINVAL, "%d is no state to vouch for: NONE, FLUSHED or CLEAN",
				(int)state);

	pthread_mutex_lock(&sva->lock);
	if (bond->ending || atomic_load(&bond->refs) == 0) {
		pthread_mutex_unlock(&sva->lock);
		return sva_fail(sva, -EINVAL, "this bond has no reference left to drop");
	}
	if (atomic_load(&bond->refs) > 1) {
		atomic_fetch_sub(&bond->refs, 1);
		pthread_mutex_unlock(&sva->lock);
		return 1;
	}
	bond->ending = true;
	memcpy(name, bond->name, sizeof(name));
	deadline = sva_deadline((int)bond->drain_ms + SVA_DRAIN_MARGIN_MS);

	pthread_mutex_unlock(&sva->lock);
	r = bond->ctx->transport->unbind(bond, &final, deadline);
	pthread_mutex_lock(&sva->lock);

	if (r == -EINVAL || r == -EBUSY || r == -EPERM) { /* refused: nothing has changed */
		bond->ending = false;
		if (atomic_load(&bond->revoked) && !bond->told)
			sva_bond_mark_revoked(bond, SVAB_PASID_STOPPING, SVAB_CAUSE_NONE);
		pthread_cond_broadcast(&sva->cond);
		pthread_mutex_unlock(&sva->lock);
		if (r == -EBUSY)
			return sva_fail(sva, -EEXIST,
					"work is outstanding on %s, so it is not %s: wait for it, or vouch "
					"for nothing",
					name, state == SVA_STATE_CLEAN ? "CLEAN" : "FLUSHED");
		if (r == -EPERM)
			return sva_fail(sva, r, "the bond belongs to another address space");
		return sva_fail(sva, r,
				"%s cannot stop by itself: stop its work, then vouch for FLUSHED or CLEAN",
				name);
	}
	if (r == -ENOLINK) { /* revoked before it could answer */
		r = await_final(sva, bond, deadline);
		if (r >= 0)
			final = (uint32_t)r;
	}

	sva_bond_unlink(bond);
	sva_bond_close(bond); /* where there was no answer this is what ends it: the last close */
	atomic_store(&bond->refs, 0);
	if (r < 0)
		bond->rings = NULL; /* how it ended is not known: memory that the device may still write is
				       not reused */
	sva_bond_unref_mem(bond);
	pthread_cond_broadcast(&sva->cond);
	pthread_mutex_unlock(&sva->lock);

	if (r == -ETIMEDOUT)
		return sva_fail(sva, r, "%s did not drain in time; its drain goes on without this process",
				name);
	if (r < 0)
		return r;
	if (final == SVAB_PASID_QUARANTINED)
		return sva_fail(
			sva, -EBUSY,
			"%s did not stop: the bond is quarantined until an administrator resets the device "
			"(`svadctl device reset %s`)",
			name, name);
	return final == SVAB_PASID_BOUND ? 1 : 0;
}

/* ---- questions ---------------------------------------------------------------------------------- */

uint32_t sva_bond_pasid(const struct sva_bond *bond)
{
	return bond && sva_alive(bond->sva) ? bond->pasid : 0;
}

uint64_t sva_bond_id(const struct sva_bond *bond)
{
	return bond && sva_alive(bond->sva) ? bond->id : 0;
}

unsigned sva_bond_references(const struct sva_bond *bond)
{
	return bond && sva_alive(bond->sva) ? atomic_load(&bond->refs) : 0;
}

int sva_bond_device(const struct sva_bond *bond, char *name, size_t size)
{
	if (!bond || (!name && size > 0))
		return sva_fail(NULL, -EINVAL, "no bond, or no place for the name, was given");
	if (!sva_alive(bond->sva))
		return sva_fail_owner(bond->sva);
	return snprintf(name, size, "%s", bond->name);
}

volatile void *sva_bond_portal(const struct sva_bond *bond, size_t *ret_size)
{
	bool there = bond && sva_alive(bond->sva);

	if (ret_size)
		*ret_size = there ? bond->portal_size : 0;
	return there ? bond->portal : NULL;
}

int sva_bond_kick(struct sva_bond *bond)
{
	int r;

	if (!bond)
		return sva_fail(NULL, -EINVAL, "no bond was given");
	if (!sva_alive(bond->sva))
		return sva_fail_owner(bond->sva);
	r = bond->ctx->transport->kick(bond);
	if (r == -ESHUTDOWN)
		return sva_fail(bond->sva, r, "the bond with %s was revoked", bond->name);
	return r;
}

int sva_bond_revoked(const struct sva_bond *bond)
{
	if (!bond)
		return sva_fail(NULL, -EINVAL, "no bond was given");
	if (!sva_alive(bond->sva))
		return sva_fail_owner(bond->sva);
	return atomic_load(&bond->revoked) || sva_hung_up(bond->fd);
}
