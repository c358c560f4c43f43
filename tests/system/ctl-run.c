// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "ctl-run.h"
#include "tap.h"

#define OUT_MAX (1u << 20)

char dir[64], sock_path[96];
char *text_out, *text_err;
char ctl_path[4096];
const char *ctl_input;
static pid_t server;

void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/svad-test-ctl-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(sock_path, sizeof(sock_path), "%s/admin.sock", dir);
	snprintf(ctl_path, sizeof(ctl_path), "%s/svadctl", tap_builddir());
	text_out = malloc(OUT_MAX);
	text_err = malloc(OUT_MAX);
	ck_assert(text_out && text_err);
	unsetenv("NO_COLOR");
	unsetenv("COLUMNS");
}

void stop_server(void)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	server = 0;
}

void teardown(void)
{
	stop_server();
	unlink(sock_path);
	rmdir(dir);
	free(text_out);
	free(text_err);
}

void start(enum fake_mode mode)
{
	stop_server();
	server = fake_start(sock_path, mode);
	ck_assert_int_gt(server, 0);
}

/* A file with text, to be somebody's stdin. */
static int input_fd(const char *text)
{
	int fd = memfd_create("stdin", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

int ctl(const char *fmt, ...)
{
	char args[1024], *argv[32] = { ctl_path }, *save = NULL;
	int o[2], e[2], status, n = 1, in = ctl_input ? input_fd(ctl_input) : -1;
	size_t used[2] = { 0, 0 };
	va_list ap;
	pid_t pid;

	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	for (char *w = strtok_r(args, " ", &save); w && n < 31; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	ck_assert(!pipe2(o, O_CLOEXEC) && !pipe2(e, O_CLOEXEC));
	pid = fork();
	if (!pid) {
		setenv("SVAD_ADMIN_SOCKET", sock_path, 1);
		if (in >= 0)
			dup2(in, 0);
		dup2(o[1], 1);
		dup2(e[1], 2);
		execv(ctl_path, argv);
		_exit(126);
	}
	if (in >= 0)
		close(in);
	close(o[1]);
	close(e[1]);
	for (bool open_[2] = { true, true }; open_[0] || open_[1];) {
		struct pollfd pfd[2] = { { .fd = open_[0] ? o[0] : -1, .events = POLLIN },
					 { .fd = open_[1] ? e[0] : -1, .events = POLLIN } };
		char *buf[2] = { text_out, text_err };

		ck_assert_int_ge(poll(pfd, 2, -1), 0);
		for (int i = 0; i < 2; i++) {
			ssize_t len;

			if (!pfd[i].revents)
				continue;
			ck_assert_uint_lt(used[i], OUT_MAX - 1);
			len = read(pfd[i].fd, buf[i] + used[i], OUT_MAX - 1 - used[i]);
			if (len <= 0)
				open_[i] = false;
			else
				used[i] += (size_t)len;
		}
	}
	text_out[used[0]] = text_err[used[1]] = 0;
	close(o[0]);
	close(e[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

json_t *parsed(void)
{
	json_error_t error;
	json_t *root = json_loads(text_out, 0, &error);

	ck_assert_msg(root != NULL, "no JSON: %s\n%.2000s", error.text, text_out);
	return root;
}

int on_terminal(const char *arg, const char *until, const char *keys, int signo, struct termios *before,
		struct termios *after)
{
	struct winsize ws = { .ws_row = 24, .ws_col = 100 };
	int master, slave, status;
	size_t used = 0;
	bool acted = false;
	pid_t pid;

	ck_assert(!openpty(&master, &slave, NULL, NULL, &ws));
	tcgetattr(slave, before);
	pid = fork();
	if (!pid) {
		char *argv[8] = { ctl_path }, words[128], *save = NULL;
		int n = 1;

		snprintf(words, sizeof(words), "%s", arg);
		for (char *w = strtok_r(words, " ", &save); w && n < 7; w = strtok_r(NULL, " ", &save))
			argv[n++] = w;
		setenv("SVAD_ADMIN_SOCKET", sock_path, 1);
		setenv("TERM", "xterm", 1);
		setsid();
		for (int fd = 0; fd < 3; fd++)
			dup2(slave, fd);
		close(slave);
		close(master);
		execv(ctl_path, argv);
		_exit(126);
	}
	for (;;) {
		struct pollfd pfd = { .fd = master, .events = POLLIN };
		ssize_t n;

		/* The slave stays open here, for its settings: the end is that of the process, looked for
		 * when all is read. */
		if (acted && waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (poll(&pfd, 1, 20) <= 0)
			continue;
		n = read(master, text_out + used, OUT_MAX - 1 - used);
		ck_assert_int_gt(n, 0);
		used += (size_t)n;
		text_out[used] = 0;
		if (!acted && strstr(text_out, until)) {
			if (keys)
				ck_assert_int_eq(write(master, keys, strlen(keys)), (ssize_t)strlen(keys));
			else if (signo)
				kill(pid, signo);
			acted = true;
		}
	}
	for (struct pollfd pfd = { .fd = master, .events = POLLIN }; poll(&pfd, 1, 0) > 0;) {
		ssize_t n = read(master, text_out + used, OUT_MAX - 1 - used);

		ck_assert_int_gt(n, 0);
		used += (size_t)n;
	}
	text_out[used] = 0;
	tcgetattr(slave, after);
	close(master);
	close(slave);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
