/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The socket to the broker: connecting, the handshake, reading, and coming back when the daemon was
 * restarted. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../proto/wire_check.h"
#include "internal.h"

#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 500

static int refused(struct sva *sva, int error)
{
	sva->hello_error = error;
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		sva->hello_error = -ECONNREFUSED;
		(void)snprintf(sva->hello_text, sizeof(sva->hello_text),
			       "no svad at %s: is it running? `systemctl status svad`", sva->path);
		break;
	case -EACCES:
	case -EPERM:
		(void)snprintf(
			sva->hello_text, sizeof(sva->hello_text),
			"no permission to connect to %s: see socket_mode and socket_group in svad.conf, or "
			"`systemctl cat svad.socket`",
			sva->path);
		break;
	case -EPROTOTYPE:
		(void)snprintf(sva->hello_text, sizeof(sva->hello_text),
			       "%s is a socket of another kind: not svad's", sva->path);
		break;
	case -EAGAIN:
		(void)snprintf(sva->hello_text, sizeof(sva->hello_text),
			       "svad at %s does not accept connections fast enough", sva->path);
		break;
	case -EMFILE:
	case -ENFILE:
		(void)snprintf(sva->hello_text, sizeof(sva->hello_text),
			       "no file descriptor is left for a connection: raise `ulimit -n`");
		break;
	default:
		(void)snprintf(sva->hello_text, sizeof(sva->hello_text), "cannot connect to %s: %s",
			       sva->path, strerrordesc_np(-error) ?: "unknown error");
	}
	return sva->hello_error;
}

