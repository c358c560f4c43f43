/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "slow-file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int fuse_fd = -1, reading = -1, release = -1, held_ms_max;
static uint64_t held; /* the read that is not answered yet */
static uint32_t held_size;

static void reply(uint64_t unique, int error, const void *arg, size_t len)
{
	struct fuse_out_header out = { .len = (uint32_t)(sizeof(out) + len), .error = error, .unique = unique };
	struct iovec iov[2] = { { &out, sizeof(out) }, { (void *)(uintptr_t)arg, len } };

	(void)!writev(fuse_fd, iov, len ? 2 : 1);
}

static struct fuse_attr attr_of(uint64_t node)
{
	return (struct fuse_attr) {
		.ino = node,
		.size = node == 1 ? 0 : 4096,
		.mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0444,
		.nlink = 1,
		.blksize = 4096,
	};
}

static void serve(const struct fuse_in_header *in, const void *arg)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096 };
	struct fuse_entry_out entry = { .nodeid = 2, .entry_valid = 1000, .attr_valid = 1000, .attr = attr_of(2) };
	struct fuse_attr_out attr = { .attr_valid = 1000, .attr = attr_of(in->nodeid) };
	struct fuse_open_out opened = { .open_flags = FOPEN_KEEP_CACHE };
	const uint64_t one = 1;

	switch (in->opcode) {
	case FUSE_INIT:
		reply(in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		reply(in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		reply(in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		reply(in->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		held = in->unique;
		held_size = ((const struct fuse_read_in *)arg)->size;
		(void)!write(reading, &one, sizeof(one));
		break;
	case FUSE_RELEASE:
		reply(in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(in->unique, -ENOSYS, NULL, 0); /* FLUSH too: asked once, and then no close ever waits for us */
	}
}

static void *server(void *unused)
{
	static _Alignas(8) char buf[(64 << 10) + 4096];
	static char zeros[64 << 10];
	struct pollfd p[2] = { { .fd = fuse_fd, .events = POLLIN }, { .fd = release, .events = POLLIN } };
	int n_ready;

	(void)unused;
	while ((n_ready = poll(p, 2, held ? held_ms_max : -1)) >= 0) {
		if (held && (!n_ready || p[1].revents)) {
			reply(held, 0, zeros, held_size < sizeof(zeros) ? held_size : sizeof(zeros));
			held = 0;
			p[1].fd = -1;
		}
		if (p[0].revents & POLLIN) {
			ssize_t n = read(fuse_fd, buf, sizeof(buf));

			if (n >= (ssize_t)sizeof(struct fuse_in_header))
				serve((const void *)buf, buf + sizeof(struct fuse_in_header));
		} else if (p[0].revents) {
			break;
		}
	}
	return NULL;
}

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

int slow_file_open(int held_ms)
{
	char dir[] = "/tmp/svad-slow-XXXXXX", options[128], path[64];
	pthread_t thread;
	int fd;

	held_ms_max = held_ms;
	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse_fd < 0)
		return -1;
	reading = eventfd(0, EFD_CLOEXEC);
	release = eventfd(0, EFD_CLOEXEC);
	must(reading >= 0 && release >= 0, "eventfd");
	must(mkdtemp(dir) != NULL, dir);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fuse_fd, getuid(), getgid());
	/* "/" is no mount point in an initramfs of the kernel's; nothing is shared there either. */
	if (unshare(CLONE_NEWNS) < 0 || (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL) ||
	    mount("slow", dir, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		int e = errno;

		rmdir(dir);
		errno = e;
		return -1;
	}
	must(pthread_create(&thread, NULL, server, NULL) == 0, "pthread_create");
	pthread_detach(thread);
	snprintf(path, sizeof(path), "%s/f", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0, path);
	close(dup(fd)); /* the one FLUSH */
	/* Only the mapping needs it from here on; the directory can go. */
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return fd;
}

bool slow_file_wait_read(int timeout_ms)
{
	struct pollfd p = { .fd = reading, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

void slow_file_release(void)
{
	const uint64_t one = 1;

	(void)!write(release, &one, sizeof(one));
}
