/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_CHILD_H
#define SVAD_TESTS_CHILD_H
#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

/* In a forked child: sig ends it when its parent has ended. parent: getpid(), taken before the fork, because a parent that was killed
 * before prctl() was reached sends nothing any more. */
static inline void die_with_parent(pid_t parent, int sig)
{
	prctl(PR_SET_PDEATHSIG, sig);
	if (getppid() != parent)
		_exit(128 + sig);
}

#endif
