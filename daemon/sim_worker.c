/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bond's worker: reads the portal and the ring, executes descriptors in order, sleeps when there is nothing
 * to do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../client/lib/sva/demo_accel.h"
#include "sim_bond.h"
#include "sim_device.h"
#include "sim_iommu.h"
#include "sim_worker.h"

#define IDLE_SECONDS 2
#define WORKER_STACK (64u << 10)

/* ---- portal --------------------------------------------------------------------------------------- */
/* By pread and pwrite only: a client may truncate its portal, and a mapping of ours would then raise SIGBUS
 * here. */

struct regs { /* what the program writes */
	uint64_t ring_base;
	uint32_t ring_size, enable, doorbell;
};

/* The client has this file too, and can make an access of ours wait for as long as it likes: each is one that
 * may hang, and gives the slot up when it does. */
static bool portal_read(struct sim_worker *w, struct regs *ret)
{
	unsigned char page[SVA_DEMO_REG_DOORBELL + 4];
	ssize_t n;

	sim_slot_enter(w);
	n = pread(w->bond->portal_fd, page, sizeof(page), 0);
	sim_slot_leave(w);
	if (n != (ssize_t)sizeof(page))
		return false;
	memcpy(&ret->ring_base, page + SVA_DEMO_REG_RING_BASE, 8);
	memcpy(&ret->ring_size, page + SVA_DEMO_REG_RING_SIZE, 4);
	memcpy(&ret->enable, page + SVA_DEMO_REG_ENABLE, 4);
	memcpy(&ret->doorbell, page + SVA_DEMO_REG_DOORBELL, 4);
	return true;
}

static void portal_write(struct sim_worker *w, bool idle)
{
	struct sim_bond *bond = w->bond;
	const uint32_t regs[4] = { bond->head, idle, bond->ring_error_code, bond->inflight };

	_Static_assert(SVA_DEMO_REG_IDLE == SVA_DEMO_REG_HEAD + 4 &&
			       SVA_DEMO_REG_ERROR == SVA_DEMO_REG_HEAD + 8 &&
			       SVA_DEMO_REG_INFLIGHT == SVA_DEMO_REG_HEAD + 12,
		       "the device's registers are written in one go");
	/* Sealed against growing: on a revoked portal this writes nothing. */
	sim_slot_enter(w);
	(void)!pwrite(bond->portal_fd, regs, sizeof(regs), SVA_DEMO_REG_HEAD);
	sim_slot_leave(w);
}

/* ---- the ring --------------------------------------------------------------------------------------- */

static void ring_fail(struct sim_bond *bond, uint64_t address)
{
	bond->ring_error = true; /* until the program disables the ring */
	bond->ring_error_code = SVAB_FAULT_RING;
	sim_bond_fault(bond, SVAB_FAULT_RING, address);
}

/* Takes what the program wrote: a ring that is switched off forgets its position and its error. True: there
 * may be work. */
static bool ring_latch(struct sim_bond *bond, const struct regs *regs)
{
	if (!regs->enable) {
		bond->ring_on = bond->ring_error = false;
		bond->ring_error_code = 0;
		bond->head = 0;
		return false;
	}
	if (bond->ring_error)
		return false;
	if (!bond->ring_on || bond->ring_base != regs->ring_base || bond->ring_size != regs->ring_size) {
		uint32_t size = regs->ring_size;

		if (size < 2 || size > SVA_DEMO_RING_MAX || (size & (size - 1)) || regs->ring_base % 8 ||
		    regs->ring_base + (uint64_t)size * sizeof(struct sva_demo_desc) < regs->ring_base) {
			ring_fail(bond, regs->ring_base);
			return false;
		}
		bond->ring_base = regs->ring_base;
		bond->ring_size = size;
		bond->ring_on = true;
	}
	if (regs->doorbell - bond->head > bond->ring_size) {
		ring_fail(bond, regs->ring_base);
		return false;
	}
	return regs->doorbell != bond->head;
}

/* Works until the ring is empty or something ends it. */
static void work(struct sim_worker *w)
{
	struct sim_bond *bond = w->bond;

	while (!sim_worker_must_stop(bond)) {
		struct sva_demo_desc desc;
		uint64_t address, fault;
		struct regs regs;
		size_t n;
		int r;

		if (!portal_read(w, &regs)) {
			sim_bond_tell(
				bond,
				NEWS_PORTAL); /* revoked by us, or truncated by the client: the loop knows */
			return;
		}
		if (!ring_latch(bond, &regs)) {
			/* Event suppression as virtio has it: announce the sleep, then look once more. */
			bond->inflight = false;
			portal_write(w, true);
			atomic_thread_fence(memory_order_seq_cst);
			if (!portal_read(w, &regs) || !ring_latch(bond, &regs))
				return;
		}

		if (sim_slot_yield(w))
			return;
		address = bond->ring_base + (uint64_t)(bond->head & (bond->ring_size - 1)) * sizeof(desc);
		r = sim_dma(w, address, &desc, sizeof(desc), false, &n, &fault);
		if (r > 0) {
			ring_fail(bond, fault);
			continue;
		}
		if (r < 0)
			return;
		/* Before the head moves: sim_worker_busy() sees the one or the other. */
		atomic_store(&bond->executing, true);
		bond->head++;
		bond->inflight = true;
		portal_write(w, false);
		r = sim_engine_execute(w, &desc, address);
		atomic_store(&bond->executing, false);
		if (r)
			return;
	}
}

/* ---- the thread --------------------------------------------------------------------------------------- */

