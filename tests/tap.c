// SPDX-License-Identifier: GPL-2.0-or-later
#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

/* Check has no skip: a test that skips fails with this in front of its message, and the printing process knows. */
#define SKIP_MARK "@skip@"

#define LEFTOVER_GRACE_MS 20000

struct counts {
	unsigned printed, failed;
	unsigned seen; /* results of this runner */
	bool planned; /* the last line was the plan: the run is complete */
};

static unsigned env_number(const char *name, unsigned fallback)
{
	const char *s = getenv(name);
	char *end;
	unsigned long n;

	if (!s || !*s)
		return fallback;
	n = strtoul(s, &end, 10);
	return *end || n < 1 || n > 100000 ? fallback : (unsigned)n;
}

unsigned tap_scale(unsigned full)
{
	uint64_t n = (uint64_t)full * env_number("SVAD_TEST_SCALE", 100) / 100;

	return n < 1 ? 1 : (unsigned)n;
}

unsigned tap_slow(void)
{
	return env_number("CK_TIMEOUT_MULTIPLIER", 1);
}

unsigned tap_patience(void)
{
	unsigned n = env_number("SVAD_TEST_PATIENCE", 6), slow = 2 * tap_slow();

	return n > slow ? n : slow;
}

const char *tap_builddir(void)
{
	const char *s = getenv("SVAD_BUILDDIR");

	return s && *s ? s : ".";
}

const char *tap_srcdir(void)
{
	const char *s = getenv("SVAD_SRCDIR");
	static const char *const near[] = { ".", "..", "../.." };

	if (s && *s)
		return s;
	for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/configure.ac", near[i]);
		if (access(path, R_OK) == 0)
			return near[i];
	}
	return ".";
}

const char *tap_libexecdir(void)
{
	const char *s = getenv("SVAD_LIBEXECDIR");

	return s && *s ? s : tap_builddir();
}

void tap_skip_at(const char *file, int line, const char *fmt, ...)
{
	char reason[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	for (char *p = reason; *p; p++)
		if (*p == '\n')
			*p = ' ';
	_ck_assert_failed(file, line, "skipped", SKIP_MARK "%s", reason); /* what ck_abort_msg() is, with the caller's place */
	abort(); /* it does not return, but does not say so to every compiler */
}

/* Rewrites one line of Check's TAP: numbers anew, skips as skips. What is not the next result is more of a failure's message, whatever
 * it looks like. */
static void print_line(const char *line, struct counts *counts)
{
	char expected[32];
	bool ok = strncmp(line, "ok ", 3) == 0;
	const char *name, *mark;

	snprintf(expected, sizeof(expected), "1..%u", counts->seen);
	counts->planned = strcmp(line, expected) == 0;
	if (counts->planned)
		return;
	snprintf(expected, sizeof(expected), "%sok %u - ", ok ? "" : "not ", counts->seen + 1);
	if (strncmp(line, expected, strlen(expected)) != 0) {
		printf("# %s\n", line);
		return;
	}
	counts->seen++;
	name = line + strlen(expected);
	/* "../tests/unit/test-x.c:case:test: message": the folder is no news */
	for (const char *p = name; *p && *p != ':'; p++)
		if (*p == '/')
			name = p + 1;
	mark = ok ? NULL : strstr(name, SKIP_MARK);
	counts->printed++;
	if (mark) {
		int len = (int)(mark - name);

		while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == ':'))
			len--;
		printf("ok %u - %.*s # SKIP %s\n", counts->printed, len, name, mark + strlen(SKIP_MARK));
		return;
	}
	if (!ok)
		counts->failed++;
	/* a '#' in a message would be read as a directive */
	printf("%sok %u - ", ok ? "" : "not ", counts->printed);
	for (const char *p = name; *p; p++)
		putchar(*p == '#' ? '=' : *p);
	putchar('\n');
}

/* Reads Check's TAP until the runner is gone and all that it wrote is read: a daemon that a test left behind may hold the pipe open, so
 * EOF is not waited for. */
