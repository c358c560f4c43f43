/* SPDX-License-Identifier: GPL-2.0-or-later */
/* b: a binding belongs to an address space, not to the thread, process or connection that made it. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define P1 0x1111111111111111u
#define P2 0x2222222222222222u

static void *bind_and_exit(void *arg)
{
	bond_open(arg, "accel0");
	return NULL;
}

void scenario_b_thread_exits(void)
{
	unsigned char *p = pages(16 * PAGE);
	struct rbond b;
	pthread_t t;

	MUST_EQ(pthread_create(&t, NULL, bind_and_exit, &b), 0);
	MUST_EQ(pthread_join(t, NULL), 0);
	/* The thread that bound is gone; its address space is not. */
	run_ok(&b, d_fill(p, P1, 16 * PAGE));
	MUST(filled(p, P1, 16 * PAGE));
	MUST(!hup(b.fd, 0));
	bond_unbind_clean(&b);
}

static struct rbond leaders;
static pthread_t leader;

static void *outlive(void *arg)
{
	unsigned char *p = pages(16 * PAGE);
	char path[64], text[200] = "";
	uint64_t deadline = deadline_in(30000);

	(void)arg;
	/* The thread group's leader is a zombie while other threads live: /proc says when it is. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)getpid());
	for (;;) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		const char *state;
		ssize_t n;

		MUST_SYS(fd >= 0);
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		MUST(n > 0);
		text[n] = 0;
		state = strrchr(text, ')');
		if (state && state[2] == 'Z')
			break;
		if (past(deadline))
			FAIL("the leader did not exit");
		nap();
	}
	run_ok(&leaders, d_fill(p, P2, 16 * PAGE));
	MUST(filled(p, P2, 16 * PAGE));
	bond_unbind_clean(&leaders);
	say("outlived");
	_exit(0);
}

static void leader_exits(void *arg)
{
	pthread_t t;

	(void)arg;
	leader = pthread_self();
	bond_open(&leaders, "accel0");
	MUST_EQ(pthread_create(&t, NULL, outlive, NULL), 0);
	pthread_exit(NULL);
}

void scenario_b_leader_exits(void)
{
	struct kid k;

	kid_start(&k, leader_exits, NULL);
	expect(&k, "outlived");
	MUST_EQ(kid_reap(&k), 0);
}

static int sibling(void *arg)
{
	struct rbond *b = arg;
	struct sva_demo_completion done;
	unsigned char *p = pages(4 * PAGE);

	/* Another process, the same address space: the bond is as much its own. */
	if (run(b, d_fill(p, P1, 4 * PAGE), &done) != SVA_DEMO_OK || !filled(p, P1, 4 * PAGE))
		_exit(2);
	_exit(0);
}

void scenario_b_clone_vm(void)
{
	size_t size = 256u << 10;
	unsigned char *stack = pages(size);
	struct rbond b;
	int status;
	pid_t pid;

	bond_open(&b, "accel0");
	pid = clone(sibling, stack + size, CLONE_VM | CLONE_FILES | SIGCHLD, &b);
	MUST_SYS(pid > 0);
	MUST_SYS(waitpid(pid, &status, 0) == pid);
	MUST_EQ(status, 0);
	/* It ended, and with it no address space. */
	run_ok(&b, d_fill(stack, P2, 4 * PAGE));
	MUST(!hup(b.fd, 0));
	bond_unbind_clean(&b);
}

static int sibling_binds(void *arg)
{
	bond_open(arg, "accel0");
	_exit(0);
}

void scenario_b_clone_vm_binder_exits(void)
{
	/* The sibling binds and dies; its fds were its own (no CLONE_FILES), so they were the bond's last. */
	size_t size = 256u << 10;
	unsigned char *stack = pages(size), *p = pages(4 * PAGE);
	int events = ctl_open(), status;
	struct svab_event e;
	struct rbond b;
	pid_t pid;

	MUST(ctl() >= 0); /* before there are two tables of fds */
	pid = clone(sibling_binds, stack + size, CLONE_VM | SIGCHLD, &b);
	MUST_SYS(pid > 0);
	MUST_SYS(waitpid(pid, &status, 0) == pid);
	MUST_EQ(status, 0);
	e = event_await(events, SVAB_EV_DRAINED, b.id);
	MUST_EQ(e.cause, SVAB_CAUSE_LAST_CLOSE);
	/* This address space can be bound again, with the same PASID or another. */
	bond_open(&b, "accel0");
	run_ok(&b, d_fill(p, P1, 4 * PAGE));
	bond_unbind_clean(&b);
	close(events);
}

