/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Execution slots of a device: who waits is served in order of arrival, and takes the slot of a worker that
 * hangs in an access. */
#include <errno.h>
#include <time.h>

#include "sim_device.h"
#include "sim_worker.h"

#define HANG_NS 5000000u

/* All with device->lock held. */
static void slot_give(struct sim_device *d, uint32_t i, struct sim_worker *w)
{
	d->slots[i] = (struct sim_slot){ .owner = w };
	w->slot = (int)i;
}

static bool slot_take_free(struct sim_device *d, struct sim_worker *w)
{
	for (uint32_t i = 0; i < d->n_slots; i++)
		if (!d->slots[i].owner) {
			slot_give(d, i, w);
			d->slots_busy++;
			return true;
		}
	return false;
}

static bool slot_steal(struct sim_device *d, struct sim_worker *w)
{
	uint64_t now = sim_now();

	for (uint32_t i = 0; i < d->n_slots; i++) {
		struct sim_slot *s = &d->slots[i];

		if (!s->owner || !s->since_ns || now - s->since_ns < HANG_NS)
			continue;
		s->owner->slot = -1;
		slot_give(d, i, w);
		return true;
	}
	return false;
}

static void slot_next(struct sim_device *d)
{
	while (!list_empty(&d->waiters) && d->slots_busy < d->n_slots) {
		struct sim_worker *w = container_of(d->waiters.next, struct sim_worker, link);

		if (!slot_take_free(d, w))
			return;
		list_remove(&w->link);
		pthread_cond_signal(&w->turn);
	}
}

static void slot_drop(struct sim_worker *w)
{
	struct sim_device *d = w->device;

	if (w->slot < 0)
		return;
	d->slots[w->slot].owner = NULL;
	d->slots_busy--;
	w->slot = -1;
	slot_next(d);
}

static int slot_wait(struct sim_worker *w)
{
	struct sim_device *d = w->device;
	int r = 0;

	if (list_empty(&d->waiters) && slot_take_free(d, w))
		return 0;
	list_append(&d->waiters, &w->link);
	while (w->slot < 0) {
		struct timespec until;

		if (sim_worker_must_stop(w->bond)) {
			r = -ECANCELED;
			break;
		}
		/* The first in line watches those who execute. */
		if (d->waiters.next == &w->link && slot_steal(d, w))
			break;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += HANG_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		pthread_cond_timedwait(&w->turn, &d->lock, &until);
	}
	list_remove(&w->link);
	return w->slot < 0 ? r : 0;
}

int sim_slot_acquire(struct sim_worker *w)
{
	int r = 0;

	pthread_mutex_lock(&w->device->lock);
	if (w->slot < 0)
		r = slot_wait(w);
	pthread_mutex_unlock(&w->device->lock);
	return r;
}

void sim_slot_release(struct sim_worker *w)
{
	pthread_mutex_lock(&w->device->lock);
	slot_drop(w);
	pthread_mutex_unlock(&w->device->lock);
}

int sim_slot_yield(struct sim_worker *w)
{
	int r = 0;

	pthread_mutex_lock(&w->device->lock);
	if (w->slot >= 0 && !list_empty(&w->device->waiters))
		slot_drop(w);
	if (w->slot < 0)
		r = slot_wait(w);
	pthread_mutex_unlock(&w->device->lock);
	return r;
}

void sim_slot_enter(struct sim_worker *w)
{
	pthread_mutex_lock(&w->device->lock);
	if (w->slot >= 0)
		w->device->slots[w->slot].since_ns = sim_now();
	pthread_mutex_unlock(&w->device->lock);
}

void sim_slot_leave(struct sim_worker *w)
{
	pthread_mutex_lock(&w->device->lock);
	if (w->slot >= 0)
		w->device->slots[w->slot].since_ns = 0;
	pthread_mutex_unlock(&w->device->lock);
}

void sim_slot_wake(struct sim_worker *w)
{
	pthread_mutex_lock(&w->device->lock);
	pthread_cond_signal(&w->turn);
	pthread_mutex_unlock(&w->device->lock);
}
