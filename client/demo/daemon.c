// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo.h"

static bool write_config(struct demo *d)
{
	FILE *f = fopen(d->conf, "we");
	const char *user = "";

	if (!f)
		return demo_fail(d, "%s: %s", d->conf, strerror(errno));
	/* As root, no other user has to exist for a demonstration: what it starts it starts as itself. In the
	 * virtual machine the one that svad is meant to run as is there, and can read the programs. */
	if (!geteuid() && !(d->kmod && getpwnam("svad")))
		user = "user = root\n";
	fprintf(f,
		"[daemon]\nbackend = %s\nruntime_dir = %s\nsocket = %s\nadmin_socket = %s\n%slog_level = "
		"err\n",
		d->kmod ? "kmod" : "sim", d->dir, d->socket, d->admin, user);
	if (d->kmod)
		fprintf(f, "[device \"%s\"]\ndrain_deadline = 2000\n", d->device[0]);
	else
		fprintf(f,
			"[sim]\nfault_socket = %s\n"
			"[device \"%s\"]\nengines = 2\nstop = flushed\ndrain_deadline = 300\n"
			"[device \"%s\"]\nengines = 2\nstop = clean\n",
			d->fault, d->device[0], d->device[1]);
	if (fclose(f))
		return demo_fail(d, "%s: %s", d->conf, strerror(errno));
	return true;
}

/* svad says READY=1 on a socket of ours when both its children serve. */
static bool wait_ready(struct demo *d, int notify)
{
	char text[1024];

	for (;;) {
		struct pollfd ended = { .fd = d->svad_pidfd, .events = POLLIN };
		ssize_t n;

		if (!demo_wait_either(d, notify, d->svad_pidfd, DEMO_WAIT_MS, "svad's start"))
			return false;
		if (poll(&ended, 1, 0) > 0)
			return demo_fail(d, "svad ended while it started; its log is above");
		n = recv(notify, text, sizeof(text) - 1, MSG_DONTWAIT);
		if (n <= 0)
			continue;
		text[n] = 0;
		if (strstr(text, "READY=1"))
			return true;
	}
}

static bool connect_admin(struct demo *d)
{
	Svad__V1__Watch watch = SVAD__V1__WATCH__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	char why[512];

	d->ctl.socket = d->admin;
	if (rpc_open_quiet(&d->ctl, &d->admin_rpc, why, sizeof(why)) ||
	    rpc_open_quiet(&d->ctl, &d->watch, why, sizeof(why)))
		return demo_fail(d, "%s", why);
	req.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	req.watch = &watch;
	if (rpc_call(d->watch, &req, &reply))
		return demo_fail(d, "watch: %s", rpc_error(d->watch));
	return true;
}

