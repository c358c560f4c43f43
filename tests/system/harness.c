/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon under test, and its administrator. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
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

#define WAIT_MS 10000

struct sys sys = { .pidfd = -1, .notify = -1, .admin = -1, .watch = -1, .fault = -1 };
static char fault_answer[20000];

int sys_ms(int ms)
{
	return ms * (int)tap_patience();
}

void sys_test(Suite *suite, const char *name, const TTest *test)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 300);
	tcase_add_test(c, test);
	suite_add_tcase(suite, c);
}

uint64_t sys_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

const char *sys_path(const char *name)
{
	static char path[4][160];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", sys.dir, name);
	return p;
}

int sys_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	MUST(fd >= 0);
	return fd;
}

void sys_await_exit(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	MUST_EQ(poll(&p, 1, sys_ms(WAIT_MS)), 1);
}

/* ---- start and end --------------------------------------------------------------------------------- */

void sys_configure(const struct sys_options *o)
{
	FILE *f = fopen(sys_path("svad.conf"), "we");

	MUST(f != NULL);
	fprintf(f, "[daemon]\nruntime_dir = %s/run\nrestart_backoff_min_ms = 10\n", sys.dir);
	/* As root the children stay root: the build directory need not be open to another user. */
	if (geteuid() == 0)
		fprintf(f, "user = root\n");
	fprintf(f, "%s\n[sim]\nfault_socket = %s/fault\n%s\n", o->daemon_keys ? o->daemon_keys : "", sys.dir, o->config ? o->config : "");
	MUST_EQ(fclose(f), 0);
}

