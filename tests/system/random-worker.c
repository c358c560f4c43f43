/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker of the randomized test: a client like any other, which does what it is told, one command at a
 * time, and looks after every byte of its memory. Whatever a revocation, a reset or a fault may do to a
 * command is a result; bytes that are not as they must be, an error that nothing explains and a wait without
 * end are wrong.
 *
 * All that the device may write is dst. shadow is what dst must hold: compared before and after every
 * command, so that a write that comes late, or is somebody else's, is seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/queue.h>
#include <sva/sva.h>

#include "../child.h"
#include "random.h"

#define AREA (512u << 10)
#define BASE                                                                                                 \
	0x7ea000000000u /* the same in every image, so that a late write for the last one would hit this one \
			 */
#define RING 16u
#define ASYNC_JOBS 8u
#define PATIENCE_MS 30000

struct held {
	struct sva_bond *bond;
	unsigned refs;
	struct sva_queue *queue;
	unsigned async; /* jobs on their way, all src -> dst */
};

static struct {
	int fd;
	int timeout_ms;
	struct sva *sva;
	struct held held[RANDOM_DEVICES];
	unsigned char *src, *dst, *shadow, *hole;
	struct sva_demo_completion *done; /* in memory of its own page: the device writes it */
	uint64_t rng;
	struct random_answer answer;
} w;

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *fmt, ...)
{
	va_list ap;

	if (w.answer.wrong)
		return;
	w.answer.wrong = 1;
	va_start(ap, fmt);
	vsnprintf(w.answer.text, sizeof(w.answer.text), fmt, ap);
	va_end(ap);
}

static void verify(const char *when)
{
	if (memcmp(w.dst, w.shadow, AREA)) {
		size_t at = 0;

		while (w.dst[at] == w.shadow[at])
			at++;
		wrong("%s: byte %zu of dst (%p) is %02x, must be %02x", when, at, (void *)(w.dst + at),
		      w.dst[at], w.shadow[at]);
		memcpy(w.shadow, w.dst, AREA);
	}
}

/* ---- bonds ---------------------------------------------------------------------------------- */

static bool unbind_may(int r)
{
	return r == 0 || r == 1 || r == -EBUSY;
}

static const char *say(int r)
{
	return sva_strerror(w.sva, r);
}

/* Drops what is held on a device. In the end nobody writes our memory through it: CLEAN, or QUARANTINED with
 * translation cut. */
static void release(unsigned d)
{
	struct held *h = &w.held[d];

	if (!h->bond)
		return;
	sva_queue_free(h->queue);
	h->queue = NULL;
	h->async = 0;
	while (h->refs) {
		int r = sva_unbind(h->bond, SVA_STATE_NONE);

		if (r ==
		    -EINVAL) /* it cannot stop, and is not revoked: no work is outstanding, so we may vouch */
			r = sva_unbind(h->bond, SVA_STATE_CLEAN);
		if (!unbind_may(r)) {
			wrong("release of %s: %s", random_device[d], say(r));
			break;
		}
		h->refs--;
	}
	h->bond = NULL;
	h->refs = 0;
	memcpy(w.shadow, w.dst, AREA); /* what was aborted is written in part */
}

static bool connected(void)
{
	int r;

	if (w.sva)
		return true;
	r = sva_connect(NULL, w.timeout_ms, &w.sva);
	if (r < 0)
		wrong("connect: %s", sva_strerror(NULL, r));
	return r >= 0;
}

static int do_bind(unsigned d)
{
	struct held *h = &w.held[d];
	struct sva_bond *bond;
	int r;

	if (!connected())
		return -ENOTCONN;
	if (h->bond && sva_bond_revoked(h->bond))
		release(d);
	r = sva_bind(w.sva, random_device[d], &bond);
	if (r < 0) {
		if (!bind_may(r))
			wrong("bind %s: %d %s", random_device[d], r, say(r));
		return r;
	}
	if (h->bond && h->bond != bond) { /* revoked in between: the old one goes, what we got stays */
		if (!sva_bond_revoked(h->bond))
			wrong("a second bond with %s", random_device[d]);
		release(d);
	}
	h->bond = bond;
	h->refs++;
	w.answer.bond = sva_bond_id(bond);
	if (sva_bond_references(bond) != h->refs)
		wrong("%u references of %s, not %u", sva_bond_references(bond), random_device[d], h->refs);
	return 0;
}

