// SPDX-License-Identifier: GPL-2.0-or-later
/* svad-demo: one screen that shows, and verifies, what svad is for. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../ctl/term.h"
#include "../ctl/units.h"
#include "demo.h"

size_t demo_bytes = (size_t)64 << 20;
int demo_wait_ms = 20000;

static int signal_pipe[2] = { -1, -1 };

static void on_signal(int signo)
{
	char c = (char)signo;
	int saved = errno;
	ssize_t n = write(signal_pipe[1], &c, 1);

	(void)n; /* full: it has been said already */
	errno = saved;
}

bool demo_fail(struct demo *d, const char *fmt, ...)
{
	char text[sizeof(d->why)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!*d->why)
		text_clean(text, d->why, sizeof(d->why));
	return false;
}

void demo_say(struct demo *d, const char *fmt, ...)
{
	va_list ap;

	if (d->n_lines == sizeof(d->line) / sizeof(d->line[0]))
		return;
	va_start(ap, fmt);
	vsnprintf(d->line[d->n_lines++], sizeof(d->line[0]), fmt, ap);
	va_end(ap);
}

bool demo_wait_either(struct demo *d, int fd, int fd2, int timeout_ms, const char *what)
{
	uint64_t deadline = units_now() + (uint64_t)timeout_ms * 1000000u;

	for (;;) {
		struct pollfd pfd[3] = {
			{ .fd = signal_pipe[0], .events = POLLIN },
			{ .fd = fd, .events = POLLIN },
			{ .fd = fd2, .events = POLLIN },
		};
		uint64_t now = units_now();
		int r = poll(pfd, 3, now < deadline ? (int)((deadline - now) / 1000000 + 1) : 0);

		if (r < 0 && errno != EINTR)
			return demo_fail(d, "poll: %s", strerror(errno));
		if (r > 0 && pfd[0].revents)
			return demo_fail(d, "interrupted");
		if (r > 0)
			return true;
		if (r == 0)
			return demo_fail(d, "%s: nothing within %d ms", what, timeout_ms);
	}
}

bool demo_wait(struct demo *d, int fd, int timeout_ms, const char *what)
{
	return demo_wait_either(d, fd, -1, timeout_ms, what);
}

static void show_scene(struct demo *d, size_t i, bool ok)
{
	const char *mark =
		ok ? (term_utf8() ? "\xe2\x9c\x93" : "ok") : (term_utf8() ? "\xe2\x9c\x97" : "FAILED");
	enum style st = ok ? STYLE_GREEN : STYLE_RED;

	printf("%s%s%s%s %s%zu. %s%s\n", term_is_tty() ? "\r\033[K" : "", style_on(st), mark, style_off(st),
	       style_on(STYLE_BOLD), i + 1, demo_scenes[i].title, style_off(STYLE_BOLD));
	for (size_t k = 0; k < d->n_lines; k++)
		printf("     %s\n", d->line[k]);
	fflush(stdout);
}

static bool summary(struct demo *d, uint64_t violations)
{
	unsigned bound = 0, drained = 0, quarantined = 0;
	bool ok;

	for (size_t i = 0; i < d->n_events; i++) {
		bound += d->events[i].kind == SVAD__V1__EVENT_KIND__EVENT_BOUND;
		drained += d->events[i].kind == SVAD__V1__EVENT_KIND__EVENT_CLEAN;
		quarantined += d->events[i].kind == SVAD__V1__EVENT_KIND__EVENT_QUARANTINED;
	}
	ok = bound == drained && quarantined == 1 && !violations;
	if (!ok)
		demo_fail(d, "the figures of the last line are not as they must be");
	printf("\n%s%u bonds bound, %u drained, %u quarantined, %llu MiB verified, %llu violation%s%s\n",
	       style_on(ok ? STYLE_GREEN : STYLE_RED), bound, drained, quarantined,
	       (unsigned long long)(d->verified >> 20), (unsigned long long)violations,
	       violations == 1 ? "" : "s", style_off(ok ? STYLE_GREEN : STYLE_RED));
	return ok;
}

/* Every bond that was bound has to end CLEAN before svad is asked for the final figures. */
static bool all_clean(struct demo *d)
{
	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].kind == SVAD__V1__EVENT_KIND__EVENT_BOUND &&
		    !demo_event(d, 0, SVAD__V1__EVENT_KIND__EVENT_CLEAN, d->events[i].bond, 0))
			return false;
	return true;
}

