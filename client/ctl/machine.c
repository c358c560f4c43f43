// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONFIG_MAX (8u << 20)
#define LOG_MAX (16u << 20)

bool machine_here(struct machine *ret)
{
	struct utsname u;

	if (uname(&u))
		return false;
	ret->root = "";
	snprintf(ret->release, sizeof(ret->release), "%.127s", u.release);
	snprintf(ret->arch, sizeof(ret->arch), "%.63s", u.machine);
	return true;
}

static bool full_path(const struct machine *m, const char *path, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%s%s", m->root, path);

	if (n > 0 && (size_t)n < size)
		return true;
	errno = ENAMETOOLONG;
	return false;
}

bool machine_exists(const struct machine *m, const char *path)
{
	char full[PATH_MAX];

	return full_path(m, path, full, sizeof(full)) && !access(full, F_OK);
}

/* Reads to the end, or to the first record that is not there yet (EAGAIN). */
static char *read_all(int fd, size_t max, size_t *ret_size)
{
	char *text = NULL;
	size_t used = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (room - used < 8193) { /* a record of the kernel's log is read whole or not at all */
			char *more = realloc(text, room + 65536);

			if (!more)
				break;
			text = more;
			room += 65536;
		}
		n = read(fd, text + used, room - used - 1);
		if (n < 0 && (errno == EINTR || errno == EPIPE))
			continue; /* EPIPE: records of the log were overwritten; it goes on behind them */
		if (n < 0 && errno != EAGAIN && !used)
			break;
		if (n > 0)
			used += (size_t)n;
		if (n <= 0 || used >= max) {
			text[used] = '\0';
			if (ret_size)
				*ret_size = used;
			return text;
		}
	}
	free(text);
	return NULL;
}

char *machine_read(const struct machine *m, const char *path, size_t max, size_t *ret_size)
{
	char full[PATH_MAX], *text;
	int fd, error;

	if (!full_path(m, path, full, sizeof(full)))
		return NULL;
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	text = read_all(fd, max, ret_size);
	error = errno;
	close(fd);
	errno = error;
	return text;
}

char *machine_log(const struct machine *m)
{
	return machine_read(m, "/dev/kmsg", LOG_MAX, NULL);
}

/* Unpacked by gzip itself: linking a library for this one file is not worth it. */
static char *unpack(const char *path)
{
	char *text;
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC))
		return NULL;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(p[1], STDOUT_FILENO);
		if (null >= 0)
			dup2(null, STDERR_FILENO);
		execlp("gzip", "gzip", "-dc", path, (char *)NULL);
		_exit(127);
	}
	close(p[1]);
	text = pid < 0 ? NULL : read_all(p[0], CONFIG_MAX, NULL);
	close(p[0]); /* before the wait: what was not read is not waited for */
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return text;
}

char *machine_config(const struct machine *m, char *where, size_t size)
{
	static const char gz[] = "/proc/config.gz";
	char path[PATH_MAX], *text = NULL;

	if (full_path(m, gz, path, sizeof(path)) && !access(path, R_OK))
		text = unpack(path);
	if (text && *text) {
		snprintf(where, size, "%s", gz);
		return text;
	}
	free(text);
	snprintf(where, size, "/boot/config-%s", m->release);
	text = machine_read(m, where, CONFIG_MAX, NULL);
	if (text && *text)
		return text;
	free(text);
	return NULL;
}
