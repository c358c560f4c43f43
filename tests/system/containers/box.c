// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The client inside the containers: linked statically, so that a root file system needs nothing else for it.
 *
 *	svad-box DIR			obeys the lines of the fifo DIR/in, answers in DIR/out
 *	svad-box --fault SOCKET WORD...	one command for svad's fault socket
 *
 * connect [SOCKET]		bind DEVICE	unbind DEVICE	devices		what the library offers
 * copy DEVICE [BYTES]		one job on its own memory, the result compared
 * dma DEVICE			jobs without end, each result compared; dma-stat, dma-stop DEVICE
 * revoked DEVICE		has it been; wait-revoked DEVICE [SECONDS]
 * fork | orphan		a child process; orphan: one that leaves its session and its parent. child
 *COMMAND... is obeyed by it thread COMMAND...		the same command, by another thread exec
 *becomes a new image of itself: the address space ends, the process does not identity | alloc MIB |
 *ignore-term | try-write PATH | exit [STATUS] and those of box-raw.c and box-hostile.c
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sva/queue.h>
#include <sva/sva.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BONDS 16
#define JOB 65536u
#define LINE 1024

struct bond {
	char device[64];
	struct sva_bond *handle;
	struct sva_queue *queue;
	unsigned char *from, *to;
	pthread_t thread;
	bool running;
	atomic_bool stop;
	atomic_ulong jobs, wrong;
	atomic_int ended; /* why its jobs ended: 0, or -errno */
};

static struct sva *sva;
static struct bond bonds[BONDS];
static int out_fd = -1, child_fd = -1;
static const char *directory;

/* ---- answers ------------------------------------------------------------------------------------- */

static void say(unsigned long seq, const char *how, const char *fmt, va_list ap)
{
	char line[LINE];
	int n = snprintf(line, sizeof(line), "%lu %s", seq, how);

	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	strcat(line, "\n");
	if (write(out_fd, line, strlen(line)) < 0) /* at once: lines of several processes do not mix */
		_exit(99);
}

void box_ok(const struct box_call *call, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(call->seq, "ok ", fmt, ap);
	va_end(ap);
}

void box_error(const struct box_call *call, int error, const char *fmt, ...)
{
	char how[32];
	va_list ap;

	snprintf(how, sizeof(how), "error %d ", error);
	va_start(ap, fmt);
	say(call->seq, how, fmt, ap);
	va_end(ap);
}

static void announce(const char *what)
{
	box_ok(&(struct box_call){ .seq = 0 }, "%s pid=%d uid=%u", what, (int)getpid(), (unsigned)getuid());
}

unsigned long box_number(const struct box_call *call, unsigned i, unsigned long otherwise)
{
	for (unsigned k = 0; k <= i; k++)
		if (!call->word[k])
			return otherwise;
	return strtoul(call->word[i], NULL, 0);
}

static bool failed(const struct box_call *call, int r)
{
	if (r < 0)
		box_error(call, r, "%s", sva_strerror(sva, r));
	return r < 0;
}

/* ---- the library --------------------------------------------------------------------------------- */

static int connected(const char *address)
{
	if (sva && !address)
		return 0;
	sva_disconnect(sva);
	sva = NULL;
	return sva_connect(address, 30000, &sva);
}

static void cmd_connect(struct box_call *call)
{
	if (!failed(call, connected(call->word[1] ? call->word[1] : getenv("SVAD_SOCKET"))))
		box_ok(call, "connected");
}

static struct bond *find(const struct box_call *call)
{
	for (struct bond *b = bonds; b < bonds + BONDS; b++)
		if (b->handle && call->word[1] && !strcmp(b->device, call->word[1]))
			return b;
	box_error(call, -ENOENT, "no bond with %s", call->word[1] ? call->word[1] : "nothing");
	return NULL;
}

static void forget(struct bond *b)
{
	free(b->from);
	free(b->to);
	b->from = b->to = NULL;
	b->handle = NULL;
	b->queue = NULL;
}