static bool run(struct demo *d)
{
	uint64_t violations = 0;
	bool ok = true;

	for (size_t i = 0; i < demo_n_scenes && ok; i++) {
		d->n_lines = 0;
		if (term_is_tty()) {
			printf("%s  %zu. %s ...%s", style_on(STYLE_DIM), i + 1, demo_scenes[i].title,
			       style_off(STYLE_DIM));
			fflush(stdout);
		}
		ok = demo_scenes[i].run(d);
		show_scene(d, i, ok);
	}
	ok = ok && all_clean(d);
	ok = ok && demo_status(d, &violations);
	return ok && summary(d, violations);
}

static int usage(void)
{
	fprintf(stderr,
		"Usage: svad-demo [--bindir DIR] [--backend sim|kmod] [--fault-port PATH]\n"
		"Runs svad, svad-broker, svad-simdev and svadctl of DIR (default: where svad-demo is).\n"
		"kmod: on the kernel module, in the virtual machine; PATH leads to the device's model "
		"(default: "
		"the port svad.hw).\n");
	return 2;
}

/* What differs on the kernel module; the clients, which are told by their environment, differ in nothing
 * else. */
static bool use_backend(struct demo *d, const char *name)
{
	d->kmod = !strcmp(name, "kmod");
	if (!d->kmod)
		return !strcmp(name, "sim");
	d->device[0] = "accel0";
	d->device[1] = "accel1";
	setenv(DEMO_ENV_MIB, "8", 1);
	setenv(DEMO_ENV_WAIT, "120000", 1);
	return true;
}

static void read_environment(void)
{
	const char *mib = getenv(DEMO_ENV_MIB), *wait = getenv(DEMO_ENV_WAIT);

	if (mib && atoi(mib) > 0)
		demo_bytes = (size_t)atoi(mib) << 20;
	if (wait && atoi(wait) > 0)
		demo_wait_ms = atoi(wait);
}

int main(int argc, char **argv)
{
	static struct demo d = { .svad_pidfd = -1, .fault_fd = -1, .device = { "sim0", "sim1" } };
	static char bindir[4096], self[4096];
	struct sigaction sa = { .sa_handler = on_signal };
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	bool ok, ended_well;
	int status = -1;

	if (n <= 0)
		return 1;
	if (argc >= 3 && !strcmp(argv[1], "--child")) {
		read_environment();
		return demo_role(argv[2], argc > 3 ? argv[3] : "");
	}
	snprintf(bindir, sizeof(bindir), "%s", self);
	*strrchr(bindir, '/') = 0;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--bindir") && i + 1 < argc) {
			if (!realpath(argv[++i], bindir)) {
				fprintf(stderr, "svad-demo: %s: %s\n", argv[i], strerror(errno));
				return 2;
			}
		} else if (!strcmp(argv[i], "--fault-port") && i + 1 < argc) {
			d.fault_port = argv[++i];
		} else if (strcmp(argv[i], "--backend") || i + 1 == argc || !use_backend(&d, argv[++i])) {
			return usage();
		}
	}
	read_environment();
	d.ctl.timeout_ms = demo_wait_ms;
	d.bindir = bindir;
	d.self = self;
	term_init();
	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK))
		return 1;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);

	printf("%ssvad: a device works in a process's own memory, and every way that this can end ends "
	       "well%s\n",
	       style_on(STYLE_BOLD), style_off(STYLE_BOLD));
	puts(d.kmod ? "Real kernel, arm-smmu-v3 driver, svabroker.ko and processes; SMMUv3 and device are "
		      "models.\n"
		    : "Simulated device and IOMMU; real processes, memory, daemon and tools.\n");
	fflush(stdout);
	ok = demo_start(&d) && run(&d);
	demo_kill_children(&d);
	demo_stop(&d, &status);
	ended_well = status == 0;
	if (ok && !ended_well)
		demo_fail(&d, "svad did not end well (status %d)", status);
	if (*d.why)
		fprintf(stderr, "svad-demo: not verified: %s\n", d.why);
	return ok && ended_well ? 0 : 1;
}