static int want_queue(unsigned d)
{
	struct held *h = &w.held[d];
	int r;

	if (h->bond && sva_bond_revoked(h->bond))
		release(d);
	if (!h->bond) {
		r = do_bind(d);
		if (r < 0)
			return r;
	}
	if (h->queue)
		return 0;
	r = sva_queue_new(h->bond, RING, &h->queue);
	if (r == -ESHUTDOWN) {
		release(d);
		return r;
	}
	if (r < 0)
		wrong("queue on %s: %s", random_device[d], say(r));
	return r;
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static int submit(unsigned d, struct sva_demo_desc *desc, unsigned slot)
{
	int r = sva_queue_submit(w.held[d].queue, desc, &w.done[slot]);

	if (r < 0 && r != -ESHUTDOWN)
		wrong("submit to %s: %s", random_device[d], say(r));
	return r;
}

/* The record's status; -ESHUTDOWN when the bond has ended. */
static int await(unsigned d, unsigned slot)
{
	int r = sva_queue_wait(w.held[d].queue, &w.done[slot], w.timeout_ms);

	if (r == 0 && w.done[slot].status == SVA_DEMO_ABORTED)
		return -ESHUTDOWN;
	if (r == 0)
		return (int)w.done[slot].status;
	if (r != -ESHUTDOWN)
		wrong("wait for %s: %s", random_device[d], say(r));
	return -ESHUTDOWN;
}

static void settle(void)
{
	for (unsigned d = 0; d < RANDOM_DEVICES; d++) {
		struct held *h = &w.held[d];
		bool over = false;

		if (!h->async)
			continue;
		for (unsigned i = 0; i < h->async && !over; i++) {
			int r = await(d, d * ASYNC_JOBS + i);

			over = r == -ESHUTDOWN;
			if (!over && r != SVA_DEMO_OK)
				wrong("a job of %s ended with status %d", random_device[d], r);
		}
		h->async = 0;
		if (over) {
			release(d);
			continue;
		}
		memcpy(w.shadow, w.src, AREA);
		w.answer.bytes += AREA;
	}
}

static int op_async(unsigned d)
{
	int r = want_queue(d);

	for (unsigned i = 0; r >= 0 && i < ASYNC_JOBS; i++) {
		struct sva_demo_desc desc = {
			.op = SVA_DEMO_COPY,
			.src = addr(w.src),
			.dst = addr(w.dst),
			.len = AREA,
			.tag = i,
		};

		r = submit(d, &desc, d * ASYNC_JOBS + i);
		if (r >= 0)
			w.held[d].async++;
	}
	if (r == -ESHUTDOWN)
		release(d);
	return r;
}

static void judge(unsigned d, const struct sva_demo_desc *desc)
{
	size_t from = desc->src - addr(w.src), to = desc->dst - addr(w.dst), len = desc->len;
	const struct sva_demo_completion *done = &w.done[0];

	if (done->tag != desc->tag || (desc->op != SVA_DEMO_COMPARE && done->bytes != len))
		wrong("%s completed tag %u, %llu bytes, not tag %u, %zu bytes", random_device[d], done->tag,
		      (unsigned long long)done->bytes, desc->tag, len);
	switch (desc->op) {
	case SVA_DEMO_COPY:
		memcpy(w.shadow + to, w.src + from, len);
		break;
	case SVA_DEMO_FILL:
		for (size_t i = 0; i < len; i++)
			w.shadow[to + i] = (unsigned char)(desc->arg >> i % 8 * 8);
		break;
	case SVA_DEMO_CRC32C:
		if (done->result != random_crc32c((uint32_t)desc->arg, w.src + from, len))
			wrong("CRC by %s of %zu bytes at %zu", random_device[d], len, from);
		break;
	case SVA_DEMO_COMPARE: {
		size_t i = 0;

		while (i < len && w.src[from + i] == w.dst[to + i])
			i++;
		if (done->result != (i < len ? i + 1 : 0))
			wrong("compare by %s of %zu bytes: %llu, not %zu", random_device[d], len,
			      (unsigned long long)done->result, i < len ? i + 1 : 0);
		break;
	}
	default:
		break;
	}
	w.answer.bytes += len;
}

static int op_dma(unsigned d, uint64_t arg)
{
	struct sva_demo_desc desc = { .op = (uint8_t)(arg % 5), .tag = (uint32_t)(arg >> 40) };
	int r = want_queue(d);

	if (r < 0)
		return r;
	/* most are small, some cross the device's chunks; nothing is aligned */
	desc.len = random_next(&arg) % (arg & 1 ? 8192 : arg & 2 ? 65536 : AREA - 4096) + 1;
	desc.src = addr(w.src) + random_next(&arg) % (AREA - desc.len);
	desc.dst = addr(w.dst) + random_next(&arg) % (AREA - desc.len);
	desc.arg = desc.op == SVA_DEMO_CRC32C ? (uint32_t)arg : arg;
	if (desc.op == SVA_DEMO_NOP)
		desc.len = desc.src = desc.dst = desc.arg = 0;
	else if (desc.op == SVA_DEMO_FILL)
		desc.src = 0;
	else {
		desc.arg = desc.op == SVA_DEMO_CRC32C ? desc.arg : 0;
		desc.dst = desc.op == SVA_DEMO_CRC32C ? 0 : desc.dst;
	}
	r = submit(d, &desc, 0);
	if (r >= 0)
		r = await(d, 0);
	if (r == -ESHUTDOWN) {
		release(d);
		return r;
	}
	if (r < 0)
		return r;
	if (r != SVA_DEMO_OK)
		wrong("op %u of %llu bytes on %s: status %d at %llx", desc.op, (unsigned long long)desc.len,
		      random_device[d], r, (unsigned long long)w.done[0].fault_addr);
	else
		judge(d, &desc);
	return r;
}

/* hole: a page to read and write, one that is read-only, one that is not there (PROT_NONE: in its place there
 * can be nothing else). */
static int op_fault(unsigned d, uint64_t arg)
{
	struct sva_demo_desc desc = { .op = SVA_DEMO_COPY, .len = 4096, .src = addr(w.src) };
	bool gone = arg & 1;
	unsigned char before[16];
	int r = want_queue(d);

	if (r < 0)
		return r;
	memcpy(before, w.hole + 4096, sizeof(before));
	desc.dst = addr(w.hole) + (gone ? 8192 : 4096) - (arg >> 1) % 100;
	if (gone)
		desc.dst += 100;
	r = submit(d, &desc, 0);
	if (r >= 0)
		r = await(d, 0);
	if (r == -ESHUTDOWN) {
		release(d);
		return r;
	}
	if (r >= 0 && r != SVA_DEMO_FAULT_PERMISSION && r != SVA_DEMO_FAULT_UNMAPPED)
		wrong("a write to %s memory by %s has status %d", gone ? "absent" : "read-only",
		      random_device[d], r);
	if (r >= 0 &&
	    (w.done[0].fault_addr < addr(w.hole) + 4096 || w.done[0].fault_addr >= addr(w.hole) + 3 * 4096))
		wrong("%s names %llx as where it faulted", random_device[d],
		      (unsigned long long)w.done[0].fault_addr);
	if (memcmp(before, w.hole + 4096, sizeof(before)))
		wrong("read-only memory was written by %s", random_device[d]);
	return r;
}

static int op_unmap(unsigned d)
{
	struct sva_demo_desc desc = { .op = SVA_DEMO_COPY, .len = AREA, .src = addr(w.src) };
	unsigned char *p;
	int r = want_queue(d);

	if (r < 0)
		return r;
	p = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	desc.dst = addr(p);
	r = submit(d, &desc, 0);
	if (r >= 0) {
		/* Nothing is mapped there from now on, and nothing of ours can come to be. */
		if (mmap(p + AREA / 2, AREA / 2, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
			abort();
		r = await(d, 0);
	}
	if (r == -ESHUTDOWN)
		release(d);
	else if (r >= 0 && r != SVA_DEMO_OK && r != SVA_DEMO_FAULT_PERMISSION && r != SVA_DEMO_FAULT_UNMAPPED)
		wrong("a copy to memory that was taken away from %s: status %d", random_device[d], r);
	else if (r >= 0 && memcmp(p, w.src, AREA / 2) && w.done[0].bytes >= AREA / 2)
		wrong("the half that stayed is not what %s says it wrote", random_device[d]);
	munmap(p, AREA);
	return r;
}

/* ---- processes ------------------------------------------------------------------------------ */

/* A forked child: the parent's handles are not its own; its memory has the same addresses, and is another. */
static int child(unsigned d, int tell)
{
	struct sva_bond *bond;
	struct sva *own;
	struct sva_queue *queue;
	int r;

	if (w.held[d].bond && sva_unbind(w.held[d].bond, SVA_STATE_NONE) != -EOWNERDEAD)
		return 2;
	if (w.sva && sva_bind(w.sva, random_device[d], &bond) != -EOWNERDEAD)
		return 3;
	if (sva_connect(NULL, w.timeout_ms, &own) < 0)
		return 4;
	r = sva_bind(own, random_device[d], &bond);
	if (r < 0)
		return bind_may(r) ? 0 : 5;
	r = sva_queue_new(bond, RING, &queue);
	if (r < 0)
		return r == -ESHUTDOWN ? 0 : 6;
	if (tell >= 0) {
		struct sva_demo_desc desc = {
			.op = SVA_DEMO_COPY, .src = addr(w.src), .dst = addr(w.dst), .len = AREA
		};

		for (unsigned i = 0; i < ASYNC_JOBS; i++)
			(void)sva_queue_submit(queue, &desc, &w.done[i]);
		(void)!write(tell, "", 1);
		for (;;)
			pause();
	}
	random_paint(&w.rng, w.src, 65536);
	r = sva_copy(queue, w.dst, w.src, 65536, NULL);
	if (r < 0)
		return r == -ESHUTDOWN || r == -ECANCELED ? 0 : 7;
	if (memcmp(w.dst, w.src, 65536) || memcmp(w.dst + 65536, w.shadow + 65536, AREA - 65536))
		return 8;
	sva_queue_free(queue);
	r = sva_unbind(bond, SVA_STATE_CLEAN);
	return unbind_may(r) ? 0 : 9;
}

static int op_fork(unsigned d, bool do_kill)
{
	int pipefd[2] = { -1, -1 }, status = 0;
	pid_t self = getpid(), pid;

	if (do_kill && pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		die_with_parent(self, SIGKILL);
		setrlimit(RLIMIT_CORE, &none);
		close(w.fd);
		_exit(child(d, pipefd[1]));
	}
	if (do_kill) {
		char c;

		close(pipefd[1]);
		if (pid > 0) {
			(void)!read(pipefd[0], &c, 1); /* it has submitted, or it has ended */
			kill(pid, SIGKILL);
		}
		close(pipefd[0]);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) ? !do_kill : WEXITSTATUS(status))
		wrong("forked child on %s: status 0x%x", random_device[d], (unsigned)status);
	return 0;
}

static void op_exec(const struct random_command *c)
{
	char fd[16], salt[32], seq[16], slow[16];

	snprintf(fd, sizeof(fd), "%d", w.fd);
	snprintf(salt, sizeof(salt), "%llu", (unsigned long long)c->arg);
	snprintf(seq, sizeof(seq), "%u", c->seq);
	snprintf(slow, sizeof(slow), "%d", w.timeout_ms / PATIENCE_MS);
	execl("/proc/self/exe", "test-random", "--worker", fd, salt, seq, slow, (char *)NULL);
	_exit(126);
}

struct binder {
	unsigned device;
	struct sva_bond *bond;
	int r;
};

static void *bind_thread(void *arg)
{
	struct binder *b = arg;

	b->r = sva_bind(w.sva, random_device[b->device], &b->bond);
	return NULL;
}

static int op_threads(unsigned d)
{
	struct binder b[2] = { { .device = d }, { .device = d } };
	pthread_t thread[2];

	if (!connected())
		return -ENOTCONN;
	release(d);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&thread[i], NULL, bind_thread, &b[i]))
			abort();
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	if (b[0].r >= 0 && b[1].r >= 0 && b[0].bond != b[1].bond) {
		/* one was revoked before the other came: whichever it is, it goes */
		if (!sva_bond_revoked(b[0].bond) && !sva_bond_revoked(b[1].bond))
			wrong("two threads, two bonds with %s", random_device[d]);
		w.held[d] = (struct held){ .bond = b[0].bond, .refs = 1 };
		release(d);
		b[0].r = -EBUSY;
	}
	for (int i = 0; i < 2; i++) {
		if (b[i].r < 0 && !bind_may(b[i].r))
			wrong("bind by a thread: %d %s", b[i].r, sva_strerror(NULL, b[i].r));
		if (b[i].r < 0)
			continue;
		w.held[d].bond = b[i].bond;
		w.held[d].refs++;
	}
	return 0;
}

