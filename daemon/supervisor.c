/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"
#include "supervisor_kmod.h"
#include "supervisor_private.h"

#define TURN_NS NS_PER_S /* the loop comes round at least so often */
#define EARLY_DEATHS_MAX                                                                                     \
	8u /* of a child that was never ready: something is wrong that trying again does not mend */

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void supervisor_child_ready(struct child *c)
{
	struct supervisor *s = c->s;

	log_debug("%s (pid %d) is ready", c->name, c->pid);
	c->early_deaths = 0;
	if (s->phase != PHASE_RUN || !s->child[CHILD_BROKER].ready ||
	    (s->config->backend == BACKEND_SIM && !s->child[CHILD_SIMDEV].ready))
		return;
	if (s->announced) {
		notify_status("%s runs again", c->name);
		log_info("%s (pid %d) runs again and serves", c->name, c->pid);
		return;
	}
	s->announced = true;
	notify_ready();
	notify_status("ready");
	if (s->config->backend == BACKEND_KMOD)
		log_write(LOG_INFO, SVAD_MSG_STARTED,
			  "ready: clients at %s, administrators at %s, devices of the kernel module",
			  s->config->socket, s->config->admin_socket);
	else
		log_write(LOG_INFO, SVAD_MSG_STARTED,
			  "ready: clients at %s, administrators at %s, simulated devices: %zu",
			  s->config->socket, s->config->admin_socket, s->config->n_devices);
}

void supervisor_fail(struct supervisor *s)
{
	s->failed = true;
	stop_begin(s);
}

void supervisor_child_died(struct child *c)
{
	struct supervisor *s = c->s;

	if (c->kind == CHILD_BROKER)
		reload_cancel(s, "the broker died");
	if (s->phase != PHASE_RUN) {
		stop_child_died(s, c->kind);
		return;
	}
	if (!s->announced && c->early_deaths >= EARLY_DEATHS_MAX) {
		log_err("%s died %u times and was never ready: giving up; the lines above say why", c->name,
			c->early_deaths);
		c->restart_ns = 0;
		supervisor_fail(s);
	}
}

static void read_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			if (s->phase != PHASE_RUN)
				log_info("already stopping; it ends when all is drained, or at the deadline");
			stop_begin(s);
			break;
		case SIGHUP:
			reload_ask(s, false);
			break;
		default: /* SIGCHLD: several may have become one */
			break;
		}
	}
	for (int i = 0; i < N_CHILDREN; i++)
		child_reap(&s->child[i]);
	probe_reap(s);
	scan_reap(s);
}

static bool all_alive(const struct supervisor *s, uint64_t now)
{
	for (int i = 0; i < N_CHILDREN; i++) {
		const struct child *c = &s->child[i];

		/* One that is being started again is looked after; one that is silent is not. */
		if (c->pid > 0 && c->seen_ns != UINT64_MAX &&
		    now >= c->seen_ns + s->config->child_timeout_ms * NS_PER_MS)
			return false;
	}
	return true;
}

static void tick(struct supervisor *s)
{
	uint64_t now = now_ns();

	if (now - s->tick_ns > 3 * TURN_NS) {
		/* We stood still ourselves (frozen, stopped, a machine asleep), and so probably did they. */
		for (int i = 0; i < N_CHILDREN; i++) {
			if (s->child[i].seen_ns != UINT64_MAX)
				s->child[i].seen_ns = now;
		}
	}
	s->tick_ns = now;
	for (int i = 0; i < N_CHILDREN; i++)
		child_tick(&s->child[i], now);
	reload_tick(s, now);
	probe_tick(s, now);
	store_tick(s);
	scan_tick(s, now);
	stop_tick(s, now);
	if (s->watchdog_ns && now >= s->watchdog_next_ns) {
		if (all_alive(s, now))
			notify_watchdog();
		s->watchdog_next_ns = now + s->watchdog_ns;
	}
}

static int turn_timeout(const struct supervisor *s)
{
	uint64_t now = now_ns(), at = now + TURN_NS;

	for (int i = 0; i < N_CHILDREN; i++) {
		uint64_t t = child_deadline(&s->child[i]);

		at = t < at ? t : at;
	}
	if (s->watchdog_ns && s->watchdog_next_ns < at)
		at = s->watchdog_next_ns;
	if (s->phase != PHASE_RUN && s->stop_deadline_ns < at)
		at = s->stop_deadline_ns;
	if (s->reload.next && s->reload.deadline_ns < at)
		at = s->reload.deadline_ns;
	if (probe_deadline(s) < at)
		at = probe_deadline(s);
	if (scan_deadline(s) < at)
		at = scan_deadline(s);
	return at <= now ? 0 : (int)((at - now + NS_PER_MS - 1) / NS_PER_MS);
}

