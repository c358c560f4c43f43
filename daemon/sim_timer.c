/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers of the loop: a binary heap behind one uv_timer, for ten thousand drains that begin in the same turn.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "sim.h"

static struct {
	struct sim_timer **heap;
	size_t n, room;
	uv_timer_t uv;
	bool running;
} timers;

uint64_t sim_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void heap_set(size_t i, struct sim_timer *t)
{
	timers.heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(size_t i)
{
	struct sim_timer *t = timers.heap[i];

	while (i > 0) {
		size_t up = (i - 1) / 2;

		if (timers.heap[up]->at <= t->at)
			break;
		heap_set(i, timers.heap[up]);
		i = up;
	}
	heap_set(i, t);
}

static void heap_down(size_t i)
{
	struct sim_timer *t = timers.heap[i];

	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid >= timers.n)
			break;
		if (kid + 1 < timers.n && timers.heap[kid + 1]->at < timers.heap[kid]->at)
			kid++;
		if (t->at <= timers.heap[kid]->at)
			break;
		heap_set(i, timers.heap[kid]);
		i = kid;
	}
	heap_set(i, t);
}

static void timers_fire(uv_timer_t *uv);

static void timers_schedule(void)
{
	uint64_t now, wait;

	if (timers.running)
		return; /* when the round is over */
	if (!timers.n) {
		uv_timer_stop(&timers.uv);
		return;
	}
	now = sim_now();
	wait = timers.heap[0]->at > now ? (timers.heap[0]->at - now + 999999u) / 1000000u : 0;
	uv_update_time(&sim.loop);
	uv_timer_start(&timers.uv, timers_fire, wait, 0);
}

static void timers_fire(uv_timer_t *uv)
{
	uint64_t now = sim_now();

	(void)uv;
	timers.running = true;
	while (timers.n && timers.heap[0]->at <= now) {
		struct sim_timer *t = timers.heap[0];

		sim_timer_cancel(t);
		t->fn(t);
	}
	timers.running = false;
	timers_schedule();
}

int sim_timers_init(uv_loop_t *loop)
{
	return uv_timer_init(loop, &timers.uv);
}

void sim_timers_deinit(void)
{
	if (!uv_is_closing((uv_handle_t *)&timers.uv))
		uv_close((uv_handle_t *)&timers.uv, NULL);
	if (timers.n)
		return; /* armed timers' owners are still about: the process exits with them */
	free(timers.heap);
	timers.heap = NULL;
	timers.room = 0;
}

int sim_timer_arm(struct sim_timer *timer, uint64_t at_ns)
{
	if (!timer->slot) {
		if (timers.n == timers.room) {
			size_t room = timers.room ? timers.room * 2 : 64;
			struct sim_timer **heap = reallocarray(timers.heap, room, sizeof(struct sim_timer *));

			if (!heap)
				return -ENOMEM;
			timers.heap = heap;
			timers.room = room;
		}
		timer->at = at_ns;
		timers.heap[timers.n] = timer;
		timers.n++;
		heap_up(timers.n - 1);
	} else {
		timer->at = at_ns;
		heap_up(timer->slot - 1);
		heap_down(timer->slot - 1);
	}
	if (timers.heap[0] == timer)
		timers_schedule();
	return 0;
}

void sim_timer_cancel(struct sim_timer *timer)
{
	size_t i = timer->slot;

	if (!i)
		return;
	i--;
	timer->slot = 0;
	timers.n--;
	if (i < timers.n) {
		struct sim_timer *last = timers.heap[timers.n];

		heap_set(i, last);
		heap_up(i);
		heap_down(last->slot - 1);
	}
	/* A uv_timer that fires for nothing just schedules itself anew: cheaper than moving it at each
	 * cancel. */
}
