/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ctx fd of the simulated device: messages (proto/simwire.h). SVAB_BIND carries /proc/self/mem and
 * /proc/self/maps, opened now: both are tied to this address space, as the kernel module's bind ties to
 * current->mm.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../proto/simwire.h"
#include "internal.h"

#define PORTAL_MAX (16u << 20)

struct packet {
	struct simwire_hdr hdr;
	union {
		struct svab_bind bind;
		struct svab_unbind unbind;
		unsigned char room[512]; /* a newer device may know longer structs */
	};
};

/* One packet whose header says what it is; its fds are in the table. 0, -EAGAIN, -EPIPE at the end, -EPROTO.
 */
static int receive(int fd, struct packet *p, size_t need, struct wire_fds *fds)
{
	ssize_t n;
	int r = 0;

	sva_fds_lock();
	n = wire_recv(fd, p, sizeof(*p), fds, NULL, MSG_DONTWAIT);
	for (unsigned i = 0; n > 0 && i < fds->n; i++) {
		fds->fd[i] = sva_fd_own_locked(fds->fd[i]);
		if (fds->fd[i] < 0)
			r = -ENOMEM;
	}
	sva_fds_unlock();

	if (n == -EAGAIN)
		return -EAGAIN;
	if (n == 0 || n == -ECONNRESET || n == -EPIPE)
		return -EPIPE;
	if (n < 0 || r < 0)
		return n == -EMSGSIZE ? -EPROTO : n < 0 ? (int)n : r;
	if ((size_t)n < sizeof(p->hdr) || (size_t)n - sizeof(p->hdr) != p->hdr.len || p->hdr.result > 0 ||
	    (p->hdr.result == 0 && p->hdr.len < need))
		return -EPROTO;
	return 0;
}

static void drop_fds(struct wire_fds *fds)
{
	for (unsigned i = 0; i < fds->n; i++)
		sva_fd_close(&fds->fd[i]);
	fds->n = 0;
}

/* Sends and waits for the answer to this very request: an answer to an earlier one, given up on, is dropped
 * with its fds. */
static int transact(int fd, struct packet *p, size_t len, const int *fds, unsigned n_fds,
		    struct wire_fds *ret_fds, uint64_t deadline)
{
	const struct simwire_hdr sent = p->hdr;
	int r;

	while ((r = wire_send(fd, p, sizeof(p->hdr) + len, fds, n_fds, MSG_DONTWAIT)) == -EAGAIN) {
		r = sva_poll_until(fd, POLLOUT, deadline);
		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0)
			return r;
	}
	/* On EPIPE an answer may still lie in our queue: not to this request. */
	if (r == -ECONNRESET)
		r = -EPIPE;
	if (r < 0)
		return r;

	for (;;) {
		r = receive(fd, p, len, ret_fds);
		if (r == 0 && p->hdr.seq == sent.seq && p->hdr.op == sent.op)
			return 0;
		drop_fds(ret_fds);
		if (r == -EAGAIN) {
			r = sva_poll_until(fd, POLLIN, deadline);
			if (r == 0)
				return -ETIMEDOUT;
		}
		if (r < 0)
			return r;
		if (sva_remaining_ms(deadline) == 0)
			return -ETIMEDOUT;
	}
}

static int open_own(const struct sva *sva, const char *path, int flags)
{
	int fd;

	sva_fds_lock();
	fd = open(path, flags | O_CLOEXEC);
	fd = fd < 0 ? -errno : sva_fd_own_locked(fd);
	sva_fds_unlock();

	if (fd == -EACCES || fd == -EPERM)
		return sva_fail(
			sva, fd,
			"cannot open %s: this process is not dumpable (set-user-ID, file capabilities, or "
			"PR_SET_DUMPABLE 0), so a simulated device cannot reach its memory",
			path);
	if (fd == -ENOENT)
		return sva_fail(sva, fd, "cannot open %s: mount /proc for this process", path);
	if (fd < 0)
		return sva_fail(sva, fd, "cannot open %s: %s", path, strerrordesc_np(-fd) ?: "unknown error");
	return fd;
}

static const char *bind_words(int error)
{
	switch (error) {
	case -EACCES:
		return "the device has no grant for this context: it was withdrawn; bind again";
	case -EPERM:
		return "this context belongs to another address space";
	case -ENOSPC:
		return "the device has no PASID left for another bond";
	case -EBUSY:
		return "an earlier bond of this process with the device is draining or quarantined; an "
		       "administrator can see it with "
		       "`svadctl quarantine list`";
	case -ENODEV:
		return "the device is gone";
	case -EINVAL:
		return "the device does not accept this process's memory";
	default:
		return strerrordesc_np(-error) ?: "unknown error";
	}
}

