/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *	vm-bench [--quick] [--bindir DIR] [--modules DIR]
 *
 * What svad costs on the real driver, beside a bare provider that calls iommu_sva_bind_device() itself and
 *stops its device as ours does. Rounds alternate, so whatever else the machine does falls on both; what
 *counts is the ratio of the medians. Emulated, so no figure is a board's.
 *
 * Prints a table, the same as JSON between "# json begin" and "# json end", and "N of N reached". Exit status
 *0: all was measured.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/queue.h>
#include <sva/sva.h>

#include "../../system/live.h"
#include "../bare/bare.h"

#define OURS "accel0"
#define BARE "accel2"
#define MAX_ROWS 24
#define MAX_SAMPLES 4000

struct samples {
	double at[MAX_SAMPLES];
	unsigned n;
};

static struct row {
	const char *name, *unit;
	double ours, peer, ratio, reach;
	bool judged, met;
} table[MAX_ROWS];
static unsigned n_rows;
static bool quick;

/* ---- figures ---- */

static void sample(struct samples *s, double value)
{
	if (s->n < MAX_SAMPLES)
		s->at[s->n++] = value;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(struct samples *s)
{
	MUST(s->n > 0);
	qsort(s->at, s->n, sizeof(s->at[0]), by_value);
	return s->at[s->n / 2];
}

/* reach 0: nothing was asked for. */
static void row(const char *name, const char *unit, double ours, double peer, double reach)
{
	struct row *r = &table[n_rows++];
	char asked[16] = "";

	*r = (struct row){ name, unit, ours, peer, peer > 0 ? ours / peer : 0, reach, reach > 0, false };
	r->met = r->judged && r->ratio <= reach;
	if (reach > 0)
		snprintf(asked, sizeof(asked), "<= %.2g", reach);
	printf("%-58s %10.1f %10.1f %-4s %7.2f %8s  %s\n", name, ours, peer, unit, r->ratio, asked,
	       r->judged ? (r->met ? "yes" : "NO") : "");
	fflush(stdout);
}

/* A count that must be zero. */
static void none(const char *name, double count)
{
	struct row *r = &table[n_rows++];

	*r = (struct row){ name, "", count, 0, 0, 0, true, count == 0 };
	printf("%-58s %10.0f %10s %-4s %7s %8s  %s\n", name, count, "-", "", "-", "0", r->met ? "yes" : "NO");
	fflush(stdout);
}

static void json(void)
{
	printf("# json begin\n{\"rows\": [\n");
	for (unsigned i = 0; i < n_rows; i++) {
		const struct row *r = &table[i];

		printf(" {\"name\": \"%s\", \"unit\": \"%s\", \"ours\": %.3f, \"peer\": %.3f, \"ratio\": "
		       "%.4f, \"reach\": %.2f, \"met\": %s}%s\n",
		       r->name, r->unit, r->ours, r->peer, r->ratio, r->reach,
		       r->judged ? (r->met ? "true" : "false") : "null", i + 1 < n_rows ? "," : "");
	}
	printf("]}\n# json end\n");
}

static double us_since(uint64_t from)
{
	return (double)(now_ns() - from) / 1e3;
}

/* ---- bind + unbind ---- */

static double bare_pair(void)
{
	struct bare_bind bind = { .device = BARE, .flags = BARE_BIND_SLOT };
	struct bare_unbind unbind = { 0 };
	int fd = open("/dev/svad-bare", O_RDWR | O_CLOEXEC);
	uint64_t from;
	double us;

	MUST_SYS(fd >= 0);
	from = now_ns();
	MUST_SYS(ioctl(fd, BARE_BIND, &bind) == 0);
	MUST_SYS(ioctl(fd, BARE_UNBIND, &unbind) == 0);
	us = us_since(from);
	close(fd);
	return us;
}

static double ioctl_pair(int ctx, uint64_t cookie)
{
	struct svab_unbind unbind = { .size = sizeof(unbind) };
	struct svab_bind bind = { .size = sizeof(bind), .device = dev_id(OURS), .bond_fd = -1 };
	uint64_t from;
	double us;

	MUST_EQ(ctx_grant(cookie, OURS, 20000), 0);
	from = now_ns();
	MUST_SYS(ioctl(ctx, SVAB_BIND, &bind) == 0);
	MUST_SYS(ioctl(bind.bond_fd, SVAB_UNBIND, &unbind) == 0);
	us = us_since(from);
	MUST_EQ(unbind.state, SVAB_PASID_CLEAN);
	close(bind.bond_fd);
	return us;
}

static double library_pair(struct sva *sva)
{
	uint64_t from = now_ns();
	struct sva_bond *bond;
	double us;

	if (sva_bind(sva, OURS, &bond) < 0 || sva_unbind(bond, SVA_STATE_NONE) != 0)
		FAIL("bind and unbind by the library: %s", sva_strerror(sva, -EIO));
	us = us_since(from);
	return us;
}

static unsigned bind_rounds(void)
{
	return quick ? 50 : 400;
}

#define BIND_WARM 5u /* rounds before what is made once is there */

/* Without the daemon, which would end the bonds of a ctx that is not its own. */
static void bench_bind_ioctls(void)
{
	static struct samples bare, ours;
	uint64_t cookie;
	int ctx;

	cookie = ctx_new(&ctx);
	for (unsigned i = 0; i < bind_rounds() + BIND_WARM; i++) {
		double a = bare_pair(), b = ioctl_pair(ctx, cookie);

		if (i < BIND_WARM)
			continue;
		sample(&bare, a);
		sample(&ours, b);
	}
	row("bind + unbind, the library's ioctls alone", "us", median(&ours), median(&bare), 1.5);
	close(ctx);
}

static void bench_bind_whole(const char *socket)
{
	static struct samples bare, whole;
	struct sva *sva;

	MUST_EQ(sva_connect(socket, 20000, &sva), 0);
	for (unsigned i = 0; i < bind_rounds() + BIND_WARM; i++) {
		double a = bare_pair(), b = library_pair(sva);

		if (i < BIND_WARM)
			continue;
		sample(&bare, a);
		sample(&whole, b);
	}
	row("bind + unbind, the whole path through svad", "us", median(&whole), median(&bare), 0);
	sva_disconnect(sva);
}

/* ---- exit ---- */

static volatile uint64_t *exit_at; /* shared: when the process called exit */

static void bound_exit_ours(void *arg)
{
	struct rbond b;

	(void)arg;
	bond_open(&b, OURS);
	say("bond %llu", (unsigned long long)b.id);
	hear_this("exit");
	*exit_at = now_ns();
	_exit(0);
}

static void bound_exit_bare(void *arg)
{
	struct bare_bind bind = { .device = BARE, .flags = BARE_BIND_SLOT };
	int fd = open("/dev/svad-bare", O_RDWR | O_CLOEXEC);

	(void)arg;
	MUST_SYS(fd >= 0);
	MUST_SYS(ioctl(fd, BARE_BIND, &bind) == 0);
	say("bond %llu", (unsigned long long)bind.id);
	hear_this("exit");
	*exit_at = now_ns();
	_exit(0);
}

static void bench_exit(void)
{
	static struct samples bare, ours;
	unsigned n = quick ? 20 : 150;
	int fd = open("/dev/svad-bare", O_RDWR | O_CLOEXEC);

	MUST_SYS(fd >= 0);
	exit_at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_SYS(exit_at != MAP_FAILED);
	for (unsigned i = 0; i < n; i++) {
		struct bare_wait wait = { .timeout_ms = 30000 };
		int events = ctl_open();
		unsigned long long id;
		struct svab_event e;
		struct kid k;

		kid_start(&k, bound_exit_ours, NULL);
		MUST_EQ(sscanf(expect(&k, "bond "), "bond %llu", &id), 1);
		tell(&k, "exit");
		e = event_await(events, SVAB_EV_DRAINED, id);
		MUST_EQ(kid_reap(&k), 0);
		sample(&ours, (double)(e.time_ns - *exit_at) / 1e3);
		close(events);
		kid_start(&k, bound_exit_bare, NULL);
		MUST_EQ(sscanf(expect(&k, "bond "), "bond %llu", &id), 1);
		wait.id = id;
		tell(&k, "exit");
		MUST_SYS(ioctl(fd, BARE_WAIT, &wait) == 0);
		MUST_EQ(kid_reap(&k), 0);
		sample(&bare, (double)(wait.done_ns - *exit_at) / 1e3);
	}
	close(fd);
	row("exit of the process to CLEAN, beside bare exit + unbind", "us", median(&ours), median(&bare), 0);
}

/* ---- drains, many at once ---- */

static void hold_bond(void *arg)
{
	struct svab_bind bound;
	uint64_t cookie;
	int ctx;

	(void)arg;
	cookie = ctx_new(&ctx);
	MUST_EQ(ctx_grant(cookie, OURS, 60000), 0);
	MUST_EQ(ctx_bind(ctx, OURS, &bound), 0);
	say("bond %llu", (unsigned long long)bound.bond);
	hear_this("end");
}

/* us for each bond, from the first revocation to the last CLEAN */
static double drain_many(unsigned n)
{
	struct kid *kids = calloc(n, sizeof(*kids));
	unsigned long long *ids = calloc(n, sizeof(*ids));
	uint64_t from, last = 0;
	int events;

	MUST(kids && ids);
	for (unsigned i = 0; i < n; i++) {
		kid_start(&kids[i], hold_bond, NULL);
		MUST_EQ(sscanf(expect(&kids[i], "bond "), "bond %llu", &ids[i]), 1);
	}
	events = ctl_open();
	from = now_ns();
	for (unsigned i = 0; i < n; i++)
		MUST_EQ(bond_revoke(ids[i]), 0);
	for (unsigned drained = 0; drained < n;) {
		struct svab_event e;

		if (!event_next(events, &e, 120000))
			FAIL("%u of %u bonds drained", drained, n);
		MUST(e.type != SVAB_EV_QUARANTINED && e.type != SVAB_EV_LOST);
		if (e.type == SVAB_EV_DRAINED) {
			drained++;
			last = e.time_ns;
		}
	}
	close(events);
	for (unsigned i = 0; i < n; i++)
		kid_end(&kids[i]);
	await_idle();
	free(kids);
	free(ids);
	return (double)(last - from) / 1e3 / n;
}

static void bench_drain(void)
{
	static struct samples one, hundred, thousand;
	unsigned n = quick ? 1 : 5;

	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < 10; k++)
			sample(&one, drain_many(1));
		sample(&hundred, drain_many(100));
		if (!quick)
			sample(&thousand, drain_many(1000));
	}
	row("drain of a bond, 100 at once beside 1", "us", median(&hundred), median(&one), 1.5);
	if (!quick) {
		row("drain of a bond, 1,000 at once beside 1", "us", median(&thousand), median(&one), 1.5);
		row("drain of a bond, 1,000 at once beside 100", "us", median(&thousand), median(&hundred),
		    1.5);
	}
}

