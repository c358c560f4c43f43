/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drain of a simulated bond: drain.c's state machine with device, IOMMU and client behind its ops. Loop
 * only, but for what says otherwise. */
#include "sim_drain.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "sim_bond.h"
#include "sim_checker.h"
#include "sim_ctx.h"
#include "sim_device.h"
#include "sim_event.h"
#include "sim_iommu.h"
#include "sim_late.h"
#include "sim_mm.h"
#include "sim_worker.h"

static struct sim_bond *of_drain(struct drain *d)
{
	return container_of(d, struct sim_bond, drain);
}

void sim_pasid_release(struct sim_mm *mm)
{
	sim_pasid_free(mm->pasid);
	mm->pasid = 0;
}

/* In an OS thread, because the client has this file too: one write of its own that waits for a page (a FUSE
 * file's) holds the lock that ftruncate() needs, and may for ever. The client's mapping has nothing behind it
 * from here on (SIGBUS), and the seal keeps it from growing back. */
static void portal_truncate(struct sim_work *work)
{
	struct sim_bond *bond = container_of(work, struct sim_bond, portal_work);

	if (ftruncate(bond->portal_fd, 0) < 0)
		log_err("cannot revoke the portal of bond %llu: %s", (unsigned long long)bond->id,
			strerror(errno));
	sim_bond_tell(bond, NEWS_REVOKED);
	sim_bond_unref(bond);
}

static void check_portal(const struct sim_bond *bond)
{
	struct stat st = { .st_size = bond->portal_fd < 0 ? 0 : -1 };

	(void)fstat(bond->portal_fd, &st);
	checker_stopping(bond->id, st.st_size);
}

static void op_revoke_portal(struct drain *d)
{
	struct sim_bond *bond = of_drain(d);

	if (MUTATED("early-release") && bond->mm->n_bonds == 1)
		sim_pasid_release(bond->mm);
	if (MUTATED("skip-portal-revoke") || bond->portal_fd < 0)
		return;
	bond->portal_pending = true;
	bond->portal_work.run = portal_truncate;
	sim_bond_ref(bond);
	sim_os_submit(&bond->portal_work, bond->mm->uid);
}

static bool stop_awaits_responses(const struct sim_bond *bond)
{
	return !bond->was_reset &&
	       (bond->device->config->stop == STOP_CLEAN || bond->vouched == SVAB_PASID_CLEAN);
}

/* The device acknowledged: it sends nothing more. */
void sim_drain_acked(struct sim_bond *bond)
{
	/* A stop is complete when nothing new can be asked for either. Late for that reason is late all the
	 * same: the deadline runs. */
	if (bond->portal_pending) {
		bond->ack_waits = true;
		return;
	}
	sim_timer_cancel(&bond->delay);
	checker_stopped(bond->id);
	sim_bond_input(bond, stop_awaits_responses(bond) ? DRAIN_STOPPED_CLEAN : DRAIN_STOPPED_FLUSHED,
		       SVAB_CAUSE_NONE);
}

static void reset_wait_over(struct sim_timer *timer)
{
	struct sim_bond *bond = container_of(timer, struct sim_bond, reset_wait);

	sim_timer_cancel(timer);
	bond->device->reset_waits--;
	sim_device_reset_settle(bond->device);
}

void sim_drain_portal_gone(struct sim_bond *bond)
{
	bond->portal_pending = false;
	check_portal(bond);
	sim_refs_revoke(bond); /* who sees POLLHUP finds no portal any more */
	if (bond->ack_waits) {
		bond->ack_waits = false;
		sim_drain_acked(bond);
	}
	if (bond->reset_wait.slot)
		reset_wait_over(&bond->reset_wait);
}

static void bond_stop_now(struct sim_bond *bond)
{
	if (sim_worker_stop(bond, stop_awaits_responses(bond), bond->was_reset))
		sim_drain_acked(bond);
}

static void bond_stop_delayed(struct sim_timer *timer)
{
	bond_stop_now(container_of(timer, struct sim_bond, delay));
}

static void bond_kick_again(struct sim_timer *timer)
{
	struct sim_bond *bond = container_of(timer, struct sim_bond, delay);

	if (bond->drain.state == SVAB_PASID_BOUND && sim_worker_kick(bond) < 0)
		sim_bond_retry_kick(bond);
}

void sim_bond_retry_kick(struct sim_bond *bond)
{
	/* Threads come back as others' bonds go idle; nothing tells when. */
	bond->delay.fn = bond_kick_again;
	(void)sim_timer_arm(&bond->delay, sim_now() + 20000000u);
}

