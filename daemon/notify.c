/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "notify.h"

#define PATIENCE_MS 100

/* As sd_notify(), which blocks for as long as the manager does not read; this loop may not. What is important
 * waits a moment for room. */
static void notify_send(const char *text, bool important)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;
	socklen_t addr_len;
	int fd;

	if (len < 2 || len >= sizeof(addr.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(addr.sun_path, path, len);
	addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&addr, addr_len) == 0) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 && errno == EAGAIN && important &&
		    poll(&p, 1, PATIENCE_MS) == 1)
			(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
	}
	close(fd);
}

void notify_ready(void)
{
	notify_send("READY=1", true);
}

void notify_reloading(void)
{
	struct timespec ts;
	char text[80];

	/* Type=notify-reload wants to know which reload this is */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u);
	notify_send(text, true);
}

void notify_stopping(void)
{
	notify_send("STOPPING=1", true);
}

void notify_status(const char *fmt, ...)
{
	char line[1024] = "STATUS=";
	size_t n = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(line + n, sizeof(line) - n, fmt, ap) < 0)
		line[n] = '\0';
	va_end(ap);
	/* The broker's words are in it: a newline would begin an assignment of its own, such as MAINPID=. */
	for (char *s = line + n; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = ' ';
	}
	notify_send(line, false);
}

void notify_watchdog(void)
{
	notify_send("WATCHDOG=1", false);
}

uint64_t notify_watchdog_interval(void)
{
	uint64_t usec = 0;

	return sd_watchdog_enabled(0, &usec) > 0 ? usec * 1000u : 0;
}
