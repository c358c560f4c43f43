/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Access to a portal that may be taken away at any moment. No check beforehand can be free of a race, so the
 * fault itself is caught: a SIGBUS handler, installed with the first queue, that puts a page of zeros where
 * the dead portal was (mmap(MAP_FIXED), a bare system call) and lets the access go on; the queue then finds
 * its guard dead. Every other SIGBUS is handed to the handler that was there before, or kills the process as
 * it would have.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"

struct portal_guard {
	struct portal_guard *next; /* never unlinked: the handler may be walking */
	atomic_uintptr_t base;	   /* 0: free */
	atomic_size_t size;
	atomic_bool dead;
};

static struct portal_guard *_Atomic guards;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static bool installed;

static bool rescue(uintptr_t address)
{
	for (struct portal_guard *g = atomic_load(&guards); g; g = g->next) {
		uintptr_t base = atomic_load(&g->base);
		size_t size = atomic_load(&g->size);

		if (base == 0 || address < base || address - base >= size)
			continue;
		atomic_store(&g->dead, true);
		return mmap((void *)base, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
	}
	return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	/* si_code > 0: from the kernel, so si_addr means something. */
	if (info->si_code > 0 && rescue((uintptr_t)info->si_addr)) {
		errno = saved;
		return;
	}
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(sig, info, context);
	} else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(sig);
	} else if (info->si_code > 0 || previous.sa_handler == SIG_DFL) {
		/* The default action, which a fault has even where the signal is ignored. It strikes when we
		 * return: a fault repeats itself, a sent signal is sent again. */
		struct sigaction dfl = { .sa_handler = SIG_DFL };

		(void)sigaction(sig, &dfl, NULL);
		if (info->si_code <= 0)
			(void)raise(sig);
	}
	errno = saved;
}

int portal_guard_new(void *base, size_t size, struct portal_guard **ret)
{
	struct portal_guard *g;
	int r = 0;

	pthread_mutex_lock(&lock);
	if (!installed) {
		struct sigaction action = { .sa_sigaction = on_sigbus,
					    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

		/* What was there before must be known before the first fault. */
		if (sigaction(SIGBUS, NULL, &previous) < 0 || sigaction(SIGBUS, &action, NULL) < 0)
			r = -errno;
		else
			installed = true;
	}
	for (g = atomic_load(&guards); g && atomic_load(&g->base) != 0; g = g->next)
		;
	if (r == 0 && !g) {
		g = calloc(1, sizeof(*g));
		if (g) {
			g->next = atomic_load(&guards);
			atomic_store(&guards, g);
		} else {
			r = -ENOMEM;
		}
	}
	if (r == 0) {
		atomic_store(&g->dead, false);
		atomic_store(&g->size, size);
		atomic_store(&g->base, (uintptr_t)base);
		*ret = g;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

void portal_guard_free(struct portal_guard *guard)
{
	if (guard)
		atomic_store(&guard->base, 0); /* its memory is the next one's */
}

bool portal_guard_dead(const struct portal_guard *guard)
{
	return atomic_load_explicit(&guard->dead, memory_order_relaxed);
}
