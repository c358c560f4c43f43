/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_TIMER_H
#define VM_HW_TIMER_H
/* Things that happen later. One thread calls them, in order of their times, without a lock held; in unit tests timers_flush() does. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct timer;

struct timers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct timer *first; /* sorted */
	bool stop;
};

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

int timers_init(struct timers *t);
void timers_deinit(struct timers *t); /* what is left is freed, not called */
/* fn is called ms from now with arg, which it owns; free_fn (or NULL) disposes of arg when it never is. 0 or -ENOMEM. */
int timers_add(struct timers *t, unsigned ms, void (*fn)(void *arg), void *arg, void (*free_fn)(void *arg));
void timers_run(struct timers *t); /* a thread: until timers_stop() */
void timers_stop(struct timers *t);
unsigned timers_flush(struct timers *t); /* calls all that were there, at once; how many */

#endif