static void cmd_bind(struct box_call *call)
{
	struct bond *b = bonds;
	int r;

	while (b < bonds + BONDS && b->handle)
		b++;
	if (b == bonds + BONDS) {
		box_error(call, -ENOSPC, "this program keeps %d bonds", BONDS);
		return;
	}
	if (failed(call, connected(NULL)) || failed(call, sva_bind(sva, call->word[1], &b->handle)))
		return;
	sva_bond_device(b->handle, b->device, sizeof(b->device));
	r = sva_queue_new(b->handle, 16, &b->queue);
	b->from = malloc(JOB);
	b->to = malloc(JOB);
	if (r < 0 || !b->from || !b->to) {
		box_error(call, r, "no queue: %s", sva_strerror(sva, r));
		sva_unbind(b->handle, SVA_STATE_NONE);
		forget(b);
		return;
	}
	box_ok(call, "pasid=%u id=%llu device=%s", sva_bond_pasid(b->handle),
	       (unsigned long long)sva_bond_id(b->handle), b->device);
}

static void dma_end(struct bond *b)
{
	if (!b->running)
		return;
	atomic_store(&b->stop, true);
	pthread_join(b->thread, NULL);
	b->running = false;
}

static void cmd_unbind(struct box_call *call)
{
	struct bond *b = find(call);
	int r;

	if (!b)
		return;
	dma_end(b);
	sva_queue_free(b->queue);
	b->queue = NULL;
	r = sva_unbind(b->handle, SVA_STATE_NONE);
	forget(b);
	if (!failed(call, r))
		box_ok(call, "unbound");
}

/* One copy by the device of memory that differs each time; 0, 1 when the bytes are wrong, or -errno. */
static int job(struct bond *b, size_t len, unsigned long number)
{
	int r;

	for (size_t i = 0; i < len; i += 512)
		memcpy(b->from + i, &number, sizeof(number));
	memset(b->to, 0xa5, len);
	r = sva_copy(b->queue, b->to, b->from, len, NULL);
	return r < 0 ? r : memcmp(b->from, b->to, len) != 0;
}

static void cmd_copy(struct box_call *call)
{
	struct bond *b = find(call);
	size_t len = box_number(call, 2, JOB);
	int r;

	if (!b)
		return;
	r = b->running ? -EBUSY : job(b, len > JOB ? JOB : len, call->seq);
	if (r == 1)
		box_error(call, -EBADMSG, "the device copied other bytes");
	else if (!failed(call, r))
		box_ok(call, "copied");
}

static void *dma(void *arg)
{
	struct bond *b = arg;
	int r = 0;

	while (!atomic_load(&b->stop) && (r = job(b, JOB, atomic_load(&b->jobs))) >= 0) {
		atomic_fetch_add(&b->jobs, 1);
		if (r)
			atomic_fetch_add(&b->wrong, 1);
	}
	atomic_store(&b->ended, r < 0 ? r : 0);
	return NULL;
}

static void cmd_dma(struct box_call *call)
{
	struct bond *b = find(call);
	int r;

	if (!b)
		return;
	if (b->running) {
		box_error(call, -EBUSY, "it has jobs");
		return;
	}
	atomic_store(&b->stop, false);
	atomic_store(&b->ended, 0);
	r = pthread_create(&b->thread, NULL, dma, b);
	b->running = r == 0;
	if (!failed(call, -r))
		box_ok(call, "started");
}

static void cmd_dma_stat(struct box_call *call)
{
	struct bond *b = find(call);

	if (b)
		box_ok(call, "jobs=%lu wrong=%lu ended=%d", atomic_load(&b->jobs), atomic_load(&b->wrong),
		       atomic_load(&b->ended));
}

static void cmd_dma_stop(struct box_call *call)
{
	struct bond *b = find(call);

	if (!b)
		return;
	dma_end(b);
	cmd_dma_stat(call);
}

static void cmd_revoked(struct box_call *call)
{
	struct bond *b = find(call);

	if (b)
		box_ok(call, "%d", sva_bond_revoked(b->handle));
}

static void cmd_wait_revoked(struct box_call *call)
{
	struct bond *b = find(call);
	time_t end = time(NULL) + (time_t)box_number(call, 2, 60);

	if (!b)
		return;
	while (!sva_bond_revoked(b->handle) && time(NULL) < end)
		poll(&(struct pollfd){ .fd = sva_fd(sva), .events = POLLIN }, 1, 20);
	if (sva_bond_revoked(b->handle))
		box_ok(call, "revoked");
	else
		box_error(call, -ETIMEDOUT, "it was not revoked");
}

