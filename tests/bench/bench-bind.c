/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bind's round trip beside a bare ping-pong over the same kind of socket, with packets of the same size. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define DEVICES 100u

struct packet {
	unsigned char at[512];
	size_t len;
};

/* ---- the peer ---- */

struct pong {
	int fd;
	size_t answer;
	bool with_fd;
};

static void pong(void *arg)
{
	const struct pong *p = arg;
	unsigned char buf[WIRE_MAX] = { 0 };
	int extra[2] = { -1, -1 };

	if (p->with_fd && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, extra) < 0)
		return;
	while (recv(p->fd, buf, sizeof(buf), 0) > 0)
		if (wire_send(p->fd, buf, p->answer, extra, p->with_fd ? 1 : 0, 0) < 0)
			return;
}

static int pong_start(struct pong *p, int cpu, size_t answer, bool with_fd, pid_t *ret_pid)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*p = (struct pong){ .fd = pair[1], .answer = answer, .with_fd = with_fd };
	*ret_pid = spawn_pinned(cpu, pong, p);
	close(pair[1]);
	return pair[0];
}

/* ---- both sides' client: one round trip, in ns; 0 when it failed. The answer's length comes back, and its
 * fd (ret_fd may be NULL). ---- */

static uint64_t round_trip(int fd, const struct packet *request, unsigned char *answer, ssize_t *ret_len,
			   int *ret_fd)
{
	struct wire_fds fds = WIRE_FDS_NONE;
	uint64_t t = live_now_ns();
	int r = wire_send(fd, request->at, request->len, NULL, 0, 0);

	*ret_len = r < 0 ? r : wire_recv(fd, answer, WIRE_MAX, &fds, NULL, 0);
	t = live_now_ns() - t;
	if (ret_fd)
		*ret_fd = wire_fds_take(&fds, 0);
	wire_fds_close(&fds);
	return *ret_len > 0 ? t : 0;
}

static void bind_packet(struct packet *p, unsigned device, uint64_t context)
{
	Svad__V1__Bind bind = SVAD__V1__BIND__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	char name[16];
	ssize_t n;

	snprintf(name, sizeof(name), "d%u", device);
	bind.device = name;
	bind.context = context;
	request.id = 1000 + device;
	request.body_case = SVAD__V1__REQUEST__BODY_BIND;
	request.bind = &bind;
	n = wire_encode_request(&request, p->at, sizeof(p->at));
	p->len = n > 0 ? (size_t)n : 0;
}

/* The context that a Bind's answer names; 0: it was refused. */
static uint64_t context_of(const unsigned char *answer, ssize_t len)
{
	static unsigned char memory[65536];
	struct wire_arena arena;
	Svad__V1__Reply *reply;

	wire_arena_init(&arena, memory, sizeof(memory));
	if (len <= 0 || wire_decode_reply(answer, (size_t)len, &arena, &reply) < 0)
		return 0;
	if (reply->body_case != SVAD__V1__REPLY__BODY_BIND) {
		fprintf(stderr, "svad-bench: bind: %s\n",
			reply->status ? reply->status->message : "no answer");
		return 0;
	}
	return reply->bind->context;
}

struct figures {
	struct samples first, further, bare, bare_first, bare_fd;
};