static int op_second(unsigned d)
{
	struct sva *other;
	struct sva_bond *bond;
	int r;

	r = sva_connect(NULL, w.timeout_ms, &other);
	if (r < 0) {
		wrong("second connection: %s", sva_strerror(NULL, r));
		return r;
	}
	r = sva_bind(other, random_device[d], &bond);
	if (r < 0 && !bind_may(r))
		wrong("bind by a second connection: %d %s", r, sva_strerror(other, r));
	if (r >= 0) {
		if (w.held[d].bond && sva_bond_id(bond) == sva_bond_id(w.held[d].bond) &&
		    sva_bond_pasid(bond) != sva_bond_pasid(w.held[d].bond))
			wrong("one bond with %s, two PASIDs", random_device[d]);
		r = sva_unbind(bond, SVA_STATE_CLEAN);
		if (!unbind_may(r))
			wrong("unbind by a second connection: %d %s", r, sva_strerror(other, r));
	}
	sva_disconnect(other);
	return r;
}

static void op_disconnect(void)
{
	for (unsigned d = 0; d < RANDOM_DEVICES; d++)
		sva_queue_free(w.held[d].queue);
	memset(w.held, 0, sizeof(w.held));
	sva_disconnect(w.sva);
	w.sva = NULL;
}

static int op_unbind(unsigned d, uint64_t arg)
{
	static const enum sva_state vouch[] = { SVA_STATE_NONE, SVA_STATE_FLUSHED, SVA_STATE_CLEAN };
	struct held *h = &w.held[d];
	enum sva_state state = vouch[arg % 3];
	int r;

	if (!h->bond)
		return 0;
	if (h->refs == 1) {
		sva_queue_free(h->queue);
		h->queue = NULL;
	}
	r = sva_unbind(h->bond, state);
	if (r == -EINVAL && h->refs == 1 && state == SVA_STATE_NONE && d == 2)
		return r; /* it cannot stop: kept */
	if (!unbind_may(r))
		wrong("unbind of %s, vouching %d: %d %s", random_device[d], (int)state, r, say(r));
	if (--h->refs == 0)
		h->bond = NULL;
	return r;
}

