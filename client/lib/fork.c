/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fork. Two things must hold in a child: it does not use the parent's objects, and it does not keep the
 * parent's fds open, or the last close that ends a ctx and its bonds would wait for the child's exit.
 *
 * The first: a page with MADV_WIPEONFORK, which the kernel empties in a child however that was made (fork,
 * clone). The second: a table of every fd of the library, closed by a pthread_atfork() handler. A child made
 * by a bare clone() system call keeps its copies until it execs (all are CLOEXEC) or exits.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

static pthread_mutex_t fds_lock = PTHREAD_MUTEX_INITIALIZER;
static bool *owned; /* by fd number. Grows, never shrinks */
static size_t n_owned;

static _Atomic(_Atomic(uint64_t) *) page;
static atomic_uint_fast64_t generation;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&fds_lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&fds_lock);
}

/* In the child of a threaded program only async-signal-safe functions are allowed: close() is. */
static void after_fork_child(void)
{
	for (size_t fd = 0; fd < n_owned; fd++) {
		if (owned[fd])
			(void)close((int)fd);
		owned[fd] = false;
	}
	pthread_mutex_unlock(&fds_lock);
}

static void init(void)
{
	void *p = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	if (madvise(p, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK) < 0 ||
	    pthread_atfork(before_fork, after_fork_parent, after_fork_child) != 0) {
		(void)munmap(p, (size_t)sysconf(_SC_PAGESIZE));
		return;
	}
	atomic_store(&page, p);
}

uint64_t sva_process(void)
{
	_Atomic(uint64_t) *p;
	uint64_t now, next;

	pthread_once(&once, init);
	p = atomic_load(&page);
	if (!p)
		return 0;
	now = atomic_load(p);
	if (now != 0)
		return now;
	/* The first use in this process. The counter is ordinary memory: a child goes on where its parent
	 * stood. */
	next = atomic_fetch_add(&generation, 1) + 1;
	return atomic_compare_exchange_strong(p, &now, next) ? next : now;
}

bool sva_process_is(uint64_t process)
{
	_Atomic(uint64_t) *p = atomic_load_explicit(&page, memory_order_acquire);

	return p && atomic_load_explicit(p, memory_order_relaxed) == process;
}

void sva_fds_lock(void)
{
	pthread_mutex_lock(&fds_lock);
}

void sva_fds_unlock(void)
{
	pthread_mutex_unlock(&fds_lock);
}

int sva_fd_own_locked(int fd)
{
	if (fd < 0)
		return fd;
	if ((size_t)fd >= n_owned) {
		size_t n = ((size_t)fd + 64) * 2;
		bool *more = realloc(owned, n * sizeof(*more));

		if (!more) {
			(void)close(fd);
			return -ENOMEM;
		}
		memset(more + n_owned, 0, (n - n_owned) * sizeof(*more));
		owned = more;
		n_owned = n;
	}
	owned[fd] = true;
	return fd;
}

int sva_fd_own(int fd)
{
	int r;

	sva_fds_lock();
	r = sva_fd_own_locked(fd);
	sva_fds_unlock();
	return r;
}

void sva_fd_close(int *fd)
{
	int victim = *fd;

	*fd = -1;
	if (victim < 0)
		return;
	sva_fds_lock();
	if ((size_t)victim < n_owned && owned[victim]) {
		owned[victim] = false;
		(void)close(victim);
	}
	sva_fds_unlock();
}
