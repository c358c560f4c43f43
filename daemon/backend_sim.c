/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated device as a backend: kmod/svabroker.h spoken over a control socket to svad-simdev
 * (proto/simwire.h).
 *
 * Whenever the socket is (re)attached, and whenever the device says that events were lost, everything is
 * listed anew: figures, devices, then contexts, grants and bonds. The same walk without the last part
 * refreshes the figures.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../proto/simwire.h"
#include "broker.h"
#include "log.h"

struct sim_out {
	struct sim_out *next;
	int fd; /* owned, -1: none */
	size_t len;
	unsigned char data[];
};

struct sim_reset {
	struct sim_reset *next;
	uint32_t seq;
	backend_done done;
	void *userdata;
};

struct backend_sim {
	struct backend b;
	uv_loop_t *loop;
	uv_poll_t *io; /* its own allocation: it outlives an attachment until its close callback */
	int fd;
	uint64_t generation;
	uint32_t seq;
	uint32_t walk_seq; /* of the request of the walk under way; 0: none */
	bool walk_lists;   /* it goes on with SVAB_LIST */
	struct svab_info info;
	struct sim_out *out_first, **out_last;
	struct sim_reset *resets;
	unsigned char buf[SIMWIRE_MAX];
};

static void sim_io(uv_poll_t *poll, int status, int events);
static void sim_down(struct backend_sim *s);

static struct backend_sim *sim_of(struct backend *b)
{
	return container_of(b, struct backend_sim, b);
}

static void sim_poll(struct backend_sim *s)
{
	uv_poll_start(s->io, UV_READABLE | (s->out_first ? UV_WRITABLE : 0), sim_io);
}

/* ---- sending ---- */

static int sim_flush(struct backend_sim *s)
{
	while (s->out_first) {
		struct sim_out *out = s->out_first;
		int r = wire_send(s->fd, out->data, out->len, &out->fd, out->fd >= 0 ? 1 : 0, MSG_DONTWAIT);

		if (r < 0 && r != -EAGAIN && r != -ENOBUFS && r != -ENOMEM && r != -ETOOMANYREFS)
			r = -EPIPE;
		if (r < 0)
			return r;
		s->out_first = out->next;
		if (!s->out_first)
			s->out_last = &s->out_first;
		if (out->fd >= 0)
			close(out->fd);
		free(out);
	}
	return 0;
}

/* Sends or queues. Takes fd (even when it fails). may_queue false: -EAGAIN instead of queueing. */
static int sim_send(struct backend_sim *s, uint32_t op, uint32_t seq, const void *payload, size_t len, int fd,
		    bool may_queue)
{
	struct {
		struct simwire_hdr hdr;
		unsigned char payload[sizeof(struct svab_dev_info)]; /* the largest */
	} packet = { .hdr = { .op = op, .seq = seq, .len = (uint32_t)len } };
	struct sim_out *out;
	int r;

	if (!s->b.is_up) {
		r = -ENODEV;
		goto fail;
	}
	memcpy(packet.payload, payload, len);
	len += sizeof(packet.hdr);
	r = sim_flush(s);
	if (r == 0)
		r = wire_send(s->fd, &packet, len, &fd, fd >= 0 ? 1 : 0, MSG_DONTWAIT);
	if (r == 0) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	/* A dead peer is found by its EOF; until then its messages wait like any others. */
	if (!may_queue) {
		sim_poll(s);
		r = -EAGAIN;
		goto fail;
	}
	out = malloc(sizeof(*out) + len);
	if (!out) {
		r = -ENOMEM;
		goto fail;
	}
	out->next = NULL;
	out->fd = fd;
	out->len = len;
	memcpy(out->data, &packet, len);
	*s->out_last = out;
	s->out_last = &out->next;
	sim_poll(s);
	return 0;
fail:
	if (fd >= 0)
		close(fd);
	return r;
}

static uint32_t sim_seq(struct backend_sim *s)
{
	if (!++s->seq)
		s->seq = 1;
	return s->seq;
}

/* ---- the walk: info, devices, lists ---- */

/* A walk that cannot go on (no memory) leaves its listeners waiting for ever and the broker blind: then the
 * connection is made anew, by the supervisor's restart of what does not answer. */
