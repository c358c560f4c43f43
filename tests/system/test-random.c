/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 10,000 random operations from many processes at once: bind, DMA, unbind, fork, exec, exit, crash, kill,
 * revoke, reset, and faults of the devices. Every byte is verified by its owner; in the end nothing is left
 * and the checker has seen nothing.
 *
 * What happens is drawn from one seed, and nothing that comes back changes it: SVAD_TEST_SEED=N does the same
 * operations again. (When they meet in the daemon is up to the scheduler.) SVAD_TEST_OPS=N: another number of
 * operations. SVAD_TEST_TRACE=1: says each one.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"
#include "random.h"
#include "tap.h"

#define WORKERS 12u
#define WINDOW 3u /* commands on their way to one worker */
#define OPERATIONS 10000u
#define HISTORY 48u
#define ADMIN_IN_FLIGHT 24u
#define HEAL_MS 50
#define PATIENCE_MS 60000
#define REST_MS 60000

/* What the driver itself does. */
enum driver_op {
	DRIVE_KILL = N_RANDOM_OPS,
	DRIVE_REVOKE,
	DRIVE_RESET,
	DRIVE_IGNORE_STOP,
	DRIVE_OBEY,
	DRIVE_LATE_DMA,
	DRIVE_LOSE,
	DRIVE_DELAY,
	DRIVE_HOLD,
	DRIVE_UNHOLD,
	DRIVE_VANISH,
	DRIVE_RETURN,
};

static const struct {
	unsigned op, weight;
} mix[] = {
	{ OP_DMA, 400 },     { OP_BIND, 110 },	       { OP_UNBIND, 140 }, { OP_ASYNC, 60 },
	{ OP_FAULT, 40 },    { OP_UNMAP, 20 },	       { OP_FORK, 20 },	   { OP_FORK_KILL, 12 },
	{ OP_EXEC, 20 },     { OP_EXIT, 10 },	       { OP_CRASH, 6 },	   { OP_DISCONNECT, 20 },
	{ OP_THREADS, 20 },  { OP_SECOND, 15 },	       { DRIVE_KILL, 25 }, { DRIVE_REVOKE, 22 },
	{ DRIVE_RESET, 18 }, { DRIVE_IGNORE_STOP, 6 }, { DRIVE_OBEY, 8 },  { DRIVE_LATE_DMA, 6 },
	{ DRIVE_LOSE, 4 },   { DRIVE_DELAY, 6 },       { DRIVE_HOLD, 4 },  { DRIVE_UNHOLD, 4 },
	{ DRIVE_VANISH, 4 }, { DRIVE_RETURN, 4 },
};

static const char config[] =
	"log_level = err\n"
	"[limits]\nbonds_per_client = 3\n"
	"[device \"flushed\"]\nengines = 2\nstop = flushed\ndrain_deadline = 150\n"
	"[device \"clean\"]\nengines = 2\nstop = clean\ndrain_deadline = 150\n"
	"[device \"nostop\"]\nengines = 1\nstop = none\nreset = yes\ndrain_deadline = 100\n"
	"[device \"pri\"]\nengines = 1\nstop = flushed\ncapabilities = pri ats\nmax_bonds = "
	"6\ndrain_deadline = 150\n";

struct worker {
	pid_t pid;
	int fd;
	unsigned in_flight;
	bool dying;    /* it was told to end */
	uint64_t bond; /* one that it had */
};

static const char *const gauges[] = {
	"svad_clients",		  "svad_bonds",
	"svad_bonds_draining",	  "svad_bonds_quarantined",
	"svad_charged_uids",	  "svad_connections",
	"svad_pasids_free",	  "svad_checker_violations_total",
	"svad_drains_total",	  "svad_quarantines_total",
	"svad_dma_blocked_total", "svad_stop_failures_total",
};
enum {
	CLIENTS,
	BONDS,
	DRAINING,
	QUARANTINED,
	UIDS,
	CONNECTIONS,
	PASIDS,
	N_AT_REST,
	VIOLATIONS = N_AT_REST,
	DRAINS,
	QUARANTINES,
	BLOCKED,
	STOP_FAILURES,
	N_GAUGES
};