static void notify_open(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	sys.notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", sys_path("notify"));
	MUST_EQ(bind(sys.notify, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void svad_exec(const struct sys_options *o, pid_t parent)
{
	char program[4096];
	int log = open(o->stderr_path ? o->stderr_path : sys_path("log"), O_WRONLY | O_CREAT | O_APPEND, 0644);
	int fds[2] = { -1, -1 };

	die_with_parent(parent, SIGTERM);
	setenv("NOTIFY_SOCKET", sys_path("notify"), 1);
	if (o->preload) {
		const char *asan = getenv("ASAN_OPTIONS");
		char options[1024];

		/* AddressSanitizer would be first in the order of libraries. */
		snprintf(options, sizeof(options), "%s%sverify_asan_link_order=0", asan ? asan : "", asan ? ":" : "");
		setenv("ASAN_OPTIONS", options, 1);
		setenv("LD_PRELOAD", o->preload, 1);
	}
	for (int i = 0; i < 2; i++)
		if (o->listen_fds[i])
			fds[i] = fcntl(o->listen_fds[i], F_DUPFD, 10);
	dup2(log, 2);
	dup2(log, 1);
	if (fds[0] >= 0) {
		char pid[16];

		dup2(fds[0], 3);
		dup2(fds[1], 4);
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", "2", 1);
		setenv("LISTEN_FDNAMES", "client:admin", 1);
		(void)syscall(SYS_close_range, 5, ~0u, 0);
	} else {
		(void)syscall(SYS_close_range, 3, ~0u, 0);
	}
	snprintf(program, sizeof(program), "%s/svad", tap_builddir());
	execl(program, program, "--config", sys_path("svad.conf"), "--libexec-dir", tap_libexecdir(), NULL);
	fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
	_exit(127);
}

static void wait_ready(void)
{
	for (;;) {
		struct pollfd p[] = { { .fd = sys.notify, .events = POLLIN }, { .fd = sys.pidfd, .events = POLLIN } };
		char message[4096];
		ssize_t n;

		if (poll(p, 2, sys_ms(WAIT_MS)) <= 0 || !p[0].revents)
			sys_fail(__FILE__, __LINE__, "svad did not become ready; see %s", sys_path("log"));
		n = recv(sys.notify, message, sizeof(message) - 1, MSG_DONTWAIT);
		if (n <= 0)
			continue;
		message[n] = '\0';
		if (strncmp(message, "READY=1", 7) == 0 || strstr(message, "\nREADY=1"))
			return;
	}
}

void sys_fault_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (sys.fault >= 0)
		close(sys.fault);
	sys.fault = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", sys_path("fault"));
	MUST_EQ(connect(sys.fault, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

void sys_make_dir(void)
{
	if (sys.dir[0])
		return;
	strcpy(sys.dir, "/tmp/svad-sys.XXXXXX");
	MUST(mkdtemp(sys.dir) != NULL);
	/* Clients of other uids come by here. */
	MUST_EQ(chmod(sys.dir, 0755), 0);
}

void sys_start_with(const struct sys_options *o)
{
	pid_t self = getpid();

	signal(SIGPIPE, SIG_IGN);
	sys_make_dir();
	sys_configure(o);
	notify_open();
	sys.pid = fork();
	MUST(sys.pid >= 0);
	if (!sys.pid)
		svad_exec(o, self);
	sys.pidfd = sys_pidfd(sys.pid);
	wait_ready();
	/* What else svad has to say is not read: its queue is full soon, and that must not hold svad up. */
	sys_reconnect();
	sys_fault_connect();
}

void sys_start(const char *config)
{
	sys_start_with(&(struct sys_options) { .config = config });
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void sys_clean(void)
{
	close_one(&sys.admin);
	close_one(&sys.watch);
	close_one(&sys.fault);
	close_one(&sys.notify);
	close_one(&sys.pidfd);
	nftw(sys.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	sys.dir[0] = '\0';
}

int sys_terminate(void)
{
	int status;

	kill(sys.pid, SIGTERM);
	sys_await_exit(sys.pidfd);
	MUST_EQ(waitpid(sys.pid, &status, 0), sys.pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void sys_stop(void)
{
	int status;

	sys_await_counter("svad_bonds", 0);
	sys_await_counter("svad_clients", 0);
	MUST_EQ(sys_counter("svad_checker_violations_total"), 0);
	MUST_EQ(sys_counter("svad_pasids_free"), sys_counter("svad_pasids"));
	status = sys_terminate();
	if (status)
		sys_fail(__FILE__, __LINE__, "svad's exit status is %d; see %s", status, sys_path("log"));
	MUST(!sys_log_has("Sanitizer"));
	sys_clean();
}

/* ---- processes ---------------------------------------------------------------------------------------- */

pid_t sys_broker(void)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__GetStatus body = SVAD__V1__GET_STATUS__INIT;
	Svad__V1__Reply *reply;

	request.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	request.get_status = &body;
	reply = sys_call(sys.admin, &request, NULL);
	MUST_EQ(sys_code(reply), SVAD_OK);
	return reply->get_status->broker_pid;
}

static pid_t parent_of(const char *pid)
{
	char path[64], text[512], *p;
	int fd, parent = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	p = strrchr(text, ')');
	return p && sscanf(p, ") %*c %d", &parent) == 1 ? parent : -1;
}

/* svad has two children: the broker is one. (Names say nothing: a checking tool may run them.) */
pid_t sys_simdev(void)
{
	pid_t broker = sys_broker(), found = -1;
	DIR *d = opendir("/proc");
	struct dirent *e;

	MUST(d != NULL);
	while ((e = readdir(d))) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && parent_of(e->d_name) == sys.pid && atoi(e->d_name) != broker)
			found = atoi(e->d_name);
	}
	closedir(d);
	MUST(found > 0);
	return found;
}

unsigned sys_fds(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	MUST(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void bind_once(void *arg)
{
	struct raw raw;
	struct raw_bond bond;

	(void)arg;
	raw_open(&raw);
	raw_bind(&raw, "sim1", &bond);
	MUST_EQ(raw_run(&bond, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
}

struct sys_baseline sys_baseline(void)
{
	uint64_t clients = sys_counter("svad_clients");
	struct sys_baseline b;
	struct child child;

	sys_child(&child, bind_once, NULL);
	MUST_EQ(sys_reap(&child), 0);
	sys_await_counter("svad_clients", clients);
	b.broker = sys_broker();
	b.simdev = sys_simdev();
	/* One more round trip: handles are closed at the end of a loop's turn. */
	(void)sys_counter("svad_clients");
	b.broker_fds = sys_fds(b.broker);
	b.simdev_fds = sys_fds(b.simdev);
	return b;
}

void sys_no_leak(const struct sys_baseline *before)
{
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(WAIT_MS) * 1000000u;
	unsigned b, s;

	for (;;) {
		(void)sys_counter("svad_clients");
		b = sys_fds(before->broker);
		s = sys_fds(before->simdev);
		if (b <= before->broker_fds && s <= before->simdev_fds)
			return;
		if (sys_now_ns() > end)
			sys_fail(__FILE__, __LINE__, "fds leaked: broker %u -> %u, simdev %u -> %u", before->broker_fds, b,
				 before->simdev_fds, s);
		poll(NULL, 0, 5); /* an fd of another process has no event */
	}
}

bool sys_log_has(const char *text)
{
	FILE *f = fopen(sys_path("log"), "re");
	char line[4096];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return found;
}

/* ---- administrator --------------------------------------------------------------------------------------- */

void sys_reconnect(void)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Watch watch = SVAD__V1__WATCH__INIT;

	close_one(&sys.admin);
	close_one(&sys.watch);
	sys.admin = sys_connect("admin.sock");
	sys.watch = sys_connect("admin.sock");
	MUST(sys.admin >= 0 && sys.watch >= 0);
	MUST_EQ(sys_code(sys_hello(sys.admin, 0)), SVAD_OK);
	MUST_EQ(sys_code(sys_hello(sys.watch, 0)), SVAD_OK);
	request.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	request.watch = &watch;
	MUST_EQ(sys_code(sys_call(sys.watch, &request, NULL)), SVAD_OK);
}

uint64_t sys_counter(const char *name)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__GetStats body = SVAD__V1__GET_STATS__INIT;
	Svad__V1__Reply *reply;

	request.body_case = SVAD__V1__REQUEST__BODY_GET_STATS;
	request.get_stats = &body;
	reply = sys_call(sys.admin, &request, NULL);
	MUST_EQ(sys_code(reply), SVAD_OK);
	for (size_t i = 0; i < reply->get_stats->n_counters; i++)
		if (strcmp(reply->get_stats->counters[i]->name, name) == 0)
			return reply->get_stats->counters[i]->value;
	sys_fail(__FILE__, __LINE__, "no counter %s", name);
}

void sys_await_counter(const char *name, uint64_t value)
{
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(WAIT_MS) * 1000000u, now;

	while ((now = sys_counter(name)) != value) {
		struct pollfd p = { .fd = sys.watch, .events = POLLIN };

		if (sys_now_ns() > end)
			sys_fail(__FILE__, __LINE__, "%s is %" PRIu64 ", not %" PRIu64, name, now, value);
		/* Whatever changes a figure makes an event sooner or later; they stay to be read. */
		poll(&p, 1, 20);
		if (p.revents)
			poll(NULL, 0, 2);
	}
}

Svad__V1__Reply *sys_bonds(void)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__AdminListBonds body = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	Svad__V1__Reply *reply;

	request.body_case = SVAD__V1__REQUEST__BODY_ADMIN_LIST_BONDS;
	request.admin_list_bonds = &body;
	reply = sys_call(sys.admin, &request, NULL);
	MUST_EQ(sys_code(reply), SVAD_OK);
	return reply;
}

const Svad__V1__Device *sys_device(const char *name)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__AdminListDevices body = SVAD__V1__ADMIN_LIST_DEVICES__INIT;
	Svad__V1__Reply *reply;

	body.only = (char *)(uintptr_t)name;
	request.body_case = SVAD__V1__REQUEST__BODY_ADMIN_LIST_DEVICES;
	request.admin_list_devices = &body;
	reply = sys_call(sys.admin, &request, NULL);
	MUST_EQ(sys_code(reply), SVAD_OK);
	MUST_EQ(reply->list_devices->n_devices, 1);
	return reply->list_devices->devices[0];
}

Svad__V1__Reply *sys_revoke(const Svad__V1__Revoke *revoke)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;

	request.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	request.revoke = (Svad__V1__Revoke *)(uintptr_t)revoke;
	return sys_call(sys.admin, &request, NULL);
}

Svad__V1__Reply *sys_reset(const char *device)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ResetDevice body = SVAD__V1__RESET_DEVICE__INIT;

	body.device = (char *)(uintptr_t)device;
	request.body_case = SVAD__V1__REQUEST__BODY_RESET_DEVICE;
	request.reset_device = &body;
	return sys_call(sys.admin, &request, NULL);
}

Svad__V1__Reply *sys_reload(void)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reload body = SVAD__V1__RELOAD__INIT;

	request.body_case = SVAD__V1__REQUEST__BODY_RELOAD;
	request.reload = &body;
	return sys_call(sys.admin, &request, NULL);
}

Svad__V1__Event *sys_next_event(int timeout_ms)
{
	Svad__V1__Reply *reply = sys_receive(sys.watch, timeout_ms, NULL);

	if (!reply)
		return NULL;
	MUST(reply->id == 0 && reply->body_case == SVAD__V1__REPLY__BODY_EVENT);
	return reply->event;
}

Svad__V1__Event *sys_event(Svad__V1__EventKind kind, uint64_t bond)
{
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(WAIT_MS) * 1000000u;

	for (;;) {
		Svad__V1__Event *event = sys_next_event(sys_ms(WAIT_MS));

		if (event && event->kind == kind && (!bond || event->bond == bond))
			return event;
		if (!event || sys_now_ns() > end)
			sys_fail(__FILE__, __LINE__, "no event of kind %d, bond %" PRIu64, (int)kind, bond);
	}
}

void sys_drop_events(void)
{
	while (sys_next_event(0))
		;
}

const char *sys_fault(const char *fmt, ...)
{
	char command[512];
	struct pollfd p = { .fd = sys.fault, .events = POLLIN };
	ssize_t n;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	MUST_EQ(send(sys.fault, command, (size_t)len, MSG_NOSIGNAL), len);
	MUST_EQ(poll(&p, 1, sys_ms(WAIT_MS)), 1);
	n = recv(sys.fault, fault_answer, sizeof(fault_answer) - 1, 0);
	MUST(n > 0);
	fault_answer[n] = '\0';
	return fault_answer;
}

void sys_fault_ok(const char *fmt, ...)
{
	char command[512];
	const char *answer;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	answer = sys_fault("%s", command);
	if (strncmp(answer, "ok", 2) != 0)
		sys_fail(__FILE__, __LINE__, "%s: %s", command, answer);
}

uint64_t sys_checker(const char *what)
{
	char name[64];
	const char *p;

	sys_fault_ok("checker");
	snprintf(name, sizeof(name), "%s=", what);
	p = strstr(fault_answer, name);
	MUST(p != NULL);
	return strtoull(p + strlen(name), NULL, 10);
}