static void exec_away(void *arg)
{
	static _Alignas(64) struct sva_demo_completion done;
	const struct work *w = arg;
	struct rbond b;

	bond_open(&b, w->device);
	/* The fds survive the exec, as a careless program's do: the address space does not. */
	fcntl(b.fd, F_SETFD, 0);
	fcntl(b.ctx, F_SETFD, 0);
	if (w->bytes) {
		pages_at(TARGET, w->bytes);
		submit(&b, d_fill(TARGET, P1, w->bytes), &done);
	}
	say("bond %llu fd %d", (unsigned long long)b.id, b.fd);
	hear_this("exec");
	dup2(say_sock, STDIN_FILENO);
	execl("/bin/busybox", "cat", (char *)NULL);
	FAIL("exec: %s", strerror(errno));
}

static void exec_under(const char *device, size_t bytes)
{
	const struct work w = { .device = device, .bytes = bytes };
	int events = ctl_open();
	unsigned long long bond;
	struct svab_event e;
	struct kid k;

	if (access("/bin/busybox", X_OK) < 0)
		skip("there is no busybox in this guest");
	if (bytes)
		hw("hold %s 20", device);
	kid_start(&k, exec_away, (void *)(uintptr_t)&w);
	MUST_EQ(sscanf(expect(&k, "bond "), "bond %llu", &bond), 1);
	if (bytes)
		hw("wait-held %s 1 %d", device, ms(20000));
	tell(&k, "exec");
	(void)event_await(events, SVAB_EV_MM_RELEASED, bond);
	e = event_await(events, SVAB_EV_DRAINED, bond);
	MUST_EQ(e.cause, SVAB_CAUSE_MM_RELEASED);
	/* The process lives on as another program, whose memory was never bound. */
	MUST_SYS(kill(k.pid, 0) == 0);
	close_fd(&k.sock); /* end of file for cat */
	await_exit(k.pidfd);
	kid_reap(&k);
	close(events);
}

void scenario_b_exec(void)
{
	exec_under("accel0", 0);
	exec_under("accel1", 0);
}

void scenario_b_exec_under_dma(void)
{
	exec_under("accel0", 4u << 20);
	exec_under("accel1", 4u << 20);
}

void scenario_b_vfork(void)
{
	unsigned char *p = pages(16 * PAGE);
	volatile bool ran = false;
	struct rbond b;
	int status;
	pid_t pid;

	bond_open(&b, "accel0");
	fill_cpu(p, P1, 16 * PAGE);
	pid = vfork();
	if (pid == 0) {
		ran = true;
		_exit(0);
	}
	MUST_SYS(pid > 0);
	MUST_SYS(waitpid(pid, &status, 0) == pid);
	MUST(ran);
	/* A vfork child's exit lets go of our mm, and does not end it. */
	run_ok(&b, d_fill(p, P2, 16 * PAGE));
	MUST(filled(p, P2, 16 * PAGE));
	MUST(!hup(b.fd, 0));
	bond_unbind_clean(&b);
}

void scenario_b_two_connections(void)
{
	/* Two ctxs, one address space, one device: one bond, and the second to let go ends it. */
	unsigned char *p = pages(16 * PAGE);
	int events = ctl_open();
	struct svab_bond_info info;
	struct svab_unbind u;
	struct svab_event e;
	struct rbond a, b;
	struct listed all;
	unsigned entries = 0;

	bond_open(&a, "accel0");
	bond_open(&b, "accel0");
	MUST_EQ(a.id, b.id);
	MUST_EQ(a.pasid, b.pasid);
	MUST_EQ(bond_info(&a, &info), 0);
	MUST_EQ(info.refs, 2);
	list_all(&all);
	for (unsigned i = 0; i < all.n; i++)
		if (all.at[i].type == SVAB_LIST_BOND && all.at[i].bond == a.id)
			entries++;
	free(all.at);
	MUST_EQ(entries, 2);
	MUST_EQ(bond_unbind(&a, SVAB_PASID_NONE, &u), 0);
	MUST_EQ(u.state, SVAB_PASID_BOUND);
	e = event_await(events, SVAB_EV_UNREF, a.id);
	MUST_EQ(e.cookie, a.cookie);
	bond_close(&a);
	/* One portal, one ring: the second connection set it up last. */
	run_ok(&b, d_fill(p, P1, 16 * PAGE));
	MUST(filled(p, P1, 16 * PAGE));
	MUST(!hup(b.fd, 0));
	bond_unbind_clean(&b);
	(void)event_await(events, SVAB_EV_DRAINED, b.id);
	close(events);
}