static struct {
	struct live live;
	struct worker worker[WORKERS];
	int admin;
	unsigned admin_in_flight, drive_next;
	uint64_t seed, rng, ops, bytes, results[2]; /* failed, went well */
	uint32_t seq;
	char history[HISTORY][96];
	unsigned n_history;
	bool trace;
	bool lost[RANDOM_DEVICES]; /* a page response may have been lost since the last heal */
} t;

static void give_up(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void give_up(const char *fmt, ...)
{
	char why[512], answer[4096];
	unsigned first = t.n_history > HISTORY ? t.n_history - HISTORY : 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	fprintf(stderr,
		"# after %" PRIu64 " operations: %s\n# again: SVAD_TEST_SEED=%" PRIu64
		"; the last operations were\n",
		t.ops, why, t.seed);
	for (unsigned i = first; i < t.n_history; i++)
		fprintf(stderr, "#   %s\n", t.history[i % HISTORY]);
	if (t.live.fault_fd >= 0 && live_fault(&t.live, answer, sizeof(answer), "checker"))
		fprintf(stderr, "# checker: %s\n", answer);
	if (t.live.fault_fd >= 0 && live_fault(&t.live, answer, sizeof(answer), "state"))
		fprintf(stderr, "# state: %s\n", answer);
	ck_abort_msg("seed %" PRIu64 ": %s", t.seed, why);
}

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	char *line = t.history[t.n_history++ % HISTORY];
	int n = snprintf(line, sizeof(t.history[0]), "%" PRIu64 " ", t.ops);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(t.history[0]) - (size_t)n, fmt, ap);
	va_end(ap);
	if (t.trace)
		fprintf(stderr, "# %s\n", line);
}

/* ---- workers -------------------------------------------------------------------------------- */

static void worker_start(unsigned i)
{
	struct worker *w = &t.worker[i];
	char fd[16], salt[32], slow[16];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		give_up("socketpair: %s", strerror(errno));
	snprintf(salt, sizeof(salt), "%" PRIu64, t.seed + ++t.seq);
	snprintf(slow, sizeof(slow), "%u", tap_slow());
	w->pid = fork();
	if (w->pid == 0) {
		int own = dup(pair[1]); /* without CLOEXEC */

		snprintf(fd, sizeof(fd), "%d", own);
		execl("/proc/self/exe", "test-random", "--worker", fd, salt, "0", slow, (char *)NULL);
		_exit(126);
	}
	if (w->pid < 0)
		give_up("fork: %s", strerror(errno));
	close(pair[1]);
	w->fd = pair[0];
	w->in_flight = 0;
	w->dying = false;
}

/* Waits for its end; status is judged by the caller. */
static int worker_reap(struct worker *w)
{
	int status;

	while (waitpid(w->pid, &status, 0) < 0)
		if (errno != EINTR)
			give_up("waitpid: %s", strerror(errno));
	close(w->fd);
	w->fd = -1;
	w->pid = 0;
	w->in_flight = 0;
	return status;
}

static void worker_answer(unsigned i)
{
	struct worker *w = &t.worker[i];
	struct random_answer a;
	ssize_t n = recv(w->fd, &a, sizeof(a), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(a)) {
		bool expected = w->dying;
		int status = worker_reap(w);

		if (!expected)
			give_up("worker %u ended by itself: status 0x%x", i, (unsigned)status);
		if (WIFEXITED(status) && WEXITSTATUS(status))
			give_up("worker %u exited with %d", i, WEXITSTATUS(status));
		return;
	}
	w->in_flight--;
	t.bytes += a.bytes;
	t.results[a.result >= 0]++;
	if (a.bond)
		w->bond = a.bond;
	if (t.trace)
		fprintf(stderr, "#   worker %u: command %u: %d\n", i, a.seq, a.result);
	if (a.wrong)
		give_up("worker %u, command %u: %.*s", i, a.seq, (int)sizeof(a.text), a.text);
}

