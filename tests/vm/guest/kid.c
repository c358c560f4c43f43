/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes of a scenario: started, spoken with over a socket, waited for by pidfd. */
#include "vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 60000

int say_sock = -1;

int open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		FAIL("pidfd_open(%d): %s", (int)pid, strerror(errno));
	return fd;
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void kid_adopt(struct kid *k, pid_t pid, int sock)
{
	*k = (struct kid){ .pid = pid, .pidfd = open_pidfd(pid), .sock = sock };
}

void kid_start(struct kid *k, void (*fn)(void *arg), void *arg)
{
	uint64_t seed = rnd();
	int pair[2];
	pid_t pid;

	MUST_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	fflush(stdout);
	pid = fork();
	MUST_SYS(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		close_fd(&say_sock);
		say_sock = pair[1];
		seed_rnd(seed);
		fn(arg);
		fflush(stdout);
		_exit(0);
	}
	close(pair[1]);
	kid_adopt(k, pid, pair[0]);
}

static bool receive(int sock, char *text, size_t size)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	ssize_t n;
	int r;

	do
		r = poll(&p, 1, ms(WAIT_MS));
	while (r < 0 && errno == EINTR);
	if (r == 0)
		FAIL("no word from a process within %d ms", ms(WAIT_MS));
	n = recv(sock, text, size - 1, 0);
	if (n <= 0)
		return false;
	text[n] = 0;
	return true;
}

const char *expect(struct kid *k, const char *prefix)
{
	static char text[512];

	if (!receive(k->sock, text, sizeof(text)))
		FAIL("a process ended before it said \"%s\"", prefix);
	if (strncmp(text, prefix, strlen(prefix)) != 0)
		FAIL("a process said \"%s\", not \"%s\"", text, prefix);
	return text;
}

void tell(struct kid *k, const char *message)
{
	if (send(k->sock, message, strlen(message), MSG_NOSIGNAL) < 0)
		FAIL("a process is not there to be told \"%s\": %s", message, strerror(errno));
}

void await_exit(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&p, 1, ms(WAIT_MS));
	while (r < 0 && errno == EINTR);
	if (r != 1)
		FAIL("a process did not end within %d ms", ms(WAIT_MS));
}

int kid_reap(struct kid *k)
{
	int status = 0;

	await_exit(k->pidfd);
	MUST_SYS(waitpid(k->pid, &status, 0) == k->pid);
	close_fd(&k->pidfd);
	close_fd(&k->sock);
	k->pid = 0;
	return status;
}

void kid_kill(struct kid *k)
{
	MUST_SYS(kill(k->pid, SIGKILL) == 0);
	MUST_EQ(kid_reap(k), SIGKILL);
}

void kid_end(struct kid *k)
{
	tell(k, "end");
	MUST_EQ(kid_reap(k), 0);
}

/* ---- in the kid ---- */

void say(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (send(say_sock, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(1); /* the scenario has ended */
}

const char *hear(void)
{
	static char text[512];
	ssize_t n = recv(say_sock, text, sizeof(text) - 1, 0);

	if (n <= 0)
		_exit(1);
	text[n] = 0;
	return text;
}

void hear_this(const char *message)
{
	const char *got = hear();

	if (strcmp(got, message) != 0)
		FAIL("told \"%s\", not \"%s\"", got, message);
}

void send_fd(int sock, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = "fd", .iov_len = 2 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	MUST_SYS(sendmsg(sock, &msg, MSG_NOSIGNAL) == 2);
}

int receive_fd(int sock)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char text[8];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c;
	int fd;

	MUST_SYS(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) == 2);
	c = CMSG_FIRSTHDR(&msg);
	MUST(c && c->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

void crash_now(void)
{
	int *volatile nowhere = (int *)8;

	*nowhere = 1;
}

void become(uid_t uid)
{
	MUST_SYS(setresgid(uid, uid, uid) == 0);
	MUST_SYS(setresuid(uid, uid, uid) == 0);
}
