/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How bindings end when their process does something: dies, execs, forks, loses threads. DMA is under way each time (held). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

#define IMAGE 0x22

static enum svab_cause ends(uint64_t bond)
{
	enum svab_cause cause = (enum svab_cause)sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, bond)->cause;

	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, bond);
	return cause;
}

/* ---- the process ends ------------------------------------------------------------------------------ */

static void dies_by(int sig)
{
	struct child neighbour;
	struct worker w;

	sys_start("");
	bystander_start(&neighbour, "sim1");
	worker_start(&w, work_and_wait, NULL);
	sys_kill(&w.child, sig);
	ends(w.bond);
	sys_fault_ok("unhold sim0");
	bystander_end(&neighbour);
	sys_stop();
}

START_TEST(test_sigkill)
{
	dies_by(SIGKILL);
}
END_TEST

static void crash(void *arg)
{
	struct raw_bond bond;
	struct raw raw;

	(void)arg;
	start_work(&raw, &bond);
	hear_this("crash");
	signal(SIGSEGV, SIG_DFL);
	prctl(PR_SET_DUMPABLE, 0); /* no core file */
	raise(SIGSEGV);
}

START_TEST(test_crash)
{
	struct worker w;
	int status;

	sys_start("");
	worker_start(&w, crash, NULL);
	sys_tell(&w.child, "crash");
	status = sys_reap(&w.child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	ends(w.bond);
	sys_fault_ok("unhold sim0");
	sys_stop();
}
END_TEST

START_TEST(test_exit)
{
	struct worker w;

	sys_start("");
	worker_start(&w, work_and_wait, NULL);
	sys_end(&w.child);
	ends(w.bond);
	sys_fault_ok("unhold sim0");
	sys_stop();
}
END_TEST

/* ---- another image --------------------------------------------------------------------------------- */

/* What a client execs: memory of its own where the old image's was, which must stay as it is. */
static int image(int sock)
{
	unsigned char *p;

	say_sock = sock;
	p = target();
	memset(p, IMAGE, BYTES);
	say("image");
	hear_this("check");
	for (size_t i = 0; i < BYTES; i++)
		MUST_EQ(p[i], IMAGE);
	say("untouched");
	hear_this("end");
	return 0;
}

static void exec_image(void)
{
	char sock[16], program[4096];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	MUST(n > 0);
	program[n] = '\0';
	fcntl(say_sock, F_SETFD, 0);
	snprintf(sock, sizeof(sock), "%d", say_sock);
	execl(program, program, "--image", sock, NULL);
	sys_fail(__FILE__, __LINE__, "exec: %s", strerror(errno));
}

static void exec_client(void *arg)
{
	struct raw_bond bond;
	struct raw raw;

	(void)arg;
	start_work(&raw, &bond);
	hear_this("exec");
	exec_image();
}

START_TEST(test_exec)
{
	struct worker w;

	sys_start("");
	worker_start(&w, exec_client, NULL);
	sys_tell(&w.child, "exec");
	sys_expect(&w.child, "image");
	sys_fault_ok("unhold sim0");
	ends(w.bond);
	sys_tell(&w.child, "check");
	sys_expect(&w.child, "untouched");
	sys_end(&w.child);
	sys_stop();
}
END_TEST

/* The same with every fd inherited by the new image: nothing is closed, only the address space is another. */
static void exec_keeping_fds(void *arg)
{
	struct raw_bond bond;
	struct raw raw;

	(void)arg;
	start_work(&raw, &bond);
	hear_this("exec");
	fcntl(raw.conn, F_SETFD, 0);
	fcntl(raw.ctx, F_SETFD, 0);
	fcntl(bond.fd, F_SETFD, 0);
	exec_image();
}

START_TEST(test_exec_keeping_fds)
{
	struct worker w;

	sys_start("");
	worker_start(&w, exec_keeping_fds, NULL);
	sys_tell(&w.child, "exec");
	sys_expect(&w.child, "image");
	sys_fault_ok("unhold sim0");
	ck_assert_int_eq(ends(w.bond), SVAB_CAUSE_MM_RELEASED);
	sys_tell(&w.child, "check");
	sys_expect(&w.child, "untouched");
	sys_end(&w.child);
	sys_stop();
}
END_TEST

static void vfork_client(void *arg)
{
	unsigned char *to = pages(4096);
	struct raw_bond bond;
	struct raw raw;
	int status;
	pid_t pid;

	(void)arg;
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	for (int i = 0; i < 3; i++) {
		pid = vfork();
		if (!pid) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		MUST_EQ(waitpid(pid, &status, 0), pid);
		MUST_EQ(status, 0);
		MUST_EQ(raw_run(&bond, raw_fill(to, PATTERN + (uint64_t)i, 4096), NULL), SVA_DEMO_OK);
		MUST(filled(to, PATTERN + (uint64_t)i, 4096));
	}
	pid = fork(); /* and plain fork */
	if (!pid)
		_exit(0);
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST_EQ(raw_run(&bond, raw_fill(to, 9, 4096), NULL), SVA_DEMO_OK);
	MUST(filled(to, 9, 4096));
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
}

START_TEST(test_vfork)
{
	struct child child;

	sys_start("");
	sys_child(&child, vfork_client, NULL);
	ck_assert_int_eq(sys_reap(&child), 0);
	sys_stop();
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------------------- */

static struct raw t_raw;
static struct raw_bond t_bond;

static void *thread_binds(void *arg)
{
	(void)arg;
	raw_open(&t_raw);
	raw_bind(&t_raw, "sim0", &t_bond);
	return NULL;
}

static void thread_client(void *arg)
{
	unsigned char *to = pages(4096);
	pthread_t thread;

	(void)arg;
	MUST_EQ(pthread_create(&thread, NULL, thread_binds, NULL), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(raw_run(&t_bond, raw_fill(to, PATTERN, 4096), NULL), SVA_DEMO_OK);
	MUST(filled(to, PATTERN, 4096));
	MUST_EQ(raw_unbind(&t_bond, SVAB_PASID_NONE, NULL), 0);
}

START_TEST(test_thread_that_bound_exits)
{
	struct child child;

	sys_start("");
	sys_child(&child, thread_client, NULL);
	ck_assert_int_eq(sys_reap(&child), 0);
	sys_stop();
}
END_TEST

static void *outlives_leader(void *arg)
{
	unsigned char *to = pages(4096);
	char path[64], state[256] = "";
	ssize_t n = 0;
	int fd;

	/* until the leader is a zombie */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)getpid());
	while (!strstr(state, ") Z ")) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		MUST(fd >= 0);
		n = read(fd, state, sizeof(state) - 1);
		close(fd);
		MUST(n > 0);
		state[n] = '\0';
		sched_yield();
	}
	for (int i = 0; i < 3; i++) {
		MUST_EQ(raw_run(&t_bond, raw_fill(to, PATTERN + (uint64_t)i, 4096), NULL), SVA_DEMO_OK);
		MUST(filled(to, PATTERN + (uint64_t)i, 4096));
		say("round");
		hear_this("next");
	}
	MUST_EQ(raw_unbind(&t_bond, SVAB_PASID_NONE, NULL), 0);
	_exit(arg ? 1 : 0);
}