/* ---- the administrator ---------------------------------------------------------------------- */

static void admin_answer(void)
{
	Svad__V1__Reply *reply;
	int r = live_receive(t.admin, 0, &reply);

	if (r == -EAGAIN)
		return;
	if (r < 0)
		give_up("admin socket: %s", strerror(-r));
	t.admin_in_flight--;
	if (reply->status && reply->status->code && reply->status->code != SVAD_NOT_FOUND &&
	    reply->status->code != SVAD_DEADLINE_EXCEEDED && reply->status->code != SVAD_UNAVAILABLE)
		give_up("an administrator was refused: %s %s", svad_code_name(reply->status->code),
			reply->status->message);
}

static void heal(void);

/* Waits until something came, and takes it. Healing is no operation: it draws nothing from the seed. */
static void turn(void)
{
	struct pollfd p[WORKERS + 2];
	static uint64_t stuck_since;
	int r;

	for (unsigned i = 0; i < WORKERS; i++)
		p[i] = (struct pollfd){ .fd = t.worker[i].fd, .events = POLLIN };
	p[WORKERS] = (struct pollfd){ .fd = t.admin, .events = POLLIN };
	p[WORKERS + 1] = (struct pollfd){ .fd = t.live.pidfd, .events = POLLIN };
	r = poll(p, WORKERS + 2, HEAL_MS * (int)tap_slow());
	if (r < 0 && errno != EINTR)
		give_up("poll: %s", strerror(errno));
	if (r <= 0) {
		if (!stuck_since)
			stuck_since = live_now_ns();
		if (live_now_ns() - stuck_since > (uint64_t)PATIENCE_MS * tap_slow() * 1000000u)
			give_up("nothing has happened for a minute");
		heal();
		return;
	}
	stuck_since = 0;
	if (p[WORKERS + 1].revents)
		give_up("svad has ended");
	if (p[WORKERS].revents)
		admin_answer();
	for (unsigned i = 0; i < WORKERS; i++)
		if (p[i].revents)
			worker_answer(i);
}

static void admin_ask(Svad__V1__Request *request)
{
	int r;

	while (t.admin_in_flight >= ADMIN_IN_FLIGHT)
		turn();
	r = live_send(t.admin, request);
	if (r < 0)
		give_up("admin socket: %s", strerror(-r));
	t.admin_in_flight++;
}

static void revoke_device(unsigned d)
{
	Svad__V1__Revoke body = SVAD__V1__REVOKE__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;

	body.device = (char *)(uintptr_t)random_device[d];
	body.timeout_ms = 1000;
	request.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	request.revoke = &body;
	admin_ask(&request);
}

static void revoke_some(uint64_t arg, unsigned d, const struct worker *w)
{
	Svad__V1__Revoke body = SVAD__V1__REVOKE__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;

	switch (arg % 8) {
	case 0:
		body.all = true;
		break;
	case 1:
		body.has_uid = true;
		body.uid = getuid();
		break;
	case 2:
	case 3:
		revoke_device(d);
		return;
	default:
		body.bond = w->bond ? w->bond : 1;
		break;
	}
	body.timeout_ms = 1000;
	request.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	request.revoke = &body;
	admin_ask(&request);
}

static void reset(unsigned d)
{
	Svad__V1__ResetDevice body = SVAD__V1__RESET_DEVICE__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;

	body.device = (char *)(uintptr_t)random_device[d];
	request.body_case = SVAD__V1__REQUEST__BODY_RESET_DEVICE;
	request.reset_device = &body;
	admin_ask(&request);
}

/* ---- faults --------------------------------------------------------------------------------- */

