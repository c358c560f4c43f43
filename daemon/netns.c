/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lacks.h"

/* linux/pidfd.h and linux/nsfs.h of newer kernels */
#define ABI_PIDFD_GET_NET_NAMESPACE _IO(0xFF, 4)
#define ABI_NS_GET_ID _IOR(0xb7, 13, uint64_t)
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* A namespace's id is its cookie, or is not: the kernel promises neither, so our own shows it. */
static bool ids_are_cookies(void)
{
	static int known = -1;
	uint64_t cookie = 0, id = 0;
	socklen_t len = sizeof(cookie);
	int sock, ns;

	if (known >= 0)
		return known;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	known = !kernel_lacks("netns-id") && sock >= 0 && ns >= 0 &&
		getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0 &&
		ioctl(ns, ABI_NS_GET_ID, &id) == 0 && cookie && id == cookie;
	if (sock >= 0)
		close(sock);
	if (ns >= 0)
		close(ns);
	return known;
}

static int id_of_fd(int ns, struct netns_id *ret)
{
	struct stat st;

	*ret = (struct netns_id){ 0 };
	if (fstat(ns, &st) < 0)
		return -errno;
	ret->dev = st.st_dev;
	ret->inode = st.st_ino;
	if (ids_are_cookies() && ioctl(ns, ABI_NS_GET_ID, &ret->cookie) < 0)
		ret->cookie = 0;
	return 0;
}