static void sim_walk_send(struct backend_sim *s, uint32_t op, const void *payload, size_t len)
{
	int r = sim_send(s, op, s->walk_seq, payload, len, -1, true);

	if (r < 0) {
		log_err("Cannot ask the backend for its devices and bonds: %s", uv_strerror(r));
		abort();
	}
}

static void sim_walk(struct backend_sim *s, bool lists)
{
	struct svab_info info = { .size = sizeof(info) };

	/* One that is under way serves, unless it must list now and does not; then it is started over, and
	 * its late answers are known by their seq. */
	if (s->walk_seq && (s->walk_lists || !lists))
		return;
	s->walk_seq = sim_seq(s);
	s->walk_lists = lists;
	sim_walk_send(s, (uint32_t)SVAB_INFO, &info, sizeof(info));
}

static void sim_walk_device(struct backend_sim *s, uint32_t after)
{
	struct svab_dev_info info = { .size = sizeof(info), .id = after };

	s->walk_seq = sim_seq(s);
	sim_walk_send(s, (uint32_t)SVAB_DEV_NEXT, &info, sizeof(info));
}

static void sim_walk_list(struct backend_sim *s, uint64_t cursor)
{
	struct svab_list list = { .size = sizeof(list), .cursor = cursor };

	list.count =
		(SIMWIRE_MAX - sizeof(struct simwire_hdr) - sizeof(list)) / sizeof(struct svab_list_entry);
	s->walk_seq = sim_seq(s);
	sim_walk_send(s, (uint32_t)SVAB_LIST, &list, sizeof(list));
}

static void sim_on_info(struct backend_sim *s, const void *payload, size_t len)
{
	memset(&s->info, 0, sizeof(s->info));
	memcpy(&s->info, payload, len < sizeof(s->info) ? len : sizeof(s->info));
	sim_walk_device(s, 0);
}

static void sim_on_device(struct backend_sim *s, int result, const void *payload, size_t len)
{
	struct svab_dev_info info = { 0 };

	if (result == 0 && len >= offsetof(struct svab_dev_info, name)) {
		memcpy(&info, payload, len < sizeof(info) ? len : sizeof(info));
		s->b.handler->device(s->b.userdata, &info);
		sim_walk_device(s, info.id);
		return;
	}
	s->b.handler->info(s->b.userdata, &s->info);
	if (s->walk_lists)
		sim_walk_list(s, 0);
	else
		s->walk_seq = 0;
}

static void sim_on_list(struct backend_sim *s, int result, const void *payload, size_t len)
{
	struct svab_list list = { 0 };
	const unsigned char *at = payload;
	uint32_t i;

	if (result == 0 && len >= sizeof(list)) {
		memcpy(&list, payload, sizeof(list));
		at += sizeof(list);
		len -= sizeof(list);
		for (i = 0; i < list.count && len >= sizeof(struct svab_list_entry); i++) {
			struct svab_list_entry entry;

			memcpy(&entry, at, sizeof(entry));
			s->b.handler->entry(s->b.userdata, &entry);
			at += sizeof(entry);
			len -= sizeof(entry);
		}
		if (list.cursor) {
			sim_walk_list(s, list.cursor);
			return;
		}
	} else {
		log_err("The backend cannot list its bonds: %s", uv_strerror(result));
	}
	s->walk_seq = 0;
	s->walk_lists = false;
	s->b.is_synced = true;
	s->b.handler->synced(s->b.userdata);
}

/* ---- receiving ---- */

static void sim_on_events(struct backend_sim *s, const void *payload, size_t len)
{
	const unsigned char *at = payload;

	for (; len >= sizeof(struct svab_event);
	     at += sizeof(struct svab_event), len -= sizeof(struct svab_event)) {
		struct svab_event event;

		memcpy(&event, at, sizeof(event));
		s->b.handler->event(s->b.userdata, &event);
		if (event.type == SVAB_EV_LOST) {
			s->walk_seq = 0;
			sim_walk(s, true);
		} else if (event.type == SVAB_EV_DEV_ADDED || event.type == SVAB_EV_DEV_RESET) {
			sim_walk(s, false);
		}
	}
}

