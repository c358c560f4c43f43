/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The administrators' connection: connecting, requests, answers, words. */
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

#include "../../proto/wire_check.h"
#include "admin_internal.h"
#include "internal.h"

#ifndef SVAD_DEFAULT_ADMIN_SOCKET
#define SVAD_DEFAULT_ADMIN_SOCKET "/run/svad/admin.sock"
#endif

#define ARENA_SIZE (4u << 20) /* touched only as far as an answer needs */

int sva_admin_fail(struct sva_admin *admin, int r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(admin->text, sizeof(admin->text), fmt, args);
	va_end(args);
	admin->error = r;
	return r;
}

const char *sva_admin_strerror(const struct sva_admin *admin, int error)
{
	if (admin && error != 0 && admin->error == (error < 0 ? error : -error))
		return admin->text;
	return sva_strerror(NULL, error);
}

int sva_admin_begin(struct sva_admin *admin)
{
	if (!admin)
		return sva_fail(NULL, -EINVAL, "no connection was given");
	if (!sva_process_is(admin->process))
		return sva_fail(NULL, -EOWNERDEAD,
				"this connection belongs to the process that forked this one; a child calls "
				"sva_admin_connect() itself");
	if (admin->broken)
		return sva_admin_fail(
			admin, -ECONNRESET,
			"the connection to svad has failed before: disconnect, and connect again");
	return 0;
}

static int broken(struct sva_admin *admin, int r)
{
	admin->broken = true;
	switch (r) {
	case -ECONNRESET:
	case -EPIPE:
		return sva_admin_fail(
			admin, -ECONNRESET,
			"svad at %s closed the connection: it was stopped, or restarted just now; see "
			"its log (journalctl -u svad)",
			admin->path);
	case -EPROTO:
		return sva_admin_fail(admin, r,
				      "the answer from %s makes no sense: is that svad, and of this version?",
				      admin->path);
	case -ETIMEDOUT:
		return sva_admin_fail(
			admin, r,
			"svad at %s did not answer in time: it hangs or is overloaded; see its log "
			"(journalctl -u svad)",
			admin->path);
	default:
		return sva_admin_fail(admin, r, "cannot talk to svad at %s: %s", admin->path,
				      strerrordesc_np(-r) ?: "unknown error");
	}
}

/* ---- requests and answers ---- */

/* Nothing can be sent any more, but it may have been said why: that is still to be read. */
static int closed(struct sva_admin *admin, uint64_t deadline)
{
	const Svad__V1__Reply *reply;
	int r;

	do
		r = sva_admin_receive(admin, deadline, &reply);
	while (r == 0);
	return r;
}

int sva_admin_send(struct sva_admin *admin, Svad__V1__Request *req, bool wait, uint64_t deadline,
		   uint64_t *ret_id)
{
	ssize_t len;
	int r;

	req->id = admin->next_id;
	len = wire_encode_request(req, admin->packet, WIRE_MAX);
	if (len < 0)
		return sva_admin_fail(admin, -EMSGSIZE,
				      "the request does not fit a packet: shorten the names in it");
	for (;;) {
		r = wire_send(admin->fd, admin->packet, (size_t)len, NULL, 0, MSG_DONTWAIT);
		if (r != -EAGAIN)
			break;
		if (!wait)
			return r;
		r = sva_poll_until(admin->fd, POLLOUT, deadline);
		if (r == 0)
			return broken(admin, -ETIMEDOUT);
		if (r < 0)
			return broken(admin, r);
	}
	if (r == -EPIPE || r == -ECONNRESET)
		return closed(admin, deadline);
	if (r < 0)
		return broken(admin, r);
	*ret_id = admin->next_id++;
	return 0;
}

int sva_admin_receive(struct sva_admin *admin, uint64_t deadline, const Svad__V1__Reply **ret_reply)
{
	for (;;) {
		struct wire_fds fds = WIRE_FDS_NONE;
		Svad__V1__Reply *reply;
		ssize_t n;
		int r = sva_poll_until(admin->fd, POLLIN, deadline);

		if (r == 0)
			return broken(admin, -ETIMEDOUT);
		if (r < 0)
			return broken(admin, r);
		n = wire_recv(admin->fd, admin->packet, WIRE_MAX, &fds, NULL, MSG_DONTWAIT);
		if (n == -ECONNRESET) /* closed with what we sent unread: what did it say? */
			n = wire_recv(admin->fd, admin->packet, WIRE_MAX, &fds, NULL, MSG_DONTWAIT);
		if (n == -EAGAIN)
			continue;
		if (n == 0 || n == -ECONNRESET)
			return broken(admin, -ECONNRESET);
		if (n < 0)
			return broken(admin, n == -EMSGSIZE ? -EPROTO : (int)n);
		r = fds.n ? -EPROTO : 0; /* no answer to an administrator carries any */
		wire_fds_close(&fds);
		wire_arena_reset(&admin->arena);
		if (r == 0)
			r = wire_decode_reply(admin->packet, (size_t)n, &admin->arena, &reply) < 0 ? -EPROTO
												   : 0;
		if (r < 0)
			return broken(admin, r);
		if (reply->id == 0 && reply->body_case == SVAD__V1__REPLY__BODY_EVENT)
			continue;
		/* It answers no request: it refuses who we are, or could not read the id of what we sent. */
		if (reply->id == 0 && reply->status && reply->status->code != SVAD_OK) {
			admin->broken = true;
			return sva_admin_status_of(admin, reply);
		}
		if (reply->id == 0 || reply->id >= admin->next_id)
			return broken(admin, -EPROTO);
		*ret_reply = reply;
		return 0;
	}
}