/* ---- submission ---- */

#define JOBS 64u

static void *const arena = (void *)0x500000000000ull;

/* Submits and sees completions between two getppid(), under ptrace. */
static void submitter(const char *socket)
{
	static _Alignas(64) struct sva_demo_completion done[JOBS];
	struct sva_demo_desc desc = d_fill(pages_at(arena, 4096), 7, 4096);
	struct sva_bond *bond;
	struct sva_queue *q;
	struct sva *sva;

	if (sva_connect(socket, 20000, &sva) < 0 || sva_bind(sva, OURS, &bond) < 0 ||
	    sva_queue_new(bond, 256, &q) < 0)
		_exit(3);
	for (unsigned i = 0; i < JOBS; i++)
		done[i].tag = 0;
	if (sva_fill(q, arena, 1, 4096, NULL) < 0)
		_exit(4);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	syscall(SYS_getppid);
	for (unsigned i = 0; i < JOBS; i++)
		if (sva_queue_submit(q, &desc, &done[i]) < 0)
			_exit(5);
	for (unsigned i = 0; i < JOBS; i++)
		while (!is_done(&done[i]))
			;
	syscall(SYS_getppid);
	for (unsigned i = 0; i < JOBS; i++)
		if (done[i].status != SVA_DEMO_OK)
			_exit(6);
	_exit(sva_unbind(bond, SVA_STATE_NONE) == 0 ? 0 : 7);
}

