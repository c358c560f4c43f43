/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many clients that ask, each its next question when it has its answer, beside the message buses;
 * connections; idle clients. One load process for all of them: epoll, a prebuilt request, one send and one
 * recv for each answer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

/* LONG: svad, with packets as long as the bus's whole messages, header and all, instead of only as much to
 * carry. */
enum { SVAD, LONG, BROKER, DAEMON, N_KINDS };
static const char *const kind_name[N_KINDS] = { "svad", "svad", "dbus-broker", "dbus-daemon" };
#define BODY 25u /* what a bus's call and its answer carry: one string */

struct server {
	struct live live;
	int admin;
	pid_t svad_broker;
	struct bus bus[N_KINDS];
	bool up[N_KINDS];
	char why[N_KINDS][256];
};

static bool servers_start(struct bench *b, struct server *s)
{
	static const char ini[] = "log_level = err\n[limits]\nconnections = 20000\nconnections_per_uid = "
				  "20000\nrequests_per_second = 4000000000\n"
				  "[device \"a-name-of-22-characters\"]\n[device \"another\"]\n";

	memset(s, 0, sizeof(*s));
	s->admin = -1;
	s->up[SVAD] = s->up[LONG] = live_start(&s->live, b->builddir, b->libexecdir, ini, 1);
	if (!s->up[SVAD]) {
		b->failed++;
		live_stop(&s->live, 1);
		return false;
	}
	s->admin = live_connect(s->live.admin, "svad-bench");
	s->svad_broker = live_broker(s->admin);
	s->up[BROKER] = bus_start_broker(&s->bus[BROKER], s->why[BROKER], sizeof(s->why[0]));
	s->up[DAEMON] = bus_start_daemon(&s->bus[DAEMON], s->why[DAEMON], sizeof(s->why[0]));
	return true;
}

static void servers_stop(struct server *s)
{
	close(s->admin);
	live_stop(&s->live, 1);
	bus_stop(&s->bus[BROKER]);
	bus_stop(&s->bus[DAEMON]);
}

static void servers_pin(struct server *s, int cpu)
{
	pin(s->svad_broker, cpu);
	if (s->up[BROKER])
		pin(s->bus[BROKER].pid, cpu);
	if (s->up[DAEMON])
		pin(s->bus[DAEMON].pid, cpu);
}

static int open_one(const struct server *s, int kind)
{
	return kind <= LONG ? live_connect(s->live.socket, "svad-bench") : bus_connect(&s->bus[kind]);
}

/* Fills up with a field from the future (number 100, bytes), which the broker must read past. */
static size_t pad(unsigned char *buf, size_t n, size_t to)
{
	size_t len = to - n - 4;

	if (to < n + 4 || len > 16383)
		return n;
	buf[n++] = 0xa2; /* 100 << 3 | 2, as a varint */
	buf[n++] = 0x06;
	buf[n++] = (unsigned char)(len | 0x80);
	buf[n++] = (unsigned char)(len >> 7);
	memset(buf + n, 'x', len);
	return n + len;
}

static size_t request_of(int kind, unsigned char *buf, size_t size)
{
	Svad__V1__ListDevices list = SVAD__V1__LIST_DEVICES__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	unsigned char bus[512];
	ssize_t n;

	if (kind > LONG)
		return bus_request(buf, size);
	request.id = 7;
	request.body_case = SVAD__V1__REQUEST__BODY_LIST_DEVICES;
	request.list_devices = &list;
	n = wire_encode_request(&request, buf, size);
	if (n <= 0)
		return 0;
	return pad(buf, (size_t)n, kind == LONG ? bus_request(bus, sizeof(bus)) : (size_t)n + BODY);
}

/* ---- requests per second -------------------------------------------------------------------- */

struct load {
	int epoll, *fds;
	unsigned n;
	unsigned char request[512];
	size_t len, answer; /* bytes of one answer */
};

static bool load_open(struct load *l, const struct server *s, int kind, unsigned n)
{
	unsigned char buf[4096];
	ssize_t got;

	memset(l, 0, sizeof(*l));
	l->len = request_of(kind, l->request, sizeof(l->request));
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->fds = calloc(n, sizeof(*l->fds));
	if (l->epoll < 0 || !l->fds)
		return false;
	for (; l->n < n; l->n++) {
		int fd = open_one(s, kind);
		struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

		if (fd < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
			fprintf(stderr, "svad-bench: client %u of %s: %s\n", l->n, kind_name[kind],
				strerror(fd < 0 ? -fd : errno));
			return false;
		}
		l->fds[l->n] = fd;
	}
	if (send(l->fds[0], l->request, l->len, MSG_NOSIGNAL) != (ssize_t)l->len)
		return false;
	got = recv(l->fds[0], buf, sizeof(buf), 0);
	l->answer = got > 0 ? (size_t)got : 0;
	return got > 0 && (kind <= LONG || bus_message_length(buf, (size_t)got) == (size_t)got);
}