int sva_admin_status_of(struct sva_admin *admin, const Svad__V1__Reply *reply)
{
	const Svad__V1__Status *s = reply->status;
	const char *message;
	int r;

	if (!s || s->code == SVAD_OK)
		return 0;
	message = *s->message ? s->message : svad_code_name(s->code);
	r = svad_code_to_errno(s->code);
	if (*s->limit_name)
		return sva_admin_fail(admin, r, "%s (limit %s = %llu)", message, s->limit_name,
				      (unsigned long long)s->limit_value);
	return sva_admin_fail(admin, r, "%s", message);
}

int sva_admin_call(struct sva_admin *admin, Svad__V1__Request *req, Svad__V1__Reply__BodyCase expected,
		   uint64_t deadline, const Svad__V1__Reply **ret_reply)
{
	const Svad__V1__Reply *reply;
	uint64_t id;
	int r;

	*ret_reply = NULL;
	r = sva_admin_send(admin, req, true, deadline, &id);
	if (r == 0)
		r = sva_admin_receive(admin, deadline, &reply);
	if (r < 0)
		return r;
	if (reply->id != id)
		return broken(admin, -EPROTO);
	r = sva_admin_status_of(admin, reply);
	if (reply->body_case == expected)
		*ret_reply = reply;
	else if (r == 0)
		return broken(admin, -EPROTO);
	return r;
}

/* ---- arguments ---- */

int sva_admin_text(struct sva_admin *admin, const char *what, const char *text, char **field)
{
	size_t len;

	if (!text)
		return 0;
	len = strlen(text);
	if (len > WIRE_STRING_MAX || !wire_check_text(text, len))
		return sva_admin_fail(
			admin, -EINVAL,
			"%s is no text that svad takes: UTF-8 without control characters, %u bytes at most",
			what, WIRE_STRING_MAX);
	*field = (char *)(uintptr_t)text; /* only read */
	return 0;
}

static uint32_t size_of(const void *theirs)
{
	uint32_t size;

	memcpy(&size, theirs, sizeof(size));
	return size;
}

int sva_admin_take(struct sva_admin *admin, const void *theirs, void *ours, size_t size)
{
	size_t n = size_of(theirs);

	if (n < size)
		return sva_admin_fail(admin, -EINVAL, "a struct's size is not set: it is %zu, not %zu", n,
				      size);
	for (size_t i = size; i < n; i++)
		if (((const unsigned char *)theirs)[i])
			return sva_admin_fail(
				admin, -E2BIG,
				"a struct has fields set that this libsvaclient does not know: update it");
	memcpy(ours, theirs, size);
	return 0;
}

bool sva_admin_has_size(const void *theirs)
{
	return size_of(theirs) >= 2 * sizeof(uint32_t);
}

void sva_admin_give(void *theirs, const void *ours, size_t size)
{
	uint32_t n = size_of(theirs);

	memset(theirs, 0, n);
	memcpy(theirs, ours, n < size ? n : size);
	memcpy(theirs, &n, sizeof(n));
}

/* ---- connecting ---- */

static int why_not(struct sva_admin *admin, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return sva_admin_fail(admin, -ECONNREFUSED,
				      "no svad at %s: is it running? `systemctl status svad`", admin->path);
	case EACCES:
	case EPERM:
		return sva_admin_fail(admin, -EACCES, "no permission to connect to %s: it is for root",
				      admin->path);
	case EPROTOTYPE:
		return sva_admin_fail(admin, -EPROTOTYPE, "%s is a socket of another kind: not svad's",
				      admin->path);
	case EAGAIN:
		return sva_admin_fail(admin, -ETIMEDOUT,
				      "svad at %s does not accept connections: it hangs or is overloaded",
				      admin->path);
	default:
		return sva_admin_fail(admin, -error, "cannot connect to %s: %s", admin->path,
				      strerrordesc_np(error) ?: "unknown error");
	}
}

