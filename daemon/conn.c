/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../proto/status.h"
#include "client.h"
#include "container.h"
#include "events.h"
#include "log.h"
#include "mutation.h"

#define HANG_UP_MAX 64u

struct out {
	struct out *next;
	size_t len;
	int fd; /* owned, -1: none */
	unsigned char data[];
};

static void on_io(uv_poll_t *poll, int status, int events);

static void conn_poll(struct conn *conn)
{
	/* Reading waits for writing: a peer that does not read its replies gets no more of them made. */
	int events = conn->out_first ? UV_WRITABLE : conn->held ? 0 : UV_READABLE;

	if (events)
		uv_poll_start(&conn->io, events, on_io);
	else
		uv_poll_stop(&conn->io);
}

static void out_free_first(struct conn *conn)
{
	struct out *out = conn->out_first;

	conn->out_first = out->next;
	if (!conn->out_first)
		conn->out_last = &conn->out_first;
	conn->out_bytes -= out->len;
	conn->out_packets--;
	if (out->fd >= 0)
		close(out->fd);
	free(out);
}

static void on_closed(uv_handle_t *handle)
{
	free(container_of((uv_poll_t *)handle, struct conn, io));
}

int conn_new(struct broker *broker, int fd, enum conn_kind kind, struct client *client, struct user *user,
	     struct conn **ret)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn) {
		close(fd);
		return -ENOMEM;
	}
	r = uv_poll_init(&broker->loop, &conn->io, fd);
	if (r < 0) {
		close(fd);
		free(conn);
		return r;
	}
	conn->broker = broker;
	conn->fd = fd;
	conn->kind = kind;
	conn->client = client;
	conn->out_last = &conn->out_first;
	list_init(&conn->watch_link);
	list_init(&conn->ops);
	list_append(&broker->conns, &conn->link);
	conn->user = user_ref(user);
	charge_conn(conn, 1);
	broker->n_conns++;
	if (client)
		client->conn = conn;
	conn->held = client && client->identification;
	conn_poll(conn);
	*ret = conn;
	return 0;
}

void conn_hang_up(int fd)
{
	char byte;

	/* Nothing more can come after that; what is there is bounded by the peer's socket buffer. */
	shutdown(fd, SHUT_RD);
	for (unsigned i = 0; i < HANG_UP_MAX && recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) > 0; i++)
		;
	close(fd);
}

void conn_release(struct conn *conn)
{
	if (!conn->held || conn->closing)
		return;
	conn->held = false;
	conn_poll(conn);
}

void conn_close(struct conn *conn, bool ours)
{
	struct broker *broker = conn->broker;
	struct client *client = conn->client;
	struct list *pos, *tmp;

	if (conn->closing)
		return;
	conn->closing = true;
	list_for_each_safe(pos, tmp, &conn->ops) {
		struct op *op = container_of(pos, struct op, link);

		list_remove(&op->link);
		op->conn = NULL;
		op->cancel(op);
	}
	while (conn->out_first)
		out_free_first(conn);
	list_remove(&conn->watch_link);
	list_remove(&conn->link);
	broker->n_conns--;
	charge_conn(conn, -1);
	user_put(conn->user);
	if (broker->reload_conn == conn)
		broker->reload_conn = NULL;
	uv_close((uv_handle_t *)&conn->io, on_closed);
	if (conn->told)
		conn_hang_up(conn->fd);
	else
		close(conn->fd);
	conn->fd = -1;
	conn->client = NULL;
	if (client) {
		client->conn = NULL;
		if (ours)
			client_expect(client);
		else
			client_end(client, SVAB_CAUSE_CLIENT_GONE);
	}
}

/* ---- sending ---- */