static void load_close(struct load *l)
{
	for (unsigned i = 0; i < l->n; i++)
		close(l->fds[i]);
	close(l->epoll);
	free(l->fds);
	memset(l, 0, sizeof(*l));
}

/* Requests answered in a second; NOTHING when something broke. */
static double load_run(struct load *l, uint64_t ns, uint64_t *ret_count)
{
	uint64_t start, now, count = 0, outstanding = 0;
	static struct epoll_event ev[1024];
	unsigned char buf[4096];

	start = now = live_now_ns();
	for (unsigned i = 0; i < l->n; i++, outstanding++)
		if (send(l->fds[i], l->request, l->len, MSG_NOSIGNAL) != (ssize_t)l->len)
			return NOTHING;
	while (outstanding) {
		int n = epoll_wait(l->epoll, ev, 1024, 10000);
		bool over = now - start >= ns;

		if (n <= 0)
			return NOTHING;
		/* First all answers, then all questions: a server that is quicker than we are does not sleep
		 * after each one. */
		for (int i = 0; i < n; i++)
			if (recv(ev[i].data.fd, buf, sizeof(buf), 0) != (ssize_t)l->answer)
				return NOTHING;
		count += (unsigned)n;
		/* what is under way when the time is up is answered, and not renewed */
		for (int i = 0; i < n && !over; i++)
			if (send(ev[i].data.fd, l->request, l->len, MSG_NOSIGNAL) != (ssize_t)l->len)
				return NOTHING;
		if (over)
			outstanding -= (unsigned)n;
		now = live_now_ns();
	}
	*ret_count = count;
	return (double)count * 1e9 / (double)(now - start);
}

/* How long its main thread has run: all these servers have one. */
static uint64_t on_cpu_ns(pid_t pid)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	fclose(f);
	return ns;
}

static void requests(struct bench *b, struct server *s, unsigned clients, int cpu, double reach)
{
	struct load load[N_KINDS];
	struct samples rate[N_KINDS] = { { 0 } }, cost[N_KINDS] = { { 0 } };
	unsigned rounds = b->quick ? 3 : 9;
	uint64_t ns = b->quick ? 150000000 : 400000000;
	bool ok[N_KINDS];
	char name[96];

	servers_pin(s, cpu);
	pin(0, 0);
	for (int k = 0; k < N_KINDS; k++) {
		memset(&load[k], 0, sizeof(load[k]));
		ok[k] = s->up[k] && load_open(&load[k], s, k, clients);
	}
	for (unsigned i = 0; i < rounds + 1; i++)
		for (int k = 0; k < N_KINDS; k++) {
			pid_t pid = k <= LONG ? s->svad_broker : s->bus[k].pid;
			uint64_t count = 0, cpu_ns = on_cpu_ns(pid);
			double r = ok[k] ? load_run(&load[k], ns, &count) : NOTHING;

			cpu_ns = on_cpu_ns(pid) - cpu_ns;
			ok[k] = ok[k] && r > 0;
			if (ok[k] && i) { /* the first warms up */
				sample(&rate[k], r);
				sample(&cost[k], (double)cpu_ns / 1e3 / (double)count);
			}
		}
	if (!ok[SVAD])
		b->failed++;
	for (int k = BROKER; k < N_KINDS; k++) {
		snprintf(name, sizeof(name), "requests/s, %u clients, beside %s, %s", clients, kind_name[k],
			 cpu ? "cross-core" : "same core");
		row(name, "1/s", ok[SVAD] ? median(&rate[SVAD]) : NOTHING, ok[k] ? median(&rate[k]) : NOTHING,
		    k == BROKER ? reach : NO_REACH, false, "%zu+%zu B, the bus %zu+%zu B%s", load[SVAD].len,
		    load[SVAD].answer, load[k].len, load[k].answer, s->why[k]);
	}
	row("  the same beside dbus-broker, in packets as long as the bus's", "1/s",
	    ok[LONG] ? median(&rate[LONG]) : NOTHING, ok[BROKER] ? median(&rate[BROKER]) : NOTHING, NO_REACH,
	    false, "%zu+%zu B", load[LONG].len, load[LONG].answer);
	row("  CPU time of the server for a request, beside dbus-broker", "us",
	    ok[SVAD] ? median(&cost[SVAD]) : NOTHING, ok[BROKER] ? median(&cost[BROKER]) : NOTHING, NO_REACH,
	    true, "where the load itself is the limit, this is what is left to compare");
	for (int k = 0; k < N_KINDS; k++) {
		load_close(&load[k]);
		samples_free(&rate[k]);
		samples_free(&cost[k]);
	}
	pin(0, -1);
}