static bool is_dead(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* Kernels before 6.11. Alive after it was looked at: so the pid was its own all the time. */
static int netns_of_pid(int pidfd, pid_t pid, struct netns_id *ret)
{
	char path[40];
	int ns, r;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	ns = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	r = ns < 0 ? -errno : id_of_fd(ns, ret);
	if (ns >= 0)
		close(ns);
	return is_dead(pidfd) ? -ESRCH : r;
}

int netns_of(int pidfd, pid_t pid, struct netns_id *ret)
{
	int ns = -1, r = -ENOTTY;

	if (kernel_lacks("ptrace"))
		return -EPERM;
	if (!kernel_lacks("pidfd-netns")) {
		ns = ioctl(pidfd, ABI_PIDFD_GET_NET_NAMESPACE, 0);
		r = ns < 0 ? -errno : id_of_fd(ns, ret);
	}
	if (ns >= 0)
		close(ns);
	if (r == -ENOTTY || r == -EINVAL)
		r = netns_of_pid(pidfd, pid, ret);
	/* ENOENT: it has no namespaces any more, or /proc hides it from us */
	if (r == -ENOENT)
		r = -ESRCH;
	return r == -EACCES || r == -EOPNOTSUPP ? -EPERM : r;
}

/* ---- which ones are alive ---- */

static void found(struct netns_entry *entries, size_t n, const struct netns_id *id)
{
	for (size_t i = 0; i < n; i++) {
		if (entries[i].id.inode == id->inode && entries[i].id.dev == id->dev &&
		    (!entries[i].id.cookie || !id->cookie || entries[i].id.cookie == id->cookie))
			entries[i].alive = true;
	}
}

/* Most processes are in the same namespace as their neighbour. */
struct last {
	uint64_t dev, inode;
};

static int look_at(int dir, const char *path, struct netns_entry *entries, size_t n, struct last *last)
{
	struct netns_id id = { 0 };
	struct stat st;
	int ns, r = 0;

	if (fstatat(dir, path, &st, 0) < 0)
		return -errno;
	if (st.st_ino == last->inode && st.st_dev == last->dev)
		return 0;
	*last = (struct last){ st.st_dev, st.st_ino };
	id.dev = st.st_dev;
	id.inode = st.st_ino;
	if (ids_are_cookies()) {
		/* The inode may be a later namespace's. */
		ns = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		r = ns < 0 ? -errno : id_of_fd(ns, &id);
		if (ns >= 0)
			close(ns);
	}
	if (r == 0)
		found(entries, n, &id);
	else
		*last = (struct last){ 0 };
	return r;
}

static bool is_number(const char *name)
{
	return *name && strspn(name, "0123456789") == strlen(name);
}

/* Gone while we looked, or dead and not reaped: neither is in a namespace. Or the first process, which
 * security modules like to shield: it is no container's, for it is in a pid namespace with us. */
static bool is_passed_over(int error, const char *pid)
{
	return error == -ENOENT || error == -ESRCH || (error == -EACCES && strcmp(pid, "1") == 0);
}

static int look_at_threads(int proc, const char *pid, struct netns_entry *entries, size_t n,
			   struct last *last)
{
	char path[NAME_MAX + 32];
	struct dirent *d;
	int fd, r = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "%s/task", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return is_passed_over(-errno, pid) ? 0 : -errno;
	tasks = fdopendir(fd);
	if (!tasks) {
		close(fd);
		return -ENOMEM;
	}
	while (r == 0 && (d = readdir(tasks))) {
		if (!is_number(d->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/ns/net", d->d_name);
		r = look_at(fd, path, entries, n, last);
		r = is_passed_over(r, pid) ? 0 : r;
	}
	closedir(tasks);
	return r;
}

static int look_at_processes(struct netns_entry *entries, size_t n, bool threads)
{
	DIR *proc = opendir("/proc");
	char path[NAME_MAX + 32];
	struct last last = { 0 };
	struct dirent *d;
	int r = 0;

	if (!proc)
		return -errno;
	while (r == 0 && (errno = 0, d = readdir(proc))) {
		if (!is_number(d->d_name))
			continue;
		if (threads) {
			r = look_at_threads(dirfd(proc), d->d_name, entries, n, &last);
			continue;
		}
		snprintf(path, sizeof(path), "%s/ns/net", d->d_name);
		r = look_at(dirfd(proc), path, entries, n, &last);
		r = is_passed_over(r, d->d_name) ? 0 : r;
	}
	closedir(proc);
	return r == -EACCES ? -EPERM : r;
}

/* "\040" for a blank, and the like. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; to++) {
		unsigned c;

		if (*s == '\\' && sscanf(s + 1, "%3o", &c) == 1) {
			*to = (char)c;
			s += 4;
		} else {
			*to = *s++;
		}
	}
	*to = '\0';
}

/* Bind mounts of namespaces that a process can see: "... net:[INODE] MOUNTPOINT ... - nsfs nsfs ...". */
static void look_at_mounts(const char *process, struct netns_entry *entries, size_t n)
{
	char path[PATH_MAX + 32], *line = NULL;
	struct last none;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/mountinfo", process);
	f = fopen(path, "re");
	while (f && getline(&line, &size, f) > 0) {
		char mountpoint[PATH_MAX];
		unsigned long long inode;

		if (!strstr(line, " - nsfs ") ||
		    sscanf(line, "%*u %*u %*s net:[%llu] %4095s", &inode, mountpoint) != 2)
			continue;
		unescape(mountpoint);
		snprintf(path, sizeof(path), "/proc/%s/root%s", process, mountpoint);
		none = (struct last){ 0 };
		if (look_at(AT_FDCWD, path, entries, n, &none) == 0)
			continue;
		/* Something is mounted over it. It may be that one's, or a later namespace's. */
		for (size_t i = 0; i < n; i++)
			entries[i].alive = entries[i].alive || entries[i].id.inode == inode;
	}
	free(line);
	if (f)
		fclose(f);
}

static bool all_alive(const struct netns_entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!entries[i].alive)
			return false;
	}
	return true;
}

int netns_scan(struct netns_entry *entries, size_t n)
{
	int r;

	if (kernel_lacks("ptrace"))
		return -EPERM;
	for (size_t i = 0; i < n; i++) {
		struct last none = { 0 };

		if (entries[i].path && *entries[i].path)
			look_at(AT_FDCWD, entries[i].path, &entries[i], 1, &none);
		if (entries[i].pid > 0 && (kill(entries[i].pid, 0) == 0 || errno == EPERM))
			entries[i].alive = true;
	}
	look_at_mounts("self", entries, n);
	look_at_mounts("1", entries, n);
	if (all_alive(entries, n))
		return 0;
	r = look_at_processes(entries, n, false);
	if (r < 0 || all_alive(entries, n))
		return r;
	/* Seldom is a thread elsewhere than its process; but to take one for dead would end what lives. */
	return look_at_processes(entries, n, true);
}
