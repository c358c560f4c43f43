// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc.h"
#include "rpc_clean.h"
#include "term.h"
#include "units.h"

#define ARENA_BYTES (4u << 20)
#define MAX_PAGES 65536u

struct rpc {
	int fd;
	int interrupt_fd;
	int timeout_ms;
	bool quiet;
	uint64_t next_id;
	void (*on_event)(void *userdata, const rpc_event *event);
	void *on_event_data;
	struct wire_arena arena;
	void *arena_memory;
	unsigned char
		*packet; /* WIRE_MAX bytes, for both directions: a request is sent before an answer is read */
	char path[108];
	char error[1024];
};

static int complain(struct rpc *rpc, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int complain(struct rpc *rpc, int code, const char *fmt, ...)
{
	char text[sizeof(rpc->error)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text, rpc->error, sizeof(rpc->error));
	if (!rpc->quiet)
		ctl_error("%s", rpc->error);
	return code;
}

void rpc_close(struct rpc *rpc)
{
	if (!rpc)
		return;
	if (rpc->fd >= 0)
		close(rpc->fd);
	free(rpc->arena_memory);
	free(rpc->packet);
	free(rpc);
}

void rpc_on_event(struct rpc *rpc, void (*handler)(void *userdata, const rpc_event *event), void *userdata)
{
	rpc->on_event = handler;
	rpc->on_event_data = userdata;
}

void rpc_interrupt_fd(struct rpc *rpc, int fd)
{
	rpc->interrupt_fd = fd;
}

void rpc_quiet(struct rpc *rpc)
{
	rpc->quiet = true;
}

const char *rpc_error(const struct rpc *rpc)
{
	return rpc->error;
}

int rpc_fd(const struct rpc *rpc)
{
	return rpc->fd;
}

const char *rpc_socket_path(const struct ctl *ctl, char *buf, size_t size)
{
	const char *env = getenv("SVAD_ADMIN_SOCKET");
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (ctl->socket)
		return ctl->socket;
	if (env && *env)
		return env;
	if (run && *run == '/') {
		int n = snprintf(buf, size, "%s/svad/admin.sock", run);

		if (n > 0 && (size_t)n < size && !access(buf, F_OK))
			return buf;
	}
	snprintf(buf, size, "/run/svad/admin.sock");
	return buf;
}

void rpc_connect_reason(const char *path, int err, char *buf, size_t size)
{
	switch (err) {
	case ENOENT:
		snprintf(buf, size,
			 "no svad at %s: it is not running, or listens elsewhere. Start it (systemctl start "
			 "svad, "
			 "or run svad), or name its administrators' socket with --socket or "
			 "$SVAD_ADMIN_SOCKET",
			 path);
		break;
	case ECONNREFUSED:
		snprintf(
			buf, size,
			"nobody listens at %s any more: svad has ended without removing it. Start svad again "
			"(systemctl start svad); it replaces a stale socket by itself",
			path);
		break;
	case EACCES:
	case EPERM:
		snprintf(buf, size,
			 "no permission for %s: it is for administrators. Run svadctl as root or as svad's "
			 "own "
			 "user, or set admin_socket_group and admin_socket_mode in svad.conf (under systemd: "
			 "SocketGroup= and SocketMode=, by systemctl edit svad-admin.socket)",
			 path);
		break;
	case EAGAIN:
	case ETIMEDOUT:
		snprintf(buf, size,
			 "svad at %s does not accept connections: it hangs or is overloaded. See its log "
			 "(journalctl -u svad)",
			 path);
		break;
	case EPROTOTYPE:
	case ENOTSOCK:
		snprintf(buf, size, "%s is no socket of svad's: name the right one with --socket", path);
		break;
	case ENAMETOOLONG:
		snprintf(buf, size, "the socket's path is longer than 107 bytes: %s", path);
		break;
	default:
		snprintf(buf, size, "cannot connect to %s: %s", path, strerror(err));
	}
}

static int do_connect(struct rpc *rpc, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = rpc->timeout_ms / 1000, .tv_usec = rpc->timeout_ms % 1000 * 1000 };
	char reason[512];
	int err = 0;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		err = ENAMETOOLONG;
	} else {
		strcpy(sun.sun_path, path);
		strcpy(rpc->path, path);
		rpc->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		if (rpc->fd < 0)
			return complain(rpc, CTL_FAILED, "no socket: %s", strerror(errno));
		/* A full backlog makes connect() wait: not for ever. */
		setsockopt(rpc->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		if (connect(rpc->fd, (struct sockaddr *)&sun, sizeof(sun)))
			err = errno;
	}
	if (!err)
		return CTL_OK;
	rpc_connect_reason(path, err, reason, sizeof(reason));
	return complain(rpc, CTL_UNREACHABLE, "%s", reason);
}

