/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control channel: one request a line, one answer a line, "ok ..." or "error WORDS". Any number of
 * connections, each with its requests in order. DEV: accel0..accel9 or 0..9. N: decimal, or hexadecimal with
 * 0x. A wait's last argument may be its limit in ms (else 30000).
 *
 * faults, all off after `reset`
 *   stop DEV normal|obey          what CMD_STOP does: what it should
 *   stop DEV ignore [MS|forever]  ignored, for so long after it was first seen; a reset of the device still works
 *   stop DEV ignore-one           CMD_STOP is ignored, but STOP_ALL works
 *   stop DEV delay MS             the same as ignore MS
 *   stop DEV fail                 answered with E_STOP
 *   response DEV normal           CMD_RESUME is carried out
 *   response DEV lose N           the next N are lost: those stalls are never answered
 *   response DEV delay MS         each is carried out MS later
 *   late-dma DEV MS [lie]         each transaction takes MS to arrive at the SMMU. A stop waits for it; with `lie` it does not
 *   dma-pace DEV US               a pause before each page
 *   hold DEV [PAGES]              jobs stop (but can be stopped) after so many more pages of the device
 *   release DEV, unhold DEV       and go on
 *   vanish DEV, return DEV        registers read as ones, jobs die; as after power-on
 *   evtq normal|delay MS|hold|release
 *                                 the event interrupt comes MS late, is withheld, is given
 *   evtq late MS                  the record of a fault is written MS late, and a CMD_SYNC waits for it
 *   evtq late cfgi                that of a stall is written when a CMD_SYNC comes behind a CMD_CFGI_CD for its PASID
 *   evtq overflow                 junk into the event queue until a record is discarded
 *   evtq junk N                   N records of junk
 *   cmdq normal|delay US|error    each command takes US more; the next one is CERROR_ILL
 *   ignore-tlbi N, ignore-cfgi N  the next N of these commands have no effect on the caches
 *   page-request DEV PASID ADDR   a record in the PRI queue
 *   reset                         disarms all, lets go what is held, frees stalls whose answer was lost, forgets violations
 * for the checker
 *   clean DEV PASID [NS]          svad has called it CLEAN: no access from now on, until the PASID has a new owner.
 *                                 NS: when, or a little before that, by `clock`: who owns it since later is not meant (ok new owner)
 *   audit DEV PASID ADDR LEN      no cached translation of the range may differ from the tables now: ok N, entries looked at
 * answers
 *   violations                    ok N [the first one's text]; also `checker`: ok violations=N accesses=N (TEXT)
 *   violation I                   ok TEXT
 *   stats [DEV]                   ok NAME=VALUE...
 *   owner DEV PASID               ok none | ok ttb=X asid=N gen=N live=N off=N stalls=N jobs=N
 *   evtq                          ok prod=X cons=X pending=N irq=on|held
 *   trace on|off                  commands, events, slots into the log
 *   clock                         ok N, the model's clock in ns
 *   ping                          ok
 * waits: ok VALUE, or error timeout
 *   wait-jobs DEV N, wait-pages DEV N           executed since the device was made
 *   wait-stall DEV [N], wait-no-stall DEV       stalls outstanding
 *   wait-answered DEV                           ... without those whose answer was lost by `response`
 *   wait-held DEV [N], wait-idle DEV, wait-busy DEV; also: wait DEV held|idle|busy [MS]
 *   wait-pending [N], wait-empty                records unread in the event queue
 *   wait-pri                                    no page request unanswered
 *   wait-stop DEV [N]                           stop commands seen since `reset`
 */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS 32u

struct connection {
	struct control *control;
	pthread_t thread;
	int fd;	   /* -1: none */
	bool over; /* its thread can be joined */
};

struct control {
	struct hw *hw;
	int fd, stop_fd;
	bool cancel;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pthread_mutex_t lock;
	struct connection connections[CONNECTIONS];
};

int control_new(struct control **ret, struct hw *hw, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct control *c;
	mode_t mask;
	int r = 0;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->hw = hw;
	memcpy(c->path, path, strlen(path));
	memcpy(sun.sun_path, path, strlen(path));
	for (unsigned i = 0; i < CONNECTIONS; i++)
		c->connections[i].fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(path);
	mask = umask(0177);
	if (c->fd < 0 || c->stop_fd < 0 || bind(c->fd, (struct sockaddr *)&sun, sizeof(sun)) ||
	    listen(c->fd, 16))
		r = -errno;
	umask(mask);
	if (r) {
		control_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < CONNECTIONS; i++)
		if (c->connections[i].fd >= 0) {
			pthread_join(c->connections[i].thread, NULL);
			close(c->connections[i].fd);
		}
	if (c->fd >= 0) {
		close(c->fd);
		unlink(c->path);
	}
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void control_stop(struct control *c)
{
	__atomic_store_n(&c->cancel, true, __ATOMIC_RELEASE);
	if (eventfd_write(c->stop_fd, 1))
		abort(); /* cannot be */
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		if (c->connections[i].fd >= 0)
			shutdown(c->connections[i].fd, SHUT_RDWR);
	pthread_mutex_unlock(&c->lock);
}

static bool send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

static bool answer(struct connection *k, const char *line)
{
	char buf[CONTROL_LINE];
	size_t n;

	if (!*line)
		return true;
	control_execute(k->control->hw, line, buf, sizeof(buf) - 1, &k->control->cancel);
	n = strlen(buf);
	buf[n] = '\n';
	return send_all(k->fd, buf, n + 1);
}

static void *serve(void *arg)
{
	struct connection *k = arg;
	char buf[CONTROL_LINE];
	size_t have = 0;
	ssize_t n;

	for (;;) {
		char *end;

		n = recv(k->fd, buf + have, sizeof(buf) - 1 - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
		buf[have] = '\0';
		while ((end = memchr(buf, '\n', have))) {
			*end = '\0';
			if (!answer(k, buf))
				goto out;
			have -= (size_t)(end + 1 - buf);
			memmove(buf, end + 1, have);
		}
		if (have == sizeof(buf) - 1) { /* no request is that long */
			if (!send_all(k->fd, "error line too long\n", 20))
				break;
			have = 0;
		}
	}
out:
	pthread_mutex_lock(&k->control->lock);
	k->over = true;
	pthread_mutex_unlock(&k->control->lock);
	return NULL;
}

/* Lock. A place for a connection; those that are over make room. NULL: none. */
static struct connection *place(struct control *c)
{
	struct connection *found = NULL;

	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct connection *k = &c->connections[i];

		if (k->fd >= 0 && k->over) {
			pthread_join(k->thread, NULL);
			close(k->fd);
			k->fd = -1;
		}
		if (k->fd < 0 && !found)
			found = k;
	}
	return found;
}

void control_run(struct control *c)
{
	struct pollfd fds[2] = { { .fd = c->fd, .events = POLLIN }, { .fd = c->stop_fd, .events = POLLIN } };

	for (;;) {
		struct connection *k;
		int fd;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			return;
		fd = fds[0].revents ? accept4(c->fd, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd < 0)
			continue;
		pthread_mutex_lock(&c->lock);
		k = place(c);
		if (k) {
			*k = (struct connection){ .control = c, .fd = fd };
			if (pthread_create(&k->thread, NULL, serve, k)) {
				k->fd = -1;
				k = NULL;
			}
		}
		pthread_mutex_unlock(&c->lock);
		if (!k)
			close(fd);
	}
}