static int run(const struct random_command *c)
{
	unsigned d = c->device;

	switch ((enum random_op)c->op) {
	case OP_BIND:
		return do_bind(d);
	case OP_UNBIND:
		return op_unbind(d, c->arg);
	case OP_DMA:
		return op_dma(d, c->arg);
	case OP_ASYNC:
		return op_async(d);
	case OP_FAULT:
		return op_fault(d, c->arg);
	case OP_UNMAP:
		return op_unmap(d);
	case OP_FORK:
	case OP_FORK_KILL:
		return op_fork(d, c->op == OP_FORK_KILL);
	case OP_EXEC:
		(void)op_async(d);
		op_exec(c);
		break;
	case OP_EXIT:
		(void)op_async(d);
		_exit(0);
	case OP_CRASH:
		(void)op_async(d);
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		break;
	case OP_DISCONNECT:
		op_disconnect();
		return 0;
	case OP_THREADS:
		return op_threads(d);
	case OP_SECOND:
		return op_second(d);
	case OP_QUIT:
		for (d = 0; d < RANDOM_DEVICES; d++)
			release(d);
		sva_disconnect(w.sva);
		w.sva = NULL;
		return 0;
	case N_RANDOM_OPS:
		break;
	}
	return -ENOSYS;
}

static void answer(void)
{
	if (send(w.fd, &w.answer, sizeof(w.answer), MSG_NOSIGNAL) != (ssize_t)sizeof(w.answer))
		_exit(0); /* the driver is gone */
}