static void cmd_devices(struct box_call *call)
{
	struct sva_device list[32];
	char text[LINE / 2] = "";
	int n;

	if (failed(call, connected(NULL)))
		return;
	n = sva_list_devices(sva, list, 32);
	if (failed(call, n))
		return;
	for (int i = 0; i < n && i < 32 && strlen(text) + sizeof(list[i].name) + 2 < sizeof(text); i++) {
		strcat(text, i ? " " : "");
		strcat(text, list[i].name);
	}
	box_ok(call, "%s", text);
}

/* ---- processes ------------------------------------------------------------------------------------ */

static void obey(int fd);

static void become_child(bool orphan, int lines)
{
	if (orphan) {
		setsid();
		if (fork() != 0)
			_exit(0);
	}
	prctl(PR_SET_NAME, "box-child");
	sva_disconnect(sva); /* only this copy of it */
	sva = NULL;
	memset(bonds, 0, sizeof(bonds));
	child_fd = -1;
	announce("child");
	obey(lines);
	_exit(0);
}

static void start_child(struct box_call *call, bool orphan)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		box_error(call, -errno, "pipe");
		return;
	}
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		become_child(orphan, ends[0]);
	}
	close(ends[0]);
	if (pid < 0) {
		close(ends[1]);
		box_error(call, -errno, "fork");
		return;
	}
	if (orphan)
		waitpid(pid, NULL, 0);
	if (child_fd >= 0 && !orphan)
		close(child_fd); /* an earlier child ends with its lines; an orphan's are kept open */
	child_fd = ends[1];
	box_ok(call, "forked");
}

static void cmd_fork(struct box_call *call)
{
	start_child(call, false);
}

static void cmd_orphan(struct box_call *call)
{
	start_child(call, true);
}

static void cmd_child(struct box_call *call)
{
	char line[LINE];
	int n = snprintf(line, sizeof(line), "%lu", call->seq);

	for (unsigned i = 1; i < BOX_WORDS && call->word[i]; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n - 2, " %s", call->word[i]);
	strcpy(line + n, "\n");
	if (child_fd < 0 || write(child_fd, line, (size_t)n + 1) < 0)
		box_error(call, -ECHILD, "no child");
}

static void run(struct box_call *call);

static void *run_thread(void *arg)
{
	run(arg);
	return NULL;
}

static void cmd_thread(struct box_call *call)
{
	pthread_t thread;
	int r;

	memmove(call->word, call->word + 1, sizeof(call->word[0]) * (BOX_WORDS - 1));
	call->word[BOX_WORDS - 1] = NULL;
	r = pthread_create(&thread, NULL, run_thread, call);
	if (!failed(call, -r))
		pthread_join(thread, NULL);
}

static void cmd_exec(struct box_call *call)
{
	char *const argv[] = { (char *)"svad-box", (char *)directory, NULL };

	box_ok(call, "executing");
	execv("/proc/self/exe", argv);
	_exit(98);
}

static void cmd_exit(struct box_call *call)
{
	box_ok(call, "exiting");
	_exit((int)box_number(call, 1, 0));
}

/* ---- about itself --------------------------------------------------------------------------------- */

static void status_field(const char *name, char *value, size_t size)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	snprintf(value, size, "?");
	while (f && fgets(line, sizeof(line), f)) {
		size_t n = strlen(name);

		if (strncmp(line, name, n) == 0 && line[n] == ':') {
			line[strcspn(line, "\n")] = '\0';
			snprintf(value, size, "%s", line + n + 1 + strspn(line + n + 1, " \t"));
			break;
		}
	}
	if (f)
		fclose(f);
}