static void sim_on_reset(struct backend_sim *s, const struct simwire_hdr *hdr, const void *payload,
			 size_t len)
{
	struct sim_reset **link;

	for (link = &s->resets; *link; link = &(*link)->next) {
		struct sim_reset *reset = *link;
		struct svab_dev_reset answer = { 0 };

		if (reset->seq != hdr->seq)
			continue;
		*link = reset->next;
		memcpy(&answer, payload, len < sizeof(answer) ? len : sizeof(answer));
		reset->done(reset->userdata, hdr->result, &answer);
		free(reset);
		return;
	}
}

static void sim_packet(struct backend_sim *s, size_t n)
{
	struct simwire_hdr hdr;
	const unsigned char *payload = s->buf + sizeof(hdr);

	if (n < sizeof(hdr))
		return;
	memcpy(&hdr, s->buf, sizeof(hdr));
	n -= sizeof(hdr);
	if (hdr.op == SIMWIRE_EVENTS)
		sim_on_events(s, payload, n);
	else if (hdr.op == (uint32_t)SVAB_DEV_RESET)
		sim_on_reset(s, &hdr, payload, n);
	else if (hdr.seq != s->walk_seq)
		return; /* of a walk that was started over */
	else if (hdr.op == (uint32_t)SVAB_INFO)
		sim_on_info(s, payload, n);
	else if (hdr.op == (uint32_t)SVAB_DEV_NEXT)
		sim_on_device(s, hdr.result, payload, n);
	else if (hdr.op == (uint32_t)SVAB_LIST)
		sim_on_list(s, hdr.result, payload, n);
}

/* At most `most` packets. */
static void sim_read(struct backend_sim *s, int most)
{
	struct wire_fds fds;
	ssize_t n = 0;
	int i;

	for (i = 0; i < most && s->b.is_up; i++) {
		n = wire_recv(s->fd, s->buf, sizeof(s->buf), &fds, NULL, MSG_DONTWAIT);
		if (n <= 0)
			break;
		wire_fds_close(&fds);
		sim_packet(s, (size_t)n);
	}
	if (s->b.is_up && n <= 0 && n != -EAGAIN)
		sim_down(s);
}

static void sim_io(uv_poll_t *poll, int status, int events)
{
	struct backend_sim *s = poll->data;

	if (status < 0) {
		sim_down(s);
		return;
	}
	if (events & UV_WRITABLE) {
		int r = sim_flush(s);

		if (r == -EPIPE) {
			sim_down(s);
			return;
		}
		if (r == 0)
			sim_poll(s);
	}
	sim_read(s, 64); /* some at a time: the clients' turn comes too */
}

/* ---- attachment ---- */

static void sim_io_closed(uv_handle_t *handle)
{
	free(handle);
}

static void sim_detach(struct backend_sim *s)
{
	struct sim_reset *reset;

	s->b.is_up = s->b.is_synced = false;
	s->walk_seq = 0;
	s->walk_lists = false;
	if (s->io)
		uv_close((uv_handle_t *)s->io, sim_io_closed);
	s->io = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	while (s->out_first) {
		struct sim_out *out = s->out_first;

		s->out_first = out->next;
		if (out->fd >= 0)
			close(out->fd);
		free(out);
	}
	s->out_last = &s->out_first;
	while ((reset = s->resets)) {
		s->resets = reset->next;
		reset->done(reset->userdata, -ENODEV, NULL);
		free(reset);
	}
}

static void sim_down(struct backend_sim *s)
{
	if (!s->b.is_up)
		return;
	sim_detach(s);
	s->b.handler->down(s->b.userdata);
}

static int sim_attach(struct backend *backend, int fd, uint64_t generation)
{
	struct backend_sim *s = sim_of(backend);
	int r;

	sim_down(s);
	s->io = malloc(sizeof(*s->io));
	if (!s->io) {
		close(fd);
		return -ENOMEM;
	}
	r = uv_poll_init(s->loop, s->io, fd);
	if (r < 0) {
		free(s->io);
		s->io = NULL;
		close(fd);
		return r;
	}
	s->io->data = s;
	s->fd = fd;
	s->generation = generation;
	s->b.is_up = true;
	sim_poll(s);
	s->b.handler->up(s->b.userdata);
	sim_walk(s, true);
	return 0;
}

