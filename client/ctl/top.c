// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl top: the screen. Alternate screen and raw keys while it runs; whatever ends it (q, signal, error)
 * the terminal is as it was. Signals come through a signalfd, so there is one place that waits and no
 * handler.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "term.h"
#include "top.h"

#define EOL "\033[K\n"

struct screen {
	bool on;
	bool have_termios;
	struct termios saved;
};

static void screen_enter(struct screen *sc)
{
	struct termios raw;

	if (sc->on)
		return;
	if (isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &sc->saved)) {
		raw = sc->saved;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		sc->have_termios = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	fputs("\033[?1049h\033[?25l\033[H\033[2J", stdout);
	fflush(stdout);
	sc->on = true;
}

static void screen_leave(struct screen *sc)
{
	if (!sc->on)
		return;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (sc->have_termios)
		tcsetattr(STDIN_FILENO, TCSANOW, &sc->saved);
	sc->on = false;
}

struct top {
	struct ctl *ctl;
	struct rpc *rpc; /* NULL: not connected now */
	struct top_sample last;
	bool have_last, by_container;
	struct screen screen;
	int signal_fd, timer_fd;
};

/* CTL_OK, or why not; then the connection is gone and the next one is a new one. */
static int sample(struct top *t, bool quiet, char *why, size_t size)
{
	struct top_sample now;
	int r;

	if (!t->rpc) {
		r = rpc_open_quiet(t->ctl, &t->rpc, quiet ? why : NULL, size);
		if (r)
			return r;
		if (quiet)
			rpc_quiet(t->rpc);
		rpc_interrupt_fd(t->rpc, t->signal_fd);
	}
	r = top_sample_take(t->rpc, t->by_container, t->have_last ? &t->last : NULL, &now);
	if (r) {
		if (quiet)
			snprintf(why, size, "%s", rpc_error(t->rpc));
		top_sample_free(&now);
		rpc_close(t->rpc);
		t->rpc = NULL;
		return r;
	}
	if (t->have_last)
		top_sample_free(&t->last);
	t->last = now;
	t->have_last = true;
	return CTL_OK;
}

