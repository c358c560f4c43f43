/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long ends take: one client that is killed, and many bonds of one group that are revoked at once. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/queue.h>
#include <sva/sva.h>

#include "bench.h"

#define MEMORY (1u << 20)
#define GROUP_DEVICES 100u

/* ---- SIGKILL to CLEAN ----------------------------------------------------------------------- */

struct victim {
	int tell;
	bool binds;
};

static void victim(void *arg)
{
	const struct victim *v = arg;
	unsigned char *memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sva_queue *queue;
	struct sva_bond *bond;
	uint64_t id = 0;
	struct sva *sva;

	if (memory == MAP_FAILED)
		return;
	memset(memory, 1, MEMORY);
	if (v->binds) {
		if (sva_connect(NULL, -1, &sva) < 0 || sva_bind(sva, "one", &bond) < 0 ||
		    sva_queue_new(bond, 16, &queue) < 0 ||
		    sva_copy(queue, memory, memory + MEMORY / 2, MEMORY / 2, NULL) < 0)
			return;
		id = sva_bond_id(bond);
	}
	if (write(v->tell, &id, sizeof(id)) != (ssize_t)sizeof(id))
		return;
	for (;;)
		pause();
}

/* A process that is ready to be killed. False: it was not. */
static bool victim_start(bool binds, pid_t *ret_pid, int *ret_pidfd, uint64_t *ret_bond)
{
	struct victim v = { .binds = binds };
	int tell[2];
	bool ok;

	if (pipe(tell) < 0)
		return false;
	v.tell = tell[1];
	*ret_pid = spawn_pinned(-1, victim, &v);
	close(tell[1]);
	*ret_pidfd = (int)syscall(SYS_pidfd_open, *ret_pid, 0);
	ok = *ret_pidfd >= 0 && read(tell[0], ret_bond, sizeof(*ret_bond)) == (ssize_t)sizeof(*ret_bond);
	close(tell[0]);
	return ok;
}

static bool await_clean(int watch, uint64_t bond)
{
	Svad__V1__Reply *reply;

	while (live_receive(watch, 10000, &reply) == 0)
		if (reply->body_case == SVAD__V1__REPLY__BODY_EVENT && reply->event->bond == bond &&
		    reply->event->kind == SVAD__V1__EVENT_KIND__EVENT_CLEAN)
			return true;
	return false;
}

/* Microseconds from kill() until we know: of the bond's CLEAN (watch >= 0), or of the process's end alone. 0:
 * failed. */
static double kill_one(int watch)
{
	struct pollfd p = { .events = POLLIN };
	uint64_t bond = 0, t = 0;
	bool ok = false;
	pid_t pid = -1;
	int fd = -1;

	if (victim_start(watch >= 0, &pid, &fd, &bond)) {
		p.fd = fd;
		t = live_now_ns();
		kill(pid, SIGKILL);
		ok = watch >= 0 ? await_clean(watch, bond) : poll(&p, 1, 10000) == 1;
		t = live_now_ns() - t;
	}
	end_process(pid);
	if (fd >= 0)
		close(fd);
	return ok ? (double)t / 1e3 : 0;
}

static int watch_events(const struct live *live)
{
	Svad__V1__Watch body = SVAD__V1__WATCH__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;
	int fd = live_connect(live->admin, "svad-bench");

	request.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	request.watch = &body;
	if (fd >= 0 && live_call(fd, &request, 10000, &reply)) {
		close(fd);
		return -1;
	}
	return fd;
}

void bench_kill(struct bench *b)
{
	struct samples ours = { 0 }, peer = { 0 };
	unsigned rounds = b->quick ? 40 : 300;
	struct live live;
	bool ok = true;
	int watch, admin;

	if (!live_start(&live, b->builddir, b->libexecdir,
			"log_level = err\n[device \"one\"]\nengines = 2\nstop = flushed\n", 1)) {
		b->failed++;
		return;
	}
	setenv("SVAD_SOCKET", live.socket, 1);
	watch = watch_events(&live);
	admin = live_connect(live.admin, "svad-bench");
	for (unsigned i = 0; ok && i < rounds; i++) {
		double a = watch >= 0 ? kill_one(watch) : 0, bare;

		settle(admin);
		bare = kill_one(-1);
		ok = a > 0 && bare > 0;
		if (ok && i) {
			sample(&ours, a);
			sample(&peer, bare);
		}
	}
	if (!ok)
		b->failed++;
	row("SIGKILL to CLEAN, beside SIGKILL to pidfd readable, p50", "us", ok ? median(&ours) : NOTHING,
	    median(&peer), 3.0, true, "as an administrator's watch sees it; 1 MiB touched");
	row("the same, p99", "us", ok ? percentile(&ours, 99) : NOTHING, percentile(&peer, 99), NO_REACH,
	    true, " ");
	samples_free(&ours);
	samples_free(&peer);
	close(watch);
	close(admin);
	live_stop(&live, 1);
}

/* ---- many at once --------------------------------------------------------------------------- */

struct member {
	int tell, stay;
	unsigned devices;
};