static void cmd_identity(struct box_call *call)
{
	char caps[32], bounding[32], nnp[8], seccomp[8];
	struct stat st = { .st_ino = 0 };

	status_field("CapEff", caps, sizeof(caps));
	status_field("CapBnd", bounding, sizeof(bounding));
	status_field("NoNewPrivs", nnp, sizeof(nnp));
	status_field("Seccomp", seccomp, sizeof(seccomp));
	stat("/proc/self/ns/net", &st);
	box_ok(call, "uid=%u gid=%u caps=%s bounding=%s nnp=%s seccomp=%s netns=%lu", (unsigned)getuid(),
	       (unsigned)getgid(), caps, bounding, nnp, seccomp, (unsigned long)st.st_ino);
}

static void cmd_alloc(struct box_call *call)
{
	size_t size = box_number(call, 1, 1) << 20;
	unsigned char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		box_error(call, -errno, "mmap");
		return;
	}
	for (size_t i = 0; i < size; i += 4096)
		p[i] = (unsigned char)i;
	box_ok(call, "allocated");
}

static void cmd_ignore_term(struct box_call *call)
{
	signal(SIGTERM, SIG_IGN);
	box_ok(call, "ignored");
}

static void cmd_try_write(struct box_call *call)
{
	int fd = open(call->word[1] ? call->word[1] : "/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0) {
		box_error(call, -errno, "%s", strerror(errno));
		return;
	}
	close(fd);
	box_ok(call, "written");
}

/* ---- the loop ------------------------------------------------------------------------------------- */

static const struct box_command commands[] = {
	{ "connect", cmd_connect },
	{ "bind", cmd_bind },
	{ "unbind", cmd_unbind },
	{ "copy", cmd_copy },
	{ "dma", cmd_dma },
	{ "dma-stat", cmd_dma_stat },
	{ "dma-stop", cmd_dma_stop },
	{ "revoked", cmd_revoked },
	{ "wait-revoked", cmd_wait_revoked },
	{ "devices", cmd_devices },
	{ "fork", cmd_fork },
	{ "orphan", cmd_orphan },
	{ "child", cmd_child },
	{ "thread", cmd_thread },
	{ "exec", cmd_exec },
	{ "exit", cmd_exit },
	{ "identity", cmd_identity },
	{ "alloc", cmd_alloc },
	{ "ignore-term", cmd_ignore_term },
	{ "try-write", cmd_try_write },
	{ NULL, NULL },
};

static void run(struct box_call *call)
{
	const struct box_command *const tables[] = { commands, box_raw_commands, box_hostile_commands };

	for (unsigned t = 0; t < 3; t++)
		for (const struct box_command *c = tables[t]; c->name; c++)
			if (!strcmp(c->name, call->word[0])) {
				c->run(call);
				return;
			}
	box_error(call, -ENOSYS, "no command %s", call->word[0]);
}

static void obey(int fd)
{
	FILE *in = fdopen(fd, "r");
	char line[LINE];

	while (in && fgets(line, sizeof(line), in)) {
		struct box_call call = { .seq = 0 };
		char *save = NULL, *word = strtok_r(line, " \n", &save);

		call.seq = word ? strtoul(word, NULL, 10) : 0;
		for (unsigned i = 0; word && i < BOX_WORDS - 1; i++)
			call.word[i] = word = strtok_r(NULL, " \n", &save);
		if (call.word[0])
			run(&call);
	}
}

static void on_term(int sig)
{
	(void)sig;
	_exit(0);
}

int main(int argc, char **argv)
{
	char path[512];
	int in_fd;

	if (argc > 1 && !strcmp(argv[1], "--fault"))
		return box_fault(argc - 2, argv + 2);
	if (argc != 2) {
		fprintf(stderr, "usage: svad-box DIR | svad-box --fault SOCKET WORD...\n");
		return 2;
	}
	/* The first process of a container has no default action for any signal. */
	signal(SIGTERM, on_term);
	signal(SIGPIPE, SIG_IGN);
	directory = argv[1];
	snprintf(path, sizeof(path), "%s/out", directory);
	out_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/in", directory);
	in_fd = open(path, O_RDWR | O_CLOEXEC); /* never at its end */
	if (out_fd < 0 || in_fd < 0) {
		fprintf(stderr, "svad-box: %s: %s\n", directory, strerror(errno));
		return 1;
	}
	announce("ready");
	obey(in_fd);
	return 0;
}