static int hello(struct rpc *rpc)
{
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	Svad__V1__Hello body = SVAD__V1__HELLO__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	const Svad__V1__Version *v;
	char program[] = "svadctl";
	int r;

	version.major = WIRE_VERSION_MAJOR;
	version.minor = WIRE_VERSION_MINOR;
	body.min = body.max = &version;
	body.program = program;
	req.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	req.hello = &body;
	r = rpc_call(rpc, &req, &reply);
	if (r)
		return r;
	v = reply->hello->version;
	if (!v || v->major != WIRE_VERSION_MAJOR || v->minor > WIRE_VERSION_MINOR)
		return complain(rpc, CTL_FAILED,
				"svad at %s chose protocol %u.%u, this svadctl speaks %u.%u: install the "
				"same version of both",
				rpc->path, v ? v->major : 0, v ? v->minor : 0, WIRE_VERSION_MAJOR,
				WIRE_VERSION_MINOR);
	return CTL_OK;
}

int rpc_open_quiet(const struct ctl *ctl, struct rpc **ret, char *why, size_t size)
{
	char buf[4096];
	struct rpc *rpc = calloc(1, sizeof(*rpc));
	int r = CTL_FAILED;

	if (!rpc) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	rpc->fd = rpc->interrupt_fd = -1;
	rpc->timeout_ms = ctl->timeout_ms;
	rpc->next_id = 1;
	rpc->quiet = why != NULL;
	rpc->arena_memory = malloc(ARENA_BYTES);
	rpc->packet = malloc(WIRE_MAX);
	if (!rpc->arena_memory || !rpc->packet) {
		ctl_error("out of memory");
	} else {
		wire_arena_init(&rpc->arena, rpc->arena_memory, ARENA_BYTES);
		r = do_connect(rpc, rpc_socket_path(ctl, buf, sizeof(buf)));
		if (r == CTL_OK)
			r = hello(rpc);
	}
	if (r != CTL_OK) {
		if (why)
			snprintf(why, size, "%s", rpc->error);
		rpc_close(rpc);
		return r;
	}
	*ret = rpc;
	return CTL_OK;
}

int rpc_open(const struct ctl *ctl, struct rpc **ret)
{
	return rpc_open_quiet(ctl, ret, NULL, 0);
}

static int gone(struct rpc *rpc)
{
	return complain(rpc, CTL_UNREACHABLE,
			"svad closed the connection: it was stopped, or restarted just now. Try again; see "
			"its log (journalctl -u svad)");
}

/* Nothing can be sent any more, but it may have been said why: that is still to be read. */
static int closed(struct rpc *rpc)
{
	const rpc_reply *reply;
	int r;

	do
		r = rpc_receive(rpc, &reply);
	while (r == CTL_OK);
	return r == CTL_GO ? gone(rpc) : r;
}

int rpc_send(struct rpc *rpc, rpc_request *req, uint64_t *ret_id)
{
	ssize_t n;
	int r;

	req->id = rpc->next_id++;
	req->fds = 0;
	n = wire_encode_request(req, rpc->packet, WIRE_MAX);
	if (n < 0)
		return complain(rpc, CTL_USAGE, "the request does not fit a packet: shorten the names in it");
	/* Blocks at most SO_SNDTIMEO. */
	r = wire_send(rpc->fd, rpc->packet, (size_t)n, NULL, 0, 0);
	if (r == -EPIPE || r == -ECONNRESET)
		return closed(rpc);
	if (r == -EAGAIN)
		return complain(rpc, CTL_UNREACHABLE, "svad at %s does not read: it hangs or is overloaded",
				rpc->path);
	if (r)
		return complain(rpc, CTL_FAILED, "cannot send to svad: %s", strerror(-r));
	*ret_id = req->id;
	return CTL_OK;
}

