/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../child.h"
#include "supervisor-world.h"
#include "tap.h"

struct supervisor_world W;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

const char *in_dir(const char *fmt, ...)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];
	int n = snprintf(p, sizeof(path[0]), "%s/", W.dir);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p + n, sizeof(path[0]) - (size_t)n, fmt, ap);
	va_end(ap);
	return p;
}

static void copy_program(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	struct stat st;

	ck_assert_msg(in >= 0, "%s: %s", from, strerror(errno));
	ck_assert_int_ge(out, 0);
	ck_assert_int_eq(fstat(in, &st), 0);
	while (st.st_size > 0) {
		ssize_t n = sendfile(out, in, NULL, (size_t)st.st_size);

		ck_assert_int_gt(n, 0);
		st.st_size -= n;
	}
	close(in);
	close(out);
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	ck_assert_uint_lt(strlen(path), sizeof(sa.sun_path));
	memcpy(sa.sun_path, path, strlen(path) + 1);
	return sa;
}

int bound(const char *path, int type)
{
	struct sockaddr_un sa = address(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(chmod(path, 0777), 0);
	return fd;
}

int connects(const char *path)
{
	struct sockaddr_un sa = address(path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;

	close(fd);
	return r;
}

void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

void configure(const char *extra)
{
	char text[4096];

	snprintf(text, sizeof(text), "[daemon]\nbackend = sim\nuser = nobody\nruntime_dir = %s/run\n%s",
		 W.dir, extra);
	write_file(W.config, text);
}

void setup(void)
{
	char program[512];

	memset(&W, 0, sizeof(W));
	strcpy(W.dir, "/tmp/svad-sup-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(W.dir));
	ck_assert_int_eq(chmod(W.dir, 0755), 0);
	W.report.fd = bound(in_dir("report"), SOCK_DGRAM | SOCK_NONBLOCK);
	W.notify.fd = bound(in_dir("notify"), SOCK_DGRAM | SOCK_NONBLOCK);
	W.log = -1;
	snprintf(W.config, sizeof(W.config), "%s/svad.conf", W.dir);
	snprintf(program, sizeof(program), "%s/fake-child", tap_builddir());
	copy_program(program, in_dir("svad-broker"));
	copy_program(program, in_dir("svad-simdev"));
	configure("");
	setenv("SVAD_FAKE_REPORT", in_dir("report"), 1);
	setenv("NOTIFY_SOCKET", in_dir("notify"), 1);
	unsetenv("SVAD_FAKE_BROKER");
	unsetenv("SVAD_FAKE_SIMDEV");
	unsetenv("WATCHDOG_USEC");
	unsetenv("JOURNAL_STREAM");
}

void forget_log(void)
{
	W.text_len = 0;
	W.text[0] = '\0';
}

void start(void)
{
	char program[512], pid[32];
	pid_t self = getpid();
	int log[2];

	ck_assert_int_eq(pipe2(log, O_CLOEXEC), 0);
	snprintf(program, sizeof(program), "%s/svad", tap_builddir());
	forget_log();
	W.log_closed = false;
	W.pid = fork();
	ck_assert_int_ge(W.pid, 0);
	if (W.pid == 0) {
		die_with_parent(self, SIGKILL);
		dup2(log[1], STDERR_FILENO);
		if (W.stderr_path)
			dup2(open(W.stderr_path, O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		for (int i = 0; i < W.n_activate; i++)
			dup2(W.activate[i], 3 + i);
		if (W.n_activate) {
			snprintf(pid, sizeof(pid), "%d", getpid());
			setenv("LISTEN_PID", pid, 1);
			snprintf(pid, sizeof(pid), "%d", W.n_activate);
			setenv("LISTEN_FDS", pid, 1);
			if (W.names)
				setenv("LISTEN_FDNAMES", W.names, 1);
		}
		if (W.as_nobody && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
			_exit(126);
		execl(program, program, "--config", W.config, "--libexec-dir", W.libexec ? W.libexec : W.dir,
		      NULL);
		_exit(127);
	}
	close(log[1]);
	if (W.log >= 0)
		close(W.log);
	W.log = log[0];
}

static uint64_t patience(void)
{
	return now_ms() + 5000u * tap_patience();
}

static void receive(struct inbox *in)
{
	char line[4096];

	for (;;) {
		ssize_t n = recv(in->fd, line, sizeof(line) - 1, MSG_DONTWAIT);

		if (n < 0)
			return;
		line[n] = '\0';
		ck_assert_uint_lt(in->n, sizeof(in->lines) / sizeof(in->lines[0]));
		in->lines[in->n++] = strdup(line);
	}
}

/* Waits until something happens to svad, and takes in all that it (and its children) had to say: none of them
 * may be held up by us. False when until has passed. also: one more fd to wait for, or -1. */
static bool pump(uint64_t until, int also)
{
	struct pollfd pfd[] = {
		{ .fd = W.report.fd, .events = POLLIN },
		{ .fd = W.notify.fd, .events = POLLIN },
		{ .fd = W.log_closed || W.log_unread ? -1 : W.log, .events = POLLIN },
		{ .fd = also, .events = POLLIN },
	};
	uint64_t now = now_ms();

	if (now >= until)
		return false;
	poll(pfd, 4, (int)(until - now));
	receive(&W.report);
	receive(&W.notify);
	if (pfd[2].revents) {
		ssize_t n = read(W.log, W.text + W.text_len, sizeof(W.text) - 1 - W.text_len);

		W.log_closed = n <= 0;
		W.text_len += n > 0 ? (size_t)n : 0;
		W.text[W.text_len] = '\0';
	}
	return true;
}

/* Waits for text in svad's log. */
void expect_log(const char *text)
{
	uint64_t until = patience();

	while (!strstr(W.text, text))
		ck_assert_msg(!W.log_closed && pump(until, -1), "svad did not log: %s\nlog:\n%s", text,
			      W.text);
}

/* The next line of in that contains a and b; those before it are passed over. */
static const char *expect_at(struct inbox *in, const char *a, const char *b)
{
	uint64_t until = patience();

	for (;;) {
		while (in->at < in->n) {
			const char *line = in->lines[in->at++];

			if (strstr(line, a) && strstr(line, b))
				return line;
		}
		ck_assert_msg(pump(until, -1), "waited in vain for: %s %s\nlog:\n%s", a, b, W.text);
	}
}

const char *expect(const char *child, const char *what)
{
	return expect_at(&W.report, child, what);
}

/* Both, in whichever order: what two processes say has none. */
void expect_both(const char *child_a, const char *what_a, const char *child_b, const char *what_b)
{
	size_t from = W.report.at, end;

	expect(child_a, what_a);
	end = W.report.at;
	W.report.at = from;
	expect(child_b, what_b);
	if (W.report.at < end)
		W.report.at = end;
}

const char *expect_notify(const char *what)
{
	return expect_at(&W.notify, what, what);
}

pid_t expect_start(const char *child)
{
	const char *line = expect(child, " start ");

	return (pid_t)atoi(strchr(line, ' ') + 1);
}

int wait_exit(void)
{
	int fd = (int)syscall(SYS_pidfd_open, W.pid, 0), status;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t until = patience();

	ck_assert_int_ge(fd, 0);
	while (poll(&pfd, 1, 0) == 0)
		ck_assert_msg(pump(until, fd), "svad does not end; log:\n%s", W.text);
	close(fd);
	ck_assert_int_eq(waitpid(W.pid, &status, 0), W.pid);
	W.pid = 0;
	W.log_unread = false;
	while (!W.log_closed && pump(until, -1))
		;
	ck_assert_msg(WIFEXITED(status), "svad was killed by signal %d; log:\n%s", WTERMSIG(status), W.text);
	return WEXITSTATUS(status);
}

void start_ready(pid_t *ret_broker, pid_t *ret_device)
{
	size_t from = W.report.at;
	pid_t device, broker;

	start();
	device = expect_start("svad-simdev");
	W.report.at = from;
	broker = expect_start("svad-broker");
	expect_notify("READY=1");
	if (ret_broker)
		*ret_broker = broker;
	if (ret_device)
		*ret_device = device;
}

void stop(int want)
{
	kill(W.pid, SIGTERM);
	ck_assert_int_eq(wait_exit(), want);
}

void teardown(void)
{
	char command[128];

	if (W.pid > 0) {
		kill(W.pid, SIGKILL);
		waitpid(W.pid, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf '%s'", W.dir);
	ck_assert_int_eq(system(command), 0);
}