static void fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void fault(const char *fmt, ...)
{
	char command[128], answer[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	/* "it is gone already" and its like are fine */
	if (!live_fault(&t.live, answer, sizeof(answer), "%s", command) &&
	    strncmp(answer, "error it is", 11) != 0)
		give_up("fault socket, %s: %s", command, answer);
}

/* Everybody waits: for a held device, or one whose page response was lost. Ends that. */
static void heal(void)
{
	for (unsigned d = 0; d < RANDOM_DEVICES; d++) {
		fault("unhold %s", random_device[d]);
		if (t.lost[d] && t.admin_in_flight < ADMIN_IN_FLIGHT) {
			t.lost[d] = false;
			fault("lose-response %s 0", random_device[d]);
			revoke_device(d);
		}
	}
}

static void drive(unsigned op, unsigned i, unsigned d, uint64_t arg)
{
	const char *name = random_device[d];

	switch ((enum driver_op)op) {
	case DRIVE_KILL:
		note("kill worker %u", i);
		kill(t.worker[i].pid, SIGKILL);
		(void)worker_reap(&t.worker[i]);
		worker_start(i);
		break;
	case DRIVE_REVOKE:
		note("revoke (%u) %s, worker %u", (unsigned)(arg % 8), name, i);
		revoke_some(arg, d, &t.worker[i]);
		break;
	case DRIVE_RESET:
		if (arg % 3)
			d = 2; /* the one that needs it most */
		note("reset %s", random_device[d]);
		reset(d);
		break;
	case DRIVE_IGNORE_STOP:
		note("stop %s ignore %u", name, 20 + (unsigned)(arg % 300));
		if (arg >> 60 == 0)
			fault("stop %s ignore forever", name);
		else
			fault("stop %s ignore %u", name, 20 + (unsigned)(arg % 300));
		break;
	case DRIVE_OBEY:
		note("stop %s obey", name);
		fault("stop %s obey", name);
		break;
	case DRIVE_LATE_DMA:
		note("late-dma %s", name);
		fault("late-dma %s %u %u", name, 1 + (unsigned)(arg % 4), (unsigned)(arg >> 8) % 30);
		break;
	case DRIVE_LOSE:
		note("lose-response %s", name);
		t.lost[d] = true;
		fault("lose-response %s %u", name, 1 + (unsigned)(arg % 2));
		break;
	case DRIVE_DELAY:
		note("delay-response %s", name);
		fault("delay-response %s %u %u", name, 1 + (unsigned)(arg % 10),
		      1 + (unsigned)(arg >> 8) % 5);
		break;
	case DRIVE_HOLD:
		note("hold %s", name);
		fault("hold %s", name);
		break;
	case DRIVE_UNHOLD:
		note("unhold %s", name);
		fault("unhold %s", name);
		break;
	case DRIVE_VANISH:
		note("vanish %s", name);
		fault("vanish %s", name);
		t.drive_next = DRIVE_RETURN; /* soon */
		break;
	case DRIVE_RETURN:
		for (d = 0; d < RANDOM_DEVICES; d++) {
			note("return %s", random_device[d]);
			fault("return %s", random_device[d]);
		}
		break;
	}
}

static void command(unsigned i, unsigned op, unsigned d, uint64_t arg)
{
	struct worker *w = &t.worker[i];
	struct random_command c = { .seq = ++t.seq, .op = op, .device = d, .arg = arg };

	while (w->pid && (w->in_flight >= WINDOW || w->dying))
		turn();
	if (!w->pid)
		worker_start(i);
	note("worker %u command %u: %s %s %" PRIx64, i, c.seq, random_op_name[op], random_device[d], arg);
	if (send(w->fd, &c, sizeof(c), MSG_NOSIGNAL) != (ssize_t)sizeof(c))
		give_up("worker %u does not listen: %s", i, strerror(errno));
	w->in_flight++;
	w->dying = op == OP_EXIT || op == OP_CRASH || op == OP_QUIT;
}

static void step(void)
{
	unsigned i, d, op, total = 0;
	uint64_t pick, arg;

	for (i = 0; i < sizeof(mix) / sizeof(mix[0]); i++)
		total += mix[i].weight;
	pick = random_next(&t.rng) % total;
	for (i = 0; pick >= mix[i].weight; i++)
		pick -= mix[i].weight;
	op = mix[i].op;
	arg = random_next(&t.rng);
	i = (unsigned)(random_next(&t.rng) % WORKERS);
	d = (unsigned)(random_next(&t.rng) % RANDOM_DEVICES);
	t.ops++;
	if (op < N_RANDOM_OPS) {
		command(i, op, d, arg);
		return;
	}
	if (op == DRIVE_KILL && (!t.worker[i].pid || t.worker[i].dying)) {
		while (t.worker[i].pid)
			turn();
		worker_start(i);
	}
	drive(op, i, d, arg);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void get_gauges(uint64_t values[N_GAUGES])
{
	int r;

	while (t.admin_in_flight)
		turn();
	r = live_stats(t.admin, gauges, values, N_GAUGES);
	if (r < 0)
		give_up("GetStats: %s", strerror(-r));
}

/* Nothing is left of what there was; waits for it, woken by events. */
static void expect_rest(const uint64_t before[N_GAUGES], uint64_t after[N_GAUGES])
{
	uint64_t deadline = live_now_ns() + (uint64_t)REST_MS * tap_slow() * 1000000u;
	Svad__V1__Watch body = SVAD__V1__WATCH__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;
	int watch = live_connect(t.live.admin, "test-random");

	if (watch < 0)
		give_up("admin socket: %s", strerror(-watch));
	request.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	request.watch = &body;
	if (live_call(watch, &request, 60000, &reply))
		give_up("Watch");
	for (;;) {
		unsigned i;

		get_gauges(after);
		after[CONNECTIONS]--; /* the watching one */
		for (i = 0; i < N_AT_REST && after[i] == before[i]; i++)
			;
		if (i == N_AT_REST)
			break;
		if (live_now_ns() > deadline)
			give_up("%s is %" PRIu64 ", was %" PRIu64, gauges[i], after[i], before[i]);
		if (live_receive(watch, 100, &reply) == -EAGAIN && after[QUARANTINED])
			for (unsigned d = 0; d < RANDOM_DEVICES; d++)
				reset(d); /* one that was quarantined after the last */
	}
	close(watch);
}

static uint64_t figure(const char *answer, const char *name)
{
	const char *at = strstr(answer, name);

	if (!at)
		give_up("no %s in: %s", name, answer);
	return strtoull(at + strlen(name), NULL, 10);
}

/* The device closes what clients sent in threads of its own (a close can block): that may be a moment behind
 * what it says. */
static void expect_fds(const char *who, pid_t pid, int fds)
{
	struct pollfd p = { .fd = t.live.pidfd, .events = POLLIN };
	uint64_t deadline = live_now_ns() + (uint64_t)10000 * tap_patience() * 1000000u;

	while (live_count_fds(pid) != fds) {
		if (live_now_ns() > deadline) {
			live_print_fds(pid);
			give_up("%s has %d fds open, had %d", who, live_count_fds(pid), fds);
		}
		if (poll(&p, 1, 10) == 1)
			give_up("svad has ended");
	}
}

static void expect_nothing_left(pid_t broker, int broker_fds, pid_t simdev, int simdev_fds)
{
	char answer[4096];

	if (!live_fault(&t.live, answer, sizeof(answer), "checker"))
		give_up("checker: %s", answer);
	if (figure(answer, "violations=") != 0)
		give_up("the checker has seen violations");
	if (figure(answer, "accesses=") == 0)
		give_up("the checker has seen no access at all");
	if (!live_fault(&t.live, answer, sizeof(answer), "state"))
		give_up("state: %s", answer);
	if (figure(answer, "ctxs=") || figure(answer, "bonds=") || figure(answer, "pasids=") ||
	    figure(answer, "mms="))
		give_up("left in the device: %s", answer);
	expect_fds("the broker", broker, broker_fds);
	expect_fds("the device", simdev, simdev_fds);
}

static void quit_all(void)
{
	for (unsigned d = 0; d < RANDOM_DEVICES; d++) {
		fault("stop %s obey", random_device[d]);
		fault("late-dma %s 0 0", random_device[d]);
		fault("lose-response %s 0", random_device[d]);
		fault("delay-response %s 0 0", random_device[d]);
		fault("unhold %s", random_device[d]);
		fault("return %s", random_device[d]);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		command(i, i % 3 ? OP_QUIT : OP_EXIT, i % RANDOM_DEVICES, 0);
	for (unsigned i = 0; i < WORKERS; i++)
		while (t.worker[i].pid)
			turn();
	for (unsigned d = 0; d < RANDOM_DEVICES; d++)
		reset(d);
}

static pid_t broker_pid(void)
{
	Svad__V1__GetStatus body = SVAD__V1__GET_STATUS__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;

	request.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	request.get_status = &body;
	if (live_call(t.admin, &request, 60000, &reply) ||
	    reply->body_case != SVAD__V1__REPLY__BODY_GET_STATUS)
		give_up("GetStatus");
	return reply->get_status->broker_pid;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *s = getenv(variable);

	return s && *s ? strtoull(s, NULL, 10) : otherwise;
}

START_TEST(test_random_operations)
{
	uint64_t before[N_GAUGES], after[N_GAUGES], n;
	int broker_fds, simdev_fds, status;
	pid_t broker, simdev;

	memset(&t, 0, sizeof(t));
	if (getrandom(&t.seed, sizeof(t.seed), 0) < 0)
		t.seed = live_now_ns();
	t.seed = t.rng = number_from("SVAD_TEST_SEED", t.seed >> 32);
	n = number_from("SVAD_TEST_OPS", tap_scale(OPERATIONS));
	t.trace = getenv("SVAD_TEST_TRACE") != NULL;
	printf("# SVAD_TEST_SEED=%" PRIu64 ", %" PRIu64 " operations\n", t.seed, n);
	fflush(stdout);

	if (!live_start(&t.live, tap_builddir(), tap_libexecdir(), config, tap_slow()))
		give_up("svad could not be started");
	setenv("SVAD_SOCKET", t.live.socket, 1);
	t.admin = live_connect(t.live.admin, "test-random");
	if (t.admin < 0)
		give_up("admin socket: %s", strerror(-t.admin));
	get_gauges(before);
	broker = broker_pid();
	simdev = live_simdev(&t.live);
	broker_fds = live_count_fds(broker);
	simdev_fds = live_count_fds(simdev);

	for (unsigned i = 0; i < WORKERS; i++)
		worker_start(i);
	while (t.ops < n) {
		unsigned next = t.drive_next;

		t.drive_next = 0;
		step();
		if (next)
			drive(next, 0, 0, 0);
	}
	quit_all();
	expect_rest(before, after);
	printf("# %" PRIu64 " operations; of the workers' %" PRIu64 " went well and %" PRIu64
	       " did not; %" PRIu64 " MB verified\n",
	       t.ops, t.results[1], t.results[0], t.bytes >> 20);
	printf("# drained %" PRIu64 ", quarantined %" PRIu64 ", stops that failed %" PRIu64
	       ", accesses refused by the IOMMU %" PRIu64 ", violations %" PRIu64 "\n",
	       after[DRAINS], after[QUARANTINES], after[STOP_FAILURES], after[BLOCKED], after[VIOLATIONS]);
	if (after[VIOLATIONS])
		give_up("svad reports violations");
	/* it did what it is for */
	if (t.results[1] < n / 4 || after[DRAINS] < n / 20 || (n >= 2000 && !after[QUARANTINES]) || !t.bytes)
		give_up("too little has happened to say anything");
	expect_nothing_left(broker, broker_fds, simdev, simdev_fds);
	close(t.admin);
	status = live_stop(&t.live, tap_slow());
	if (status != 0)
		give_up("svad's exit status is %d", status);
}
END_TEST

static Suite *random_suite(void)
{
	Suite *s = suite_create("random");
	TCase *tc = tcase_create("operations");

	tcase_set_timeout(tc, 900);
	tcase_add_test(tc, test_random_operations);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--worker") == 0)
		return random_worker(argc, argv);
	return tap_main(argc, argv, random_suite, NULL);
}
