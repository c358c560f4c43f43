/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
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

#include "../child.h"

#define START_MS 60000
#define STOP_MS 60000
#define CALL_MS 60000

uint64_t live_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool complain(const char *what, const char *on)
{
	fprintf(stderr, "%s: %s: %s\n", what, on, strerror(errno));
	return false;
}

static int seqpacket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* ---- the daemon ----------------------------------------------------------------------------- */

static bool write_config(const struct live *live, const char *path, const char *ini)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return complain("configuration", path);
	/* As root the children stay root: the build directory need not be open to another user. */
	fprintf(f, "[daemon]\nbackend = sim\nruntime_dir = %s\nsocket = %s\nadmin_socket = %s\n%s%s",
		live->dir, live->socket, live->admin, geteuid() ? "" : "user = root\n", ini);
	fprintf(f, "\n[sim]\nfault_socket = %s\n", live->fault);
	return fclose(f) == 0 || complain("configuration", path);
}

static bool wait_ready(const struct live *live, int notify, unsigned slow)
{
	uint64_t deadline = live_now_ns() + (uint64_t)START_MS * slow * 1000000u;
	char text[1024];

	for (;;) {
		struct pollfd p[] = { { .fd = notify, .events = POLLIN },
				      { .fd = live->pidfd, .events = POLLIN } };
		uint64_t now = live_now_ns();
		ssize_t n;

		if (now >= deadline || poll(p, 2, (int)((deadline - now) / 1000000u) + 1) < 0) {
			fprintf(stderr, "svad was not ready in time\n");
			return false;
		}
		if (p[1].revents) {
			fprintf(stderr, "svad ended before it was ready\n");
			return false;
		}
		n = p[0].revents ? recv(notify, text, sizeof(text) - 1, MSG_DONTWAIT) : 0;
		if (n <= 0)
			continue;
		text[n] = '\0';
		if (strstr(text, "READY=1"))
			return true;
	}
}