static void op_stop(struct drain *d)
{
	struct sim_bond *bond = of_drain(d);
	struct sim_device *device = bond->device;
	uint32_t ignore_ms = atomic_load(&device->ignore_stop_ms);

	sim_timer_cancel(&bond->delay);
	if (MUTATED("skip-stop")) {
		sim_drain_acked(bond);
		return;
	}
	if (!bond->was_reset) {
		bond->stop_lost = ignore_ms == SIM_FOREVER;
		if (bond->stop_lost)
			return; /* injected: the request is lost; the deadline will come */
		if (ignore_ms) {
			bond->delay.fn = bond_stop_delayed;
			if (!sim_timer_arm(&bond->delay, sim_now() + (uint64_t)ignore_ms * 1000000u))
				return;
		}
		/* A device without a stop: only the client's word that there is nothing to stop, and then it
		 * must be so. */
		if (device->config->stop == STOP_NONE && (!bond->vouched || sim_worker_busy(bond))) {
			sim_bond_input(bond, DRAIN_STOP_FAILED, SVAB_CAUSE_NONE);
			return;
		}
	}
	bond_stop_now(bond);
}

void sim_drain_find_stops(struct sim_device *device)
{
	struct list *l, *next;

	list_for_each_safe(l, next, &device->bonds) {
		struct sim_bond *bond = container_of(l, struct sim_bond, of_device);

		if (bond->stop_lost && bond->drain.state == SVAB_PASID_STOPPING)
			op_stop(&bond->drain);
	}
}

static void op_flush(struct drain *d)
{
	struct sim_bond *bond = of_drain(d);

	if (sim_iommu_flush(bond))
		sim_bond_input(bond, DRAIN_FLUSHED_ALL, SVAB_CAUSE_NONE);
}

static void op_cut(struct drain *d)
{
	struct sim_bond *bond = of_drain(d);

	if (!MUTATED("skip-cut"))
		sim_iommu_cut(bond->device, bond->pasid);
	checker_cut(bond->id);
	if (MUTATED("release-in-quarantine") && bond->mm->n_bonds == 1)
		sim_pasid_release(bond->mm);
	sim_late_dma(bond);
}

static void op_invalidate(struct drain *d)
{
	struct sim_bond *bond = of_drain(d);

	if (!MUTATED("skip-invalidate"))
		sim_iommu_detach(bond->device, bond->pasid, bond->was_reset);
}

/* CLEAN: from here on the mm may bind anew, and when this was its last bond its PASID may be another's. */
static void op_release(struct drain *d)
{
	struct sim_bond *bond = of_drain(d);
	struct sim_mm *mm = bond->mm;

	checker_clean(bond->id);
	idmap_remove(&bond->device->by_mm, &bond->by_mm);
	list_remove(&bond->of_mm);
	mm->n_bonds--;
	if (!mm->n_bonds && mm->pasid)
		sim_pasid_release(mm);
	sim_mm_unuse(mm); /* the bond's own count keeps the struct */
}

static void bond_count(struct sim_bond *bond)
{
	struct sim_device *device = bond->device;
	bool draining = drain_active(&bond->drain), quarantined = bond->drain.state == SVAB_PASID_QUARANTINED;

	if (draining != bond->draining_counted) {
		bond->draining_counted = draining;
		device->draining += draining ? 1u : UINT32_MAX;
		sim.draining += draining ? 1u : UINT32_MAX;
	}
	if (quarantined != bond->quarantine_counted) {
		bond->quarantine_counted = quarantined;
		device->quarantined += quarantined ? 1u : UINT32_MAX;
		sim.quarantined += quarantined ? 1u : UINT32_MAX;
	}
}

static void op_report(struct drain *d)
{
	struct sim_bond *bond = of_drain(d);
	struct sim_device *device = bond->device;

	bond_count(bond);
	switch (d->state) {
	case SVAB_PASID_STOPPING:
		if (!bond->portal_pending)
			check_portal(bond);
		if (d->cause == SVAB_CAUSE_MM_RELEASED)
			sim_event_bond(bond, SVAB_EV_MM_RELEASED, 0);
		sim_event_bond(bond, SVAB_EV_STOPPING, 0);
		if (!bond->portal_pending)
			sim_refs_revoke(bond);
		break;
	case SVAB_PASID_FLUSHED:
		sim_event_bond(bond, SVAB_EV_FLUSHED, 0);
		break;
	case SVAB_PASID_QUARANTINED:
		device->stop_failures++;
		sim_event_bond(bond, SVAB_EV_STOP_FAILED, 0);
		sim_event_bond(bond, SVAB_EV_QUARANTINED, d->ended_ns - d->began_ns);
		log_write(LOG_DEBUG, NULL, /* the broker tells people */
			  "%s did not stop bond %llu (PASID %u, process %d) in time: quarantined, its PASID "
			  "is withheld; "
			  "reset the device, or have it asked to stop once more",
			  device->name, (unsigned long long)bond->id, bond->pasid, (int)bond->mm->pid);
		break;
	case SVAB_PASID_CLEAN:
		device->drained++;
		sim.drained++;
		sim_event_bond(bond, SVAB_EV_DRAINED, d->ended_ns - d->began_ns);
		if (d->was_quarantined)
			log_write(LOG_DEBUG, NULL, "bond %llu (PASID %u) with %s is out of quarantine",
				  (unsigned long long)bond->id, bond->pasid, device->name);
		break;
	case SVAB_PASID_NONE:
	case SVAB_PASID_BOUND:
		break;
	}
	sim_device_reset_settle(device);
}

