/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Client processes. They and the test talk over a pair of sockets, a line a packet. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../child.h"
#include "harness.h"

#define WAIT_MS 10000
#define BYSTANDER_BYTES (256u << 10)

int say_sock = -1;

void sys_fail(const char *file, int line, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (say_sock < 0)
		_ck_assert_failed(file, line, "failed", "%s", text);
	say("failed: %s:%d: %s", file, line, text);
	_exit(99);
}

static void child_start(struct child *child, void (*fn)(void *arg), void *arg, bool inherits)
{
	pid_t self = getpid();
	int pair[2];

	MUST_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	child->pid = fork();
	MUST(child->pid >= 0);
	if (!child->pid) {
		die_with_parent(self, SIGKILL);
		if (inherits) {
			close(pair[0]);
			say_sock = pair[1];
		} else {
			say_sock = pair[1] == 3 ? 3 : dup2(pair[1], 3);
			(void)syscall(SYS_close_range, 4, ~0u, 0);
			fcntl(3, F_SETFD, FD_CLOEXEC);
		}
		fn(arg);
		_exit(0);
	}
	close(pair[1]);
	child->sock = pair[0];
	child->pidfd = sys_pidfd(child->pid);
}

void sys_child(struct child *child, void (*fn)(void *arg), void *arg)
{
	child_start(child, fn, arg, false);
}

void sys_child_inherits(struct child *child, void (*fn)(void *arg), void *arg)
{
	child_start(child, fn, arg, true);
}

const char *sys_expect(struct child *child, const char *prefix)
{
	static char text[2048];
	struct pollfd p = { .fd = child->sock, .events = POLLIN };
	ssize_t n = 0;

	if (poll(&p, 1, sys_ms(WAIT_MS)) == 1)
		n = recv(child->sock, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	if (n <= 0 || strncmp(text, prefix, strlen(prefix)) != 0)
		sys_fail(__FILE__, __LINE__, "waited for \"%s\" of a client process, got \"%s\"", prefix, n > 0 ? text : "nothing");
	return text;
}

void sys_tell(struct child *child, const char *message)
{
	MUST_EQ(send(child->sock, message, strlen(message), MSG_NOSIGNAL), strlen(message));
}

int sys_reap(struct child *child)
{
	int status = -1;
	char text[2048];
	ssize_t n;

	sys_await_exit(child->pidfd);
	while ((n = recv(child->sock, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
		text[n] = '\0';
		if (strncmp(text, "failed:", 7) == 0)
			sys_fail(__FILE__, __LINE__, "a client process: %s", text);
	}
	MUST_EQ(waitpid(child->pid, &status, 0), child->pid);
	close(child->pidfd);
	close(child->sock);
	return status;
}

void sys_kill(struct child *child, int sig)
{
	int status;

	MUST_EQ(kill(child->pid, sig), 0);
	status = sys_reap(child);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == sig);
}

void sys_end(struct child *child)
{
	sys_tell(child, "end");
	MUST_EQ(sys_reap(child), 0);
}

/* ---- in the client process ------------------------------------------------------------------------- */

void say(const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (send(say_sock, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, MSG_NOSIGNAL) < 0)
		_exit(98); /* the test is gone */
}

const char *hear(void)
{
	static char text[2048];
	ssize_t n = recv(say_sock, text, sizeof(text) - 1, 0);

	if (n <= 0)
		_exit(98);
	text[n] = '\0';
	return text;
}

void hear_this(const char *message)
{
	const char *text = hear();

	if (strcmp(text, message) != 0)
		sys_fail(__FILE__, __LINE__, "waited for \"%s\", was told \"%s\"", message, text);
}

void become(uid_t uid, gid_t gid)
{
	MUST_EQ(setgroups(0, NULL), 0);
	MUST_EQ(setresgid(gid, gid, gid), 0);
	MUST_EQ(setresuid(uid, uid, uid), 0);
	/* A change of uid makes a process undumpable, and its /proc/self/mem root's. */
	MUST_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
}

/* ---- a bystander -------------------------------------------------------------------------------------- */

static void bystander(void *arg)
{
	unsigned char *from = pages(BYSTANDER_BYTES), *to = pages(BYSTANDER_BYTES);
	struct raw_bond bond;
	struct raw raw;
	uint64_t rounds = 0;

	raw_open(&raw);
	raw_bind(&raw, arg, &bond);
	say("started");
	for (;;) {
		struct pollfd p = { .fd = say_sock, .events = POLLIN };
		const char *text;

		memset(from, (int)(++rounds % 251), BYSTANDER_BYTES);
		MUST_EQ(raw_run(&bond, raw_copy(to, from, BYSTANDER_BYTES), NULL), SVA_DEMO_OK);
		MUST(memcmp(from, to, BYSTANDER_BYTES) == 0);
		/* A transfer now and then shows as much as many, and leaves the machine to the test. */
		if (poll(&p, 1, 2) == 0)
			continue;
		text = hear();
		if (strcmp(text, "end") == 0)
			break;
		memset(to, 0, BYSTANDER_BYTES);
		MUST_EQ(raw_run(&bond, raw_copy(to, from, BYSTANDER_BYTES), NULL), SVA_DEMO_OK);
		MUST(memcmp(from, to, BYSTANDER_BYTES) == 0);
		say("right after %llu rounds", (unsigned long long)rounds);
	}
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
}

void bystander_start(struct child *child, const char *device)
{
	sys_child(child, bystander, (void *)(uintptr_t)device);
	sys_expect(child, "started");
}

void bystander_check(struct child *child)
{
	sys_tell(child, "check");
	sys_expect(child, "right after");
}

void bystander_end(struct child *child)
{
	bystander_check(child);
	sys_end(child);
}