/* ---- connections per second ----------------------------------------------------------------- */

static double connections_run(const struct server *s, int kind, uint64_t ns)
{
	uint64_t start = live_now_ns(), now, n = 0;

	do {
		int fd = open_one(s, kind);

		if (fd < 0)
			return NOTHING;
		close(fd);
		n++;
		now = live_now_ns();
	} while (now - start < ns);
	return (double)n * 1e9 / (double)(now - start);
}

static void connections(struct bench *b, struct server *s, int cpu)
{
	struct samples rate[N_KINDS] = { { 0 } };
	unsigned rounds = b->quick ? 3 : 9;
	uint64_t ns = b->quick ? 100000000 : 250000000;
	char name[96];

	servers_pin(s, cpu);
	pin(0, 0);
	for (unsigned i = 0; i < rounds + 1; i++)
		for (int k = 0; k < N_KINDS; k++) {
			double r = s->up[k] && k != LONG ? connections_run(s, k, ns) : NOTHING;

			settle(s->admin);
			if (r > 0 && i)
				sample(&rate[k], r);
		}
	for (int k = BROKER; k < N_KINDS; k++) {
		snprintf(name, sizeof(name), "connections/s, beside %s, %s", kind_name[k],
			 cpu ? "cross-core" : "same core");
		row(name, "1/s", median(&rate[SVAD]), median(&rate[k]), NO_REACH, false, "%s",
		    s->up[k] ? "connect, Hello, close" : s->why[k]);
	}
	for (int k = 0; k < N_KINDS; k++)
		samples_free(&rate[k]);
	pin(0, -1);
}

void bench_requests(struct bench *b)
{
	struct server s;

	(void)raise_fd_limit(16384);
	if (!servers_start(b, &s))
		return;
	for (int cpu = 1; cpu >= 0; cpu--)
		requests(b, &s, 64, cpu, 1.3);
	for (int cpu = 1; cpu >= 0; cpu--)
		requests(b, &s, 1000, cpu, 2.5);
	for (int cpu = 1; cpu >= 0; cpu--)
		connections(b, &s, cpu);
	servers_stop(&s);
}

/* ---- idle clients --------------------------------------------------------------------------- */

static double idle_kib(const struct server *s, int kind, pid_t pid, unsigned n)
{
	int *fds = calloc(n, sizeof(*fds));
	uint64_t before, after;
	unsigned i;

	if (!fds)
		return NOTHING;
	fds[0] = open_one(s, kind); /* what the first costs is not a client's */
	before = pss_kib(pid);
	for (i = 1; i < n; i++) {
		fds[i] = open_one(s, kind);
		if (fds[i] < 0) {
			fprintf(stderr, "svad-bench: idle client %u of %s: %s\n", i, kind_name[kind],
				strerror(-fds[i]));
			break;
		}
	}
	after = pss_kib(pid);
	for (unsigned j = 0; j < i; j++)
		close(fds[j]);
	free(fds);
	return i == n ? (double)(after - before) / (double)(n - 1) : NOTHING;
}

void bench_memory(struct bench *b)
{
	unsigned n = b->quick ? 1000 : 5000;
	double ours, peer[N_KINDS];
	struct server s;
	char name[96];

	if (!raise_fd_limit(n + 512)) {
		row("broker memory per idle client", "KiB", NOTHING, NOTHING, NO_REACH, true,
		    "no room for %u fds: raise RLIMIT_NOFILE", n);
		return;
	}
	if (!servers_start(b, &s))
		return;
	ours = idle_kib(&s, SVAD, s.svad_broker, n);
	snprintf(name, sizeof(name), "broker memory per idle client, at %u", n);
	/* The reach is a figure, not a ratio: 4 KiB. */
	row(name, "KiB", ours, 4.0, 1.0, true, "beside the 4 KiB that were asked for; PSS");
	for (int k = BROKER; k < N_KINDS; k++) {
		peer[k] = s.up[k] ? idle_kib(&s, k, s.bus[k].pid, n) : NOTHING;
		snprintf(name, sizeof(name), "the same, beside %s", kind_name[k]);
		row(name, "KiB", ours, peer[k], NO_REACH, true, "%s", s.why[k]);
	}
	if (ours < 0)
		b->failed++;
	servers_stop(&s);
}
