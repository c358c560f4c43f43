/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watcher: a process beside the scenarios that reads every event of the module and tells the model of
 * each bond that is CLEAN, so that the checker holds svad to it in all scenarios, whoever binds and whoever
 * reads events there. It has a port of its own to the model (svad.watch), as the scenario may be waiting at
 * the other.
 *
 * The word comes late: by then the PASID may rightly be somebody else's, who must not be taken for its former
 * owner. So it says when the drain began, in the model's time and never later than that; the model knows since
 * when each owner has been one.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT "svad.watch"
#define DEVICES 64u
#define CLOCK_TRIES 8

static pid_t watcher;
static int sock = -1; /* the runner's and the scenario's end; one of them speaks at a time */

struct question {
	char what; /* '+' watch, '-' let go of the module, '=' nothing but an answer, '.' the same, and begin
		      anew */
	uint64_t number;
};
struct told {
	uint64_t number;
	uint64_t clean, later, lost; /* told; of those, with a new owner already; events that were lost */
	char why[200];		     /* not empty: it cannot be believed */
};

/* ---- in the watcher ---- */

static int port, control = -1;
static struct told state;
static int64_t offset; /* the model's clock less ours, at least */
static struct {
	uint32_t id;
	char name[SVAB_NAME_MAX];
} devices[DEVICES];
static unsigned n_devices; /* of this module's so far: what is told of one may come late */

static void broken(const char *what)
{
	if (!*state.why)
		snprintf(state.why, sizeof(state.why), "the watcher: %.100s: %.60s", what, strerror(errno));
}

/* One line there, one back. False: said. */
static bool ask(const char *line, char *answer, size_t size)
{
	size_t len = strlen(line), have = 0;

	if (write(port, line, len) != (ssize_t)len) {
		broken("write");
		return false;
	}
	while (have == 0 || answer[have - 1] != '\n') {
		ssize_t n = have + 1 < size ? read(port, answer + have, size - 1 - have) : 0;

		if (n <= 0) {
			broken("read");
			return false;
		}
		have += (size_t)n;
	}
	answer[have - 1] = 0;
	return true;
}

static void learn_clock(void)
{
	int64_t best = INT64_MIN;

	for (int i = 0; i < CLOCK_TRIES; i++) {
		unsigned long long theirs;
		char answer[100];

		if (!ask("clock\n", answer, sizeof(answer)) || sscanf(answer, "ok %llu", &theirs) != 1)
			return;
		/* It was asked before this moment. */
		if ((int64_t)(theirs - now_ns()) > best)
			best = (int64_t)(theirs - now_ns());
	}
	offset = best;
}

static void learn_devices(void)
{
	struct svab_dev_info info = { .id = 0 };

	for (;;) {
		unsigned i = 0;

		info = (struct svab_dev_info){ .size = sizeof(info), .id = info.id };
		if (ioctl(control, SVAB_DEV_NEXT, &info) < 0)
			return;
		while (i < n_devices && i < DEVICES && devices[i].id != info.id)
			i++;
		if (i < n_devices && i < DEVICES)
			continue;
		i = n_devices++ % DEVICES;
		devices[i].id = info.id;
		memcpy(devices[i].name, info.name, sizeof(info.name));
	}
}

static const char *device_name(uint32_t id)
{
	for (int again = 0; again < 2; again++) {
		for (unsigned i = 0; i < n_devices && i < DEVICES; i++)
			if (devices[i].id == id)
				return devices[i].name;
		learn_devices();
	}
	return NULL;
}

static void look(const struct svab_event *e)
{
	const char *name = e->device ? device_name(e->device) : NULL;
	char line[200], answer[200];

	if (e->type == SVAB_EV_LOST)
		state.lost += e->value;
	if (e->type != SVAB_EV_DRAINED || e->state != SVAB_PASID_CLEAN)
		return;
	if (name && strncmp(name, "accel", 5) != 0)
		return; /* not one that the model plays */
	if (!name) {
		state.lost++; /* come and gone before this had a look */
		return;
	}
	snprintf(line, sizeof(line), "clean %s %u %lld\n", name, e->pasid,
		 (long long)((int64_t)(e->time_ns - e->value) + offset));
	if (!ask(line, answer, sizeof(answer)))
		return;
	state.clean++;
	if (strcmp(answer, "ok new owner") == 0)
		state.later++;
	else if (strcmp(answer, "ok") != 0) {
		errno = EPROTO;
		broken(answer);
	}
}

