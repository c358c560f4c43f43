/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests and their replies: one thread reads for all. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "internal.h"

#define ATTEMPTS 3

void sva_cond_wait(struct sva *sva, uint64_t deadline)
{
	struct timespec t = {
		.tv_sec = (time_t)(deadline / 1000000000u),
		.tv_nsec = (long)(deadline % 1000000000u),
	};

	(void)pthread_cond_timedwait(&sva->cond, &sva->lock, &t);
}

void sva_pump(struct sva *sva, uint64_t deadline)
{
	int fd;

	if (sva->pumping) {
		sva_cond_wait(sva, deadline);
		return;
	}
	if (sva->fd < 0)
		return;

	sva->pumping = true;
	fd = sva->fd; /* stays open: it is closed by the pump only */
	pthread_mutex_unlock(&sva->lock);
	(void)sva_poll_until(fd, POLLIN, deadline);
	pthread_mutex_lock(&sva->lock);
	sva_conn_read(sva, 64);
	sva->pumping = false;
	pthread_cond_broadcast(&sva->cond);
}

void sva_calls_fail(struct sva *sva, int error)
{
	struct call *call;

	while ((call = sva->calls)) {
		sva->calls = call->next;
		call->result = error;
		call->done = true;
	}
	pthread_cond_broadcast(&sva->cond);
}

static void forget(struct sva *sva, const struct call *call)
{
	for (struct call **p = &sva->calls; *p; p = &(*p)->next) {
		if (*p == call) {
			*p = call->next;
			return;
		}
	}
}

static int send_request(struct sva *sva, Svad__V1__Request *req, uint64_t deadline)
{
	for (;;) {
		ssize_t len;
		int r;

		/* Encoded anew each time: another thread may have used the buffer. */
		len = wire_encode_request(req, sva->tx, WIRE_MAX);
		if (len < 0)
			return (int)len;
		r = wire_send(sva->fd, sva->tx, (size_t)len, NULL, 0, MSG_DONTWAIT);
		if (r != -EAGAIN)
			return r;
		/* The broker is behind. It must be read from all the same, or both sides would wait for ever.
		 */
		if (sva_remaining_ms(deadline) == 0)
			return -ETIMEDOUT;
		if (sva->pumping) {
			sva_cond_wait(sva, deadline);
		} else {
			int fd = sva->fd;

			sva->pumping = true;
			pthread_mutex_unlock(&sva->lock);
			(void)sva_poll_until(fd, POLLIN | POLLOUT, deadline);
			pthread_mutex_lock(&sva->lock);
			sva_conn_read(sva, 64);
			sva->pumping = false;
			pthread_cond_broadcast(&sva->cond);
		}
		if (sva->state != CONN_UP)
			return -ECONNRESET;
	}
}

int sva_rpc(struct sva *sva, Svad__V1__Request *req, struct call *call, uint64_t deadline)
{
	for (unsigned attempt = 1;; attempt++) {
		int r = sva_conn_await_up(sva, deadline, true);

		if (r < 0)
			return r;

		if (req->body_case == SVAD__V1__REQUEST__BODY_BIND)
			req->bind->context = sva->ctx ? sva->ctx->cookie : 0;
		req->id = call->id = sva->next_id++;
		call->done = false;
		call->result = 0;
		call->text[0] = '\0';
		call->next = sva->calls;
		sva->calls = call;

		r = send_request(sva, req, deadline);
		if (r == -EPIPE || r == -ECONNRESET) {
			/* The pump sees the end of the stream and takes the connection down. */
			if (sva->fd >= 0)
				(void)shutdown(sva->fd, SHUT_RDWR);
			r = 0;
		}
		if (r < 0) {
			forget(sva, call);
			return sva_fail(sva, r,
					r == -ETIMEDOUT ? "svad at %s does not read its requests"
							: "cannot send to svad at %s",
					sva->path);
		}

		while (!call->done && sva_remaining_ms(deadline) > 0)
			sva_pump(sva, deadline);
		if (!call->done) {
			forget(sva, call);
			return sva_fail(
				sva, -ETIMEDOUT,
				"svad at %s did not answer in time; `svadctl status` tells whether it "
				"is well",
				sva->path);
		}
		/* Every request may be repeated: it asks, or names a grant that exists once. Not without end:
		 * this request may be what the broker dies of. */
		if (call->result == -ECONNRESET && attempt < ATTEMPTS)
			continue;
		if (call->result == -EPROTO)
			return sva_fail(
				sva, -EPROTO,
				"the answer from %s makes no sense: is that svad, and of this version?",
				sva->path);
		if (call->result < 0)
			return sva_fail(sva, call->result, "%s",
					call->text[0] ? call->text : "the connection to svad broke");
		return 0;
	}
}