static void bench_submit(const char *socket, const char *admin)
{
	static const char *const names[] = { "svad_requests_total" };
	uint64_t before = 0, after = 0;
	unsigned calls = 0, marks = 0;
	bool entry = true;
	int status, rpc = live_connect(admin, "vm-bench");
	pid_t pid;

	MUST(rpc >= 0);
	fflush(stdout);
	pid = fork();
	MUST_SYS(pid >= 0);
	if (pid == 0)
		submitter(socket);
	MUST_SYS(waitpid(pid, &status, 0) == pid);
	if (!WIFSTOPPED(status))
		FAIL("the submitting process ended with status %#x", status);
	MUST_SYS(ptrace(PTRACE_SETOPTIONS, pid, NULL,
			(void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) == 0);
	for (;;) {
		MUST_SYS(ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0);
		MUST_SYS(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status))
			break;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		if (entry) {
			struct __ptrace_syscall_info info;

			MUST_SYS(ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) > 0);
			if (info.entry.nr == SYS_getppid) {
				if (++marks == 1)
					MUST_EQ(live_stats(rpc, names, &before, 1), 0);
				else
					MUST_EQ(live_stats(rpc, names, &after, 1), 0);
			} else if (marks == 1) {
				calls++;
			}
		}
		entry = !entry;
	}
	MUST_EQ(WEXITSTATUS(status), 0);
	MUST_EQ(marks, 2);
	close(rpc);
	none("64 submissions and completions: system calls", calls);
	/* The second question is a request itself. */
	none("64 submissions and completions: requests to the daemon", (double)(after - before - 1));
}