bool demo_start(struct demo *d)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *tmp = getenv("TMPDIR");
	char svad[4096 + 16];
	int notify;
	bool ok;

	/* A socket's path has room for 107 bytes: a long $TMPDIR will not do. */
	if (!tmp || *tmp != '/' || strlen(tmp) > 60)
		tmp = "/tmp";
	snprintf(d->dir, sizeof(d->dir), "%s/svad-demo-XXXXXX", tmp);
	if (!mkdtemp(d->dir)) {
		*d->dir = 0;
		return demo_fail(d, "%s: %s", tmp, strerror(errno));
	}
	snprintf(d->socket, sizeof(d->socket), "%s/svad.sock", d->dir);
	snprintf(d->admin, sizeof(d->admin), "%s/admin.sock", d->dir);
	snprintf(d->fault, sizeof(d->fault), "%s/fault.sock", d->dir);
	snprintf(d->conf, sizeof(d->conf), "%s/svad.conf", d->dir);
	if (!write_config(d))
		return false;
	snprintf(svad, sizeof(svad), "%s/svad", d->bindir);
	if (access(svad, X_OK))
		return demo_fail(d, "%s: %s; build it first: ./bootstrap build", svad, strerror(errno));
	setenv("SVAD_SOCKET", d->socket, 1);

	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", d->dir);
	if (notify < 0 || bind(notify, (struct sockaddr *)&sun, sizeof(sun)))
		return demo_fail(d, "%s: %s", sun.sun_path, strerror(errno));
	fflush(stdout);
	d->svad = fork();
	if (d->svad == 0) {
		/* If the demonstration is killed, svad drains and ends. Ctrl-C is ours to handle, in order: a
		 * group of its own. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		setpgid(0, 0);
		signal(SIGPIPE, SIG_DFL);
		setenv("NOTIFY_SOCKET", sun.sun_path, 1);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl(svad, svad, "--config", d->conf, "--libexec-dir", d->bindir, (char *)NULL);
		_exit(127);
	}
	if (d->svad > 0)
		d->svad_pidfd = (int)syscall(SYS_pidfd_open, d->svad, 0);
	ok = d->svad > 0 && d->svad_pidfd >= 0 && wait_ready(d, notify);
	close(notify);
	if (!ok)
		return demo_fail(d, "svad could not be started");
	return connect_admin(d) && demo_fault_open(d);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void demo_stop(struct demo *d, int *ret_status)
{
	if (d->fault_fd >= 0)
		close(d->fault_fd);
	rpc_close(d->watch);
	rpc_close(d->admin_rpc);
	d->watch = d->admin_rpc = NULL;
	if (d->svad > 0) {
		struct pollfd pfd = { .fd = d->svad_pidfd, .events = POLLIN };
		int status = 0, r;

		kill(d->svad, SIGTERM);
		do
			r = poll(&pfd, 1, 15000);
		while (r < 0 && errno == EINTR);
		if (r == 0)
			kill(d->svad, SIGKILL);
		while (waitpid(d->svad, &status, 0) < 0 && errno == EINTR)
			;
		*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		close(d->svad_pidfd);
	}
	if (*d->dir)
		nftw(d->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool demo_status(struct demo *d, uint64_t *ret_violations)
{
	Svad__V1__GetStatus body = SVAD__V1__GET_STATUS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	unsigned long long violations;
	const rpc_reply *reply;
	char answer[512];
	const char *at;

	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	req.get_status = &body;
	if (rpc_call(d->admin_rpc, &req, &reply))
		return demo_fail(d, "status: %s", rpc_error(d->admin_rpc));
	*ret_violations = reply->get_status->violations;
	/* The checker itself, asked directly: the broker's figure may lag behind. */
	if (!demo_fault(d, answer, sizeof(answer), "checker"))
		return false;
	at = strstr(answer, "violations=");
	if (!at || sscanf(at, "violations=%llu", &violations) != 1)
		return demo_fail(d, "the checker's answer: %s", answer);
	if (violations > *ret_violations)
		*ret_violations = violations;
	return true;
}

static bool take(struct demo *d)
{
	const rpc_reply *reply;
	int r;

	while (!(r = rpc_receive(d->watch, &reply))) {
		const rpc_event *e = reply->event;
		struct demo_event *to;

		if (reply->id || reply->body_case != SVAD__V1__REPLY__BODY_EVENT)
			continue;
		if (d->n_events == DEMO_MAX_EVENTS)
			return demo_fail(d, "too many events");
		to = &d->events[d->n_events++];
		to->kind = e->kind;
		to->ns = e->monotonic_ns;
		to->bond = e->bond;
		to->pasid = e->pasid;
		to->pid = e->pid;
	}
	return r == CTL_GO ? true : demo_fail(d, "watch: %s", rpc_error(d->watch));
}

const struct demo_event *demo_event(struct demo *d, size_t from, unsigned kind, uint64_t bond, pid_t pid)
{
	char what[64];

	snprintf(what, sizeof(what), "event %u of bond %llu", kind, (unsigned long long)bond);
	for (;;) {
		if (!take(d))
			return NULL;
		for (size_t i = from; i < d->n_events; i++)
			if (d->events[i].kind == kind && (!bond || d->events[i].bond == bond) &&
			    (!pid || d->events[i].pid == pid))
				return &d->events[i];
		if (!demo_wait(d, rpc_fd(d->watch), DEMO_WAIT_MS, what))
			return NULL;
	}
}

int demo_svadctl(struct demo *d, const char *a, const char *b, const char *c)
{
	char path[4096 + 16];
	int status, pidfd;
	pid_t pid;
	bool ok;

	snprintf(path, sizeof(path), "%s/svadctl", d->bindir);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null, STDOUT_FILENO);
		execl(path, path, "--socket", d->admin, a, b, c, (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return -1;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	ok = pidfd >= 0 && demo_wait(d, pidfd, DEMO_WAIT_MS, "svadctl");
	if (pidfd >= 0)
		close(pidfd);
	if (!ok)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return ok && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