static void leader_client(void *arg)
{
	pthread_t thread;

	thread_binds(arg);
	MUST_EQ(pthread_create(&thread, NULL, outlives_leader, NULL), 0);
	pthread_exit(NULL);
}

START_TEST(test_leader_exits)
{
	struct child child;

	sys_start("");
	sys_child(&child, leader_client, NULL);
	for (int i = 0; i < 3; i++) {
		sys_expect(&child, "round");
		ck_assert_uint_eq(sys_counter("svad_bonds"), 1);
		sys_tell(&child, "next");
	}
	ck_assert_int_eq(sys_reap(&child), 0);
	sys_stop();
}
END_TEST

/* ---- another process in the same address space ----------------------------------------------------- */

static int sharer(void *arg)
{
	(void)arg;
	hear_this("end");
	_exit(0);
}

static void clone_vm_client(void *arg)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct raw_bond bond;
	struct raw raw;
	int pid;

	(void)arg;
	start_work(&raw, &bond);
	hear_this("clone");
	/* copies of all fds: only a pidfd can tell that the client itself is gone */
	pid = clone(sharer, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	MUST(pid > 0);
	say("cloned %d", pid);
	for (;;)
		pause();
}

START_TEST(test_clone_vm)
{
	enum svab_cause cause;
	struct worker w;
	int status, sock, pid;

	/* a process of the same address space outlives the client, with all its fds */
	sys_start("");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	worker_start(&w, clone_vm_client, NULL);
	sys_tell(&w.child, "clone");
	ck_assert_int_eq(sscanf(sys_expect(&w.child, "cloned"), "cloned %d", &pid), 1);
	sock = dup(w.child.sock);
	sys_kill(&w.child, SIGKILL);
	cause = ends(w.bond);
	ck_assert_int_eq(cause, SVAB_CAUSE_CLIENT_GONE);
	sys_fault_ok("unhold sim0");
	ck_assert_int_eq((int)send(sock, "end", 3, MSG_NOSIGNAL), 3);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(sock);
	sys_stop();
}
END_TEST

/* ---- two clients ------------------------------------------------------------------------------------- */

START_TEST(test_one_of_two_killed)
{
	struct child neighbour;
	unsigned n = tap_scale(20);

	/* on the same device, again and again: the other one's bytes stay right */
	sys_start("");
	bystander_start(&neighbour, "sim0");
	for (unsigned i = 0; i < n; i++) {
		struct worker w;

		sys_child(&w.child, work_and_wait, NULL);
		worker_parse(&w);
		sys_kill(&w.child, SIGKILL);
		ends(w.bond);
		bystander_check(&neighbour);
	}
	bystander_end(&neighbour);
	sys_stop();
}
END_TEST

/* ---- death at every step ------------------------------------------------------------------------------ */

