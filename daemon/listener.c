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
#include "container.h"
#include "identify.h"
#include "log.h"
#include "mutation.h"
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
static void refuse(struct broker *broker, int fd, unsigned code, const char *limit, uint64_t value,
		   const char *fmt, ...) __attribute__((format(printf, 6, 7)));
static void refuse(struct broker *broker, int fd, unsigned code, const char *limit, uint64_t value,
		   const char *fmt, ...)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	char text[384];
	ssize_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	status.code = code;
	status.message = text;
	if (limit) {
		status.limit_name = (char *)(uintptr_t)limit;
		status.limit_value = value;
	}
	reply.status = &status;
	len = wire_encode_reply(&reply, broker->tx, WIRE_MAX);
	if (len > 0)
		wire_send(fd, broker->tx, (size_t)len, NULL, 0, MSG_DONTWAIT);
	conn_hang_up(fd);
}

static void log_refusal(struct broker *broker, const char *msg_id, const struct peer *peer, const char *text)
{
	static uint64_t last_ns;
	uint64_t now = now_ns();

	broker->counters.connections_refused++;
	if (last_ns && now - last_ns < 1000000000u)
		return; /* a line a second tells enough; the counter has the rest */
	last_ns = now;
	log_write(LOG_WARNING, msg_id, "Refused a connection of pid %d, uid %u: %s", (int)peer->pid,
		  (unsigned)peer->uid, text);
}

static bool is_foreign(const struct broker *broker, const struct peer *peer)
{
	return broker->host_cookie && peer->netns_cookie != broker->host_cookie;
}

/* A container's root has uid 0 too: administrators are of the host. True: refused. */
static bool admin_refused(struct broker *broker, int fd, const struct peer *peer)
{
	if (!is_foreign(broker, peer) || MUTATED("admin-from-containers"))
		return false;
	log_refusal(broker, SVAD_MSG_NETNS, peer,
		    "it is of another network namespace, and would be an administrator");
	refuse(broker, fd, SVAD_PERMISSION_DENIED, NULL, 0,
	       "Administrators are of svad's own network namespace, and this process's socket is of another: "
	       "connect from the host.");
	return true;
}

/* Of a host's client: charged to its uid. True: refused. */
static bool uid_refused(struct broker *broker, int fd, const struct peer *peer, const struct user *user)
{
	uint32_t limit = broker->config->connections_per_uid;

	if (user->connections < limit)
		return false;
	log_refusal(broker, SVAD_MSG_LIMIT, peer, "its uid has connections_per_uid connections");
	refuse(broker, fd, SVAD_RESOURCE_EXHAUSTED, "connections_per_uid", limit,
	       "uid %u has %u connections, the limit connections_per_uid is %u.", (unsigned)peer->uid,
	       user->connections, limit);
	return true;
}

/* Of a socket of another netns: of a container that is there, or of none. True: refused. */
static bool foreign_refused(struct broker *broker, int fd, const struct peer *peer, struct container *c,
			    const struct user *user)
{
	struct policy_limits limits;
	char text[256], who[128];

	if (!c && broker->config->unregistered == UNREGISTERED_REFUSE) {
		log_refusal(broker, SVAD_MSG_NETNS, peer,
			    "its network namespace is of no registered container, and [containers] "
			    "unregistered = "
			    "refuse");
		refuse(broker, fd, SVAD_PERMISSION_DENIED, NULL, 0,
		       "This process's network namespace (cookie %llu) is of no registered container, and "
		       "svad.conf "
		       "has unregistered = refuse: register it by the sva CNI plugin or svadctl container "
		       "register.",
		       (unsigned long long)peer->netns_cookie);
		return true;
	}
	if (!c)
		return uid_refused(broker, fd, peer, user);
	container_describe(c, who, sizeof(who));
	if (c->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE) {
		c->refused++;
		snprintf(text, sizeof(text), "its %s was removed", who);
		log_refusal(broker, SVAD_MSG_NETNS, peer, text);
		refuse(broker, fd, SVAD_PERMISSION_DENIED, NULL, 0,
		       "The %s was removed: what is left in its network namespace gets nothing any more. "
		       "Registering it "
		       "again lets it in.",
		       who);
		return true;
	}
	container_limits_peer(c,
			      &(struct policy_subject){ .uid = peer->uid,
							.gid = peer->gid,
							.daemon_uid = broker->info.daemon_uid },
			      fd, &limits);
	if (c->connections < limits.connections)
		return false;
	c->refused++;
	snprintf(text, sizeof(text), "%s has reached its limit connections_per_container, %u", who,
		 limits.connections);
	log_refusal(broker, SVAD_MSG_LIMIT, peer, text);
	refuse(broker, fd, SVAD_RESOURCE_EXHAUSTED, "connections_per_container", limits.connections,
	       "The %s has %u connections, the limit connections_per_container is %u; close some, or raise "
	       "it in "
	       "svad.conf or where the container was registered.",
	       who, c->connections, limits.connections);
	return true;
}

static void accepted(struct listener *l, int fd)
{
	struct broker *broker = l->broker;
	const struct config *config = broker->config;
	struct container *container = NULL;
	struct client *client = NULL;
	struct user *user = NULL;
	struct conn *conn;
	struct peer peer;
	int r;

	r = peer_identify(fd, 0, &peer);
	if (r < 0) {
		if (r != -ESRCH)
			broker->counters.accept_failures++;
		refuse(broker, fd, SVAD_UNAVAILABLE, NULL, 0, "Cannot tell who connects: %s.",
		       uv_strerror(r));
		return;
	}
	user = user_get(broker, peer.uid);
	if (!user)
		goto nomem;
	if (l->kind == CONN_ADMIN && admin_refused(broker, fd, &peer))
		goto out;
	/* Administrators get in even when clients have used everything up. */
	if (l->kind == CONN_CLIENT && broker->n_conns >= config->connections) {
		log_refusal(broker, SVAD_MSG_LIMIT, &peer, "all connections are in use");
		refuse(broker, fd, SVAD_RESOURCE_EXHAUSTED, "connections", config->connections,
		       "All %u connections that svad allows are in use.", config->connections);
		goto out;
	}
	if (l->kind == CONN_CLIENT && is_foreign(broker, &peer)) {
		container = container_by_cookie(broker, peer.netns_cookie);
		if (foreign_refused(broker, fd, &peer, container, user))
			goto out;
	} else if (l->kind == CONN_CLIENT && uid_refused(broker, fd, &peer, user)) {
		goto out;
	}
	if (l->kind == CONN_CLIENT) {
		r = client_new(broker, &peer, &client);
		peer.pidfd = -1; /* taken */
		if (r < 0)
			goto nomem;
		if (container)
			container_join(container, client);
		if (is_foreign(broker, &peer) && identify_connected(client) < 0) {
			client_end(client, SVAB_CAUSE_CLIENT_GONE);
			goto nomem;
		}
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
	refuse(broker, fd, SVAD_UNAVAILABLE, NULL, 0, "svad is out of memory; try again.");
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
			refuse(l->broker, fd, SVAD_UNAVAILABLE, NULL, 0,
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
