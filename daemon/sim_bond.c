/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_bond.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../client/lib/sva/demo_accel.h"
#include "log.h"
#include "sim_checker.h"
#include "sim_ctx.h"
#include "sim_drain.h"
#include "sim_event.h"
#include "sim_iommu.h"
#include "sim_mm.h"
#include "sim_worker.h"

#define FAULT_WINDOW_NS 100000000u
#define FAULTS_PER_WINDOW 16u

/* ---- lifetime of the struct ------------------------------------------------------------------------ */

struct sim_bond *sim_bond_ref(struct sim_bond *bond)
{
	atomic_fetch_add(&bond->refs, 1);
	return bond;
}

void sim_bond_unref(struct sim_bond *bond)
{
	if (!bond || atomic_fetch_sub(&bond->refs, 1) != 1)
		return;
	if (bond->portal_fd >= 0)
		close(bond->portal_fd);
	sim_mm_unref(bond->mm);
	pthread_mutex_destroy(&bond->lock);
	pthread_cond_destroy(&bond->wake);
	pthread_cond_destroy(&bond->pr_cond);
	free(bond);
}

/* ---- news from threads ------------------------------------------------------------------------------ */

static void bond_news(struct sim_note *note)
{
	struct sim_bond *bond = container_of(note, struct sim_bond, note);
	struct svab_event fault = { .type = SVAB_EV_FAULT };
	uint32_t news;

	pthread_mutex_lock(&bond->lock);
	news = bond->news;
	bond->news = 0;
	bond->note_posted = false;
	fault.value = bond->fault_address;
	fault.code = bond->fault_code;
	pthread_mutex_unlock(&bond->lock);

	if ((news & NEWS_FAULT) && !bond->finished) {
		uint64_t now = sim_now();

		/* Each is counted; a client that faults without end does not fill the broker's queue. */
		if (now - bond->fault_window_ns > FAULT_WINDOW_NS) {
			bond->fault_window_ns = now;
			bond->fault_window_n = 0;
		}
		if (bond->fault_window_n++ < FAULTS_PER_WINDOW) {
			struct sim_hold *hold =
				list_empty(&bond->holds)
					? NULL
					: container_of(bond->holds.next, struct sim_hold, of_bond);

			fault.cookie = hold ? hold->ctx->cookie : 0;
			fault.grant = hold ? hold->grant : 0;
			fault.bond = bond->id;
			fault.device = bond->device->id;
			fault.pasid = bond->pasid;
			fault.state = bond->drain.state;
			sim_event(&fault);
		}
	}
	/* A reset may have taken the worker's acknowledgement before its news came. */
	if ((news & NEWS_STOPPED) && !bond->finished)
		sim_drain_acked(bond);
	if ((news & NEWS_REVOKED) && !bond->finished)
		sim_drain_portal_gone(bond);
	if (news & NEWS_FLUSHED)
		sim_bond_input(bond, DRAIN_FLUSHED_ALL, SVAB_CAUSE_NONE);
	if ((news & NEWS_PORTAL) && bond->drain.state == SVAB_PASID_BOUND) {
		log_write(LOG_NOTICE, SVAD_MSG_CLIENT_MISBEHAVED,
			  "process %d truncated the portal of its bond %llu with %s; the bond is revoked",
			  (int)bond->mm->pid, (unsigned long long)bond->id, bond->device->name);
		sim_bond_revoke(bond, SVAB_CAUSE_POLICY);
	}
	sim_bond_unref(bond);
}

void sim_bond_tell(struct sim_bond *bond, uint32_t news)
{
	bool post;

	pthread_mutex_lock(&bond->lock);
	bond->news |= news;
	post = !bond->note_posted;
	bond->note_posted = true;
	pthread_mutex_unlock(&bond->lock);
	if (!post)
		return;
	sim_bond_ref(bond);
	bond->note.run = bond_news;
	sim_post(&bond->note);
}

void sim_bond_fault(struct sim_bond *bond, enum svab_fault code, uint64_t address)
{
	if (code == SVAB_FAULT_DESCRIPTOR || code == SVAB_FAULT_RING)
		atomic_fetch_add(&bond->device->errors, 1);
	else
		atomic_fetch_add(&bond->device->faults, 1);
	atomic_fetch_add(&bond->faults, 1);
	pthread_mutex_lock(&bond->lock);
	bond->fault_address = address;
	bond->fault_code = code;
	pthread_mutex_unlock(&bond->lock);
	sim_bond_tell(bond, NEWS_FAULT);
}

/* ---- making one -------------------------------------------------------------------------------------- */

struct sim_bond *sim_bond_find(uint64_t id)
{
	struct idmap_node *node = idmap_find(&sim.bonds, id);

	return node ? container_of(node, struct sim_bond, by_id) : NULL;
}

