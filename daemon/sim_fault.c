/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "sim_bond.h"
#include "sim_checker.h"
#include "sim_device.h"
#include "sim_drain.h"
#include "sim_iommu.h"
#include "sim_worker.h"

#define MAX_WORDS 6
#define ANSWER_MAX 16384
#define WAIT_DEFAULT_MS 60000u

enum wait_for { WAIT_BUSY, WAIT_IDLE, WAIT_HELD };

struct fault_client {
	struct list link;
	int fd;
	uv_poll_t poll;
	struct sim_timer timeout;
	struct sim_device *waits; /* NULL: for nothing */
	enum wait_for what;
};

static struct {
	int fd;
	uv_poll_t *poll;
	char *path;
	struct list clients;
} fault = { .fd = -1, .clients = LIST_INIT(fault.clients) };

static struct { /* the answer under construction */
	char text[ANSWER_MAX];
	size_t len;
} out;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out.text + out.len, sizeof(out.text) - out.len, fmt, ap);
	va_end(ap);
	if (n > 0)
		out.len +=
			(size_t)n < sizeof(out.text) - out.len ? (size_t)n : sizeof(out.text) - out.len - 1;
}

static void client_send(struct fault_client *c)
{
	(void)!send(c->fd, out.text, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	out.len = 0;
}

/* ---- commands -------------------------------------------------------------------------------------------
 */

static bool number(const char *word, uint32_t *ret)
{
	unsigned long long v;
	char *end;

	if (!word || *word < '0' || *word > '9')
		return false;
	errno = 0;
	v = strtoull(word, &end, 10);
	if (*end || errno || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static void cmd_stop(struct fault_client *c, struct sim_device *d, char **w)
{
	uint32_t ms;

	(void)c;
	if (!strcmp(w[2], "obey") && !w[3]) {
		atomic_store(&d->ignore_stop_ms, 0);
		sim_drain_find_stops(d);
	} else if (!strcmp(w[2], "ignore") && w[3] && !strcmp(w[3], "forever") && !w[4])
		atomic_store(&d->ignore_stop_ms, SIM_FOREVER);
	else if (!strcmp(w[2], "ignore") && number(w[3], &ms) && ms && !w[4])
		atomic_store(&d->ignore_stop_ms, ms);
	else {
		say("error stop DEV obey | stop DEV ignore MS|forever");
		return;
	}
	say("ok");
}

static void cmd_late_dma(struct fault_client *c, struct sim_device *d, char **w)
{
	uint32_t count, ms;

	(void)c;
	if (!number(w[2], &count) || !number(w[3], &ms) || w[4]) {
		say("error late-dma DEV COUNT DELAY_MS");
		return;
	}
	atomic_store(&d->late_dma_delay_ms, ms);
	atomic_store(&d->late_dma_count, count);
	say("ok");
}

static void cmd_lose_response(struct fault_client *c, struct sim_device *d, char **w)
{
	uint32_t count;

	(void)c;
	if (!number(w[2], &count) || w[3]) {
		say("error lose-response DEV COUNT");
		return;
	}
	atomic_store(&d->lose_responses, count);
	say("ok");
}

static void cmd_delay_response(struct fault_client *c, struct sim_device *d, char **w)
{
	uint32_t count, ms;

	(void)c;
	if (!number(w[2], &ms) || !number(w[3], &count) || w[4]) {
		say("error delay-response DEV MS COUNT");
		return;
	}
	atomic_store(&d->delay_response_ms, ms);
	atomic_store(&d->delay_responses, count);
	say("ok");
}

static void cmd_hold(struct fault_client *c, struct sim_device *d, char **w)
{
	(void)c;
	(void)w;
	atomic_store(&d->held, true);
	say("ok");
}

static void cmd_unhold(struct fault_client *c, struct sim_device *d, char **w)
{
	struct list *l;

	(void)c;
	(void)w;
	atomic_store(&d->held, false);
	list_for_each(l, &d->bonds)
		sim_worker_unhold(container_of(l, struct sim_bond, of_device));
	say("ok");
}

static void cmd_vanish(struct fault_client *c, struct sim_device *d, char **w)
{
	(void)c;
	(void)w;
	say(sim_device_vanish(d) ? "error it is gone already" : "ok");
}

static void cmd_return(struct fault_client *c, struct sim_device *d, char **w)
{
	(void)c;
	(void)w;
	say(sim_device_return(d) ? "error it is not gone" : "ok");
}

static bool wait_over(const struct fault_client *c)
{
	switch (c->what) {
	case WAIT_BUSY:
		return atomic_load(&c->waits->working) > 0;
	case WAIT_IDLE:
		return !atomic_load(&c->waits->working);
	case WAIT_HELD:
		return atomic_load(&c->waits->n_held) > 0;
	}
	return false;
}

static void wait_end(struct fault_client *c, const char *text)
{
	struct sim_device *d = c->waits;
	struct list *l;
	bool more = false;

	sim_timer_cancel(&c->timeout);
	c->waits = NULL;
	list_for_each(l, &fault.clients)
		more = more || container_of(l, struct fault_client, link)->waits == d;
	atomic_store(&d->watched, more);
	if (text) {
		say("%s", text);
		client_send(c);
	}
}

static void wait_timeout(struct sim_timer *timer)
{
	struct fault_client *c = container_of(timer, struct fault_client, timeout);

	wait_end(c, wait_over(c) ? "ok" : "error it did not come to that in time");
}

static void wait_check(struct sim_device *d)
{
	struct list *l;

	list_for_each(l, &fault.clients) {
		struct fault_client *c = container_of(l, struct fault_client, link);

		if (c->waits == d && wait_over(c))
			wait_end(c, "ok");
	}
}

static void cmd_wait(struct fault_client *c, struct sim_device *d, char **w)
{
	uint32_t ms = WAIT_DEFAULT_MS;

	if (!strcmp(w[2], "busy"))
		c->what = WAIT_BUSY;
	else if (!strcmp(w[2], "idle"))
		c->what = WAIT_IDLE;
	else if (!strcmp(w[2], "held"))
		c->what = WAIT_HELD;
	else
		ms = UINT32_MAX;
	if (ms == UINT32_MAX || (w[3] && !number(w[3], &ms)) || (w[3] && w[4])) {
		say("error wait DEV busy|idle|held [TIMEOUT_MS]");
		return;
	}
	c->waits = d;
	c->timeout.fn = wait_timeout;
	atomic_store(&d->watched, true); /* first, then look: a change after the look posts a note */
	if (wait_over(c))
		wait_end(c, "ok");
	else
		(void)sim_timer_arm(&c->timeout, sim_now() + (uint64_t)ms * 1000000u);
}

static void cmd_pasids(struct fault_client *c, struct sim_device *d, char **w)
{
	struct list *l;

	(void)c;
	(void)w;
	say("ok");
	list_for_each(l, &d->bonds) {
		struct sim_bond *b = container_of(l, struct sim_bond, of_device);

		say(" %" PRIu32 ":%" PRIu64 ":%s", b->pasid, b->id, drain_state_name(b->drain.state));
	}
}

static void cmd_checker(struct fault_client *c, struct sim_device *d, char **w)
{
	struct checker_counts n;
	char text[CHECKER_TEXT_MAX];

	(void)c;
	(void)d;
	(void)w;
	checker_counts(&n);
	say("ok violations=%" PRIu64 " accesses=%" PRIu64 " blocked=%" PRIu64, n.violations, n.accesses,
	    n.blocked);
	for (unsigned i = 0; checker_text(i, text); i++)
		say("\n%s", text);
}

static void cmd_state(struct fault_client *c, struct sim_device *d, char **w)
{
	(void)c;
	(void)d;
	(void)w;
	say("ok ctxs=%zu bonds=%" PRIu32 " draining=%" PRIu32 " quarantined=%" PRIu32 " drained=%" PRIu64
	    " pasids=%" PRIu32 " mms=%zu",
	    sim.ctxs.n, sim.n_bonds, sim.draining, sim.quarantined, sim.drained, sim_pasids_used(),
	    sim.mms.n);
}

static void cmd_crash(struct fault_client *c, struct sim_device *d, char **w)
{
	(void)c;
	(void)d;
	(void)w;
	abort();
}

static const struct {
	const char *name;
	bool device; /* the second word is one */
	int words;   /* at least */
	void (*run)(struct fault_client *c, struct sim_device *d, char **words);
} commands[] = {
	{ "stop", true, 3, cmd_stop },
	{ "late-dma", true, 4, cmd_late_dma },
	{ "lose-response", true, 3, cmd_lose_response },
	{ "delay-response", true, 4, cmd_delay_response },
	{ "hold", true, 2, cmd_hold },
	{ "unhold", true, 2, cmd_unhold },
	{ "vanish", true, 2, cmd_vanish },
	{ "return", true, 2, cmd_return },
	{ "wait", true, 3, cmd_wait },
	{ "pasids", true, 2, cmd_pasids },
	{ "checker", false, 1, cmd_checker },
	{ "state", false, 1, cmd_state },
	{ "crash", false, 1, cmd_crash },
};

static void run_command(struct fault_client *c, char *text)
{
	char *words[MAX_WORDS + 1] = { NULL }, *save = NULL, *word;
	struct sim_device *d = NULL;
	int n = 0;

	for (word = strtok_r(text, " \t\n", &save); word && n < MAX_WORDS;
	     word = strtok_r(NULL, " \t\n", &save))
		words[n++] = word;
	for (size_t i = 0; n && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(words[0], commands[i].name))
			continue;
		if (n < commands[i].words) {
			say("error %s takes %d words more", words[0], commands[i].words - n);
			return;
		}
		if (commands[i].device) {
			d = sim_device_by_name(words[1]);
			if (!d) {
				say("error no device %s", words[1]);
				return;
			}
		}
		commands[i].run(c, d, words);
		return;
	}
	say("error unknown command; there are:");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		say(" %s", commands[i].name);
}

/* ---- the socket -------------------------------------------------------------------------------------------
 */

static void client_freed(uv_handle_t *handle)
{
	struct fault_client *c = container_of(handle, struct fault_client, poll);

	close(c->fd);
	free(c);
}

static void client_close(struct fault_client *c)
{
	if (c->waits)
		wait_end(c, NULL);
	list_remove(&c->link);
	uv_close((uv_handle_t *)&c->poll, client_freed);
}

static void client_ready(uv_poll_t *poll, int status, int events)
{
	struct fault_client *c = container_of(poll, struct fault_client, poll);
	char text[512];
	ssize_t n;

	(void)status;
	(void)events;
	n = recv(c->fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(c);
		return;
	}
	text[n] = 0;
	out.len = 0;
	if (c->waits)
		say("error still waiting for the last command");
	else
		run_command(c, text);
	if (out.len)
		client_send(c);
}

static void fault_accept(uv_poll_t *poll, int status, int events)
{
	struct fault_client *c;
	int fd;

	(void)poll;
	(void)status;
	(void)events;
	fd = accept4(fault.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c || uv_poll_init(&sim.loop, &c->poll, fd) < 0) {
		free(c);
		close(fd);
		return;
	}
	c->fd = fd;
	list_append(&fault.clients, &c->link);
	(void)uv_poll_start(&c->poll, UV_READABLE, client_ready);
}

static void poll_freed(uv_handle_t *handle)
{
	free(handle);
}

int sim_fault_init(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t mask;
	int r;

	if (!path || !*path)
		return 0;
	if (strlen(path) >= sizeof(addr.sun_path)) {
		log_err("[sim] fault_socket = %s is longer than a socket's path can be (%zu); choose a "
			"shorter one",
			path, sizeof(addr.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(addr.sun_path, path, strlen(path));
	fault.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fault.fd < 0)
		return -errno;
	(void)unlink(path); /* of a simdev that died; two at a time there are not */
	mask = umask(0177);
	r = bind(fault.fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fault.fd, 16) < 0 ? -errno
												   : 0;
	umask(mask);
	if (r < 0) {
		log_err("cannot listen on [sim] fault_socket = %s: %s; is its directory writable for the "
			"daemon's user?",
			path, strerror(-r));
		close(fault.fd);
		fault.fd = -1;
		return r;
	}
	fault.path = strdup(path);
	fault.poll = calloc(1, sizeof(*fault.poll));
	if (!fault.poll)
		return -ENOMEM;
	uv_poll_init(&sim.loop, fault.poll, fault.fd);
	sim_device_on_activity(wait_check);
	log_notice("fault injection is on: %s", path);
	return uv_poll_start(fault.poll, UV_READABLE, fault_accept);
}

void sim_fault_deinit(void)
{
	while (!list_empty(&fault.clients))
		client_close(container_of(fault.clients.next, struct fault_client, link));
	if (fault.poll)
		uv_close((uv_handle_t *)fault.poll, poll_freed);
	fault.poll = NULL;
	if (fault.fd >= 0) {
		close(fault.fd);
		if (fault.path)
			(void)unlink(fault.path);
	}
	fault.fd = -1;
	free(fault.path);
	fault.path = NULL;
}