int random_worker(int argc, char **argv)
{
	struct rlimit none = { 0, 0 };
	struct random_command c;

	if (argc != 6)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	w.fd = atoi(argv[2]);
	w.rng = strtoull(argv[3], NULL, 10);
	w.timeout_ms = PATIENCE_MS * atoi(argv[5]);
	w.src = random_area(BASE, AREA);
	w.dst = random_area(BASE + (1u << 30), AREA);
	w.hole = random_area(BASE + (2u << 30), 3 * 4096);
	w.done = (void *)random_area(BASE + (3ul << 30), 4096);
	w.shadow = malloc(AREA);
	if (!w.shadow)
		return 2;
	random_paint(&w.rng, w.src, AREA);
	random_paint(&w.rng, w.dst, AREA);
	memcpy(w.shadow, w.dst, AREA);
	random_paint(&w.rng, w.hole, 3 * 4096);
	if (mprotect(w.hole + 4096, 4096, PROT_READ) < 0 || mprotect(w.hole + 8192, 4096, PROT_NONE) < 0)
		return 2;
	w.answer.seq = (uint32_t)strtoul(argv[4], NULL, 10);
	if (w.answer.seq)
		answer();
	while (recv(w.fd, &c, sizeof(c), 0) == (ssize_t)sizeof(c)) {
		memset(&w.answer, 0, sizeof(w.answer));
		w.answer.seq = c.seq;
		if (w.sva)
			(void)sva_dispatch(w.sva);
		settle();
		verify("before");
		w.answer.result = run(&c);
		if (!w.held[c.device].async)
			verify("after");
		answer();
		if (c.op == OP_QUIT)
			return 0;
	}
	return 0;
}