static int portal_make(const struct sim_device *device)
{
	const uint32_t regs[4] = { SVA_DEMO_MAGIC, SVA_DEMO_VERSION, (uint32_t)device->config->operations,
				   SVA_DEMO_FLAG_KICK };
	const uint32_t idle = 1;
	int fd;

	fd = memfd_create("svad-portal",
			  MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x8u /* MFD_NOEXEC_SEAL, Linux 6.3 */);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("svad-portal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* Not F_SEAL_SHRINK: revoking is shrinking to nothing. F_SEAL_SEAL: nor may the client add it. */
	if (ftruncate(fd, SVA_DEMO_PORTAL_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
	    pwrite(fd, regs, sizeof(regs), SVA_DEMO_REG_MAGIC) != (ssize_t)sizeof(regs) ||
	    pwrite(fd, &idle, sizeof(idle), SVA_DEMO_REG_IDLE) != (ssize_t)sizeof(idle)) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static int bond_new(struct sim_device *device, struct sim_mm *mm, uint64_t at_random, uint32_t deadline_ms,
		    struct sim_bond **ret)
{
	bool fresh = !mm->pasid;
	struct sim_bond *bond;
	pthread_condattr_t attr;
	int r;

	if (device->state != SVAB_DEV_OK)
		return -ENODEV;
	if (device->config->max_bonds && device->n_bonds >= device->config->max_bonds)
		return -ENOSPC;
	if (!fresh && mm->pasid > device->max_pasid)
		return -ENOSPC; /* a PASID belongs to the mm, and this one is too wide for the device */
	bond = calloc(1, sizeof(*bond));
	if (!bond)
		return -ENOMEM;
	bond->portal_fd = -1;
	if (device->config->portal) {
		r = portal_make(device);
		if (r < 0) {
			free(bond);
			return r;
		}
		bond->portal_fd = r;
	}
	atomic_init(&bond->refs, 1);
	pthread_mutex_init(&bond->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&bond->wake, &attr);
	pthread_cond_init(&bond->pr_cond, &attr);
	pthread_condattr_destroy(&attr);
	bond->device = device;
	bond->mm = sim_mm_ref(mm);
	bond->at_random = at_random;
	bond->bound_ns = sim_now();
	bond->deadline.fn = sim_drain_deadline;
	list_init(&bond->holds);
	list_init(&bond->sockets);
	drain_init(&bond->drain, &sim_drain_ops, deadline_ms);

	if (fresh) {
		mm->pasid = sim_pasid_alloc(device->max_pasid);
		if (!mm->pasid) {
			sim_bond_unref(bond);
			return -ENOSPC;
		}
		checker_assign(mm->pasid, mm->id);
	}
	bond->pasid = mm->pasid;
	bond->id = ++sim.next_bond;
	r = sim_iommu_attach(device, bond->pasid, mm, bond->id);
	if (r < 0) {
		if (fresh)
			sim_pasid_release(mm);
		sim_bond_unref(bond);
		return r;
	}
	checker_bind(bond->id, device->id, bond->pasid, mm->id);
	idmap_insert(&sim.bonds, &bond->by_id, bond->id);
	idmap_insert(&device->by_mm, &bond->by_mm, mm->id);
	list_append(&device->bonds, &bond->of_device);
	list_append(&mm->bonds, &bond->of_mm);
	sim_mm_use(mm);
	mm->n_bonds++;
	device->n_bonds++;
	sim.n_bonds++;
	sim_mm_sweep_needed();
	*ret = bond;
	return 0;
}

int sim_bond_get(struct sim_ctx *ctx, struct sim_device *device, struct sim_mm *mm, uint64_t at_random,
		 struct sim_hold **ret)
{
	struct idmap_node *node = idmap_find(&device->by_mm, mm->id);
	struct sim_bond *bond = node ? container_of(node, struct sim_bond, by_mm) : NULL;
	struct sim_grant *grant;
	struct sim_hold *hold;
	struct list *l;
	int r;

	if (bond) {
		if (bond->drain.state != SVAB_PASID_BOUND)
			return -EBUSY;
		list_for_each(l, &bond->holds) {
			hold = container_of(l, struct sim_hold, of_bond);
			if (hold->ctx == ctx) {
				*ret = hold;
				return 0;
			}
		}
	}
	grant = sim_ctx_grant_find(ctx, device->id);
	if (!grant)
		return -EACCES;
	hold = calloc(1, sizeof(*hold));
	if (!hold)
		return -ENOMEM;
	if (!bond) {
		r = bond_new(device, mm, at_random, grant->deadline_ms, &bond);
		if (r < 0) {
			free(hold);
			return r;
		}
	}
	hold->ctx = ctx;
	hold->bond = bond;
	hold->grant = grant->grant;
	list_append(&ctx->holds, &hold->of_ctx);
	list_append(&bond->holds, &hold->of_bond);
	list_remove(&grant->link);
	free(grant);
	*ret = hold;
	return 0;
}

void sim_hold_free(struct sim_hold *hold)
{
	struct sim_ctx *ctx = hold->ctx;

	list_remove(&hold->of_ctx);
	list_remove(&hold->of_bond);
	free(hold);
	sim_ctx_check_gone(ctx);
}

void sim_hold_end(struct sim_hold *hold, enum svab_cause cause)
{
	struct sim_bond *bond = hold->bond;

	sim_refs_close(hold);
	if (bond->drain.state != SVAB_PASID_BOUND)
		return; /* until it has drained */
	if (bond->holds.next != bond->holds.prev) {
		struct svab_event e = {
			.type = SVAB_EV_UNREF,
			.cookie = hold->ctx->cookie,
			.bond = bond->id,
			.grant = hold->grant,
			.device = bond->device->id,
			.pasid = bond->pasid,
			.state = bond->drain.state,
			.cause = cause,
		};

		sim_event(&e);
		sim_hold_free(hold);
		return;
	}
	sim_bond_input(bond, DRAIN_BEGIN, cause);
}
