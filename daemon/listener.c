/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../proto/status.h"
#include "client.h"
#include "log.h"
#include "peer.h"
#include "user.h"

#define ACCEPT_BATCH 32
#define ACCEPT_PAUSE_MS 50

struct listener {
	uv_poll_t io;
	uv_timer_t pause;
	struct broker *broker;
	enum conn_kind kind;
	int fd;
	int spare; /* an fd kept back: closing it lets one more connection be accepted, in order to be dropped
		    */
	int handles; /* to be closed before it is freed */
};

static void on_connection(uv_poll_t *poll, int status, int events);

static int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Says why and goes. Reply id 0: nothing was asked yet. */
static void refuse(struct broker *broker, int fd, const char *limit, uint64_t value, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
static void refuse(struct broker *broker, int fd, const char *limit, uint64_t value, const char *fmt, ...)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	char text[256];
	ssize_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	status.code = limit ? SVAD_RESOURCE_EXHAUSTED : SVAD_UNAVAILABLE;
	status.message = text;
	if (limit) {
		status.limit_name = (char *)(uintptr_t)limit;
		status.limit_value = value;
	}
	reply.status = &status;
	len = wire_encode_reply(&reply, broker->tx, WIRE_MAX);
	if (len > 0)
		wire_send(fd, broker->tx, (size_t)len, NULL, 0, MSG_DONTWAIT);
	close(fd);
}

static void log_limit(struct broker *broker, uid_t uid, const char *text)
{
	static uint64_t last_ns;
	uint64_t now = now_ns();

	broker->counters.connections_refused++;
	if (last_ns && now - last_ns < 1000000000u)
		return; /* a line a second tells enough; the counter has the rest */
	last_ns = now;
	log_write(LOG_WARNING, SVAD_MSG_LIMIT, "Refused a connection of uid %u: %s", (unsigned)uid, text);
}

static void accepted(struct listener *l, int fd)
{
	struct broker *broker = l->broker;
	const struct config *config = broker->config;
	struct client *client = NULL;
	struct user *user = NULL;
	struct conn *conn;
	struct peer peer;
	int r;

	r = peer_identify(fd, 0, &peer);
	if (r < 0) {
		if (r != -ESRCH)
			broker->counters.accept_failures++;
		refuse(broker, fd, NULL, 0, "Cannot tell who connects: %s.", uv_strerror(r));
		return;
	}
	user = user_get(broker, peer.uid);
	if (!user)
		goto nomem;
	/* Administrators get in even when clients have used everything up. */
	if (l->kind == CONN_CLIENT && broker->n_conns >= config->connections) {
		log_limit(broker, peer.uid, "all connections are in use");
		refuse(broker, fd, "connections", config->connections,
		       "All %u connections that svad allows are in use.", config->connections);
		goto out;
	}
	if (l->kind == CONN_CLIENT && user->connections >= config->connections_per_uid) {
		log_limit(broker, peer.uid, "it has connections_per_uid connections");
		refuse(broker, fd, "connections_per_uid", config->connections_per_uid,
		       "uid %u has %u connections, the limit connections_per_uid is %u.", (unsigned)peer.uid,
		       user->connections, config->connections_per_uid);
		goto out;
	}
	if (l->kind == CONN_CLIENT) {
		r = client_new(broker, &peer, &client);
		peer.pidfd = -1; /* taken */
		if (r < 0)
			goto nomem;
	}
	r = conn_new(broker, fd, l->kind, client, user, &conn);
	fd = -1;
	if (r < 0) {
		broker->counters.accept_failures++;
		if (client)
			client_end(client, SVAB_CAUSE_CLIENT_GONE);
	} else {
		broker->counters.connections++;
	}
	goto out;
nomem:
	broker->counters.accept_failures++;
	refuse(broker, fd, NULL, 0, "svad is out of memory; try again.");
out:
	if (peer.pidfd >= 0)
		close(peer.pidfd);
	user_put(user);
}

static void on_resume(uv_timer_t *timer)
{
	struct listener *l = container_of(timer, struct listener, pause);

	if (l->spare < 0)
		l->spare = spare_open();
	uv_poll_start(&l->io, UV_READABLE, on_connection);
}

/* accept() failed for want of something. The connection would stay first in the queue and wake us for ever.
 */
static void accept_failed(struct listener *l, int error)
{
	static uint64_t last_ns;
	uint64_t now = now_ns();

	l->broker->counters.accept_failures++;
	if (!last_ns || now - last_ns > 1000000000u) {
		last_ns = now;
		log_write(LOG_ERR, SVAD_MSG_ACCEPT,
			  "Cannot accept a connection: %s; the client is dropped, svad goes on",
			  uv_strerror(-error));
	}
	if ((error == EMFILE || error == ENFILE) && l->spare >= 0) {
		int fd;

		close(l->spare);
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			refuse(l->broker, fd, NULL, 0,
			       "svad is out of file descriptors; try again, or raise its LimitNOFILE.");
		l->spare = spare_open();
		if (fd >= 0)
			return;
	}
	uv_poll_stop(&l->io);
	uv_timer_start(&l->pause, on_resume, ACCEPT_PAUSE_MS, 0);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct listener *l = container_of(poll, struct listener, io);
	int i;

	(void)events;
	if (status < 0)
		return;
	for (i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			accepted(l, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN)
			accept_failed(l, errno);
		return;
	}
}

int listener_new(struct broker *broker, int fd, enum conn_kind kind, struct listener **ret)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->broker = broker;
	l->kind = kind;
	l->fd = fd;
	r = uv_poll_init(&broker->loop, &l->io, fd);
	if (r < 0) {
		close(fd);
		free(l);
		return r;
	}
	uv_timer_init(&broker->loop, &l->pause);
	l->handles = 2;
	l->spare = spare_open();
	uv_poll_start(&l->io, UV_READABLE, on_connection);
	*ret = l;
	return 0;
}

static void listener_closed(struct listener *l)
{
	if (--l->handles == 0)
		free(l);
}

static void io_closed(uv_handle_t *handle)
{
	listener_closed(container_of((uv_poll_t *)handle, struct listener, io));
}

static void pause_closed(uv_handle_t *handle)
{
	listener_closed(container_of((uv_timer_t *)handle, struct listener, pause));
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	uv_close((uv_handle_t *)&l->io, io_closed);
	uv_close((uv_handle_t *)&l->pause, pause_closed);
	close(l->fd);
	if (l->spare >= 0)
		close(l->spare);
}
