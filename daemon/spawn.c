/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"
#include "log.h"
#include "spawn.h"

#define NOFILE_WANTED 524288u
#define CONTROL_BYTES (4 << 20)

enum stage { STAGE_FDS, STAGE_GROUPS, STAGE_USER, STAGE_CAPS, STAGE_EXEC };

struct failure { /* what the child writes into the pipe before it gives up */
	int stage;
	int error;
};

int spawn_user_find(const char *name, struct spawn_user *ret, char **ret_why)
{
	struct passwd *pw;

	*ret = (struct spawn_user){ .change = false };
	if (geteuid() != 0)
		return 0;
	errno = 0;
	pw = getpwnam(name);
	if (!pw) {
		if (asprintf(ret_why,
			     "user = %s in [daemon]: there is no such user on this machine; create it with "
			     "'systemd-sysusers' or "
			     "'useradd --system %s', or name another",
			     name, name) < 0)
			*ret_why = NULL;
		return -ENOENT;
	}
	if (pw->pw_uid == 0)
		log_warning("user = %s in [daemon]: broker and device run as root, though without "
			    "capabilities; use a user of their own",
			    name);
	*ret = (struct spawn_user){ .change = true, .uid = pw->pw_uid, .gid = pw->pw_gid };
	return 0;
}

/* The child's environment: ours, without what is meant for the supervisor alone. malloc()ed; the strings are
 * lent. */
static char **child_environment(void)
{
	static const char *const ours[] = {
		"NOTIFY_SOCKET=", "WATCHDOG_USEC=",  "WATCHDOG_PID=", "LISTEN_FDS=",
		"LISTEN_PID=",	  "LISTEN_FDNAMES=", "MAINPID=",
	};
	size_t n = 0, m = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 1, sizeof(*env));
	for (size_t i = 0; env && i < n; i++) {
		bool skip = false;

		for (size_t j = 0; j < sizeof(ours) / sizeof(ours[0]); j++)
			skip = skip || strncmp(environ[i], ours[j], strlen(ours[j])) == 0;
		if (!skip)
			env[m++] = environ[i];
	}
	return env;
}

static unsigned long read_ulong(const char *path, unsigned long otherwise)
{
	FILE *f = fopen(path, "re");
	unsigned long v;

	if (!f)
		return otherwise;
	if (fscanf(f, "%lu", &v) != 1)
		v = otherwise;
	fclose(f);
	return v;
}

/* A broker of thousands of clients needs an fd for each. What is not permitted is not an error: accept will
 * tell. */