static void conn_flush(struct conn *conn)
{
	while (conn->out_first) {
		struct out *out = conn->out_first;
		int r = wire_send(conn->fd, out->data, out->len, out->fd >= 0 ? &out->fd : NULL,
				  out->fd >= 0 ? 1 : 0, MSG_DONTWAIT);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			/* Only these two say that the peer is gone. Anything else is want of something here
			 * (memory, fds in flight): not the client's fault, who may come back for what it had.
			 */
			conn_close(conn, r != -EPIPE && r != -ECONNRESET);
			return;
		}
		out_free_first(conn);
	}
	if (conn->events_lost) {
		Svad__V1__Event event = SVAD__V1__EVENT__INIT;

		event.kind = SVAD__V1__EVENT_KIND__EVENT_LOST;
		event.monotonic_ns = now_ns();
		event.count = conn->events_lost;
		conn->events_lost = 0;
		conn_event(conn, &event);
		if (conn->closing)
			return;
	}
	conn_poll(conn);
}

/* Takes nothing: fd is dup()ed when the packet has to wait. 0, -EAGAIN: no memory or fd for the queue. */
static int conn_push(struct conn *conn, const void *data, size_t len, int fd)
{
	struct out *out;
	int r;

	if (conn->closing)
		return 0;
	if (!conn->out_first) {
		r = wire_send(conn->fd, data, len, fd >= 0 ? &fd : NULL, fd >= 0 ? 1 : 0, MSG_DONTWAIT);
		if (r == 0)
			return 0;
		/* The peer is gone. Its EOF will be read in its turn; closing here would pull objects from
		 * under our callers. Any other failure (no memory, too many fds in flight) is tried once more
		 * from the queue. */
		if (r == -EPIPE || r == -ECONNRESET)
			return 0;
	}
	out = malloc(sizeof(*out) + len);
	if (!out)
		return -EAGAIN;
	out->next = NULL;
	out->len = len;
	out->fd = -1;
	if (fd >= 0) {
		out->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (out->fd < 0) {
			free(out);
			return -EAGAIN;
		}
	}
	memcpy(out->data, data, len);
	*conn->out_last = out;
	conn->out_last = &out->next;
	conn->out_bytes += len;
	conn->out_packets++;
	conn_poll(conn);
	return 0;
}

void conn_reply(struct conn *conn, Svad__V1__Reply *reply, int fd)
{
	struct broker *broker = conn->broker;
	ssize_t len;

	reply->fds = fd >= 0 ? 1 : 0;
	len = wire_encode_reply(reply, broker->tx, WIRE_MAX);
	if (len < 0) {
		conn_error(conn, reply->id, SVAD_INTERNAL,
			   "The answer does not fit a packet; ask for a smaller page.");
		return;
	}
	/* A reply that cannot even be queued must not leave its client waiting. Not closed here, under the
	 * callers' feet: the socket becomes readable, and on_io() closes. The client may come back. */
	if (conn_push(conn, broker->tx, (size_t)len, fd) < 0) {
		conn->broken = true;
		shutdown(conn->fd, SHUT_RD);
	}
}

static void conn_status(struct conn *conn, uint64_t id, unsigned code, const char *limit, uint64_t value,
			const char *fmt, va_list ap)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	wire_trim_text(text);
	status.code = code;
	status.message = text;
	if (limit) {
		status.limit_name = (char *)(uintptr_t)limit;
		status.limit_value = value;
	}
	reply.id = id;
	reply.status = &status;
	conn->broker->counters.requests_refused++;
	if (conn->client)
		conn->client->errors++;
	if (conn->container)
		conn->container->refused++;
	conn_reply(conn, &reply, -1);
}

void conn_error(struct conn *conn, uint64_t id, unsigned code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conn_status(conn, id, code, NULL, 0, fmt, ap);
	va_end(ap);
}

/* A container's limits are between strangers: who hit one is said, a line a second for each container. */
static void log_container_limit(struct conn *conn, const char *name, uint64_t value)
{
	struct container *c = conn->container;
	uint64_t now = now_ns();
	char who[128], field[160];
	const char *fields[] = { field, NULL };

	if (!c || (c->limit_logged_ns && now - c->limit_logged_ns < 1000000000u))
		return;
	c->limit_logged_ns = now;
	snprintf(field, sizeof(field), "SVAD_CONTAINER=%.128s", c->name);
	log_fields(LOG_WARNING, SVAD_MSG_LIMIT, fields, "The %s has reached its limit %s, %llu (pid %d)",
		   container_describe(c, who, sizeof(who)), name, (unsigned long long)value,
		   conn->client ? (int)conn->client->pid : 0);
}

