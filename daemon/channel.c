/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channel.h"

/* Room for more than we take: a packet with too many fds must be seen as such, not silently cut to the first
 * four. */
#define CTRL_FDS 16u

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

int chan_send(int fd, enum chan_type type, uint64_t arg, const void *payload, uint32_t len, const int *fds,
	      unsigned n_fds)
{
	struct chan_hdr hdr = { .type = (uint32_t)type, .len = len, .arg = arg };
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = (void *)(uintptr_t)payload, .iov_len = len },
	};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * CHAN_MAX_FDS)];
	} ctrl;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };

	if (len > CHAN_MAX)
		return -EMSGSIZE;
	if (n_fds > CHAN_MAX_FDS || (len && !payload) || (n_fds && !fds))
		return -EINVAL;

	if (n_fds) {
		struct cmsghdr *cmsg;

		memset(&ctrl, 0, sizeof(ctrl));
		msg.msg_control = &ctrl;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}

	for (;;) {
		if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		/* The same thing to every caller: the other end is not there any more. */
		return errno == ECONNRESET ? -EPIPE : -errno;
	}
}

/* Collects the fds of all control messages; more than CTRL_FDS cannot be in the buffer. */
static unsigned take_fds(struct msghdr *msg, int fds[CTRL_FDS])
{
	unsigned n = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t bytes;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = cmsg->cmsg_len - CMSG_LEN(0);
		for (size_t i = 0; i < bytes / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
			if (n < CTRL_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

ssize_t chan_recv(int fd, struct chan_hdr *ret_hdr, void *buf, int ret_fds[CHAN_MAX_FDS])
{
	struct chan_hdr hdr;
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = buf, .iov_len = CHAN_MAX },
	};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * CTRL_FDS)];
	} ctrl;
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = &ctrl,
		.msg_controllen = sizeof(ctrl),
	};
	int fds[CTRL_FDS];
	unsigned n_fds;
	ssize_t got;

	do {
		got = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;

	n_fds = take_fds(&msg, fds);
	if (got == 0 && n_fds == 0)
		return -ECONNRESET;
	if ((size_t)got < sizeof(hdr) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || n_fds > CHAN_MAX_FDS ||
	    hdr.len != (size_t)got - sizeof(hdr)) {
		close_all(fds, n_fds);
		return -EBADMSG;
	}

	for (unsigned i = 0; i < CHAN_MAX_FDS; i++)
		ret_fds[i] = i < n_fds ? fds[i] : -1;
	*ret_hdr = hdr;
	return (ssize_t)hdr.len;
}

int chan_memfd(const char *name, const void *bytes, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), r;

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, (const char *)bytes + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -EIO;
			goto fail;
		}
		at += (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0 &&
	    lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	r = -errno;
fail:
	close(fd);
	return r;
}