/* ---- operations ---- */

static int sim_ctx_create(struct backend *b, const struct svab_ctx_create *create, int *ret_fd)
{
	const int on = 1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	/* The kernel notes a sender when it sends, and only where the receiver has asked by then: the client
	 * may send before the device has seen its end. */
	if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
		r = -errno;
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	r = sim_send(sim_of(b), (uint32_t)SVAB_CTX_CREATE, 0, create, sizeof(*create), pair[0], false);
	if (r < 0) {
		close(pair[1]);
		return r;
	}
	*ret_fd = pair[1];
	return 0;
}

static int sim_ctx_grant(struct backend *b, const struct svab_ctx_grant *grant)
{
	return sim_send(sim_of(b), (uint32_t)SVAB_CTX_GRANT, 0, grant, sizeof(*grant), -1, false);
}

static int sim_ctx_revoke_grant(struct backend *b, uint64_t cookie, uint32_t device)
{
	struct svab_ctx_ref ref = { .size = sizeof(ref), .cookie = cookie, .device = device };

	return sim_send(sim_of(b), (uint32_t)SVAB_CTX_REVOKE_GRANT, 0, &ref, sizeof(ref), -1, true);
}

static int sim_ctx_revoke(struct backend *b, uint64_t cookie, enum svab_cause cause)
{
	struct svab_ctx_ref ref = { .size = sizeof(ref), .cookie = cookie, .cause = cause };

	return sim_send(sim_of(b), (uint32_t)SVAB_CTX_REVOKE, 0, &ref, sizeof(ref), -1, true);
}

static int sim_bond_revoke(struct backend *b, uint64_t bond, enum svab_cause cause)
{
	struct svab_bond_ref ref = { .size = sizeof(ref), .bond = bond, .cause = cause };

	return sim_send(sim_of(b), (uint32_t)SVAB_BOND_REVOKE, 0, &ref, sizeof(ref), -1, true);
}

static int sim_dev_reset(struct backend *b, uint32_t device, backend_done done, void *userdata)
{
	struct backend_sim *s = sim_of(b);
	struct svab_dev_reset ask = { .size = sizeof(ask), .device = device };
	struct sim_reset *reset = malloc(sizeof(*reset));
	int r;

	if (!reset)
		return -ENOMEM;
	*reset = (struct sim_reset){
		.next = s->resets, .seq = sim_seq(s), .done = done, .userdata = userdata
	};
	r = sim_send(s, (uint32_t)SVAB_DEV_RESET, reset->seq, &ask, sizeof(ask), -1, true);
	if (r < 0) {
		free(reset);
		return r;
	}
	s->resets = reset;
	return 0;
}

static int sim_refresh(struct backend *b)
{
	struct backend_sim *s = sim_of(b);

	if (!s->b.is_up)
		return -ENODEV;
	sim_walk(s, false);
	return 0;
}

static void sim_catch_up(struct backend *b)
{
	struct backend_sim *s = sim_of(b);

	if (s->b.is_up)
		sim_read(s, 1024);
}

static void sim_free(struct backend *b)
{
	struct backend_sim *s = sim_of(b);

	sim_detach(s);
	free(s);
}

static const struct backend_ops sim_ops = {
	.name = "sim",
	.attach = sim_attach,
	.ctx_create = sim_ctx_create,
	.ctx_grant = sim_ctx_grant,
	.ctx_revoke_grant = sim_ctx_revoke_grant,
	.ctx_revoke = sim_ctx_revoke,
	.bond_revoke = sim_bond_revoke,
	.dev_reset = sim_dev_reset,
	.catch_up = sim_catch_up,
	.refresh = sim_refresh,
	.free = sim_free,
};

int backend_sim_new(uv_loop_t *loop, const struct backend_handler *handler, void *userdata,
		    struct backend **ret)
{
	struct backend_sim *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->b = (struct backend){ .ops = &sim_ops, .handler = handler, .userdata = userdata };
	s->loop = loop;
	s->fd = -1;
	s->out_last = &s->out_first;
	*ret = &s->b;
	return 0;
}