static int do_connect(struct sva_admin *admin, uint64_t deadline)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int ms = sva_remaining_ms(deadline);
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	int fd;

	if (strlen(admin->path) >= sizeof(address.sun_path))
		return sva_admin_fail(admin, -ENAMETOOLONG,
				      "the socket's path \"%.64s...\" is too long: %zu bytes at most",
				      admin->path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, admin->path, strlen(admin->path) + 1);

	sva_fds_lock(); /* not over connect(), which may wait */
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	admin->fd = fd < 0 ? -errno : sva_fd_own_locked(fd);
	sva_fds_unlock();
	if (admin->fd < 0) {
		int r = admin->fd;

		admin->fd = -1;
		return sva_admin_fail(admin, r, "no socket: %s", strerrordesc_np(-r) ?: "unknown error");
	}
	/* A full backlog makes connect() wait: not for ever. */
	(void)setsockopt(admin->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	while (connect(admin->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno != EINTR)
			return why_not(admin, errno);
		if (sva_remaining_ms(deadline) == 0)
			return why_not(admin, EAGAIN);
	}
	return 0;
}

/* argv[0] may be any bytes; the wire takes printable UTF-8 only. */
static void program_name(char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", program_invocation_short_name ?: "");
	for (char *p = buf; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

static int hello(struct sva_admin *admin, uint64_t deadline)
{
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	Svad__V1__Hello body = SVAD__V1__HELLO__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	const Svad__V1__Reply *reply;
	const Svad__V1__Version *v;
	char program[64];
	int r;

	program_name(program, sizeof(program));
	version.major = WIRE_VERSION_MAJOR;
	version.minor = WIRE_VERSION_MINOR;
	body.min = body.max = &version;
	body.program = program;
	req.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	req.hello = &body;
	r = sva_admin_call(admin, &req, SVAD__V1__REPLY__BODY_HELLO, deadline, &reply);
	if (r == -EBUSY) /* FAILED_PRECONDITION, to a Hello */
		admin->error = r = -EPROTONOSUPPORT;
	if (r < 0)
		return r;
	v = reply->hello->version;
	if (!v || v->major != WIRE_VERSION_MAJOR)
		return sva_admin_fail(
			admin, -EPROTONOSUPPORT,
			"svad at %s speaks protocol %u.%u, this library %u.%u: update the older of the two",
			admin->path, v ? v->major : 0, v ? v->minor : 0, WIRE_VERSION_MAJOR,
			WIRE_VERSION_MINOR);
	return 0;
}

int sva_admin_connect(const char *address, int timeout_ms, struct sva_admin **ret_admin)
{
	struct sva_admin *admin;
	const char *env;
	uint64_t deadline;
	int r;

	if (!ret_admin)
		return sva_fail(NULL, -EINVAL, "ret_admin is NULL");
	admin = calloc(1, sizeof(*admin));
	if (!admin)
		return sva_fail(NULL, -ENOMEM, "out of memory");
	admin->fd = -1;
	admin->next_id = 1;
	admin->timeout_ms = timeout_ms > 0 ? timeout_ms : SVA_TIMEOUT_MS;
	deadline = sva_deadline(admin->timeout_ms);
	if (!address || !*address) {
		env = secure_getenv("SVAD_ADMIN_SOCKET");
		address = env && *env ? env : SVAD_DEFAULT_ADMIN_SOCKET;
	}
	admin->process = sva_process();
	admin->path = strdup(address);
	admin->packet = malloc(WIRE_MAX);
	admin->arena_memory = malloc(ARENA_SIZE);
	if (!admin->process || !admin->path || !admin->packet || !admin->arena_memory) {
		r = sva_admin_fail(admin, -ENOMEM, "out of memory");
	} else {
		wire_arena_init(&admin->arena, admin->arena_memory, ARENA_SIZE);
		r = do_connect(admin, deadline);
		if (r == 0)
			r = hello(admin, deadline);
	}
	if (r < 0) {
		(void)sva_fail(NULL, r, "%s", admin->text);
		sva_admin_disconnect(admin);
		return r;
	}
	*ret_admin = admin;
	return 0;
}

void sva_admin_disconnect(struct sva_admin *admin)
{
	if (!admin)
		return;
	sva_fd_close(&admin->fd);
	free(admin->path);
	free(admin->packet);
	free(admin->arena_memory);
	free(admin);
}

int sva_admin_set_timeout(struct sva_admin *admin, int timeout_ms)
{
	if (!admin || timeout_ms <= 0)
		return -EINVAL;
	admin->timeout_ms = timeout_ms;
	return 0;
}