/* argv[0] may be any bytes; the wire takes printable UTF-8 only. */
static void program_name(char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", program_invocation_short_name ?: "");
	if (wire_check_text(buf, strlen(buf)))
		return;
	for (char *p = buf; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

static int send_now(struct sva *sva, Svad__V1__Request *req, uint64_t *ret_id)
{
	ssize_t len;

	req->id = *ret_id = sva->next_id++;
	len = wire_encode_request(req, sva->tx, WIRE_MAX);
	if (len < 0)
		return (int)len;
	return wire_send(sva->fd, sva->tx, (size_t)len, NULL, 0, MSG_DONTWAIT);
}

static void try_again_later(struct sva *sva)
{
	sva_timer_arm(sva, sva->backoff_ms);
	sva->backoff_ms = sva->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : sva->backoff_ms * 2;
}

int sva_conn_try(struct sva *sva)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	Svad__V1__Hello hello = SVAD__V1__HELLO__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 1 };
	char program[64];
	int r;

	memcpy(address.sun_path, sva->path, strlen(sva->path) + 1); /* its length was checked */

	sva_fds_lock();
	r = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	sva->fd = r < 0 ? -errno : sva_fd_own_locked(r);
	sva_fds_unlock();
	if (sva->fd < 0) {
		r = sva->fd;
		sva->fd = -1;
		try_again_later(sva);
		return refused(sva, r);
	}
	if (connect(sva->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		goto fail;
	}

	program_name(program, sizeof(program));
	version.major = WIRE_VERSION_MAJOR;
	version.minor = WIRE_VERSION_MINOR;
	hello.min = &version;
	hello.max = &version;
	hello.program = program;
	hello.context = sva->ctx ? sva->ctx->cookie : 0;
	req.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	req.hello = &hello;
	r = send_now(sva, &req, &sva->hello_id);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		goto fail; /* one that was closed may have been told why: that is still to be read */
	if (epoll_ctl(sva->epoll_fd, EPOLL_CTL_ADD, sva->fd, &ev) < 0) {
		r = -errno;
		goto fail;
	}
	sva->state = CONN_HELLO;
	sva->hello_error = 0;
	sva_timer_arm(sva, -1);
	return 0;
fail:
	sva_fd_close(&sva->fd);
	try_again_later(sva);
	return refused(sva, r);
}

void sva_conn_lost(struct sva *sva, int error)
{
	enum conn_state was = sva->state;

	if (sva->fd >= 0)
		(void)epoll_ctl(sva->epoll_fd, EPOLL_CTL_DEL, sva->fd, NULL);
	sva_fd_close(&sva->fd);
	sva->state = CONN_DOWN;
	if (was == CONN_UP) {
		sva->backoff_ms = BACKOFF_MIN_MS;
		sva_timer_arm(sva, 0);
		sva_event_push(sva, NULL, &(struct sva_event){ .reason = SVA_DISCONNECTED });
	} else {
		try_again_later(sva);
		if (sva->hello_error == 0) {
			sva->hello_error = error;
			(void)snprintf(
				sva->hello_text, sizeof(sva->hello_text),
				error == -EPROTO
					? "what listens at %s does not speak svad's protocol"
					: "svad at %s closed the connection before it answered: too many "
					  "connections, or it is being stopped",
				sva->path);
		}
	}
	sva_calls_fail(sva, error);
}

static void status_text(char *buf, size_t size, const Svad__V1__Status *status)
{
	int n = snprintf(buf, size, "%s",
			 status->message && *status->message ? status->message
							     : svad_code_name(status->code));

	if (status->limit_name && *status->limit_name && n > 0 && (size_t)n < size)
		(void)snprintf(buf + n, size - (size_t)n, " (limit %s = %llu)", status->limit_name,
			       (unsigned long long)status->limit_value);
}

static int handle_refusal(struct sva *sva, const Svad__V1__Status *status)
{
	sva->hello_error =
		status->code == SVAD_FAILED_PRECONDITION ? -EPROTONOSUPPORT : svad_code_to_errno(status->code);
	status_text(sva->hello_text, sizeof(sva->hello_text), status);
	return sva->hello_error;
}

/* 0 when the connection is up. */
static int handle_hello(struct sva *sva, const Svad__V1__Reply *reply)
{
	Svad__V1__Subscribe subscribe = SVAD__V1__SUBSCRIBE__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	const Svad__V1__HelloReply *hello;

	sva->hello_id = 0;
	if (reply->status && reply->status->code != SVAD_OK)
		return handle_refusal(sva, reply->status);
	if (reply->body_case != SVAD__V1__REPLY__BODY_HELLO)
		return -EPROTO;
	hello = reply->hello;
	if (!hello->version || hello->version->major != WIRE_VERSION_MAJOR) {
		sva->hello_error = -EPROTONOSUPPORT;
		(void)snprintf(
			sva->hello_text, sizeof(sva->hello_text),
			"svad at %s speaks protocol %u.%u, this library %u.%u: update the older of the two",
			sva->path, hello->version ? hello->version->major : 0,
			hello->version ? hello->version->minor : 0, WIRE_VERSION_MAJOR, WIRE_VERSION_MINOR);
		return sva->hello_error;
	}

	sva->client = hello->client;
	/* A ctx that the broker has forgotten lives on for its bonds; the next bind asks for another. */
	if (sva->ctx && !hello->context_known)
		sva->ctx = sva_ctx_unref(sva->ctx);
	sva->state = CONN_UP;
	sva->backoff_ms = BACKOFF_MIN_MS;

	req.body_case = SVAD__V1__REQUEST__BODY_SUBSCRIBE;
	req.subscribe = &subscribe;
	(void)send_now(sva, &req,
		       &sva->subscribe_id); /* a socket that breaks here is noticed by the next read */

	if (sva->was_up) {
		sva_event_push(sva, NULL, &(struct sva_event){ .reason = SVA_RECONNECTED });
		sva_bonds_check(sva);
	}
	sva->was_up = true;
	pthread_cond_broadcast(&sva->cond);
	return 0;
}

static int handle_reply(struct sva *sva, const Svad__V1__Reply *reply, struct wire_fds *fds)
{
	struct call *call = NULL;

	if (reply->fds != fds->n)
		return -EPROTO;
	if (reply->id == 0) {
		if (reply->body_case == SVAD__V1__REPLY__BODY_EVENT)
			sva_event_received(sva, reply->event);
		else if (reply->status && reply->status->code != SVAD_OK && sva->state == CONN_HELLO)
			return handle_refusal(sva, reply->status); /* who we are is enough: it reads nothing */
		else if (reply->status && reply->status->code != SVAD_OK)
			return -EPROTO; /* it could not even read the id of what we sent */
		return 0;
	}
	if (reply->id == sva->hello_id)
		return handle_hello(sva, reply);
	if (reply->id == sva->subscribe_id)
		return 0; /* without events the hang-ups still tell */
	if (sva->state != CONN_UP || reply->id >= sva->next_id)
		return -EPROTO;

	for (struct call **p = &sva->calls; *p; p = &(*p)->next) {
		if ((*p)->id == reply->id) {
			call = *p;
			*p = call->next;
			break;
		}
	}
	if (!call)
		return 0; /* whoever asked gave up */
	if (reply->status && reply->status->code != SVAD_OK) {
		call->result = svad_code_to_errno(reply->status->code);
		status_text(call->text, sizeof(call->text), reply->status);
	} else {
		call->result = call->parse(call, reply, fds);
	}
	call->done = true;
	pthread_cond_broadcast(&sva->cond);
	return call->result == -EPROTO ? -EPROTO : 0;
}

void sva_conn_read(struct sva *sva, unsigned max)
{
	while (max-- > 0 && sva->fd >= 0) {
		struct wire_fds fds = WIRE_FDS_NONE;
		Svad__V1__Reply *reply;
		ssize_t n;
		int r = 0;

		sva_fds_lock(); /* fork() must not slip in between an fd's arrival and its place in the table
				 */
		n = wire_recv(sva->fd, sva->rx, WIRE_MAX, &fds, NULL, MSG_DONTWAIT);
		if (n == -ECONNRESET && sva->state == CONN_HELLO) /* closed with our Hello unread: what did it say? */
			n = wire_recv(sva->fd, sva->rx, WIRE_MAX, &fds, NULL, MSG_DONTWAIT);
		for (unsigned i = 0; n > 0 && i < fds.n; i++) {
			fds.fd[i] = sva_fd_own_locked(fds.fd[i]);
			if (fds.fd[i] < 0)
				r = -ENOMEM;
		}
		sva_fds_unlock();

		if (n == -EAGAIN)
			return;
		if (n == -EMSGSIZE || (n < 0 && n != -ECONNRESET && n != -EPIPE))
			r = -EPROTO;
		else if (n <= 0)
			r = -ECONNRESET;
		if (r == 0) {
			wire_arena_reset(&sva->arena);
			r = wire_decode_reply(sva->rx, (size_t)n, &sva->arena, &reply);
			r = r < 0 ? -EPROTO : handle_reply(sva, reply, &fds);
		}
		for (unsigned i = 0; i < fds.n; i++)
			sva_fd_close(&fds.fd[i]); /* what nobody took */
		if (r < 0)
			sva_conn_lost(sva, r);
	}
}

/* Sleeps until the socket may be back: something was made in its directory, or the backoff is over. */
static void wait_for_broker(struct sva *sva, int backoff_ms, uint64_t deadline)
{
	char directory[PATH_MAX];
	uint64_t until = sva_deadline(backoff_ms);
	int notify;
	char *slash;

	if (until > deadline)
		until = deadline;
	(void)snprintf(directory, sizeof(directory), "%s", sva->path);
	slash = strrchr(directory, '/');
	if (slash)
		slash[slash == directory] = '\0';

	sva->pumping = true;
	pthread_mutex_unlock(&sva->lock);

	sva_fds_lock();
	notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	notify = sva_fd_own_locked(notify);
	sva_fds_unlock();
	if (notify >= 0)
		(void)inotify_add_watch(notify, slash ? directory : ".", IN_CREATE | IN_MOVED_TO);
	(void)sva_poll_until(notify, POLLIN, until); /* a negative fd is only a timer */
	sva_fd_close(&notify);

	pthread_mutex_lock(&sva->lock);
	sva->pumping = false;
	pthread_cond_broadcast(&sva->cond);
}

static bool worth_waiting_for(int error)
{
	return error == -ECONNREFUSED || error == -ECONNRESET || error == -EPIPE || error == -EAGAIN ||
	       error == -ENODEV;
}

int sva_conn_await_up(struct sva *sva, uint64_t deadline, bool patient)
{
	int backoff = BACKOFF_MIN_MS;
	bool tried = false;

	for (;;) {
		if (sva->state == CONN_UP)
			return 0;
		if (sva->state == CONN_DOWN && tried && sva->hello_error < 0 &&
		    !(patient && worth_waiting_for(sva->hello_error)) && sva->hello_error != -EAGAIN)
			return sva_fail(sva, sva->hello_error, "%s", sva->hello_text);
		if (sva_remaining_ms(deadline) == 0) {
			if (sva->state == CONN_DOWN && sva->hello_error < 0)
				return sva_fail(sva,
						worth_waiting_for(sva->hello_error) ? -ECONNREFUSED
										    : sva->hello_error,
						"%s", sva->hello_text);
			return sva_fail(sva, -ETIMEDOUT,
					"svad at %s accepted the connection but did not answer: is it stuck? "
					"`systemctl status svad`",
					sva->path);
		}
		if (sva->state == CONN_HELLO || sva->pumping) {
			tried = true;
			sva_pump(sva, deadline);
			continue;
		}
		if (tried && sva->hello_error < 0) {
			wait_for_broker(sva, backoff, deadline);
			backoff = backoff * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff * 2;
			if (sva->state != CONN_DOWN || sva->pumping)
				continue;
		}
		tried = true;
		(void)sva_conn_try(sva);
	}
}