static void op_finished(struct drain *d)
{
	struct sim_bond *bond = of_drain(d);

	bond->finished = true;
	sim_timer_cancel(&bond->deadline);
	sim_timer_cancel(&bond->delay);
	sim_refs_revoke(bond);
	while (!list_empty(&bond->holds))
		sim_hold_free(container_of(bond->holds.next, struct sim_hold, of_bond));
	idmap_remove(&sim.bonds, &bond->by_id);
	list_remove(&bond->of_device);
	bond->device->n_bonds--;
	sim.n_bonds--;
	sim_late_dma(bond);
	sim_bond_unref(bond);
}

const struct drain_ops sim_drain_ops = {
	.revoke_portal = op_revoke_portal,
	.stop = op_stop,
	.flush = op_flush,
	.cut = op_cut,
	.invalidate = op_invalidate,
	.release = op_release,
	.report = op_report,
	.finished = op_finished,
};

void sim_drain_deadline(struct sim_timer *timer)
{
	sim_bond_input(container_of(timer, struct sim_bond, deadline), DRAIN_DEADLINE, SVAB_CAUSE_NONE);
}

bool sim_bond_input(struct sim_bond *bond, enum drain_input input, enum svab_cause cause)
{
	bool r;

	sim_bond_ref(bond);
	r = drain_input(&bond->drain, input, cause, sim_now());
	if (!bond->finished) {
		if (!bond->drain.deadline_ns)
			sim_timer_cancel(&bond->deadline);
		else if (!bond->deadline.slot || bond->deadline.at != bond->drain.deadline_ns)
			(void)sim_timer_arm(&bond->deadline, bond->drain.deadline_ns);
	}
	sim_bond_unref(bond);
	return r;
}

void sim_bond_revoke(struct sim_bond *bond, enum svab_cause cause)
{
#ifdef SVAD_MUTATIONS
	if (MUTATED("double-drain") && drain_active(&bond->drain))
		bond->drain.state = SVAB_PASID_BOUND;
#endif
	if (bond->drain.state == SVAB_PASID_QUARANTINED)
		sim_bond_input(bond, DRAIN_RETRY, SVAB_CAUSE_NONE);
	else
		sim_bond_input(bond, DRAIN_BEGIN, cause);
}

void sim_bonds_mm_released(struct sim_mm *mm)
{
	struct list *l, *next;

	list_for_each_safe(l, next, &mm->bonds)
		sim_bond_input(container_of(l, struct sim_bond, of_mm), DRAIN_BEGIN, SVAB_CAUSE_MM_RELEASED);
}

int sim_bond_device_reset(struct sim_bond *bond, enum svab_cause cause)
{
	int r = 0;

	sim_bond_ref(bond);
	bond->was_reset = true;
	switch (bond->drain.state) {
	case SVAB_PASID_BOUND:
		sim_bond_input(bond, DRAIN_BEGIN, cause);
		break;
	case SVAB_PASID_STOPPING:
		bond_stop_now(bond);
		break;
	case SVAB_PASID_QUARANTINED:
		if (!sim_worker_stop(bond, false, true)) {
			r = 1; /* inside an access: it becomes CLEAN when that returns */
			break;
		}
		if (bond->portal_pending) {
			bond->ack_waits = true;
			r = 1; /* or when its portal has gone, which is a moment unless its client holds it */
			bond->reset_wait.fn = reset_wait_over;
			if (!bond->reset_wait.slot &&
			    !sim_timer_arm(&bond->reset_wait,
					   sim_now() + (uint64_t)bond->drain.deadline_ms * 1000000u))
				bond->device->reset_waits++;
			break;
		}
		sim_timer_cancel(&bond->delay);
		checker_stopped(bond->id);
		/* The device has forgotten; the IOMMU has not: what it still handles is awaited in FLUSHED.
		 */
		sim_bond_input(bond, sim_iommu_flush(bond) ? DRAIN_RESET : DRAIN_STOPPED_FLUSHED, cause);
		break;
	case SVAB_PASID_NONE:
	case SVAB_PASID_FLUSHED:
	case SVAB_PASID_CLEAN:
		r = -1;
		break;
	}
	sim_bond_unref(bond);
	return r;
}