static void worker_free(struct sim_worker *w)
{
	if (!w)
		return;
	pthread_cond_destroy(&w->turn);
	free(w->a);
	free(w->b);
	free(w);
}

static void *worker_main(void *arg)
{
	struct sim_worker *w = arg;
	struct sim_bond *bond = w->bond;
	struct sim_device *device = w->device;
	bool tell;

	pthread_mutex_lock(&bond->lock);
	for (;;) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += IDLE_SECONDS;
		while (!bond->kicked && !sim_worker_must_stop(bond)) {
			bond->worker_state = WORKER_IDLE;
			if (pthread_cond_timedwait(&bond->wake, &bond->lock, &until) == ETIMEDOUT)
				break;
		}
		if (!bond->kicked || sim_worker_must_stop(bond))
			break;
		bond->kicked = false;
		bond->worker_state = WORKER_WORKING;
		pthread_mutex_unlock(&bond->lock);

		atomic_fetch_add(&device->working, 1);
		sim_device_activity(device);
		if (!sim_slot_acquire(w))
			work(w);
		sim_slot_release(w);
		atomic_fetch_sub(&device->working, 1);
		sim_device_activity(device);
		pthread_mutex_lock(&bond->lock);
	}
	tell = sim_worker_must_stop(bond) && !bond->acked && bond->worker_state == WORKER_WORKING;
	if (sim_worker_must_stop(bond)) {
		bond->acked = true;
		atomic_store(&bond->dead, true);
	}
	bond->worker_state = WORKER_NONE;
	bond->worker = NULL;
	pthread_mutex_unlock(&bond->lock);

	if (tell)
		sim_bond_tell(bond, NEWS_STOPPED);
	worker_free(w);
	sim_bond_unref(bond);
	return NULL;
}

static struct sim_worker *worker_new(struct sim_bond *bond)
{
	struct sim_worker *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return NULL;
	w->a = malloc(SIM_CHUNK + 8);
	if (!w->a) {
		free(w);
		return NULL;
	}
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->turn, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&w->link);
	w->slot = -1;
	w->bond = bond;
	w->device = bond->device;
	return w;
}

int sim_worker_kick(struct sim_bond *bond)
{
	struct sim_worker *w = NULL;
	pthread_attr_t attr;
	pthread_t thread;
	int r = 0;

	pthread_mutex_lock(&bond->lock);
	bond->kicked = true;
	if (bond->worker_state == WORKER_NONE && !sim_worker_must_stop(bond)) {
		w = worker_new(bond);
		if (w) {
			sim_bond_ref(bond);
			pthread_attr_init(&attr);
			pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
			pthread_attr_setstacksize(&attr, WORKER_STACK);
			r = pthread_create(&thread, &attr, worker_main, w);
			pthread_attr_destroy(&attr);
		}
		if (!w || r) {
			r = -EAGAIN;
		} else {
			bond->worker = w;
			bond->worker_state = WORKER_WORKING; /* as good as: the kick is not seen to yet */
			w = NULL;
		}
	} else if (bond->worker_state == WORKER_IDLE) {
		/* It counts as working from here on, so that a stop does not think that the kick was never
		 * given. */
		bond->worker_state = WORKER_WORKING;
		pthread_cond_signal(&bond->wake);
	}
	pthread_mutex_unlock(&bond->lock);
	if (r) {
		if (w)
			sim_bond_unref(bond);
		worker_free(w);
	}
	return r;
}

bool sim_worker_stop(struct sim_bond *bond, bool await_responses, bool at_once)
{
	bool quiet;

	pthread_mutex_lock(&bond->lock);
	atomic_store(&bond->stop_awaits, await_responses);
	atomic_store(&bond->stop, true);
	quiet = bond->acked || bond->worker_state != WORKER_WORKING || (at_once && !bond->in_access);
	if (MUTATED("ack-before-idle"))
		quiet = true;
	if (quiet) {
		bond->acked = true;
		if (!MUTATED("ack-before-idle"))
			atomic_store(&bond->dead, true); /* the gate: no access begins any more */
	}
	pthread_cond_signal(&bond->wake);
	if (bond->worker)
		sim_slot_wake(bond->worker);
	pthread_mutex_unlock(&bond->lock);
	sim_iommu_wake(bond);
	return quiet;
}

/* Not whether its thread is awake: a program that has seen its last completion may vouch that nothing is
 * outstanding, and the thread may not have gone to sleep yet. */
bool sim_worker_busy(struct sim_bond *bond)
{
	unsigned char page[SVA_DEMO_REG_HEAD + 4];
	uint32_t enable, doorbell, head;
	bool working;

	pthread_mutex_lock(&bond->lock);
	working = bond->worker_state == WORKER_WORKING;
	pthread_mutex_unlock(&bond->lock);
	if (!working)
		return false;
	if (pread(bond->portal_fd, page, sizeof(page), 0) == (ssize_t)sizeof(page)) {
		memcpy(&enable, page + SVA_DEMO_REG_ENABLE, 4);
		memcpy(&doorbell, page + SVA_DEMO_REG_DOORBELL, 4);
		memcpy(&head, page + SVA_DEMO_REG_HEAD, 4);
		if (enable && doorbell != head)
			return true;
	}
	return atomic_load(&bond->executing);
}

void sim_worker_unhold(struct sim_bond *bond)
{
	pthread_mutex_lock(&bond->lock);
	if (bond->is_held)
		pthread_cond_signal(&bond->wake);
	pthread_mutex_unlock(&bond->lock);
}