void conn_limit(struct conn *conn, uint64_t id, const char *name, uint64_t value, const char *fmt, ...)
{
	va_list ap;

	log_container_limit(conn, name, value);
	va_start(ap, fmt);
	conn_status(conn, id, SVAD_RESOURCE_EXHAUSTED, name, value, fmt, ap);
	va_end(ap);
}

void conn_in_flight(struct conn *conn, uint64_t id)
{
	uint32_t limit = conn->broker->config->requests_in_flight;

	conn_limit(conn, id, "requests_in_flight", limit,
		   "%u requests of this connection are unanswered already; wait for one.", limit);
}

void conn_event(struct conn *conn, const Svad__V1__Event *event)
{
	struct broker *broker = conn->broker;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	ssize_t len;

	if (conn->closing)
		return;
	if (conn->events_lost && !conn->out_first) {
		/* Lost for want of memory, with nothing queued whose sending would bring this about. */
		Svad__V1__Event lost = SVAD__V1__EVENT__INIT;

		lost.kind = SVAD__V1__EVENT_KIND__EVENT_LOST;
		lost.monotonic_ns = now_ns();
		lost.count = conn->events_lost;
		conn->events_lost = 0;
		conn_event(conn, &lost);
	}
	if (conn->events_lost || conn->out_packets >= broker->config->event_backlog ||
	    conn->out_bytes >= broker->config->backlog_bytes) {
		conn->events_lost++;
		broker->counters.events_lost++;
		return;
	}
	reply.body_case = SVAD__V1__REPLY__BODY_EVENT;
	reply.event = (Svad__V1__Event *)(uintptr_t)event;
	len = wire_encode_reply(&reply, broker->tx, WIRE_MAX);
	if (len < 0 || conn_push(conn, broker->tx, (size_t)len, -1) < 0) {
		conn->events_lost++;
		broker->counters.events_lost++;
		return;
	}
	broker->counters.events_sent++;
}

/* ---- receiving ---- */

/* A token bucket kept as the time at which the next request is due: a burst of one second's worth is allowed.
 */
static bool rate_ok(uint64_t *tokens_ns, uint32_t per_second)
{
	uint64_t now = now_ns(), cost = 1000000000u / per_second;

	if (*tokens_ns + 1000000000u < now)
		*tokens_ns = now - 1000000000u;
	if (*tokens_ns + cost > now)
		return false;
	*tokens_ns += cost;
	return true;
}

/* Of all the connections of a container together. */
static bool container_rate_ok(struct conn *conn, uint32_t *ret_limit)
{
	struct policy_limits limits;

	if (!conn->container || !conn->client || MUTATED("container-no-rate"))
		return true;
	container_limits_get(conn->container, conn->client, &limits, NULL);
	*ret_limit = limits.requests_per_second;
	return rate_ok(&conn->container->tokens_ns, limits.requests_per_second);
}

static void conn_rate_refuse(struct conn *conn, uint32_t container_limit, const void *data, size_t len)
{
	struct broker *broker = conn->broker;
	Svad__V1__Request *request;
	char who[128];

	broker->counters.rate_limited++;
	wire_arena_reset(&broker->arena);
	if (wire_decode_request(data, len, &broker->arena, &request) < 0)
		return;
	if (container_limit) {
		conn_limit(conn, request->id, "requests_per_second_per_container", container_limit,
			   "The %s sends more than %u requests a second on all its connections together, the "
			   "limit "
			   "requests_per_second_per_container; send fewer, or raise it in svad.conf or where "
			   "the "
			   "container was registered.",
			   container_describe(conn->container, who, sizeof(who)), container_limit);
		return;
	}
	conn_limit(conn, request->id, "requests_per_second", broker->config->requests_per_second,
		   "More than %u requests a second on one connection; send fewer, or raise [limits] "
		   "requests_per_second.",
		   broker->config->requests_per_second);
}