bool live_start(struct live *live, const char *builddir, const char *libexecdir, const char *ini,
		unsigned slow)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char program[4096], config[96], answer[4096];
	pid_t self = getpid();
	int notify;
	bool ok;

	memset(live, 0, sizeof(*live));
	live->pidfd = live->fault_fd = -1;
	snprintf(live->dir, sizeof(live->dir), "/tmp/svad-live.XXXXXX");
	if (!mkdtemp(live->dir)) {
		*live->dir = '\0';
		return complain("mkdtemp", "/tmp");
	}
	snprintf(live->socket, sizeof(live->socket), "%s/svad.sock", live->dir);
	snprintf(live->admin, sizeof(live->admin), "%s/admin.sock", live->dir);
	snprintf(live->fault, sizeof(live->fault), "%s/fault.sock", live->dir);
	snprintf(config, sizeof(config), "%s/svad.conf", live->dir);
	snprintf(program, sizeof(program), "%s/svad", builddir);
	if (!write_config(live, config, ini))
		return false;
	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", live->dir);
	if (notify < 0 || bind(notify, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return complain("notify socket", addr.sun_path);
	fflush(NULL);
	live->pid = fork();
	if (live->pid == 0) {
		die_with_parent(self, SIGTERM);
		setenv("NOTIFY_SOCKET", addr.sun_path, 1);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl(program, program, "--config", config, "--libexec-dir", libexecdir, (char *)NULL);
		complain("exec", program);
		_exit(127);
	}
	if (live->pid > 0)
		live->pidfd = (int)syscall(SYS_pidfd_open, live->pid, 0);
	ok = live->pidfd >= 0 && wait_ready(live, notify, slow);
	close(notify);
	if (!ok)
		return false;
	live->fault_fd = seqpacket(live->fault);
	if (live->fault_fd < 0) {
		errno = -live->fault_fd;
		return complain("connect", live->fault);
	}
	/* Answered, so accepted: from here on the device's fds can be counted. */
	return live_fault(live, answer, sizeof(answer), "state");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int live_stop(struct live *live, unsigned slow)
{
	int status = 0, result = -1;

	if (live->fault_fd >= 0)
		close(live->fault_fd);
	if (live->pid > 0) {
		struct pollfd p = { .fd = live->pidfd, .events = POLLIN };
		int r;

		kill(live->pid, SIGTERM);
		do
			r = poll(&p, 1, STOP_MS * (int)slow);
		while (r < 0 && errno == EINTR);
		if (r != 1) {
			fprintf(stderr, "svad does not end after SIGTERM\n");
			kill(live->pid, SIGKILL);
		}
		while (waitpid(live->pid, &status, 0) < 0 && errno == EINTR)
			;
		if (r == 1)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		close(live->pidfd);
	}
	if (*live->dir)
		nftw(live->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	memset(live, 0, sizeof(*live));
	live->pidfd = live->fault_fd = -1;
	return result;
}

/* ---- fault injection ------------------------------------------------------------------------ */

bool live_fault(struct live *live, char *answer, size_t size, const char *fmt, ...)
{
	char text[256], got[16385];
	struct pollfd p = { .fd = live->fault_fd, .events = POLLIN };
	va_list ap;
	ssize_t n;
	int r;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (send(live->fault_fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return complain("fault socket", text);
	do
		r = poll(&p, 1, CALL_MS);
	while (r < 0 && errno == EINTR);
	n = r == 1 ? recv(live->fault_fd, got, sizeof(got) - 1, MSG_DONTWAIT) : 0;
	if (n <= 0) {
		fprintf(stderr, "fault socket: no answer to \"%s\"\n", text);
		return false;
	}
	got[n] = '\0';
	if (answer)
		snprintf(answer, size, "%s", got);
	return strncmp(got, "ok", 2) == 0;
}

pid_t live_simdev(const struct live *live)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(live->fault_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ? -1 : cred.pid;
}

/* ---- requests ------------------------------------------------------------------------------- */

static uint64_t next_id = 1;

int live_send(int fd, Svad__V1__Request *request)
{
	static unsigned char packet[WIRE_MAX];
	ssize_t n;

	request->id = next_id++;
	n = wire_encode_request(request, packet, sizeof(packet));
	return n < 0 ? (int)n : wire_send(fd, packet, (size_t)n, NULL, 0, 0);
}

int live_receive(int fd, int timeout_ms, Svad__V1__Reply **ret)
{
	static unsigned char packet[WIRE_MAX], memory[4u << 20];
	static struct wire_arena arena;
	struct wire_fds fds = WIRE_FDS_NONE;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;
	int r;

	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r < 0 ? -errno : -EAGAIN;
	n = wire_recv(fd, packet, sizeof(packet), &fds, NULL, MSG_DONTWAIT);
	wire_fds_close(&fds);
	if (n <= 0)
		return n < 0 ? (int)n : -EPIPE;
	wire_arena_init(&arena, memory, sizeof(memory));
	return wire_decode_reply(packet, (size_t)n, &arena, ret);
}

int live_call(int fd, Svad__V1__Request *request, int timeout_ms, Svad__V1__Reply **ret)
{
	uint64_t deadline = live_now_ns() + (uint64_t)timeout_ms * 1000000u;
	int r = live_send(fd, request);

	while (!r) {
		uint64_t now = live_now_ns();

		r = live_receive(fd, now < deadline ? (int)((deadline - now) / 1000000u) + 1 : 0, ret);
		if (!r && (*ret)->id == request->id)
			return 0;
	}
	return r;
}

int live_connect(const char *path, const char *program)
{
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	Svad__V1__Hello hello = SVAD__V1__HELLO__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;
	int fd = seqpacket(path), r;

	if (fd < 0)
		return fd;
	version.major = WIRE_VERSION_MAJOR;
	version.minor = WIRE_VERSION_MINOR;
	hello.min = hello.max = &version;
	hello.program = (char *)(uintptr_t)program;
	request.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	request.hello = &hello;
	r = live_call(fd, &request, CALL_MS, &reply);
	if (!r && reply->status && reply->status->code)
		r = svad_code_to_errno(reply->status->code);
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}

int live_stats(int fd, const char *const *names, uint64_t *values, unsigned n)
{
	Svad__V1__GetStats body = SVAD__V1__GET_STATS__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;
	int r;

	request.body_case = SVAD__V1__REQUEST__BODY_GET_STATS;
	request.get_stats = &body;
	r = live_call(fd, &request, CALL_MS, &reply);
	if (r)
		return r;
	if (reply->body_case != SVAD__V1__REPLY__BODY_GET_STATS)
		return -EPROTO;
	for (unsigned i = 0; i < n; i++) {
		values[i] = UINT64_MAX;
		for (size_t j = 0; j < reply->get_stats->n_counters; j++)
			if (!strcmp(reply->get_stats->counters[j]->name, names[i]))
				values[i] = reply->get_stats->counters[j]->value;
	}
	return 0;
}

int live_count_fds(pid_t pid)
{
	char path[64];
	struct dirent *e;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((e = readdir(dir)))
		n += *e->d_name != '.';
	closedir(dir);
	return n;
}

void live_print_fds(pid_t pid)
{
	char path[64], target[256];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);

		if (n > 0)
			fprintf(stderr, "# fd %s of %d: %.*s\n", e->d_name, (int)pid, (int)n, target);
	}
	if (dir)
		closedir(dir);
}