static void member(void *arg)
{
	const struct member *m = arg;
	struct sva_bond *bond;
	char name[16], c = 1;
	struct sva *sva;
	int r;

	r = sva_connect(NULL, -1, &sva);
	for (unsigned i = 0; r >= 0 && i < m->devices; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		r = sva_bind(sva, name, &bond);
	}
	if (r < 0) {
		fprintf(stderr, "svad-bench: bind: %s\n", sva_strerror(NULL, r));
		c = 0;
	}
	(void)!write(m->tell, &c, 1);
	(void)!read(m->stay, &c, 1); /* until the driver closes it */
}

/* Nanoseconds from the request to its answer, every bond CLEAN then; 0: failed. */
static uint64_t drain_group(int admin, unsigned bonds)
{
	unsigned devices = bonds < GROUP_DEVICES ? 1 : bonds < 1000 ? 10 : GROUP_DEVICES, n = bonds / devices;
	Svad__V1__Revoke body = SVAD__V1__REVOKE__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	pid_t *pids = calloc(n, sizeof(*pids));
	Svad__V1__Reply *reply;
	int tell[2], stay[2];
	uint64_t t = 0;
	bool ok = true;
	char c;

	if (!pids || pipe(tell) < 0)
		return 0;
	if (pipe(stay) < 0)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		struct member m = { .tell = tell[1], .stay = stay[0], .devices = devices };

		pids[i] = spawn_pinned(-1, member, &m);
	}
	close(tell[1]);
	for (unsigned i = 0; ok && i < n; i++)
		ok = read(tell[0], &c, 1) == 1 && c;
	body.has_uid = true;
	body.uid = getuid();
	body.timeout_ms = 60000;
	request.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	request.revoke = &body;
	if (ok) {
		t = live_now_ns();
		ok = live_call(admin, &request, 60000, &reply) == 0 &&
		     reply->body_case == SVAD__V1__REPLY__BODY_REVOKE;
		t = live_now_ns() - t;
		if (ok && (reply->revoke->ended != bonds || reply->revoke->clean != bonds)) {
			fprintf(stderr, "svad-bench: of %u bonds %u were revoked, %u are CLEAN\n", bonds,
				reply->revoke->ended, reply->revoke->clean);
			ok = false;
		}
	}
	for (unsigned i = 0; i < n; i++)
		end_process(pids[i]);
	close(tell[0]);
	close(stay[0]);
	close(stay[1]);
	free(pids);
	settle(admin);
	return ok ? t : 0;
}

void bench_drain(struct bench *b)
{
	unsigned sizes[] = { 1, 100, 1000, 10000 };
	struct rlimit limit = { .rlim_cur = 0 };
	struct samples took[4] = { { 0 } };
	unsigned rounds = b->quick ? 2 : 5;
	double per_bond[4] = { 0 };
	char ini[32768], name[96];
	struct live live;
	bool ok = true;
	size_t n;
	int admin;

	/* A bond of the simulated device takes it one fd, and its portal one more. Without portals 10,000 bonds fit
	 * into a hard limit of 20,000, at every size of the group alike. */
	(void)raise_fd_limit(65536);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 10000 + 2000)
		sizes[3] = (unsigned)(limit.rlim_cur - 2000) / GROUP_DEVICES * GROUP_DEVICES;
	n = (size_t)snprintf(ini, sizeof(ini),
			     "log_level = err\n[limits]\nbonds_per_client = 1000\nbonds_per_uid = "
			     "100000\n[drain]\ndeadline = 30000\n");
	for (unsigned i = 0; i < GROUP_DEVICES; i++)
		n += (size_t)snprintf(ini + n, sizeof(ini) - n, "[device \"d%u\"]\nengines = 1\nportal = no\n", i);
	if (!live_start(&live, b->builddir, b->libexecdir, ini, 1)) {
		b->failed++;
		return;
	}
	setenv("SVAD_SOCKET", live.socket, 1);
	admin = live_connect(live.admin, "svad-bench");
	for (unsigned i = 0; ok && i < rounds; i++)
		for (unsigned s = 0; ok && s < 4; s++)
			/* a small one is over at once: many of them make one round */
			for (unsigned k = 0; ok && k < (sizes[s] <= 100 ? 10u : 1u); k++) {
				uint64_t t = drain_group(admin, sizes[s]);

				ok = t > 0;
				if (ok)
					sample(&took[s], (double)t / 1e3);
				else
					fprintf(stderr, "svad-bench: %u bonds did not drain\n", sizes[s]);
			}
	if (!ok)
		b->failed++;
	for (unsigned s = 0; s < 4; s++) {
		per_bond[s] = took[s].n ? median(&took[s]) / sizes[s] : NOTHING;
		snprintf(name, sizeof(name), "drain of %u bond%s of one group", sizes[s], s ? "s" : "");
		row(name, "ms", took[s].n ? median(&took[s]) / 1e3 : NOTHING, NOTHING, NO_REACH, true,
		    "%.2f us a bond", per_bond[s]);
	}
	row("cost of a bond's drain, of 10,000 beside of 100", "us", per_bond[3], per_bond[1], 1.5, true,
	    "Revoke to its answer, all CLEAN; bonds without portals%s",
	    sizes[3] < 10000 ? "; as many as this machine's hard RLIMIT_NOFILE allows" : "");
	for (unsigned s = 0; s < 4; s++)
		samples_free(&took[s]);
	close(admin);
	live_stop(&live, 1);
}
