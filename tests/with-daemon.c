// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs a command beside an svad of its own, on the simulated device:
 *
 *	with-daemon [--config FILE] COMMAND [ARGUMENT...]
 *
 * svad is $SVAD_BUILDDIR/svad (default: .), its children are looked for in $SVAD_LIBEXECDIR (default: the same). It has a
 * runtime directory in /tmp that is gone afterwards, and is ready when the command starts: told by sd_notify's READY=1. FILE, if given, is read
 * as a fragment of its configuration. The command finds SVAD_SOCKET, SVAD_ADMIN_SOCKET and SVAD_PID in its environment.
 *
 * Exit status: the command's; 97 when svad did not become ready, 98 when it did not end well.
 */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

#define NOT_READY 97
#define ENDED_BADLY 98
#define WAIT_MS 60000

static char dir[] = "/tmp/svad-test.XXXXXX";

static unsigned slow(void)
{
	const char *s = getenv("CK_TIMEOUT_MULTIPLIER");
	long n = s ? strtol(s, NULL, 10) : 1;

	return n >= 1 && n <= 100 ? (unsigned)n : 1;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void clean_up(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int copy(const char *from, const char *to)
{
	FILE *in = fopen(from, "re"), *out = fopen(to, "we");
	int c, r = -1;

	if (in && out) {
		while ((c = fgetc(in)) != EOF)
			fputc(c, out);
		r = ferror(in) || ferror(out) ? -1 : 0;
	}
	if (in)
		fclose(in);
	if (out && fclose(out) != 0)
		r = -1;
	return r;
}

static int write_config(const char *fragment)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/svad.conf", dir);
	f = fopen(path, "we");
	if (!f)
		return -1;
	/* As root the children stay root: the build directory need not be open to another user. */
	fprintf(f, "[daemon]\nruntime_dir = %s/run\n%s", dir, geteuid() == 0 ? "user = root\n" : "");
	if (fclose(f) != 0)
		return -1;
	if (!fragment)
		return 0;
	snprintf(path, sizeof(path), "%s/svad.conf.d", dir);
	if (mkdir(path, 0755) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/svad.conf.d/test.conf", dir);
	return copy(fragment, path);
}

static int notify_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", dir);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	return fd;
}

/* True when svad said READY=1; false when it ended or nothing came in time. */
static bool wait_ready(int notify_fd, int pidfd)
{
	int64_t deadline = now_ms() + (int64_t)WAIT_MS * slow();

	for (;;) {
		struct pollfd pfds[] = { { .fd = notify_fd, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
		int64_t left = deadline - now_ms();
		char message[4096];
		ssize_t n;

		if (left <= 0 || poll(pfds, 2, (int)left) < 0) {
			fprintf(stderr, "with-daemon: svad was not ready in time\n");
			return false;
		}
		if (pfds[0].revents) {
			n = recv(notify_fd, message, sizeof(message) - 1, MSG_DONTWAIT);
			if (n <= 0)
				continue;
			message[n] = '\0';
			if (strncmp(message, "READY=1", 7) == 0 || strstr(message, "\nREADY=1"))
				return true;
		} else if (pfds[1].revents) {
			fprintf(stderr, "with-daemon: svad ended before it was ready\n");
			return false;
		}
	}
}

static pid_t spawn(char *const argv[])
{
	pid_t self = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	die_with_parent(self, SIGTERM);
	execvp(argv[0], argv);
	fprintf(stderr, "with-daemon: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Ends svad as systemd would. */
static int stop(pid_t pid, int pidfd)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int status;

	kill(pid, SIGTERM);
	if (poll(&pfd, 1, WAIT_MS * (int)slow()) != 1) {
		fprintf(stderr, "with-daemon: svad did not end after SIGTERM\n");
		kill(pid, SIGKILL);
	}
	waitpid(pid, &status, 0);
	return status_of(status);
}

int main(int argc, char **argv)
{
	const char *builddir = getenv("SVAD_BUILDDIR"), *libexecdir = getenv("SVAD_LIBEXECDIR"), *fragment = NULL;
	char program[4096], config[128], path[128], number[32];
	int notify_fd, pidfd, status, r = NOT_READY;
	pid_t svad, command;

	if (argc > 2 && strcmp(argv[1], "--config") == 0) {
		fragment = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc < 2) {
		fprintf(stderr, "usage: with-daemon [--config FILE] COMMAND [ARGUMENT...]\n");
		return 2;
	}
	if (!builddir || !*builddir)
		builddir = ".";
	if (!libexecdir || !*libexecdir)
		libexecdir = builddir;
	if (!mkdtemp(dir)) {
		perror("with-daemon: mkdtemp");
		return NOT_READY;
	}
	atexit(clean_up);
	snprintf(program, sizeof(program), "%s/svad", builddir);
	snprintf(config, sizeof(config), "%s/svad.conf", dir);
	notify_fd = notify_socket();
	if (notify_fd < 0 || write_config(fragment) < 0) {
		fprintf(stderr, "with-daemon: %s: %s\n", dir, strerror(errno));
		return NOT_READY;
	}
	svad = spawn((char *[]){ program, (char *)"--config", config, (char *)"--libexec-dir", (char *)libexecdir, NULL });
	pidfd = (int)syscall(SYS_pidfd_open, svad, 0);
	unsetenv("NOTIFY_SOCKET");
	if (wait_ready(notify_fd, pidfd)) {
		snprintf(path, sizeof(path), "%s/run/svad.sock", dir);
		setenv("SVAD_SOCKET", path, 1);
		snprintf(path, sizeof(path), "%s/run/admin.sock", dir);
		setenv("SVAD_ADMIN_SOCKET", path, 1);
		snprintf(number, sizeof(number), "%d", (int)svad);
		setenv("SVAD_PID", number, 1);
		command = spawn(argv + 1);
		while (waitpid(command, &status, 0) < 0 && errno == EINTR)
			;
		r = status_of(status);
	}
	status = stop(svad, pidfd);
	if (status != 0) {
		fprintf(stderr, "with-daemon: svad's exit status was %d\n", status);
		if (r == 0)
			r = ENDED_BADLY;
	}
	return r;
}
