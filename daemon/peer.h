/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_PEER_H
#define SVAD_PEER_H
/* Who is at the other end of an accepted Unix socket, as the kernel tells it. */
#include <stdint.h>
#include <sys/types.h>

struct peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int pidfd; /* owned; CLOEXEC */
	uint64_t netns_cookie; /* 0: the kernel does not tell */
};

/* Credentials and a pidfd of the process that connected: SO_PEERPIDFD (Linux 6.5), else pidfd_open() and checks that the pid still
 * is that process. 0; -ESRCH: the peer is gone already; -EMFILE, -ENFILE, -ENOMEM. force_fallback: as on an old kernel (for tests). */
int peer_identify(int sock, int force_fallback, struct peer *ret);

/* Supplementary groups (SO_PEERGROUPS). malloc()ed; 0 or -errno. */
int peer_groups(int sock, gid_t **ret_groups, size_t *ret_n);

/* The cookie of the network namespace that a socket was made in, 0: the kernel does not tell (before Linux 5.14). */
uint64_t peer_netns_cookie(int sock);

/* Id of the process's cgroup (Linux 6.13), 0: not told. For people: a process may move between cgroups. */
uint64_t peer_cgroup_id(int pidfd);

/* For a process that a listing names: a pidfd of it (owned), when it still is of that uid; and its groups, from /proc. -ESRCH: it is gone. The
 * pid may have been given away in between: then the pidfd is a stranger's, whose end ends what the listed one had. That is dead in any case:
 * the backend, which follows the mm itself, has ended it already. */
int peer_open(pid_t pid, uid_t uid, int *ret_pidfd);
int peer_proc_groups(pid_t pid, gid_t **ret_groups, size_t *ret_n);

/* The process's name now, for people; "" when it is gone. */
void peer_comm(pid_t pid, char *buf, size_t size);

#endif
