/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CONN_H
#define SVAD_CONN_H
/*
 * A connection: reads one request at a time, and none while its own replies wait to be read (so that a client that never reads costs what its
 * socket buffer holds and no more). Requests that take time are struct op, each answered once or dropped with the connection.
 */
#include "broker.h"

enum conn_kind { CONN_CLIENT, CONN_ADMIN };

struct conn {
	uv_poll_t io;
	struct list link; /* broker->conns */
	struct list watch_link; /* broker->watchers, or alone */
	struct list ops; /* requests in flight */
	struct broker *broker;
	struct client *client; /* CONN_CLIENT */
	struct user *user; /* charged, unless ... */
	struct container *container; /* ... this is; a reference */
	int fd;
	enum conn_kind kind;
	bool hello, subscribed, closing;
	bool held; /* not read from until it is known whose it is (identify.h) */
	bool told; /* why it is closed: conn_hang_up() */
	bool broken; /* a reply could not be queued: to be closed in its next turn */
	unsigned in_flight;
	struct out *out_first, **out_last;
	size_t out_bytes, out_packets;
	uint64_t events_lost;
	uint64_t tokens_ns; /* rate limit: a token bucket kept as time */
};

/* A request that is answered later. Embedded first in what serves it. */
struct op {
	struct list link; /* conn->ops */
	struct conn *conn; /* NULL: the connection has gone, answer nobody */
	uint64_t id;
	void (*cancel)(struct op *op); /* the connection goes: undo what can be; frees the op */
};

/* Takes fd; charges the user. peer_client: the client of a CONN_CLIENT, owned by itself. */
int conn_new(struct broker *broker, int fd, enum conn_kind kind, struct client *client, struct user *user, struct conn **ret);
/* ours: our decision (limit, misbehaviour), not the peer's: its client may come back. */
void conn_close(struct conn *conn, bool ours);

/* Closes the socket of somebody who has been told why. What it has sent meanwhile is taken off first: closed with that unread, the kernel
 * tells it of a reset connection in place of our words. */
void conn_hang_up(int fd);
/* Its client is known: reading begins. */
void conn_release(struct conn *conn);

int op_init(struct op *op, struct conn *conn, uint64_t id, void (*cancel)(struct op *op)); /* -EDQUOT: too many in flight */
void op_done(struct op *op); /* off the connection's list; freeing is the caller's */

/* The one place that replies. fd: -1 or lent. */
void conn_reply(struct conn *conn, Svad__V1__Reply *reply, int fd);
void conn_error(struct conn *conn, uint64_t id, unsigned code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void conn_limit(struct conn *conn, uint64_t id, const char *name, uint64_t value, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Too many requests in flight. */
void conn_in_flight(struct conn *conn, uint64_t id);
/* An event; dropped and counted when the peer does not keep up. */
void conn_event(struct conn *conn, const Svad__V1__Event *event);

/* rpc.c: handles one packet. */
void rpc_handle(struct conn *conn, const void *data, size_t len, struct wire_fds *fds);
/* Somebody broke the protocol or hit a limit: counted, logged at a bounded rate, told to watchers. */
void conn_misbehaved(struct conn *conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
