/* SPDX-License-Identifier: GPL-2.0-or-later */
/* svadctl in the guest: what it says, and how it ends. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char ctl_out[65536];

int ctl_run(const char *socket, const char *const *args)
{
	char program[256];
	const char *argv[16] = { program, "--socket", socket };
	size_t used = 0;
	int fds[2], status, n = 3;
	uint64_t deadline = deadline_in(60000);
	pid_t pid;

	snprintf(program, sizeof(program), "%s/svadctl", vm.bindir);
	while (*args && n < 15)
		argv[n++] = *args++;
	MUST_SYS(pipe2(fds, O_CLOEXEC) == 0);
	fflush(stdout);
	pid = fork();
	MUST_SYS(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		execv(program, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(fds[1]);
	for (;;) {
		struct pollfd p = { .fd = fds[0], .events = POLLIN };
		ssize_t len;

		if (poll(&p, 1, ms_left(deadline)) != 1)
			FAIL("svadctl does not end: %.200s", ctl_out);
		MUST(used < sizeof(ctl_out) - 1);
		len = read(fds[0], ctl_out + used, sizeof(ctl_out) - 1 - used);
		MUST_SYS(len >= 0);
		if (len == 0)
			break;
		used += (size_t)len;
	}
	ctl_out[used] = 0;
	close(fds[0]);
	MUST_SYS(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void ctl_print(void)
{
	char *save = NULL;

	for (char *line = strtok_r(ctl_out, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		note("  %s", line);
}

void ctl_says(const char *text)
{
	if (strstr(ctl_out, text))
		return;
	ctl_print();
	FAIL("svadctl does not say: %s", text);
}

void ctl_is(int status, int wanted)
{
	if (status == wanted)
		return;
	ctl_print();
	FAIL("svadctl ended with %d, not %d", status, wanted);
}