/* One client: its first bind, then one for each other device. The ping-pongs alternate with it. */
static bool one_client(const struct live *live, struct figures *f, int bare, int bare_fd, size_t sizes[4])
{
	static unsigned char answer[WIRE_MAX];
	static struct packet packets[DEVICES];
	struct packet same = { .len = 0 };
	int fd = live_connect(live->socket, "svad-bench");
	struct samples further = { 0 }, ping = { 0 };
	uint64_t context, t;
	bool ok = false;
	int ctx = -1;
	ssize_t len;

	if (fd < 0)
		return false;
	bind_packet(&packets[0], 0, 0);
	t = round_trip(fd, &packets[0], answer, &len, &ctx);
	context = context_of(answer, len);
	if (!t || !context || ctx < 0)
		goto out;
	sample(&f->first, (double)t);
	sizes[0] = packets[0].len;
	sizes[1] = (size_t)len;
	for (unsigned i = 1; i < DEVICES; i++)
		bind_packet(&packets[i], i, context);
	for (unsigned i = 1; i < DEVICES; i++) {
		t = round_trip(fd, &packets[i], answer, &len, NULL);
		if (!t || context_of(answer, len) != context)
			goto out;
		sample(&further, (double)t);
	}
	sizes[2] = packets[DEVICES - 1].len;
	sizes[3] = (size_t)len;
	ok = true;
	if (bare >= 0) {
		/* The first is a first of the peer's as well: what it costs to come to a process that has
		 * slept. */
		same.len = sizes[0];
		t = round_trip(bare_fd, &same, answer, &len, NULL);
		sample(&f->bare_fd, (double)t);
		t = round_trip(bare, &same, answer, &len, NULL);
		sample(&f->bare_first, (double)t);
		same.len = sizes[2];
		for (unsigned i = 1; i < DEVICES; i++)
			sample(&ping, (double)round_trip(bare, &same, answer, &len, NULL));
		sample(&f->bare, median(&ping));
	}
	sample(&f->further, median(&further));
out:
	if (ctx >= 0)
		close(ctx);
	close(fd);
	samples_free(&further);
	samples_free(&ping);
	return ok;
}

static void where(struct bench *b, const struct live *live, int admin, int cpu, const char *what)
{
	struct figures f = { 0 }, warm = { 0 };
	size_t sizes[4] = { 0 };
	unsigned rounds = b->quick ? 15 : 60;
	struct pong p, pf;
	pid_t pid = -1, pid_fd = -1;
	char name[96];
	int fd = -1, fd_fd = -1;
	bool ok;

	pin(live_broker(admin), cpu);
	pin(0, 0);
	ok = one_client(live, &warm, -1, -1, sizes);
	if (ok) {
		fd = pong_start(&p, cpu, sizes[3], false, &pid);
		fd_fd = pong_start(&pf, cpu, sizes[1], true, &pid_fd);
	}
	for (unsigned i = 0; ok && i < rounds; i++)
		ok = one_client(live, &f, fd, fd_fd, sizes);
	if (!ok) {
		fprintf(stderr, "svad-bench: a bind was refused\n");
		b->failed++;
	}
	snprintf(name, sizeof(name), "Bind round trip, context exists, %s", what);
	row(name, "us", ok ? median(&f.further) / 1e3 : NOTHING, median(&f.bare) / 1e3, 2.0, true,
	    "%zu B there, %zu B back", sizes[2], sizes[3]);
	snprintf(name, sizeof(name), "Bind round trip, first, with a fd, %s", what);
	row(name, "us", ok ? median(&f.first) / 1e3 : NOTHING, median(&f.bare_fd) / 1e3, 2.5, true,
	    "%zu B there, %zu B back; the peer's answer carries a fd too (without: %.1f us)", sizes[0],
	    sizes[1], median(&f.bare_first) / 1e3);
	end_process(pid);
	end_process(pid_fd);
	if (fd >= 0)
		close(fd);
	if (fd_fd >= 0)
		close(fd_fd);
	samples_free(&f.first);
	samples_free(&f.further);
	samples_free(&f.bare);
	samples_free(&f.bare_first);
	samples_free(&f.bare_fd);
	samples_free(&warm.first);
	samples_free(&warm.further);
	pin(0, -1);
}

void bench_bind(struct bench *b)
{
	char ini[16384];
	size_t n = 0;
	struct live live;
	int admin;

	n += (size_t)snprintf(ini, sizeof(ini), "log_level = err\n[limits]\nbonds_per_client = 1000\n");
	for (unsigned i = 0; i < DEVICES; i++)
		n += (size_t)snprintf(ini + n, sizeof(ini) - n, "[device \"d%u\"]\nengines = 1\n", i);
	if (!live_start(&live, b->builddir, b->libexecdir, ini, 1)) {
		b->failed++;
		return;
	}
	admin = live_connect(live.admin, "svad-bench");
	where(b, &live, admin, 0, "same core");
	where(b, &live, admin, 1, "cross-core");
	close(admin);
	live_stop(&live, 1);
}