int rpc_receive(struct rpc *rpc, const rpc_reply **ret_reply)
{
	struct wire_fds fds = WIRE_FDS_NONE;
	Svad__V1__Reply *reply;
	ssize_t n;
	int r;

	n = wire_recv(rpc->fd, rpc->packet, WIRE_MAX, &fds, NULL, MSG_DONTWAIT);
	if (n == -ECONNRESET) /* closed with what we sent unread: what did it say? */
		n = wire_recv(rpc->fd, rpc->packet, WIRE_MAX, &fds, NULL, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return CTL_GO;
	if (n == 0 || n == -ECONNRESET)
		return gone(rpc);
	if (n < 0)
		return complain(rpc, CTL_FAILED, "cannot read svad's answer: %s", strerror((int)-n));
	if (fds.n) {
		wire_fds_close(&fds);
		return complain(rpc, CTL_FAILED,
				"svad sent file descriptors that nobody asked for: is %s really svad's?",
				rpc->path);
	}
	wire_arena_reset(&rpc->arena);
	r = wire_decode_reply(rpc->packet, (size_t)n, &rpc->arena, &reply);
	if (r)
		return complain(rpc, CTL_FAILED,
				"svad's answer is malformed (%zd bytes): is %s really svad's, and of this "
				"version?",
				n, rpc->path);
	rpc_clean(&reply->base);
	/* It answers no request: it refuses who we are, or could not read the id of what we sent. */
	if (!reply->id && reply->body_case != SVAD__V1__REPLY__BODY_EVENT) {
		r = rpc_check(rpc, reply);
		if (r)
			return r;
	}
	*ret_reply = reply;
	return CTL_OK;
}

int rpc_check(struct rpc *rpc, const rpc_reply *reply)
{
	const Svad__V1__Status *s = reply->status;

	if (!s || s->code == SVAD_OK)
		return CTL_OK;
	if (s->limit_name && *s->limit_name)
		return complain(rpc, CTL_FAILED, "%s (limit %s = %llu) [%s]", s->message, s->limit_name,
				(unsigned long long)s->limit_value, svad_code_name(s->code));
	return complain(rpc, CTL_FAILED, "%s [%s]", s->message && *s->message ? s->message : "refused",
			svad_code_name(s->code));
}

/* The body that answers a request. */
static Svad__V1__Reply__BodyCase answer_of(Svad__V1__Request__BodyCase body)
{
	switch (body) {
	case SVAD__V1__REQUEST__BODY_HELLO:
		return SVAD__V1__REPLY__BODY_HELLO;
	case SVAD__V1__REQUEST__BODY_GET_STATUS:
		return SVAD__V1__REPLY__BODY_GET_STATUS;
	case SVAD__V1__REQUEST__BODY_GET_STATS:
		return SVAD__V1__REPLY__BODY_GET_STATS;
	case SVAD__V1__REQUEST__BODY_LIST_CLIENTS:
		return SVAD__V1__REPLY__BODY_LIST_CLIENTS;
	case SVAD__V1__REQUEST__BODY_ADMIN_LIST_BONDS:
		return SVAD__V1__REPLY__BODY_LIST_BONDS;
	case SVAD__V1__REQUEST__BODY_ADMIN_LIST_DEVICES:
		return SVAD__V1__REPLY__BODY_LIST_DEVICES;
	case SVAD__V1__REQUEST__BODY_REVOKE:
		return SVAD__V1__REPLY__BODY_REVOKE;
	case SVAD__V1__REQUEST__BODY_RESET_DEVICE:
		return SVAD__V1__REPLY__BODY_RESET_DEVICE;
	case SVAD__V1__REQUEST__BODY_WATCH:
		return SVAD__V1__REPLY__BODY_WATCH;
	case SVAD__V1__REQUEST__BODY_RELOAD:
		return SVAD__V1__REPLY__BODY_RELOAD;
	case SVAD__V1__REQUEST__BODY_PROBE_HARDWARE:
		return SVAD__V1__REPLY__BODY_PROBE_HARDWARE;
	case SVAD__V1__REQUEST__BODY_REGISTER_CONTAINER:
		return SVAD__V1__REPLY__BODY_REGISTER_CONTAINER;
	case SVAD__V1__REQUEST__BODY_REMOVE_CONTAINER:
		return SVAD__V1__REPLY__BODY_REMOVE_CONTAINER;
	case SVAD__V1__REQUEST__BODY_LIST_CONTAINERS:
		return SVAD__V1__REPLY__BODY_LIST_CONTAINERS;
	case SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS:
		return SVAD__V1__REPLY__BODY_RECONCILE_CONTAINERS;
	default:
		return SVAD__V1__REPLY__BODY__NOT_SET;
	}
}

int rpc_wait(struct rpc *rpc, int timeout_ms, const rpc_reply **ret_reply)
{
	uint64_t deadline = units_now() + (uint64_t)timeout_ms * 1000000u;

	for (;;) {
		struct pollfd pfd[2] = {
			{ .fd = rpc->fd, .events = POLLIN },
			{ .fd = rpc->interrupt_fd, .events = POLLIN },
		};
		uint64_t now = units_now();
		int left = now < deadline ? (int)((deadline - now + 999999) / 1000000) : 0;
		int r;

		r = poll(pfd, 2, left);
		if (r < 0 && errno != EINTR)
			return complain(rpc, CTL_FAILED, "poll: %s", strerror(errno));
		if (r < 0)
			continue;
		if (pfd[1].revents) {
			snprintf(rpc->error, sizeof(rpc->error), "interrupted");
			return CTL_FAILED;
		}
		/* Checked for a chatty daemon as well: events must not keep a call waiting for ever. */
		if (r == 0 || units_now() > deadline)
			return complain(rpc, CTL_UNREACHABLE,
					"svad at %s did not answer within %d ms: give it longer with "
					"--timeout, or see its log (journalctl -u svad)",
					rpc->path, timeout_ms);
		r = rpc_receive(rpc, ret_reply);
		if (r == CTL_GO)
			continue;
		if (r)
			return r;
		if ((*ret_reply)->id)
			return CTL_OK;
		if ((*ret_reply)->body_case == SVAD__V1__REPLY__BODY_EVENT && rpc->on_event)
			rpc->on_event(rpc->on_event_data, (*ret_reply)->event);
	}
}

int rpc_call_timeout(struct rpc *rpc, rpc_request *req, int timeout_ms, const rpc_reply **ret_reply)
{
	const rpc_reply *reply;
	uint64_t id;
	int r;

	*ret_reply = NULL;
	r = rpc_send(rpc, req, &id);
	if (!r)
		r = rpc_wait(rpc, timeout_ms, &reply);
	if (r)
		return r;
	if (reply->id != id)
		return complain(rpc, CTL_FAILED,
				"svad answered request %llu, which was not asked: is %s really svad's?",
				(unsigned long long)reply->id, rpc->path);
	if (reply->status && reply->status->code != SVAD_OK) {
		*ret_reply = reply;
		return rpc_check(rpc, reply);
	}
	if (reply->body_case != answer_of(req->body_case))
		return complain(
			rpc, CTL_FAILED,
			"svad's answer is of another kind than the request: are svad and svadctl of one "
			"version?");
	*ret_reply = reply;
	return CTL_OK;
}

int rpc_call(struct rpc *rpc, rpc_request *req, const rpc_reply **ret_reply)
{
	return rpc_call_timeout(rpc, req, rpc->timeout_ms, ret_reply);
}

/* One rule for all lists: the key must advance, or the list would never end. */
static int next_page(struct rpc *rpc, Svad__V1__Page *page, uint64_t next, unsigned *pages)
{
	if (next <= page->after || ++*pages >= MAX_PAGES)
		return complain(rpc, CTL_FAILED,
				"svad's list does not end (page after %llu, then %llu): report this",
				(unsigned long long)page->after, (unsigned long long)next);
	page->after = next;
	return CTL_OK;
}

int rpc_bonds(struct rpc *rpc, Svad__V1__AdminListBonds *filter, rpc_bond_item item, void *userdata)
{
	Svad__V1__Page page = SVAD__V1__PAGE__INIT;
	unsigned pages = 0;

	for (;;) {
		rpc_request req = SVAD__V1__REQUEST__INIT;
		const rpc_reply *reply;
		int r;

		filter->page = &page;
		req.body_case = SVAD__V1__REQUEST__BODY_ADMIN_LIST_BONDS;
		req.admin_list_bonds = filter;
		r = rpc_call(rpc, &req, &reply);
		filter->page = NULL;
		if (r)
			return r;
		for (size_t i = 0; i < reply->list_bonds->n_bonds; i++) {
			r = item(userdata, reply->list_bonds->bonds[i]);
			if (r)
				return r;
		}
		if (!reply->list_bonds->next)
			return CTL_OK;
		r = next_page(rpc, &page, reply->list_bonds->next, &pages);
		if (r)
			return r;
	}
}

int rpc_devices(struct rpc *rpc, Svad__V1__AdminListDevices *filter, rpc_device_item item, void *userdata)
{
	Svad__V1__Page page = SVAD__V1__PAGE__INIT;
	unsigned pages = 0;

	for (;;) {
		rpc_request req = SVAD__V1__REQUEST__INIT;
		const rpc_reply *reply;
		int r;

		filter->page = &page;
		req.body_case = SVAD__V1__REQUEST__BODY_ADMIN_LIST_DEVICES;
		req.admin_list_devices = filter;
		r = rpc_call(rpc, &req, &reply);
		filter->page = NULL;
		if (r)
			return r;
		for (size_t i = 0; i < reply->list_devices->n_devices; i++) {
			r = item(userdata, reply->list_devices->devices[i]);
			if (r)
				return r;
		}
		if (!reply->list_devices->next)
			return CTL_OK;
		r = next_page(rpc, &page, reply->list_devices->next, &pages);
		if (r)
			return r;
	}
}

int rpc_clients(struct rpc *rpc, Svad__V1__ListClients *filter, rpc_client_item item, void *userdata)
{
	Svad__V1__Page page = SVAD__V1__PAGE__INIT;
	unsigned pages = 0;

	for (;;) {
		rpc_request req = SVAD__V1__REQUEST__INIT;
		const rpc_reply *reply;
		int r;

		filter->page = &page;
		req.body_case = SVAD__V1__REQUEST__BODY_LIST_CLIENTS;
		req.list_clients = filter;
		r = rpc_call(rpc, &req, &reply);
		filter->page = NULL;
		if (r)
			return r;
		for (size_t i = 0; i < reply->list_clients->n_clients; i++) {
			r = item(userdata, reply->list_clients->clients[i]);
			if (r)
				return r;
		}
		if (!reply->list_clients->next)
			return CTL_OK;
		r = next_page(rpc, &page, reply->list_clients->next, &pages);
		if (r)
			return r;
	}
}

int rpc_containers(struct rpc *rpc, Svad__V1__ListContainers *filter, rpc_container_item item, void *userdata)
{
	Svad__V1__Page page = SVAD__V1__PAGE__INIT;
	unsigned pages = 0;

	for (;;) {
		rpc_request req = SVAD__V1__REQUEST__INIT;
		const rpc_reply *reply;
		int r;

		filter->page = &page;
		req.body_case = SVAD__V1__REQUEST__BODY_LIST_CONTAINERS;
		req.list_containers = filter;
		r = rpc_call(rpc, &req, &reply);
		filter->page = NULL;
		if (r)
			return r;
		for (size_t i = 0; i < reply->list_containers->n_containers; i++) {
			r = item(userdata, reply->list_containers->containers[i]);
			if (r)
				return r;
		}
		if (!reply->list_containers->next)
			return CTL_OK;
		r = next_page(rpc, &page, reply->list_containers->next, &pages);
		if (r)
			return r;
	}
}