static void raise_nofile(void)
{
	rlim_t most = read_ulong("/proc/sys/fs/nr_open", 1048576);
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	if (rl.rlim_max < NOFILE_WANTED && rl.rlim_max < most) {
		struct rlimit more = { .rlim_cur = NOFILE_WANTED < most ? NOFILE_WANTED : most };

		more.rlim_max = more.rlim_cur;
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static void empty_bounding_set(void)
{
	/* Without CAP_SETPCAP (a container, no root) it stays as it is: NO_NEW_PRIVS keeps it from ever being
	 * used. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return;
	}
}

/* A child ends when its channel says so, or when the channel ends: a Ctrl-C at the terminal, or a service
 * manager that signals everybody, must not take the broker away before it has drained. */
static void set_signals(void)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction dfl = { .sa_handler = SIG_DFL }, ign = { .sa_handler = SIG_IGN };
	sigset_t none;

	setpgid(0, 0);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL); /* fails for SIGKILL and the like: they have no other */
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &ign, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. Never returns. failure_fd is CLOEXEC: exec closes it, and the parent reads EOF. */
static _Noreturn void child_main(const char *path, const struct spawn_user *user, int channel, int failure_fd,
				 char **env)
{
	char *const argv[] = { (char *)(uintptr_t)path, NULL };
	struct failure f = { .stage = STAGE_FDS };
	int r = 0;

	/* Out of the way of CHAN_FD first: both may be 3 themselves. */
	channel = fcntl(channel, F_DUPFD_CLOEXEC, CHAN_FD + 1);
	failure_fd = fcntl(failure_fd, F_DUPFD_CLOEXEC, CHAN_FD + 1);
	if (channel < 0 || failure_fd < 0 || dup2(channel, CHAN_FD) < 0)
		goto fail;
	/* Ours are CLOEXEC all; what our own parent left open is not ours to hand on. */
	if (syscall(SYS_close_range, CHAN_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0 && errno != ENOSYS &&
	    errno != EINVAL)
		goto fail;

	set_signals();
	raise_nofile();
	f.stage = STAGE_CAPS;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		goto fail;
	if (user->change) {
		empty_bounding_set();
		f.stage = STAGE_GROUPS;
		if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0)
			goto fail;
		f.stage = STAGE_USER;
		if (setresuid(user->uid, user->uid, user->uid) < 0)
			goto fail;
	}
	f.stage = STAGE_CAPS;
	r = drop_capabilities();
	if (r < 0) {
		errno = -r;
		goto fail;
	}
	f.stage = STAGE_EXEC;
	execve(path, argv, env);
fail:
	f.error = errno;
	if (failure_fd >= 0)
		r = (int)write(failure_fd, &f, sizeof(f));
	_exit(127);
}

static int describe(const struct failure *f, const char *path, char **ret_why)
{
	const char *what[] = {
		[STAGE_FDS] = "cannot arrange its file descriptors",
		[STAGE_GROUPS] = "cannot drop its groups",
		[STAGE_USER] = "cannot become its user",
		[STAGE_CAPS] = "cannot drop its privileges",
		[STAGE_EXEC] = "cannot execute it",
	};
	const char *hint = "";

	if (f->stage == STAGE_EXEC && f->error == ENOENT)
		hint = "; install it, or name its directory with --libexec-dir";
	else if (f->stage == STAGE_EXEC && f->error == EACCES)
		hint = "; the user in [daemon] needs search permission for every directory of the path, and "
		       "it must be executable";
	else if (f->stage == STAGE_GROUPS || f->stage == STAGE_USER)
		hint = "; the supervisor needs CAP_SETUID and CAP_SETGID, or user = root in [daemon]";
	if (asprintf(ret_why, "%s: %s: %s%s", path, what[f->stage], strerror(f->error), hint) < 0)
		*ret_why = NULL;
	return -f->error;
}

int spawn_child(const char *path, const struct spawn_user *user, pid_t *ret_pid, int *ret_channel,
		char **ret_why)
{
	int channel[2] = { -1, -1 }, pipe_fds[2] = { -1, -1 }, r;
	char **env = child_environment();
	sigset_t all, old;
	struct failure f;
	ssize_t n;
	pid_t pid;

	if (!env || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel) < 0 ||
	    pipe2(pipe_fds, O_CLOEXEC) < 0) {
		r = env ? -errno : -ENOMEM;
		goto fail;
	}

	/* No signal of ours may be handled in the child between fork and exec. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		child_main(path, user, channel[1], pipe_fds[1], env);
	r = pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		goto fail;

	close(channel[1]);
	close(pipe_fds[1]);
	channel[1] = pipe_fds[1] = -1;
	/* Until exec only, as vfork would: the child does nothing there that can wait. */
	do {
		n = read(pipe_fds[0], &f, sizeof(f));
	} while (n < 0 && errno == EINTR);
	close(pipe_fds[0]);
	free(env);
	if (n == (ssize_t)sizeof(f)) {
		close(channel[0]);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return describe(&f, path, ret_why);
	}
	*ret_pid = pid;
	*ret_channel = channel[0];
	return 0;

fail:
	if (asprintf(ret_why, "%s: cannot start it: %s", path, strerror(-r)) < 0)
		*ret_why = NULL;
	free(env);
	for (int i = 0; i < 2; i++) {
		if (channel[i] >= 0)
			close(channel[i]);
		if (pipe_fds[i] >= 0)
			close(pipe_fds[i]);
	}
	return r;
}

static void raise_buffer(int fd, int force, int plain)
{
	int bytes = CONTROL_BYTES;

	/* The kernel doubles what it is given. Without CAP_NET_ADMIN: as much as net.core.*mem_max permits.
	 */
	if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
}

int spawn_control_pair(int ret_fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		raise_buffer(ret_fds[i], SO_SNDBUFFORCE, SO_SNDBUF);
		raise_buffer(ret_fds[i], SO_RCVBUFFORCE, SO_RCVBUF);
	}
	return 0;
}