/* One packet a turn: with level-triggered polling every other connection gets its turn before the next one of
 * this. */
static void on_io(uv_poll_t *poll, int status, int events)
{
	struct conn *conn = container_of(poll, struct conn, io);
	struct broker *broker = conn->broker;
	uint32_t container_limit = 0;
	struct wire_fds fds;
	ssize_t n;

	if (status < 0 || conn->broken) {
		conn_close(conn, conn->broken);
		return;
	}
	if (events & UV_WRITABLE) {
		conn_flush(conn);
		return;
	}
	n = wire_recv(conn->fd, broker->rx, WIRE_MAX, &fds, NULL, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return;
	if (n == -EMSGSIZE) {
		/* What was cut off is lost: the two sides no longer agree on what was said. */
		conn_misbehaved(conn, "sent a packet of more than %u bytes or %u fds", WIRE_MAX,
				WIRE_MAX_FDS);
		conn_error(conn, 0, SVAD_INVALID_ARGUMENT,
			   "A packet has at most %u bytes and %u fds; the connection is closed.", WIRE_MAX,
			   WIRE_MAX_FDS);
		conn_close(conn, true);
		return;
	}
	if (n <= 0) {
		conn_close(conn, false);
		return;
	}
	broker->counters.requests++;
	if (conn->client)
		conn->client->requests++;
	if (conn->container)
		conn->container->requests++;
	if (!rate_ok(&conn->tokens_ns, broker->config->requests_per_second))
		conn_rate_refuse(conn, 0, broker->rx, (size_t)n);
	else if (!container_rate_ok(conn, &container_limit))
		conn_rate_refuse(conn, container_limit, broker->rx, (size_t)n);
	else
		rpc_handle(conn, broker->rx, (size_t)n, &fds);
	wire_fds_close(&fds);
}

void conn_misbehaved(struct conn *conn, const char *fmt, ...)
{
	struct broker *broker = conn->broker;
	static uint64_t window_ns;
	static unsigned in_window;
	uint64_t now = now_ns();
	char text[256];
	va_list ap;

	broker->counters.bad_messages++;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wire_trim_text(text);
	if (conn->client) {
		conn->client->errors++;
		event_client(conn->client, SVAD__V1__EVENT_KIND__EVENT_REFUSED, text);
	}
	/* Ten lines a second from all of them together: a flood must not fill the disk. The counters have the
	 * rest. */
	if (now - window_ns > 1000000000u) {
		window_ns = now;
		in_window = 0;
	}
	if (in_window++ >= 10)
		return;
	if (conn->client) {
		char c[48], p[48], u[48];
		const char *fields[] = { c, p, u, NULL };

		snprintf(c, sizeof(c), "SVAD_CLIENT=%llu", (unsigned long long)conn->client->node.id);
		snprintf(p, sizeof(p), "SVAD_CLIENT_PID=%d", (int)conn->client->pid);
		snprintf(u, sizeof(u), "SVAD_CLIENT_UID=%u", (unsigned)conn->client->uid);
		log_fields(LOG_NOTICE, SVAD_MSG_CLIENT_MISBEHAVED, fields, "Client %llu (pid %d, uid %u) %s",
			   (unsigned long long)conn->client->node.id, (int)conn->client->pid,
			   (unsigned)conn->client->uid, text);
	} else {
		log_write(LOG_NOTICE, SVAD_MSG_CLIENT_MISBEHAVED, "An administrator's connection %s", text);
	}
}

/* ---- requests that take time ---- */

int op_init(struct op *op, struct conn *conn, uint64_t id, void (*cancel)(struct op *op))
{
	if (conn->in_flight >= conn->broker->config->requests_in_flight)
		return -EDQUOT;
	conn->in_flight++;
	op->conn = conn;
	op->id = id;
	op->cancel = cancel;
	list_append(&conn->ops, &op->link);
	return 0;
}

void op_done(struct op *op)
{
	if (!op->conn)
		return;
	list_remove(&op->link);
	op->conn->in_flight--;
	op->conn = NULL;
}
