/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The OS's workqueue. It grows on demand, like the kernel's unbound workqueue for page faults, because a work
 * item may block on a hostile client (its mmap_lock, a userfaultfd, a FUSE file). Idle threads go after a
 * while.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "sim.h"

#define OS_THREADS_MAX 256u
#define OS_IDLE_SECONDS 5

/* A client that makes work hang (a page that never comes, a FUSE file that answers no close) holds a thread
 * by each. A user gets so many of them at a time. */
#define OS_SHARE 32u

/* A user with work in hand. Gone with the last of it. */
struct sim_os_owner {
	struct idmap_node node;		/* by uid */
	unsigned in_hand;		/* queued for a thread, or running */
	struct sim_work *first, **last; /* over the share */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake, ended;
	struct sim_work *first, **last;
	struct idmap owners;
	unsigned threads, idle, queued;
	bool stopping;
} os = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int os_spawn(void);

/* All of these with os.lock held. */

static void os_queue(struct sim_work *work)
{
	work->next = NULL;
	*os.last = work;
	os.last = &work->next;
	os.queued++;
	if (os.queued > os.idle && os.threads < OS_THREADS_MAX)
		(void)os_spawn(); /* none to be had: those that exist will come to it */
	pthread_cond_signal(&os.wake);
}

static struct sim_os_owner *os_owner(uid_t uid)
{
	struct idmap_node *node = idmap_find(&os.owners, uid);
	struct sim_os_owner *owner =
		node ? container_of(node, struct sim_os_owner, node) : calloc(1, sizeof(*owner));

	if (owner && !node) {
		owner->last = &owner->first;
		idmap_insert(&os.owners, &owner->node, uid);
	}
	return owner;
}

static void os_done(struct sim_os_owner *owner)
{
	struct sim_work *work;

	if (!owner)
		return;
	work = owner->first;
	if (work) { /* takes the place of what has ended */
		owner->first = work->next;
		if (!owner->first)
			owner->last = &owner->first;
		os_queue(work);
	} else if (!--owner->in_hand) {
		idmap_remove(&os.owners, &owner->node);
		free(owner);
	}
}

static void *os_thread(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&os.lock);
	for (;;) {
		struct sim_work *work = os.first;
		struct sim_os_owner *owner;
		struct timespec until;

		if (work) {
			os.first = work->next;
			if (!os.first)
				os.last = &os.first;
			os.queued--;
			owner = work->owner; /* run() frees the work */
			pthread_mutex_unlock(&os.lock);
			work->run(work);
			pthread_mutex_lock(&os.lock);
			os_done(owner);
			continue;
		}
		if (os.stopping)
			break;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += OS_IDLE_SECONDS;
		os.idle++;
		if (pthread_cond_timedwait(&os.wake, &os.lock, &until) == ETIMEDOUT && !os.first &&
		    os.threads > 1) {
			os.idle--;
			break;
		}
		os.idle--;
	}
	os.threads--;
	pthread_cond_signal(&os.ended);
	pthread_mutex_unlock(&os.lock);
	return NULL;
}

/* With os.lock held. */
static int os_spawn(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 128u << 10);
	r = pthread_create(&thread, &attr, os_thread, NULL);
	pthread_attr_destroy(&attr);
	if (!r)
		os.threads++;
	return -r;
}

int sim_os_init(void)
{
	pthread_condattr_t attr;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&os.wake, &attr);
	pthread_cond_init(&os.ended, &attr);
	pthread_condattr_destroy(&attr);
	os.last = &os.first;
	r = idmap_init(&os.owners);
	if (r < 0)
		return r;
	pthread_mutex_lock(&os.lock);
	r = os_spawn(); /* one is always there: work can be late for want of threads, never stuck */
	pthread_mutex_unlock(&os.lock);
	return r;
}

void sim_os_submit(struct sim_work *work, uid_t uid)
{
	struct sim_os_owner *owner;

	pthread_mutex_lock(&os.lock);
	owner = os_owner(uid);
	work->owner = owner; /* NULL, for want of memory: at nobody's cost */
	if (owner && owner->in_hand >= OS_SHARE) {
		work->next = NULL;
		*owner->last = work;
		owner->last = &work->next;
	} else {
		if (owner)
			owner->in_hand++;
		os_queue(work);
	}
	pthread_mutex_unlock(&os.lock);
}

struct close_work {
	struct sim_work work;
	int fd;
};

static void os_close(struct sim_work *work)
{
	struct close_work *c = container_of(work, struct close_work, work);

	close(c->fd);
	free(c);
}

void sim_os_close_fd(int fd, uid_t uid)
{
	struct close_work *c;

	if (fd < 0)
		return;
	c = malloc(sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	*c = (struct close_work){ .work.run = os_close, .fd = fd };
	sim_os_submit(&c->work, uid);
}

bool sim_os_stop(void)
{
	struct timespec until;
	bool all;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 1;
	pthread_mutex_lock(&os.lock);
	os.stopping = true;
	pthread_cond_broadcast(&os.wake);
	while (os.threads && pthread_cond_timedwait(&os.ended, &os.lock, &until) != ETIMEDOUT)
		;
	all = !os.threads;
	pthread_mutex_unlock(&os.lock);
	return all;
}