/* What the device sent: a socket, and memory of the announced size when there is a portal. */
static int check_bound(const struct svab_bind *bind, const struct wire_fds *fds)
{
	struct stat st;

	if (fds->n != (bind->portal_size ? 2u : 1u) || bind->bond == 0)
		return -EPROTO;
	if (fstat(fds->fd[0], &st) < 0 || !S_ISSOCK(st.st_mode))
		return -EPROTO;
	if (bind->portal_size == 0)
		return 0;
	if (bind->portal_size > PORTAL_MAX || bind->portal_size % (uint32_t)sysconf(_SC_PAGESIZE) != 0)
		return -EPROTO;
	/* Revoked already: its memory is gone. An access would fault, which is what revocation does; no
	 * reason to refuse. */
	if (fstat(fds->fd[1], &st) < 0 || !S_ISREG(st.st_mode))
		return -EPROTO;
	return 0;
}

static int sim_bind(const struct sva *sva, struct sva_ctx *ctx, uint32_t device, uint64_t deadline,
		    struct ctx_bound *ret)
{
	struct wire_fds fds = WIRE_FDS_NONE;
	struct packet p = { 0 };
	int own[2], r;

	own[0] = open_own(sva, "/proc/self/mem", O_RDWR);
	if (own[0] < 0)
		return own[0];
	own[1] = open_own(sva, "/proc/self/maps", O_RDONLY);
	if (own[1] < 0) {
		sva_fd_close(&own[0]);
		return own[1];
	}

	if (++ctx->seq == 0) /* 0 asks for no answer */
		ctx->seq = 1;
	p.hdr = (struct simwire_hdr){ .op = (uint32_t)SVAB_BIND, .seq = ctx->seq, .len = sizeof(p.bind) };
	p.bind.size = sizeof(p.bind);
	p.bind.device = device;
	p.bind.bond_fd = -1;
	p.bind.at_random = getauxval(AT_RANDOM);
	r = transact(ctx->fd, &p, sizeof(p.bind), own, 2, &fds, deadline);
	sva_fd_close(&own[0]);
	sva_fd_close(&own[1]);

	if (r == 0 && p.hdr.result < 0) {
		drop_fds(&fds);
		return sva_fail(sva, p.hdr.result, "%s", bind_words(p.hdr.result));
	}
	if (r == 0)
		r = check_bound(&p.bind, &fds);
	if (r < 0) {
		drop_fds(&fds);
		if (r == -ETIMEDOUT)
			return sva_fail(sva, r, "the device did not answer the bind in time");
		if (r == -EPIPE)
			return sva_fail(sva, r, "the device has ended this context");
		if (r == -EPROTO)
			return sva_fail(
				sva, r,
				"the device's answer makes no sense, or no file descriptor is left for it "
				"(`ulimit -n`)");
		return sva_fail(sva, r, "cannot reach the device: %s",
				strerrordesc_np(-r) ?: "unknown error");
	}
	*ret = (struct ctx_bound){ .bind = p.bind,
				   .bond_fd = fds.fd[0],
				   .portal_fd = fds.n > 1 ? fds.fd[1] : -1 };
	return 0;
}

static int sim_unbind(struct sva_bond *bond, uint32_t *state, uint64_t deadline)
{
	struct wire_fds fds = WIRE_FDS_NONE;
	struct packet p = { 0 };
	int r;

	p.hdr = (struct simwire_hdr){ .op = (uint32_t)SVAB_UNBIND, .len = sizeof(p.unbind) };
	do {
		p.hdr.seq = atomic_fetch_add(&bond->seq, 1) + 1;
	} while (p.hdr.seq == 0);
	p.unbind.size = sizeof(p.unbind);
	p.unbind.state = *state;
	r = transact(bond->fd, &p, sizeof(p.unbind), NULL, 0, &fds, deadline);
	drop_fds(&fds);
	if (r == -EPIPE)
		return -ENOLINK;
	if (r < 0)
		return r;
	if (p.hdr.result < 0)
		return p.hdr.result == -ESHUTDOWN ? -ENOLINK : p.hdr.result;
	*state = p.unbind.state;
	return 0;
}

static int sim_kick(struct sva_bond *bond)
{
	static const struct simwire_hdr kick = { .op = SIMWIRE_KICK };
	int r = wire_send(bond->fd, &kick, sizeof(kick), NULL, 0, MSG_DONTWAIT);

	/* A full queue holds a kick that the device has yet to read: one is as good as many. */
	if (r == 0 || r == -EAGAIN)
		return 0;
	return -ESHUTDOWN;
}

static bool sim_is(int fd)
{
	socklen_t len = sizeof(int);
	int type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

const struct ctx_transport ctx_transport_sim = {
	.name = "sim",
	.is = sim_is,
	.bind = sim_bind,
	.unbind = sim_unbind,
	.kick = sim_kick,
};