int main(int argc, char **argv)
{
	enum { QUICK = 256, BINDIR, MODULES };
	static const struct option options[] = { { "quick", no_argument, NULL, QUICK },
						 { "bindir", required_argument, NULL, BINDIR },
						 { "modules", required_argument, NULL, MODULES },
						 { 0 } };
	unsigned judged = 0, met = 0;
	char socket[128];
	const char *admin;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case QUICK:
			quick = true;
			break;
		case BINDIR:
			vm.bindir = optarg;
			break;
		case MODULES:
			vm.modules = optarg;
			break;
		default:
			fprintf(stderr, "usage: vm-bench [--quick] [--bindir DIR] [--modules DIR]\n");
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	modules_load();
	driver_init();
	bare_take(BARE);
	printf("%-58s %10s %10s %-4s %7s %8s\n", "", "svad", "bare", "", "ratio", "reach");
	bench_bind_ioctls();
	bench_drain();
	bench_exit();
	admin = svad_start();
	snprintf(socket, sizeof(socket), "%.*s/svad.sock", (int)(strrchr(admin, '/') - admin), admin);
	bench_bind_whole(socket);
	bench_submit(socket, admin);
	svad_stop();
	driver_restore();
	json();
	for (unsigned i = 0; i < n_rows; i++) {
		judged += table[i].judged;
		met += table[i].met;
	}
	printf("%u of %u reached\n", met, judged);
	return 0;
}
