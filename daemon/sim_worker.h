/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_WORKER_H
#define SVAD_SIM_WORKER_H
/*
 * Workers: one thread for a bond that has work, made at the first kick, gone when it was idle for a while. An engine of a device is an
 * execution slot: a worker executes while it has one. Between chunks it gives way to whoever waits. A worker that hangs in an
 * access (a page that a hostile client does not provide) loses its slot after a few ms, so it stalls only itself.
 */
#include "sim.h"

struct sim_worker {
	struct sim_bond *bond; /* counted */
	struct sim_device *device;
	unsigned char *a, *b; /* bounce buffers, SIM_CHUNK + 8 each; b made when needed */
	bool finishing; /* the record of an aborted job is being written: a stop does not cancel that */

	/* device->lock */
	struct list link; /* in device->waiters */
	pthread_cond_t turn;
	int slot; /* -1: none, or lost */
};

/* ---- sim_worker.c ---- */

/* Loop. The doorbell may have changed: makes or wakes the worker. -EAGAIN: no thread to be had. */
int sim_worker_kick(struct sim_bond *bond);

/* Loop. Tells the worker to stop. True: nothing runs (any more, or ever again) and the stop is acknowledged herewith; false: NEWS_STOPPED will
 * follow. at_once: the device has died or was reset, so also a worker that is not inside an access counts as stopped. */
bool sim_worker_stop(struct sim_bond *bond, bool await_responses, bool at_once);

/* Any thread. True while a job is being worked on. */
bool sim_worker_busy(struct sim_bond *bond);

/* Loop: device->held was cleared. */
void sim_worker_unhold(struct sim_bond *bond);

/* Should this worker stop? */
static inline bool sim_worker_must_stop(struct sim_bond *bond)
{
	return atomic_load(&bond->dead) || atomic_load(&bond->stop);
}

/* ---- sim_slot.c ---- */

int sim_slot_acquire(struct sim_worker *w); /* 0; -ECANCELED: it must stop */
void sim_slot_release(struct sim_worker *w);
int sim_slot_yield(struct sim_worker *w); /* gives way when somebody waits. As sim_slot_acquire() */
void sim_slot_enter(struct sim_worker *w); /* an access begins: from now on the slot may be taken away */
void sim_slot_leave(struct sim_worker *w);
void sim_slot_wake(struct sim_worker *w); /* loop: it has new orders */
void sim_device_activity(struct sim_device *device); /* any thread: tells the loop, when it watches */

/* ---- sim_dma.c ---- */

/* Reads (writes) client memory at address as the device does: translation, permission, access. *ret_done: bytes done. 0; positive: enum
 * svab_fault with *ret_fault; -EACCES: translation off; -ECANCELED: stopped; -ENOMEM. */
int sim_dma(struct sim_worker *w, uint64_t address, void *buf, size_t len, bool write, size_t *ret_done,
	    uint64_t *ret_fault);

/* ---- sim_engine.c ---- */

struct sva_demo_desc;
/* Executes one descriptor and writes its completion record. 0: go on with the next; -ECANCELED: stopped; -EACCES, -ESRCH: this bond's memory
 * cannot be reached any more. address: the descriptor's own, for fault reports. */
int sim_engine_execute(struct sim_worker *w, const struct sva_demo_desc *desc, uint64_t address);

#endif
