/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lacks.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int peer_open(pid_t pid, uid_t uid, int *ret_pidfd)
{
	struct pollfd p = { .events = POLLIN };
	char path[32];
	struct stat st;
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return errno == EINVAL ? -ESRCH : -errno;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	p.fd = fd;
	/* A process that is not dumpable shows as root's. It lived after it was looked at: so it was it that
	 * was looked at. */
	if (stat(path, &st) < 0 || (st.st_uid != uid && st.st_uid != 0) || poll(&p, 1, 0) != 0) {
		close(fd);
		return -ESRCH;
	}
	*ret_pidfd = fd;
	return 0;
}

/*
 * Kernels before 6.5. The pid of SO_PEERCRED may have died and been given away before pidfd_open() ran. What
 * makes the pair one process: the pidfd is taken first; then the socket still has its other end (a process
 * that dies closes it, unless it gave the socket to another, who then is as good a peer), the pidfd's process
 * is alive, and it has the credentials of the connection.
 */
static int peer_pidfd_fallback(int sock, const struct ucred *cred, int *ret)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int fd, r = peer_open(cred->pid, cred->uid, &fd);

	if (r < 0)
		return r;
	if (poll(&p, 1, 0) < 0 || (p.revents & (POLLHUP | POLLERR))) {
		close(fd);
		return -ESRCH;
	}
	*ret = fd;
	return 0;
}

uint64_t peer_netns_cookie(int sock)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (kernel_lacks("netns-cookie") || getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}

/* struct pidfd_info and PIDFD_GET_INFO of linux/pidfd.h, as of the first kernel that has them */
struct abi_pidfd_info {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
_Static_assert(sizeof(struct abi_pidfd_info) == 64, "as the kernel has it");
#define ABI_PIDFD_GET_INFO _IOWR(0xFF, 11, struct abi_pidfd_info)
#define ABI_PIDFD_INFO_CGROUPID (1u << 2)

uint64_t peer_cgroup_id(int pidfd)
{
	struct abi_pidfd_info info = { .mask = ABI_PIDFD_INFO_CGROUPID };

	if (kernel_lacks("pidfd-info") || ioctl(pidfd, ABI_PIDFD_GET_INFO, &info) < 0 ||
	    !(info.mask & ABI_PIDFD_INFO_CGROUPID))
		return 0;
	return info.cgroupid;
}

int peer_identify(int sock, int force_fallback, struct peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int pidfd = -1, r;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	if (cred.pid <= 0)
		return -ESRCH; /* of a pid namespace that we cannot see into */

	len = sizeof(pidfd);
	force_fallback = force_fallback || kernel_lacks("peerpidfd");
	if (force_fallback || getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0) {
		r = force_fallback ? -ENOPROTOOPT : -errno;
		if (r == -ENOPROTOOPT)
			r = peer_pidfd_fallback(sock, &cred, &pidfd);
		else if (r == -EINVAL || r == -ENODATA)
			r = -ESRCH; /* reaped: kernels differ in how they say it */
		if (r < 0)
			return r;
	}
	/* The pidfd of an accepted socket comes without CLOEXEC on some kernels. */
	if (fcntl(pidfd, F_SETFD, FD_CLOEXEC) < 0) {
		r = -errno;
		close(pidfd);
		return r;
	}

	*ret = (struct peer){
		.pid = cred.pid,
		.uid = cred.uid,
		.gid = cred.gid,
		.pidfd = pidfd,
		.netns_cookie = peer_netns_cookie(sock),
	};
	return 0;
}

int peer_groups(int sock, gid_t **ret_groups, size_t *ret_n)
{
	socklen_t len = 0;
	gid_t *groups;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0) {
		*ret_groups = NULL;
		*ret_n = 0;
		return 0;
	}
	if (errno != ERANGE)
		return -errno;
	groups = malloc(len);
	if (!groups)
		return -ENOMEM;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0) {
		int r = -errno;

		free(groups);
		return r;
	}
	*ret_groups = groups;
	*ret_n = len / sizeof(gid_t);
	return 0;
}

int peer_proc_groups(pid_t pid, gid_t **ret_groups, size_t *ret_n)
{
	char path[40], line[4096], *at = line, *end;
	gid_t *groups = NULL;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f) && strncmp(line, "Groups:", 7) != 0)
		;
	fclose(f);
	if (strncmp(line, "Groups:", 7) != 0)
		return -ENODATA;
	groups = calloc(strlen(line) / 2 + 1, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	for (at = line + 7;; at = end) {
		unsigned long gid = strtoul(at, &end, 10);

		if (end == at)
			break;
		groups[n++] = (gid_t)gid;
	}
	*ret_groups = groups;
	*ret_n = n;
	return 0;
}

void peer_comm(pid_t pid, char *buf, size_t size)
{
	char path[40];
	ssize_t n, i;
	int fd;

	buf[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		n = 0;
	else if (buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	/* A name is its owner's to choose: it reaches terminals and protobuf strings. */
	for (i = 0; i < n; i++)
		if (buf[i] < 0x20 || buf[i] > 0x7e)
			buf[i] = '?';
}