static int turn(struct supervisor *s)
{
	struct pollfd pfd[3 + N_CHILDREN] = { { .fd = s->signal_fd, .events = POLLIN } };

	for (int i = 0; i < N_CHILDREN; i++)
		pfd[1 + i] =
			(struct pollfd){ .fd = s->child[i].fd, .events = POLLIN }; /* -1 is passed over */
	pfd[1 + N_CHILDREN] = (struct pollfd){ .fd = s->probe.fd, .events = POLLIN };
	pfd[2 + N_CHILDREN] = (struct pollfd){ .fd = s->scan.fd, .events = POLLIN };
	if (poll(pfd, 3 + N_CHILDREN, turn_timeout(s)) < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < N_CHILDREN; i++) {
		if (pfd[1 + i].revents && s->child[i].fd == pfd[1 + i].fd)
			child_read(&s->child[i]);
	}
	if (pfd[1 + N_CHILDREN].revents && s->probe.fd >= 0)
		probe_read(s);
	if (pfd[2 + N_CHILDREN].revents && s->scan.fd == pfd[2 + N_CHILDREN].fd)
		scan_read(s);
	if (pfd[0].revents)
		read_signals(s);
	tick(s);
	return 0;
}

static int catch_signals(struct supervisor *s)
{
	sigset_t mask;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? -errno : 0;
}

static int prepare(struct supervisor *s, char **ret_why)
{
	int r;

	if (s->config->backend == BACKEND_KMOD) {
		/* Each broker gets a control fd of its own; this one tells whether there will be any. */
		r = kmod_control_open(KMOD_DEVICE, ret_why);
		if (r < 0)
			return r;
		close(r);
	}
	r = catch_signals(s);
	if (r < 0)
		return r;
	r = spawn_user_find(s->config->user, &s->user, ret_why);
	if (r < 0)
		return r;
	r = listeners_open(&s->listeners, s->config, ret_why);
	if (r < 0)
		return r;
	for (int i = 0; i < N_CHILDREN; i++) { /* the device first: the broker finds it there */
		if (i == CHILD_SIMDEV && s->config->backend != BACKEND_SIM)
			continue;
		if (!s->child[i].path)
			return -ENOMEM;
		r = child_start(&s->child[i], ret_why);
		if (r < 0)
			return r;
	}
	return 0;
}

enum svad_exit supervisor_run(const struct supervisor_args *args, struct config *config)
{
	struct supervisor s = {
		.args = args,
		.config = config,
		.listeners = LISTENERS_NONE,
		.signal_fd = -1,
		.config_seq = 1,
		.started_ns = now_ns(),
		.tick_ns = now_ns(),
		.watchdog_ns = notify_watchdog_interval() / 2,
	};
	char *why = NULL;
	enum svad_exit code;
	int r;

	for (int i = 0; i < N_CHILDREN; i++)
		child_init(&s.child[i], &s, (enum child_kind)i);
	probe_init(&s);
	scan_init(&s);
	r = prepare(&s, &why);
	if (r < 0) {
		log_err("%s", why ? why : strerror(-r));
		notify_status("cannot start: %s", why ? why : strerror(-r));
		free(why);
		s.failed = true;
		if (s.signal_fd >= 0)
			stop_begin(&s); /* one child may run already */
		else
			s.phase = PHASE_DONE;
	}
	while (s.phase != PHASE_DONE) {
		r = turn(&s);
		if (r < 0) {
			log_err("poll: %s", strerror(-r));
			s.failed = true;
			break;
		}
	}

	listeners_close(&s.listeners);
	for (int i = 0; i < N_CHILDREN; i++)
		child_deinit(&s.child[i]);
	probe_deinit(&s);
	scan_deinit(&s);
	if (s.signal_fd >= 0)
		close(s.signal_fd);
	code = s.failed				     ? SVAD_EXIT_FAILURE
	       : s.drained_known && s.undrained == 0 ? SVAD_EXIT_OK
						     : SVAD_EXIT_UNDRAINED;
	if (s.announced)
		log_write(LOG_INFO, SVAD_MSG_STOPPED, "stopped%s",
			  code == SVAD_EXIT_UNDRAINED ? "; not everything was drained" : "");
	config_free(s.config);
	config_free(s.reload.next);
	return code;
}