static void draw(struct top *t, const char *why)
{
	unsigned width, height;

	term_size(&width, &height);
	fputs("\033[H", stdout);
	if (*why) {
		fprintf(stdout, "%s%s%s" EOL "Trying again..." EOL, style_on(STYLE_RED), why,
			style_off(STYLE_RED));
		fputs("\033[J", stdout);
		fflush(stdout);
		return;
	}
	top_sample_print(&t->last, stdout, width, height, EOL);
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* Returns false when it is time to go. */
static bool on_signal(struct top *t)
{
	struct signalfd_siginfo si;

	if (read(t->signal_fd, &si, sizeof(si)) != sizeof(si))
		return true;
	switch (si.ssi_signo) {
	case SIGWINCH:
	case SIGCONT:
		return true;
	case SIGTSTP:
		/* Stop for real, on the ordinary screen, and come back to ours. */
		screen_leave(&t->screen);
		raise(SIGSTOP);
		screen_enter(&t->screen);
		return true;
	default:
		return false;
	}
}

static int full_screen(struct top *t, const struct itimerspec *interval)
{
	char why[1200] = "";
	int r = CTL_OK;

	timerfd_settime(t->timer_fd, 0, interval, NULL);
	screen_enter(&t->screen);
	for (bool go = true, fresh = false; go;) {
		struct pollfd pfd[3] = {
			{ .fd = t->signal_fd, .events = POLLIN },
			{ .fd = t->timer_fd, .events = POLLIN },
			{ .fd = STDIN_FILENO, .events = POLLIN },
		};
		uint64_t ticks;
		char key;

		if (fresh) {
			why[0] = 0;
			sample(t, true, why, sizeof(why));
		}
		fresh = false;
		if (poll(pfd, 1, 0) == 0) {
			draw(t, why);
			if (ferror(stdout)) {
				r = CTL_FAILED;
				break;
			}
		}
		if (poll(pfd, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			r = CTL_FAILED;
			break;
		}
		if (pfd[0].revents)
			go = on_signal(t);
		if (pfd[1].revents && read(t->timer_fd, &ticks, sizeof(ticks)) > 0)
			fresh = true;
		if (pfd[2].revents) {
			/* A terminal that hangs up reads as its end. */
			if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3)
				go = false;
			else if (key == ' ' || key == '\n' || key == '\r')
				fresh = true;
		}
	}
	screen_leave(&t->screen);
	return r;
}

static int batch(struct top *t, uint64_t rounds, const struct itimerspec *interval)
{
	timerfd_settime(t->timer_fd, 0, interval, NULL);
	for (uint64_t i = 0; !rounds || i < rounds; i++) {
		struct pollfd pfd[2] = {
			{ .fd = t->signal_fd, .events = POLLIN },
			{ .fd = t->timer_fd, .events = POLLIN },
		};
		uint64_t ticks;
		unsigned width, height;
		int r;

		while (poll(pfd, 2, -1) < 0)
			if (errno != EINTR)
				return CTL_FAILED;
		if (pfd[0].revents && !on_signal(t))
			return CTL_OK;
		if (!pfd[1].revents) {
			i--;
			continue;
		}
		if (read(t->timer_fd, &ticks, sizeof(ticks)) < 0)
			return CTL_FAILED;
		r = sample(t, false, NULL, 0);
		if (r)
			return r;
		if (t->ctl->json) {
			r = top_sample_json(&t->last);
			if (r)
				return r;
			continue;
		}
		term_size(&width, &height);
		if (i)
			putchar('\n');
		r = top_sample_print(&t->last, stdout, width, 0, "\n");
		if (r)
			return r;
		if (fflush(stdout)) {
			ctl_error("cannot write to stdout: %s", strerror(errno));
			return CTL_FAILED;
		}
	}
	return CTL_OK;
}

int cmd_top(struct ctl *ctl, int argc, char **argv)
{
	const char *count = NULL, *every = NULL;
	bool is_batch = false, by_container = false;
	const struct ctl_option options[] = {
		{ "containers", 'c', NULL, "containers instead of clients", &by_container, NULL },
		{ "batch", 'b', NULL, "print one after the other, for pipes and logs", &is_batch, NULL },
		{ "count", 'n', "N", "end after N screens (with --batch)", NULL, &count },
		{ "interval", 'd', "TIME", "refresh that often: 500ms, 2s; default 1s", NULL, &every },
		CTL_OPTIONS_END,
	};
	struct top t = { .ctl = ctl, .signal_fd = -1, .timer_fd = -1 };
	struct itimerspec interval;
	uint32_t ms = 1000;
	uint64_t rounds = 0;
	sigset_t set;
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (every && (!ctl_duration_ms(every, &ms) || ms < 50))
		return ctl_usage(ctl, "--interval: \"%s\" is no time of 50ms or more", every);
	if (count && (!ctl_u64(count, &rounds) || !rounds))
		return ctl_usage(ctl, "-n: \"%s\" is no number of screens", count);
	t.by_container = by_container;
	is_batch |= ctl->json;
	if (!is_batch && count)
		return ctl_usage(ctl, "-n goes with --batch");
	if (!is_batch && (!term_is_tty() || !getenv("TERM") || !strcmp(getenv("TERM"), "dumb")))
		return ctl_usage(ctl, "stdout is no terminal that can show a full screen: use --batch");

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	if (!is_batch) {
		sigaddset(&set, SIGTSTP);
		sigaddset(&set, SIGCONT);
		sigaddset(&set, SIGWINCH);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	t.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	t.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (t.signal_fd < 0 || t.timer_fd < 0) {
		ctl_error("signalfd or timerfd: %s", strerror(errno));
		r = CTL_FAILED;
		goto out;
	}
	memset(&interval, 0, sizeof(interval));
	interval.it_interval.tv_sec = ms / 1000;
	interval.it_interval.tv_nsec = (long)(ms % 1000) * 1000000;
	interval.it_value = interval.it_interval;
	/* The first sample before anything is shown: without a daemon the complaint stands on the ordinary
	 * screen; and rates need two samples. */
	r = sample(&t, false, NULL, 0);
	if (r)
		goto out;
	if (is_batch) {
		r = batch(&t, rounds, &interval);
	} else {
		rpc_quiet(t.rpc);
		r = full_screen(&t, &interval);
	}
out:
	top_sample_free(&t.last);
	rpc_close(t.rpc);
	if (t.signal_fd >= 0)
		close(t.signal_fd);
	if (t.timer_fd >= 0)
		close(t.timer_fd);
	return r;
}
