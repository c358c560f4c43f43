/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which network namespace is that? The inode number is used again at once for the next one, the cookie never
 * within a boot, and only a socket that was made inside tells it. Needs nothing of the rest of the library:
 * svadctl compiles this file in.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <sva/admin.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define STACK_BYTES (128u << 10) /* the sanitizers need more than the minimum */

struct visit {
	int fd; /* -1: stay */
	int result;
	uint64_t cookie;
};

static int cookie_here(uint64_t *ret)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	int r = 0, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
		r = -errno;
	(void)close(fd);
	if (r == 0)
		*ret = cookie;
	return r;
}

/* A thread's netns is its own, and it ends with the thread: the caller is never anywhere else. */
static void *visit(void *data)
{
	struct visit *v = data;

	if (v->fd >= 0 && setns(v->fd, CLONE_NEWNET) < 0)
		v->result = -errno;
	else
		v->result = cookie_here(&v->cookie);
	return NULL;
}

static int visit_in_thread(struct visit *v)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int r;

	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* The program's signal handlers run elsewhere. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, &attr, visit, v);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	if (r)
		return -r;
	(void)pthread_join(thread, NULL);
	return v->result;
}

int sva_netns_identify_fd(int fd, struct sva_netns *ret_netns)
{
	struct visit v = { .fd = fd };
	struct stat st, own;
	struct statfs fs;
	int r;

	if (!ret_netns || ret_netns->size < sizeof(*ret_netns))
		return -EINVAL;
	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (fs.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return -ENOTTY;
	/* setns() wants privilege even where one is already. */
	if (stat("/proc/thread-self/ns/net", &own) == 0 && own.st_dev == st.st_dev &&
	    own.st_ino == st.st_ino) {
		r = cookie_here(&v.cookie);
		v.fd = -1;
	} else {
		r = visit_in_thread(&v);
	}
	if (r < 0)
		return r;
	ret_netns->cookie = v.cookie;
	ret_netns->dev = st.st_dev;
	ret_netns->inode = st.st_ino;
	ret_netns->own = v.fd < 0;
	return 0;
}

int sva_netns_identify(const char *path, struct sva_netns *ret_netns)
{
	struct statfs fs;
	int fd, r;

	if (!path)
		path = "/proc/thread-self/ns/net";
	/* Before it is opened, which may do things where it is a device or a FIFO. */
	if (statfs(path, &fs) < 0)
		return -errno;
	if (fs.f_type != NSFS_MAGIC)
		return -ENOTTY;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = sva_netns_identify_fd(fd, ret_netns);
	(void)close(fd);
	return r;
}
