/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim.h"

static union {
	struct simwire_hdr hdr;
	unsigned char bytes[SIMWIRE_MAX];
	uint64_t align;
} packet;

int sim_recv(int fd, struct sim_msg *m)
{
	union {
		struct cmsghdr align;
		/* Room for one fd more than allowed: too many is told from lost. */
		char space[CMSG_SPACE(sizeof(int) * (SIMWIRE_MAX_FDS + 1)) +
			   CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { .iov_base = packet.bytes, .iov_len = sizeof(packet.bytes) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *c;
	ssize_t n;

	*m = (struct sim_msg){ .fds = { -1, -1, -1, -1 } };
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			m->pid = cred.pid;
			m->uid = cred.uid;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			for (size_t i = 0; i < count; i++) {
				int got;

				memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
				if (m->n_fds < SIMWIRE_MAX_FDS) {
					m->fds[m->n_fds++] = got;
				} else {
					sim_os_close_fd(got, m->uid);
					m->bad = -EINVAL;
				}
			}
		}
	}
	if (!n && !m->n_fds)
		return 0; /* EOF; an empty packet, which nobody sends, looks the same */
	if (msg.msg_flags & MSG_CTRUNC)
		m->bad = m->n_fds < SIMWIRE_MAX_FDS ? -EMFILE : -EINVAL;
	memcpy(&m->hdr, &packet.hdr, (size_t)n < sizeof(m->hdr) ? (size_t)n : sizeof(m->hdr));
	if ((size_t)n < sizeof(m->hdr)) {
		m->bad = -EINVAL;
		return 1;
	}
	m->payload = packet.bytes + sizeof(m->hdr);
	if ((msg.msg_flags & MSG_TRUNC) || m->hdr.len != (size_t)n - sizeof(m->hdr))
		m->bad = -EINVAL;
	return 1;
}

void sim_msg_close_fds(struct sim_msg *m)
{
	for (unsigned i = 0; i < m->n_fds; i++)
		sim_os_close_fd(m->fds[i], m->uid);
	m->n_fds = 0;
}

int sim_msg_take_fd(struct sim_msg *m, unsigned i)
{
	int fd;

	if (i >= m->n_fds)
		return -1;
	fd = m->fds[i];
	m->fds[i] = -1;
	return fd;
}

int sim_msg_arg(const struct sim_msg *m, void *dst, size_t known)
{
	const unsigned char *p = m->payload;
	uint32_t size, flags;

	if (m->hdr.len < 2 * sizeof(uint32_t))
		return -EINVAL;
	memcpy(&size, p, sizeof(size));
	memcpy(&flags, p + sizeof(size), sizeof(flags));
	if (size != m->hdr.len || flags)
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (p[i])
			return -EINVAL;
	memset(dst, 0, known);
	memcpy(dst, p, size < known ? size : known);
	return 0;
}

int sim_answer_raw(int fd, uint32_t op, uint32_t seq, int result, const void *arg, size_t len, const int *fds,
		   unsigned n_fds)
{
	struct simwire_hdr hdr = { .op = op, .seq = seq, .result = result, .len = (uint32_t)len };
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = (void *)(uintptr_t)arg, .iov_len = len },
	};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * SIMWIRE_MAX_FDS)];
	} control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };
	ssize_t n;

	if (n_fds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int sim_answer(int fd, const struct sim_msg *m, int result, const void *arg, size_t known, const int *fds,
	       unsigned n_fds)
{
	/* What is no message cannot have said that it wants no answer. */
	if (!m->hdr.seq && !m->bad)
		return 0;
	if (m->hdr.len < known)
		known = m->hdr.len;
	return sim_answer_raw(fd, m->hdr.op, m->hdr.seq, result, arg, arg ? known : 0, fds, n_fds);
}
