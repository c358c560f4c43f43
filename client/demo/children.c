// SPDX-License-Identifier: GPL-2.0-or-later
/* The demonstration's clients, from the side of whoever drives them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo.h"

struct demo_child *demo_spawn(struct demo *d, const char *role, const char *arg)
{
	struct demo_child *c;
	int in[2], out[2];

	/* The place of one that was reaped, else a new one. */
	for (c = d->children; c < d->children + d->n_children && c->pid; c++)
		;
	if (c == d->children + DEMO_MAX_CHILDREN) {
		demo_fail(d, "too many clients");
		return NULL;
	}
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
		demo_fail(d, "pipe: %s", strerror(errno));
		return NULL;
	}
	if (c == d->children + d->n_children)
		d->n_children++;
	*c = (struct demo_child){ .pid = 0 };
	c->to = in[1];
	c->from = out[0];
	c->pidfd = -1;
	c->pid = fork();
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0); /* ctrl-C goes to the parent, which ends us in order */
		signal(SIGPIPE, SIG_DFL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl(d->self, "svad-demo", "--child", role, arg, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	if (c->pid > 0)
		c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pid < 0 || c->pidfd < 0) {
		demo_fail(d, "fork: %s", strerror(errno));
		return NULL;
	}
	return c;
}

bool demo_tell(struct demo *d, struct demo_child *c, const char *word)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s\n", word);

	if (write(c->to, line, (size_t)n) != n)
		return demo_fail(d, "client %d does not listen: %s", c->pid, strerror(errno));
	return true;
}

bool demo_hear(struct demo *d, struct demo_child *c, const char *word)
{
	for (;;) {
		char *end = memchr(c->text, '\n', c->have);
		ssize_t n;

		if (end) {
			size_t len = (size_t)(end - c->text), skip = strlen(word);
			char line[sizeof(c->text)];

			memcpy(line, c->text, len);
			line[len] = 0;
			c->have -= len + 1;
			memmove(c->text, end + 1, c->have);
			if (strncmp(line, word, skip))
				return demo_fail(d, "client %d says \"%s\" instead of \"%s\"", c->pid, line,
						 word);
			snprintf(c->line, sizeof(c->line), "%.250s",
				 line[skip] == ' ' ? line + skip + 1 : line + skip);
			return true;
		}
		if (c->have == sizeof(c->text))
			return demo_fail(d, "client %d says too much", c->pid);
		if (!demo_wait(d, c->from, DEMO_WAIT_MS, word))
			return false;
		n = read(c->from, c->text + c->have, sizeof(c->text) - c->have);
		if (n <= 0)
			return demo_fail(d, "client %d ended before it said \"%s\"", c->pid, word);
		c->have += (size_t)n;
	}
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool demo_reap(struct demo *d, struct demo_child *c, int expect_signal)
{
	int status;

	if (!demo_wait(d, c->pidfd, DEMO_WAIT_MS, "a client's end"))
		return false;
	if (waitpid(c->pid, &status, 0) != c->pid)
		return demo_fail(d, "waitpid: %s", strerror(errno));
	close_fd(&c->pidfd);
	close_fd(&c->to);
	close_fd(&c->from);
	if (expect_signal ? !(WIFSIGNALED(status) && WTERMSIG(status) == expect_signal)
			  : !(WIFEXITED(status) && !WEXITSTATUS(status)))
		demo_fail(d, "client %d ended with status 0x%x", c->pid, (unsigned)status);
	c->pid = 0;
	return !*d->why;
}

void demo_kill_children(struct demo *d)
{
	for (size_t i = 0; i < d->n_children; i++) {
		struct demo_child *c = &d->children[i];

		if (c->pid <= 0)
			continue;
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
		c->pid = 0;
		close_fd(&c->pidfd);
		close_fd(&c->to);
		close_fd(&c->from);
	}
}
