/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "timer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct timer {
	struct timer *next;
	uint64_t at;
	void (*fn)(void *arg);
	void *arg;
	void (*free_fn)(void *arg);
};

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int timers_init(struct timers *t)
{
	pthread_condattr_t attr;

	*t = (struct timers){ 0 };
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void timers_deinit(struct timers *t)
{
	while (t->first) {
		struct timer *e = t->first;

		t->first = e->next;
		if (e->free_fn)
			e->free_fn(e->arg);
		free(e);
	}
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
}

int timers_add(struct timers *t, unsigned ms, void (*fn)(void *arg), void *arg, void (*free_fn)(void *arg))
{
	struct timer *e = malloc(sizeof(*e)), **at;

	if (!e)
		return -ENOMEM;
	*e = (struct timer){
		.at = now_ns() + ms * UINT64_C(1000000), .fn = fn, .arg = arg, .free_fn = free_fn
	};
	pthread_mutex_lock(&t->lock);
	for (at = &t->first; *at && (*at)->at <= e->at; at = &(*at)->next)
		;
	e->next = *at;
	*at = e;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

void timers_run(struct timers *t)
{
	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		struct timer *e = t->first;
		struct timespec until;

		if (!e) {
			pthread_cond_wait(&t->changed, &t->lock);
			continue;
		}
		if (e->at > now_ns()) {
			until.tv_sec = (time_t)(e->at / 1000000000u);
			until.tv_nsec = (long)(e->at % 1000000000u);
			pthread_cond_timedwait(&t->changed, &t->lock, &until);
			continue;
		}
		t->first = e->next;
		pthread_mutex_unlock(&t->lock);
		e->fn(e->arg);
		free(e);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
}

void timers_stop(struct timers *t)
{
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

unsigned timers_flush(struct timers *t)
{
	struct timer *list, *e;
	unsigned n = 0;

	pthread_mutex_lock(&t->lock);
	list = t->first;
	t->first = NULL;
	pthread_mutex_unlock(&t->lock);
	for (; list; n++) {
		e = list;
		list = e->next;
		e->fn(e->arg);
		free(e);
	}
	return n;
}