static void relay(int fd, int runner_fd, struct counts *counts)
{
	char buf[65536];
	size_t used = 0;

	for (;;) {
		struct pollfd pfds[] = { { .fd = fd, .events = POLLIN }, { .fd = runner_fd, .events = POLLIN } };
		char *nl, *start = buf;
		ssize_t n;

		if (poll(pfds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (!pfds[0].revents) /* only the runner's end is left, and the pipe is empty */
			break;
		n = read(fd, buf + used, sizeof(buf) - 1 - used);
		if (n <= 0)
			break;
		used += (size_t)n;
		buf[used] = '\0';
		while ((nl = memchr(start, '\n', used - (size_t)(start - buf)))) {
			*nl = '\0';
			print_line(start, counts);
			start = nl + 1;
		}
		used -= (size_t)(start - buf);
		memmove(buf, start, used);
		if (used == sizeof(buf) - 1)
			used = 0; /* a line longer than any of Check's */
		fflush(stdout);
	}
}

static void process_name(pid_t pid, char *name, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f || !fgets(name, (int)size, f))
		snprintf(name, size, "?");
	name[strcspn(name, "\n")] = '\0';
	if (f)
		fclose(f);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* One of our children, 0 when there is none. We are a subreaper: what the tests orphaned is ours. */
static pid_t some_child(void)
{
	char path[64];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

/* Waits for what the tests left behind; what does not end by itself is killed, and a failed test. */
static void reap_leftovers(struct counts *counts)
{
	int64_t deadline = now_ms() + (int64_t)env_number("SVAD_TAP_GRACE_MS", LEFTOVER_GRACE_MS) * tap_slow();
	pid_t pid;

	while ((pid = some_child()) > 0) {
		int fd = (int)syscall(SYS_pidfd_open, pid, 0);
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		int r = fd < 0 ? 1 : poll(&pfd, 1, left > 0 ? (int)left : 0);

		if (r == 0) {
			char name[64];

			process_name(pid, name, sizeof(name));
			printf("not ok %u - no process is left behind: %s (pid %d) was, and had to be killed\n",
			       ++counts->printed, name, (int)pid);
			counts->failed++;
			kill(pid, SIGKILL);
		}
		if (fd >= 0)
			close(fd);
		if (r != -1)
			waitpid(pid, NULL, 0);
	}
}

static int run_suites(SRunner *runner, int tap_fd)
{
	char path[32];

	/* Tests may print; TAP is the parent's alone. */
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return EXIT_FAILURE;
	snprintf(path, sizeof(path), "/dev/fd/%d", tap_fd);
	srunner_set_tap(runner, path);
	srunner_run_all(runner, CK_SILENT);
	srunner_free(runner);
	return EXIT_SUCCESS;
}

static int usage(const char *program)
{
	fprintf(stderr, "usage: %s [--list] [CASE...]\n", program);
	return 2;
}

/* CK_RUN_CASE takes one name; several are told apart by tags, which the suites may use for themselves. So: one run for each. */
static int run(Suite *(*const *fns)(void), size_t n, const char *only, struct counts *counts)
{
	int pipe_fds[2], status = 0, runner_fd;
	SRunner *runner;
	pid_t pid, self;

	if (only)
		setenv("CK_RUN_CASE", only, 1);
	if (pipe(pipe_fds) < 0) {
		perror("pipe");
		return -errno;
	}
	fflush(NULL);
	self = getpid();
	pid = fork();
	if (pid < 0) {
		perror("fork");
		return -errno;
	}
	if (pid == 0) {
		close(pipe_fds[0]);
		die_with_parent(self, SIGKILL);
		runner = srunner_create(NULL);
		for (size_t i = 0; i < n; i++)
			srunner_add_suite(runner, fns[i]());
		exit(run_suites(runner, pipe_fds[1]));
	}
	close(pipe_fds[1]);
	runner_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	counts->planned = false;
	counts->seen = 0;
	relay(pipe_fds[0], runner_fd, counts);
	close(pipe_fds[0]);
	if (runner_fd >= 0)
		close(runner_fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!counts->planned || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		printf("not ok %u - the test runner reached its end: %s %d\n", ++counts->printed,
		       WIFSIGNALED(status) ? "killed by signal" : "exit status",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		counts->failed++;
	}
	return 0;
}

int tap_main(int argc, char **argv, Suite *(*suite_fn)(void), ...)
{
	Suite *(*fns[32])(void);
	struct counts counts = { 0 };
	size_t n = 0;
	va_list ap;
	int r = 0;

	va_start(ap, suite_fn);
	for (Suite *(*fn)(void) = suite_fn; fn && n < 32; fn = va_arg(ap, Suite * (*)(void)))
		fns[n++] = fn;
	va_end(ap);

	if (argc > 1 && argv[1][0] == '-')
		return usage(argv[0]);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int i = 1; i < argc || i == 1; i++) {
		r = run(fns, n, i < argc ? argv[i] : NULL, &counts);
		if (r < 0)
			return 99; /* automake: a hard error */
	}
	reap_leftovers(&counts);
	if (counts.printed == 0)
		printf("not ok %u - there is such a case\n", ++counts.printed), counts.failed++;
	printf("1..%u\n", counts.printed);
	return counts.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