enum { STEP_CONNECTED, STEP_HALF_HELLO, STEP_HELLO, STEP_BIND_SENT, STEP_GRANTED, STEP_SVAB_BIND_SENT, STEP_BOUND, STEP_QUEUE, STEP_SUBMITTED,
       STEP_DONE, STEP_UNBIND_SENT, STEP_UNBOUND, STEPS };

static void step(int at, int last)
{
	if (at < last)
		return;
	say("step");
	for (;;)
		pause();
}

static void send_request(int conn, Svad__V1__Request *request)
{
	unsigned char buf[1024];
	ssize_t len = wire_encode_request(request, buf, sizeof(buf));

	request->id = 1;
	len = wire_encode_request(request, buf, sizeof(buf));
	MUST(len > 0 && sys_send(conn, buf, (size_t)len, NULL, 0));
}

static void stepper(void *arg)
{
	int last = *(int *)arg;
	struct raw raw = { .ctx = -1, .conn = sys_connect("svad.sock") };
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Bind bind = SVAD__V1__BIND__INIT;
	struct svab_bind b = { .size = sizeof(b), .bond_fd = -1 };
	struct svab_unbind u = { .size = sizeof(u) };
	struct sva_demo_desc desc = raw_fill(pages(BYTES), PATTERN, BYTES);
	struct raw_bond bond;
	uint32_t device;

	step(STEP_CONNECTED, last);
	if (last == STEP_HALF_HELLO) {
		MUST(sys_send(raw.conn, "\x08\x01", 2, NULL, 0));
		step(STEP_HALF_HELLO, last);
	}
	MUST_EQ(sys_code(sys_hello(raw.conn, 0)), SVAD_OK);
	step(STEP_HELLO, last);
	if (last == STEP_BIND_SENT) {
		bind.device = (char *)(uintptr_t)"sim0";
		request.body_case = SVAD__V1__REQUEST__BODY_BIND;
		request.bind = &bind;
		send_request(raw.conn, &request);
		step(STEP_BIND_SENT, last);
	}
	MUST_EQ(raw_grant(&raw, "sim0", &device), SVAD_OK);
	step(STEP_GRANTED, last);
	if (last == STEP_SVAB_BIND_SENT) {
		int fds[2] = { open("/proc/self/mem", O_RDWR | O_CLOEXEC), open("/proc/self/maps", O_RDONLY | O_CLOEXEC) };

		b.device = device;
		b.at_random = (uintptr_t)&b;
		MUST_EQ(raw_send(raw.ctx, SVAB_BIND, 1, &b, sizeof(b), fds, 2), 0);
		step(STEP_SVAB_BIND_SENT, last);
	}
	MUST_EQ(raw_bind_own(&raw, device, &bond), 0);
	step(STEP_BOUND, last);
	MUST_EQ(raw_run(&bond, (struct sva_demo_desc) { .op = SVA_DEMO_NOP }, NULL), SVA_DEMO_OK);
	step(STEP_QUEUE, last);
	raw_submit(&bond, &desc);
	step(STEP_SUBMITTED, last);
	MUST_EQ(raw_run(&bond, desc, NULL), SVA_DEMO_OK);
	step(STEP_DONE, last);
	if (last == STEP_UNBIND_SENT) {
		MUST_EQ(raw_send(bond.fd, SVAB_UNBIND, 1, &u, sizeof(u), NULL, 0), 0);
		step(STEP_UNBIND_SENT, last);
	}
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	step(STEP_UNBOUND, last);
}

START_TEST(test_death_at_each_step)
{
	struct sys_baseline before;
	struct child neighbour;
	unsigned rounds = tap_scale(5);

	sys_start("");
	bystander_start(&neighbour, "sim1");
	before = sys_baseline();
	for (unsigned i = 0; i < rounds; i++) {
		for (int last = 0; last < STEPS; last++) {
			struct child child;

			sys_child(&child, stepper, &last);
			sys_expect(&child, "step");
			sys_kill(&child, SIGKILL);
			sys_await_counter("svad_clients", 1);
			ck_assert_uint_eq(sys_counter("svad_bonds"), 1);
			sys_drop_events();
		}
	}
	bystander_check(&neighbour);
	sys_no_leak(&before);
	bystander_end(&neighbour);
	sys_stop();
}
END_TEST

static Suite *lifetime_suite(void)
{
	Suite *s = suite_create("lifetime");

	sys_test(s, "sigkill", test_sigkill);
	sys_test(s, "crash", test_crash);
	sys_test(s, "exit", test_exit);
	sys_test(s, "exec", test_exec);
	sys_test(s, "exec-keeping-fds", test_exec_keeping_fds);
	sys_test(s, "vfork", test_vfork);
	sys_test(s, "thread-that-bound-exits", test_thread_that_bound_exits);
	sys_test(s, "leader-exits", test_leader_exits);
	sys_test(s, "clone-vm", test_clone_vm);
	sys_test(s, "one-of-two-killed", test_one_of_two_killed);
	sys_test(s, "death-at-each-step", test_death_at_each_step);
	return s;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--image") == 0)
		return image(atoi(argv[2]));
	return tap_main(argc, argv, lifetime_suite, NULL);
}