void scenario_b_one_pasid(void)
{
	/* One address space on four devices: one PASID, four bonds, each drained on its own. */
	static const char *const devices[] = { "accel0", "accel1", "accel2" };
	unsigned char *p = pages(3 * PAGE);
	struct rbond b[3];

	for (int i = 0; i < 3; i++)
		bond_open(&b[i], devices[i]);
	MUST_EQ(b[0].pasid, b[1].pasid);
	MUST_EQ(b[0].pasid, b[2].pasid);
	MUST(b[0].id != b[1].id && b[1].id != b[2].id);
	for (int i = 0; i < 3; i++) {
		for (int k = i; k < 3; k++)
			run_ok(&b[k], d_fill(p + (size_t)k * PAGE, P1 + (unsigned)i, PAGE));
		bond_unbind_clean(&b[i]);
	}
	MUST(filled(p, P1, PAGE));
	MUST(filled(p + PAGE, P1 + 1, PAGE));
	MUST(filled(p + 2 * PAGE, P1 + 2, PAGE));
}

static struct {
	pthread_t on;
	bool end;
	unsigned handled;
} rain;

static void drop(int sig)
{
	(void)sig;
	__atomic_fetch_add(&rain.handled, 1, __ATOMIC_SEQ_CST);
}

/* One after the other, each as soon as the last was handled. As many as a bind can take, if it takes any. */
static void *rains(void *arg)
{
	(void)arg;
	for (unsigned n = 0; n < 200 && !__atomic_load_n(&rain.end, __ATOMIC_SEQ_CST); n++) {
		unsigned handled = __atomic_load_n(&rain.handled, __ATOMIC_SEQ_CST);

		MUST_EQ(pthread_kill(rain.on, SIGUSR1), 0);
		while (__atomic_load_n(&rain.handled, __ATOMIC_SEQ_CST) == handled)
			sched_yield();
	}
	return NULL;
}

void scenario_b_bind_signals(void)
{
	/* Not SA_RESTART: it is not left to the process whether its bind goes through. */
	struct sigaction act = { .sa_handler = drop };
	unsigned during = 0;

	sigaction(SIGUSR1, &act, NULL);
	rain.on = pthread_self();
	for (int i = 0; i < 20; i++) {
		struct rbond b = { .ctx = -1, .fd = -1 };
		struct svab_bind bound;
		unsigned before;
		pthread_t t;
		int r;

		b.cookie = ctx_new(&b.ctx);
		MUST_EQ(ctx_grant(b.cookie, "accel0", (unsigned)ms(DRAIN_MS)), 0);
		rain.end = false;
		before = rain.handled;
		MUST_EQ(pthread_create(&t, NULL, rains, NULL), 0);
		while (__atomic_load_n(&rain.handled, __ATOMIC_SEQ_CST) == before)
			sched_yield();
		r = ctx_bind(b.ctx, "accel0", &bound);
		__atomic_store_n(&rain.end, true, __ATOMIC_SEQ_CST);
		during += __atomic_load_n(&rain.handled, __ATOMIC_SEQ_CST) - before;
		MUST_EQ(pthread_join(t, NULL), 0);
		MUST_EQ(r, 0);
		bond_map(&b, &bound);
		bond_unbind_clean(&b);
	}
	MUST(during > 20); /* the first of each came before the bind */
}

static void fork_and_die(void *arg)
{
	unsigned char *p = arg;
	struct rbond b;
	pid_t pid;

	bond_open(&b, "accel0");
	pid = fork();
	MUST_SYS(pid >= 0);
	if (pid == 0) {
		/* The child holds copies of every fd. They must not keep its parent's bond alive: its address
		 * space is what counts. */
		fill_cpu(p, P2, 16 * PAGE);
		say("child");
		hear_this("end");
		MUST(filled(p, P2, 16 * PAGE));
		_exit(0);
	}
	say("bond %llu", (unsigned long long)b.id);
	for (;;) {
		struct sva_demo_completion done;

		if (run(&b, d_fill(p, P1, 16 * PAGE), &done) != SVA_DEMO_OK)
			pause();
	}
}

void scenario_b_parent_dies(void)
{
	unsigned char *p = pages(16 * PAGE);
	int events = ctl_open();
	unsigned long long bond = 0;
	struct svab_event e;
	struct kid k;

	kid_start(&k, fork_and_die, p);
	for (int i = 0; i < 2; i++) {
		const char *text = expect(&k, "");

		if (sscanf(text, "bond %llu", &bond) != 1)
			MUST_EQ(strcmp(text, "child"), 0);
	}
	MUST(bond != 0);
	MUST_SYS(kill(k.pid, SIGKILL) == 0);
	e = event_await(events, SVAB_EV_DRAINED, bond);
	MUST_EQ(e.cause, SVAB_CAUSE_MM_RELEASED);
	tell(&k, "end");
	MUST(hup(k.sock, 20000)); /* the child has gone as well */
	MUST_EQ(kid_reap(&k), SIGKILL);
	close(events);
}
