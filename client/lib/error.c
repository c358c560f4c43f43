/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong, in words, for the thread that it happened to. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "internal.h"

static _Thread_local struct {
	const struct sva *sva;
	int error;
	char text[SVA_TEXT_MAX];
	char other[128];
} last;

int sva_fail(const struct sva *sva, int r, const char *fmt, ...)
{
	va_list args;

	last.sva = sva;
	last.error = r;
	va_start(args, fmt);
	(void)vsnprintf(last.text, sizeof(last.text), fmt, args);
	va_end(args);
	return r;
}

int sva_fail_owner(const struct sva *sva)
{
	return sva_fail(sva, -EOWNERDEAD,
			"this object belongs to the process that forked this one; a child calls "
			"sva_connect() itself");
}

static const char *general(int error)
{
	switch (error) {
	case 0:
		return "no error";
	case EOWNERDEAD:
		return "this object belongs to the process that forked this one; a child calls sva_connect() "
		       "itself";
	case ESHUTDOWN:
		return "the bond was revoked: its device takes no more work; sva_unbind() it, then bind "
		       "again";
	case EEXIST:
		return "the vouched state is not so: work is outstanding on this bond";
	case ENOTSUP:
		return "this device has no portal of the demo accelerator's kind";
	case ETIMEDOUT:
		return "no answer in time";
	default:
		return NULL;
	}
}

const char *sva_strerror(const struct sva *sva, int error)
{
	int number = error < 0 ? -error : error;
	const char *text;

	/* A failed sva_connect() left no object behind, so NULL means: this thread's last failure. */
	if (error != 0 && -number == last.error && last.text[0] && (!sva || !last.sva || sva == last.sva))
		return last.text;
	text = general(number);
	if (text)
		return text;
	(void)snprintf(last.other, sizeof(last.other), "%s", strerrordesc_np(number) ?: "unknown error");
	return last.other;
}

uint64_t sva_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t sva_deadline(int timeout_ms)
{
	return sva_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

int sva_remaining_ms(uint64_t deadline)
{
	uint64_t now = sva_now_ns(), ms;

	if (now >= deadline)
		return 0;
	ms = (deadline - now + 999999u) / 1000000u;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

int sva_poll_until(int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int r = poll(&p, 1, sva_remaining_ms(deadline));

		if (r > 0)
			return p.revents & POLLNVAL ? -EBADF : p.revents;
		if (r == 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}
