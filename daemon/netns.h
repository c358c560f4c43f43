/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_NETNS_H
#define SVAD_NETNS_H
/* The supervisor's eyes for network namespaces: in which one a process is, and which ones are alive. An unprivileged broker could not look. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct netns_id {
	uint64_t dev, inode; /* the kernel gives an inode number again as soon as its netns is gone */
	uint64_t cookie;     /* and this one never; 0: the kernel does not tell */
};

/* The network namespace of a process (of its first thread). pid: the pidfd's. 0; -ESRCH: it is gone, or its first thread is; -EPERM: it
 * cannot be told (no CAP_SYS_PTRACE, or a security module). */
int netns_of(int pidfd, pid_t pid, struct netns_id *ret);

struct netns_entry {
	struct netns_id id; /* cookie 0: not to be compared */
	const char *path;   /* how a runtime named it; "" or NULL: it did not */
	pid_t pid;	    /* a process that is to become its first: alive is enough; 0: none */
	bool alive;
};

/* Sets alive for each that some process is in, or that is mounted somewhere that we can see. What is not is dead: no process can get back into it
 * but by an fd that it kept. -EPERM: there are processes that cannot be looked at; -errno. Nothing is known to be dead then. Processes of pid
 * namespaces that we cannot see into are not seen; but they could not have registered anything either (peer.h). Takes its time (/proc is read as
 * a whole): not for a loop. */
int netns_scan(struct netns_entry *entries, size_t n);

#endif
