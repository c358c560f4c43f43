/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A look at the devices that are bound to vfio, when an administrator asks for it. Opening such a device may
 * reset it, which takes its time, and a broken one may never come back: so a process of its own looks and
 * reports through a pipe, and neither we nor the broker wait for it. One at a time; whoever asks meanwhile
 * gets the same answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "supervisor_private.h"
#include "vfio.h"

#define PROBE_DEADLINE_NS                                                                                    \
	(8 * NS_PER_S) /* below svadctl's default patience, so that it is us who says so                     \
			*/

_Static_assert(sizeof(struct vfio_report) <= CHAN_MAX,
	       "a report is one message, and fits into a pipe at once");

/* As much of it as is used. */
static size_t report_size(const struct vfio_report *report)
{
	return offsetof(struct vfio_report, facts) + report->n * sizeof(report->facts[0]);
}

static void answer(struct supervisor *s, int error, const char *text)
{
	child_send(&s->child[CHILD_BROKER], CHAN_PROBE_RESULT, (uint64_t)error, text, (uint32_t)strlen(text),
		   NULL, 0);
}

/* In the process that looks. All of our fds are CLOEXEC, but there is no exec here: the listening sockets and
 * channels are shut by hand, or a svad that ends while we hang in the kernel would leave them open. */
static _Noreturn void look(int out)
{
	static struct vfio_report report;
	sigset_t none;
	int fd = fcntl(out, F_DUPFD_CLOEXEC, CHAN_FD), r;
	size_t size;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "svad-vfio");
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd < 0 || dup2(fd, CHAN_FD) < 0)
		_exit(1);
	closefrom(CHAN_FD + 1);
	r = vfio_probe(&vfio_os_linux, true, &report);
	if (r < 0)
		_exit(2);
	size = report_size(&report);
	_exit(write(CHAN_FD, &report, size) == (ssize_t)size ? 0 : 1);
}

void probe_init(struct supervisor *s)
{
	s->probe.fd = -1;
}

void probe_ask(struct supervisor *s)
{
	struct probe *p = &s->probe;
	int pipe_fds[2];
	char text[128];

	if (s->phase != PHASE_RUN) {
		answer(s, ESHUTDOWN, "svad is stopping");
		return;
	}
	if (p->fd >= 0)
		return; /* its answer is for everybody who waits */
	if (p->stuck) {
		snprintf(text, sizeof(text),
			 "an earlier look at the vfio devices still hangs in the kernel (pid %d)", p->pid);
		answer(s, EBUSY, text);
		return;
	}
	if (p->pid > 0) {
		/* Its answer was out before this was asked; it will be gone in a moment. */
		if (!p->again)
			p->deadline_ns = now_ns() + PROBE_DEADLINE_NS;
		p->again = true;
		return;
	}
	if (!p->report)
		p->report = malloc(sizeof(*p->report));
	if (!p->report || pipe2(pipe_fds, O_CLOEXEC) < 0) {
		answer(s, p->report ? errno : ENOMEM, "no room for a look at the vfio devices");
		return;
	}
	p->pid = fork();
	if (p->pid == 0)
		look(pipe_fds[1]);
	close(pipe_fds[1]);
	if (p->pid < 0) {
		p->pid = 0;
		close(pipe_fds[0]);
		answer(s, EAGAIN, "cannot fork for a look at the vfio devices");
		return;
	}
	fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
	p->fd = pipe_fds[0];
	p->have = 0;
	p->deadline_ns = now_ns() + PROBE_DEADLINE_NS;
}

static void finish(struct supervisor *s)
{
	close(s->probe.fd);
	s->probe.fd = -1;
	probe_reap(s);
}

void probe_read(struct supervisor *s)
{
	struct probe *p = &s->probe;
	ssize_t n;

	while ((n = read(p->fd, (char *)p->report + p->have, sizeof(*p->report) - p->have)) > 0)
		p->have += (size_t)n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (p->have >= offsetof(struct vfio_report, facts) && p->report->n <= VFIO_REPORT_MAX &&
	    p->have == report_size(p->report))
		child_send(&s->child[CHILD_BROKER], CHAN_PROBE_RESULT, 0, p->report, (uint32_t)p->have, NULL,
			   0);
	else
		answer(s, EIO, "the look at the vfio devices ended early");
	finish(s);
}

void probe_reap(struct supervisor *s)
{
	struct probe *p = &s->probe;

	if (p->pid <= 0 || p->fd >= 0 || waitpid(p->pid, NULL, WNOHANG) != p->pid)
		return;
	p->pid = 0;
	p->stuck = false;
	if (p->again) {
		p->again = false;
		probe_ask(s);
	}
}

uint64_t probe_deadline(const struct supervisor *s)
{
	return s->probe.fd >= 0 || s->probe.again ? s->probe.deadline_ns : UINT64_MAX;
}

void probe_tick(struct supervisor *s, uint64_t now)
{
	struct probe *p = &s->probe;

	if (now < probe_deadline(s))
		return;
	log_warning("the look at the vfio devices (pid %d) has taken %u s: ending it; there are many "
		    "devices, or one hangs in its reset",
		    p->pid, (unsigned)(PROBE_DEADLINE_NS / NS_PER_S));
	kill(p->pid, SIGKILL); /* not reaped yet, so the pid is still its own */
	p->stuck = true;
	p->again = false;
	answer(s, ETIMEDOUT,
	       "the look at the vfio devices did not end in time: there are more than can be opened and "
	       "reset in it, or one hangs in its reset");
	if (p->fd >= 0)
		finish(s);
}

void probe_deinit(struct supervisor *s)
{
	struct probe *p = &s->probe;

	if (p->pid > 0)
		kill(p->pid,
		     SIGKILL); /* it is nobody's to wait for: what hangs in the kernel ends when it can */
	p->again = false;
	if (p->fd >= 0)
		finish(s);
	probe_reap(s);
	free(p->report);
	p->report = NULL;
}