static void look_all(void)
{
	struct svab_event events[64];
	ssize_t n;

	while (control >= 0 && (n = read(control, events, sizeof(events))) > 0)
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(*events); i++)
			look(&events[i]);
}

static void answer_question(void)
{
	struct question q;

	if (recv(sock, &q, sizeof(q), 0) != sizeof(q))
		_exit(0); /* the runner has ended */
	look_all();
	if (q.what == '-')
		close_fd(&control);
	if (q.what == '+' && control < 0) {
		control = open("/dev/svabroker", O_RDWR | O_CLOEXEC | O_NONBLOCK);
		n_devices = 0; /* another module's: it counts anew */
		if (control < 0)
			broken("/dev/svabroker");
		else
			learn_devices();
	}
	learn_clock();
	state.number = q.number;
	(void)!send(sock, &state, sizeof(state), MSG_NOSIGNAL);
	if (q.what == '.')
		state = (struct told){ 0 };
}

static void watch(void)
{
	(void)write_file("/proc/self/oom_score_adj", "-1000");
	for (;;) {
		struct pollfd p[2] = { { .fd = sock, .events = POLLIN },
				       { .fd = control, .events = POLLIN } };

		if (poll(p, 2, -1) < 0)
			continue;
		look_all();
		if (p[0].revents)
			answer_question();
	}
}

/* ---- what the others see of it ---- */

void watch_start(void)
{
	int pair[2];

	port = hw_port(PORT);
	if (port < 0)
		FAIL("the watcher's way to the model, a virtio port named %s, cannot be opened: %s", PORT,
		     strerror(errno));
	MUST_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	fflush(stdout);
	watcher = fork();
	MUST_SYS(watcher >= 0);
	if (watcher == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		close(pair[0]);
		sock = pair[1];
		watch();
	}
	close(pair[1]);
	close(port);
	sock = pair[0];
}

pid_t watch_pid(void)
{
	return watcher;
}

/* Answered when all that has happened has been told. Answers to somebody who did not live to read them are
 * passed over. */
static bool question(char what, struct told *ret)
{
	const struct question q = { .what = what, .number = now_ns() };
	struct pollfd p = { .fd = sock, .events = POLLIN };

	*ret = (struct told){ .number = q.number };
	if (sock < 0)
		return true;
	if (send(sock, &q, sizeof(q), MSG_NOSIGNAL) != sizeof(q))
		return false;
	do
		if (poll(&p, 1, ms(60000)) != 1 || recv(sock, ret, sizeof(*ret), 0) != sizeof(*ret))
			return false;
	while (ret->number != q.number);
	return true;
}

void watch_on(void)
{
	struct told t;

	(void)question('+', &t); /* what is wrong is known at the end */
}

void watch_off(void)
{
	struct told t;

	(void)question('-', &t);
}

void watch_sync(void)
{
	struct told t;

	if (!question('=', &t))
		FAIL("the watcher gives no answer");
	if (*t.why)
		FAIL("%s", t.why);
}

bool watch_end(char *why, size_t size)
{
	struct told t;

	if (!question('.', &t))
		snprintf(t.why, sizeof(t.why), "the watcher gives no answer");
	else if (t.clean)
		note("the model was told of %llu bonds that they are CLEAN; %llu of the PASIDs had a new "
		     "owner "
		     "already",
		     (unsigned long long)t.clean, (unsigned long long)t.later);
	if (t.lost)
		note("the watcher lost %llu events", (unsigned long long)t.lost);
	snprintf(why, size, "%s", t.why);
	return !*why;
}
