// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-svad.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <sva/demo_accel.h>

#include "../../kmod/svabroker.h"
#include "../../proto/simwire.h"
#include "../../proto/status.h"
#include "../../proto/wire.h"

enum kind { K_CONN, K_CTX, K_BOND };

struct fake_fd {
	struct fake_fd *next;
	enum kind kind;
	int fd;
	uint64_t bond;
	uint32_t device;
	int mem, portal;
	uint32_t head;
	unsigned char *held; /* an answer held back, with its fds */
	size_t held_len;
	int held_fd[2];
	unsigned held_fds;
};

enum command { C_QUIT, C_SETTLE, C_DOWN, C_UP, C_DROP, C_RELEASE, C_REVOKE, C_REVOKE_TELL, C_KILL, C_EVENT, C_RAW };

struct order {
	enum command command;
	uint32_t arg;
	size_t len;
	unsigned char data[256];
};

static void bump(struct fake *f, atomic_uint *what, int by)
{
	pthread_mutex_lock(&f->lock);
	atomic_fetch_add(what, (unsigned)by);
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

void fake_await(struct fake *f, const atomic_uint *what, unsigned value)
{
	pthread_mutex_lock(&f->lock);
	while (atomic_load(what) != value)
		pthread_cond_wait(&f->cond, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static struct fake_fd *add(struct fake *f, enum kind kind, int fd)
{
	struct fake_fd *x = calloc(1, sizeof(*x));

	if (!x)
		abort();
	*x = (struct fake_fd){.next = f->fds, .kind = kind, .fd = fd, .mem = -1, .portal = -1};
	f->fds = x;
	bump(f, kind == K_CONN ? &f->n_conn : kind == K_CTX ? &f->n_ctx_open : &f->n_bond_open, 1);
	return x;
}

static void drop_held(struct fake_fd *x)
{
	for (unsigned i = 0; i < x->held_fds; i++)
		close(x->held_fd[i]);
	free(x->held);
	x->held = NULL;
	x->held_fds = 0;
}

static void hang_up(struct fake *f, struct fake_fd *x)
{
	for (struct fake_fd **p = &f->fds; *p; p = &(*p)->next) {
		if (*p == x) {
			*p = x->next;
			break;
		}
	}
	close(x->fd);
	if (x->mem >= 0)
		close(x->mem);
	if (x->portal >= 0)
		close(x->portal);
	drop_held(x);
	bump(f, x->kind == K_CONN ? &f->n_conn : x->kind == K_CTX ? &f->n_ctx_open : &f->n_bond_open, -1);
	free(x);
}

static void hang_up_all(struct fake *f, unsigned kinds)
{
	for (struct fake_fd *x = f->fds, *next; x; x = next) {
		next = x->next;
		if (kinds & (1u << x->kind))
			hang_up(f, x);
	}
}

/* The fds are closed here. */
static void answer(struct fake_fd *x, bool late, const void *data, size_t len, const int *fds, unsigned n)
{
	if (late) {
		x->held = malloc(len);
		memcpy(x->held, data, len);
		x->held_len = len;
		for (unsigned i = 0; i < n; i++)
			x->held_fd[i] = fds[i];
		x->held_fds = n;
		return;
	}
	wire_send(x->fd, data, len, fds, n, MSG_DONTWAIT);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void reply(struct fake_fd *x, bool late, const Svad__V1__Reply *msg, const int *fds, unsigned n)
{
	unsigned char buf[WIRE_MAX];
	ssize_t len = wire_encode_reply(msg, buf, sizeof(buf));

	answer(x, late, buf, (size_t)len, fds, n);
}

/* As svad does with whom it does not let in. In every other time with the client's Hello unread, which resets the connection. */
static void refuse_unheard(struct fake *f, int fd)
{
	static bool wait;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__Reply msg = SVAD__V1__REPLY__INIT;
	struct fake_fd x = { .fd = fd };

	status.code = (uint32_t)atomic_load(&f->status);
	status.message = (char *)"the fake does not let you in";
	msg.status = &status;
	wait = !wait;
	if (wait)
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10000);
	reply(&x, false, &msg, NULL, 0);
	close(fd);
}

/* ---- the broker's half ---- */

static bool misbehave(struct fake *f, struct fake_fd *x, int how, Svad__V1__Reply *msg)
{
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__ReloadReply wrong = SVAD__V1__RELOAD_REPLY__INIT;

	switch (how) {
	case FAKE_STATUS:
		status.code = (uint32_t)atomic_load(&f->status);
		status.message = (char *)"the fake refuses";
		status.limit_name = (char *)"bonds_per_client";
		status.limit_value = 3;
		msg->status = &status;
		reply(x, false, msg, NULL, 0);
		return true;
	case FAKE_EOF:
		hang_up(f, x);
		return true;
	case FAKE_SILENT:
		return true;
	case FAKE_GARBAGE:
		answer(x, false, "\xff\xff\xff garbage", 11, NULL, 0);
		return true;
	case FAKE_WRONG:
		msg->body_case = SVAD__V1__REPLY__BODY_RELOAD;
		msg->reload = &wrong;
		reply(x, false, msg, NULL, 0);
		return true;
	case FAKE_NO_FD:
		msg->fds = 1;
		reply(x, false, msg, NULL, 0);
		return true;
	default:
		return false;
	}
}

static void on_hello(struct fake *f, struct fake_fd *x, const Svad__V1__Hello *hello, Svad__V1__Reply *msg)
{
	Svad__V1__HelloReply body = SVAD__V1__HELLO_REPLY__INIT;
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;

	bump(f, &f->n_hello, 1);
	version.major = atomic_load(&f->hello) == FAKE_VERSION ? 2 : 1;
	body.version = &version;
	body.server = (char *)"fake";
	body.client = 7;
	body.context_known = hello->context && hello->context == f->cookie && atomic_load(&f->know_context);
	msg->body_case = SVAD__V1__REPLY__BODY_HELLO;
	msg->hello = &body;
	reply(x, false, msg, NULL, 0);
}

static void on_bind(struct fake *f, struct fake_fd *x, const Svad__V1__Bind *bind, Svad__V1__Reply *msg)
{
	Svad__V1__BindReply body = SVAD__V1__BIND_REPLY__INIT;
	int how = atomic_load(&f->bind_fd), pair[2];

	bump(f, &f->n_bind_rpc, 1);
	if (misbehave(f, x, how, msg))
		return;
	body.device = (char *)(bind->device && *bind->device ? bind->device : "sim0");
	body.device_id = strcmp(body.device, "sim1") == 0 ? 2 : 1;
	body.grant = 1;
	body.drain_deadline_ms = 200;
	msg->body_case = SVAD__V1__REPLY__BODY_BIND;
	msg->bind = &body;
	if (bind->context && bind->context == f->cookie) {
		body.context = f->cookie;
		reply(x, how == FAKE_LATE, msg, NULL, 0);
		return;
	}
	body.context = ++f->cookie;
	msg->fds = 1;
	if (how == FAKE_WRONG_FD) {
		if (pipe(pair) < 0)
			abort();
		close(pair[1]);
		reply(x, false, msg, pair, 1);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	add(f, K_CTX, pair[0]);
	reply(x, how == FAKE_LATE, msg, &pair[1], 1);
}

static void on_request(struct fake *f, struct fake_fd *x)
{
	static unsigned char buf[WIRE_MAX], memory[WIRE_MAX * 4];
	struct wire_fds fds;
	struct wire_arena arena;
	Svad__V1__Request *req;
	Svad__V1__Reply msg = SVAD__V1__REPLY__INIT;
	Svad__V1__SubscribeReply subscribe = SVAD__V1__SUBSCRIBE_REPLY__INIT;
	Svad__V1__ListDevicesReply devices = SVAD__V1__LIST_DEVICES_REPLY__INIT;
	Svad__V1__ListBondsReply bonds = SVAD__V1__LIST_BONDS_REPLY__INIT;
	Svad__V1__Device d[2] = {SVAD__V1__DEVICE__INIT, SVAD__V1__DEVICE__INIT}, *dp[1];
	ssize_t n = wire_recv(x->fd, buf, sizeof(buf), &fds, NULL, MSG_DONTWAIT);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		hang_up(f, x);
		return;
	}
	wire_fds_close(&fds);
	wire_arena_init(&arena, memory, sizeof(memory));
	if (wire_decode_request(buf, (size_t)n, &arena, &req) < 0)
		abort();
	msg.id = req->id;
	switch (req->body_case) {
	case SVAD__V1__REQUEST__BODY_HELLO:
		if (!misbehave(f, x, atomic_load(&f->hello), &msg))
			on_hello(f, x, req->hello, &msg);
		break;
	case SVAD__V1__REQUEST__BODY_SUBSCRIBE:
		msg.body_case = SVAD__V1__REPLY__BODY_SUBSCRIBE;
		msg.subscribe = &subscribe;
		reply(x, false, &msg, NULL, 0);
		break;
	case SVAD__V1__REQUEST__BODY_BIND:
		on_bind(f, x, req->bind, &msg);
		break;
	case SVAD__V1__REQUEST__BODY_LIST_DEVICES:
		if (misbehave(f, x, atomic_load(&f->rpc), &msg))
			break;
		/* Two pages of one device each. */
		d[0].id = 1, d[0].name = (char *)"sim0";
		d[1].id = 2, d[1].name = (char *)"sim1";
		dp[0] = &d[req->list_devices->page && req->list_devices->page->after ? 1 : 0];
		devices.devices = dp;
		devices.n_devices = 1;
		devices.next = dp[0] == &d[0] ? 1 : 0;
		msg.body_case = SVAD__V1__REPLY__BODY_LIST_DEVICES;
		msg.list_devices = &devices;
		reply(x, atomic_load(&f->rpc) == FAKE_LATE, &msg, NULL, 0);
		break;
	case SVAD__V1__REQUEST__BODY_LIST_BONDS:
		msg.body_case = SVAD__V1__REPLY__BODY_LIST_BONDS;
		msg.list_bonds = &bonds;
		reply(x, false, &msg, NULL, 0);
		break;
	default:
		abort();
	}
}

static void send_event(struct fake *f, uint32_t kind, uint64_t bond)
{
	Svad__V1__Event event = SVAD__V1__EVENT__INIT;
	Svad__V1__Reply msg = SVAD__V1__REPLY__INIT;

	event.kind = (Svad__V1__EventKind)kind;
	event.bond = bond;
	event.cause = SVAD__V1__CAUSE__CAUSE_ADMIN;
	event.state = SVAD__V1__PASID_STATE__PASID_STOPPING;
	event.address = 0xdead000;
	event.code = SVAB_FAULT_UNMAPPED;
	msg.body_case = SVAD__V1__REPLY__BODY_EVENT;
	msg.event = &event;
	for (struct fake_fd *x = f->fds; x; x = x->next)
		if (x->kind == K_CONN)
			reply(x, false, &msg, NULL, 0);
}

/* ---- the device's half ---- */

struct packet {
	struct simwire_hdr hdr;
	union {
		struct svab_bind bind;
		struct svab_unbind unbind;
	};
};

static void on_ctx(struct fake *f, struct fake_fd *x)
{
	const uint32_t regs[4] = {SVA_DEMO_MAGIC, SVA_DEMO_VERSION, 0x1f, SVA_DEMO_FLAG_KICK}, one = 1;
	int how = atomic_load(&f->bind), out[2], pair[2];
	struct packet p = {0};
	struct wire_fds fds;
	struct fake_fd *bond;
	ssize_t n = wire_recv(x->fd, &p, sizeof(p), &fds, NULL, MSG_DONTWAIT);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		hang_up(f, x);
		return;
	}
	bump(f, &f->n_device_bind, 1);
	if (p.hdr.op != (uint32_t)SVAB_BIND || p.hdr.len != sizeof(p.bind) || fds.n != 2 || !p.bind.at_random)
		abort();
	if (how == FAKE_EOF || how == FAKE_SILENT || how == FAKE_GARBAGE || how == FAKE_STATUS) {
		wire_fds_close(&fds);
		if (how == FAKE_EOF)
			hang_up(f, x);
		p.hdr.result = atomic_load(&f->device_error);
		if (how == FAKE_STATUS)
			answer(x, false, &p, sizeof(p.hdr) + p.hdr.len, NULL, 0);
		p.hdr.len = 1;
		if (how == FAKE_GARBAGE)
			answer(x, false, &p, sizeof(p.hdr) + 9, NULL, 0);
		return;
	}
	if (how == FAKE_NO_FD || how == FAKE_WRONG_FD) {
		wire_fds_close(&fds);
		p.bind.bond = 99;
		p.bind.portal_size = 0;
		if (how == FAKE_WRONG_FD && pipe(pair) < 0)
			abort();
		if (how == FAKE_WRONG_FD)
			close(pair[1]);
		answer(x, false, &p, sizeof(p.hdr) + p.hdr.len, pair, how == FAKE_WRONG_FD);
		return;
	}
	if (how == FAKE_STALE) {
		struct packet stale = p;

		stale.hdr.seq += 1000;
		out[0] = dup(x->fd);
		answer(x, false, &stale, sizeof(stale.hdr) + stale.hdr.len, out, 1);
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	bond = add(f, K_BOND, pair[0]);
	bond->mem = wire_fds_take(&fds, 0);
	wire_fds_close(&fds);
	bond->bond = ++f->next_bond;
	bond->device = p.bind.device;
	bond->portal = memfd_create("portal", MFD_CLOEXEC);
	if (bond->portal < 0 || ftruncate(bond->portal, SVA_DEMO_PORTAL_SIZE) < 0 ||
	    pwrite(bond->portal, regs, sizeof(regs), 0) < 0 ||
	    pwrite(bond->portal, &one, 4, SVA_DEMO_REG_IDLE) < 0)
		abort();
	p.bind.bond = bond->bond;
	p.bind.pasid = 40 + p.bind.device;
	p.bind.portal_size = SVA_DEMO_PORTAL_SIZE;
	out[0] = pair[1];
	out[1] = fcntl(bond->portal, F_DUPFD_CLOEXEC, 0);
	answer(x, how == FAKE_LATE, &p, sizeof(p.hdr) + p.hdr.len, out, 2);
}

static void execute(struct fake_fd *x, const struct sva_demo_desc *d)
{
	struct sva_demo_completion c = {.status = SVA_DEMO_OK, .tag = d->tag};
	unsigned char buf[4096];
	uint32_t status;

	for (uint64_t done = 0; d->op == SVA_DEMO_COPY && done < d->len; done += sizeof(buf)) {
		size_t n = d->len - done < sizeof(buf) ? (size_t)(d->len - done) : sizeof(buf);

		if (pread(x->mem, buf, n, (off_t)(d->src + done)) != (ssize_t)n ||
		    pwrite(x->mem, buf, n, (off_t)(d->dst + done)) != (ssize_t)n) {
			c.status = SVA_DEMO_FAULT_UNMAPPED;
			c.fault_addr = d->src + done;
			break;
		}
	}
	if (d->op == SVA_DEMO_CRC32C)
		c.result = 0x12345678;
	if (d->op > SVA_DEMO_COMPARE)
		c.status = SVA_DEMO_BAD_DESCRIPTOR;
	status = c.status;
	c.status = SVA_DEMO_PENDING;
	if (!d->completion)
		return;
	if (pwrite(x->mem, &c, sizeof(c), (off_t)d->completion) < 0 ||
	    pwrite(x->mem, &status, sizeof(status), (off_t)d->completion) < 0)
		return;
}

static void kicked(struct fake_fd *x)
{
	uint32_t regs[17];

	while (pread(x->portal, regs, sizeof(regs), 0) == sizeof(regs)) {
		uint32_t out[4] = {0, 1, 0, 0};
		struct sva_demo_desc desc;
		uint64_t base;

		memcpy(&base, &regs[4], 8);
		if (!regs[7]) {
			x->head = 0;
		} else if (regs[16] != x->head) {
			if (pread(x->mem, &desc, sizeof(desc),
				  (off_t)(base + (x->head & (regs[6] - 1)) * sizeof(desc))) != sizeof(desc))
				return;
			x->head++;
			execute(x, &desc);
		}
		out[0] = x->head;
		if (pwrite(x->portal, out, sizeof(out), SVA_DEMO_REG_HEAD) < 0 || !regs[7] ||
		    regs[16] == x->head)
			return;
	}
}

static void on_bond(struct fake *f, struct fake_fd *x)
{
	int how = atomic_load(&f->unbind);
	struct packet p = {0};
	struct wire_fds fds;
	uint64_t id = x->bond;
	ssize_t n = wire_recv(x->fd, &p, sizeof(p), &fds, NULL, MSG_DONTWAIT);

	if (n == -EAGAIN)
		return;
	wire_fds_close(&fds);
	if (n <= 0) {
		hang_up(f, x);
		return;
	}
	if (p.hdr.op == SIMWIRE_KICK) {
		kicked(x);
		return;
	}
	if (p.hdr.op != (uint32_t)SVAB_UNBIND)
		abort();
	switch (how) {
	case FAKE_SILENT:
		return;
	case FAKE_EOF:
	case FAKE_EOF_CLEAN:
		hang_up(f, x);
		if (how == FAKE_EOF_CLEAN)
			send_event(f, SVAD__V1__EVENT_KIND__EVENT_CLEAN, id);
		return;
	case FAKE_STATUS:
		p.hdr.result = atomic_load(&f->device_error);
		break;
	case FAKE_GARBAGE:
		answer(x, false, "xy", 2, NULL, 0);
		return;
	default:
		p.unbind.state = how == FAKE_QUARANTINED ? SVAB_PASID_QUARANTINED : SVAB_PASID_CLEAN;
		if (ftruncate(x->portal, 0) < 0)
			abort();
	}
	answer(x, how == FAKE_LATE, &p, sizeof(p.hdr) + p.hdr.len, NULL, 0);
}

/* ---- the thread ---- */

static void listen_again(struct fake *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	unlink(f->path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(a.sun_path, f->path, sizeof(f->path));
	if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(f->listener, 64) < 0)
		abort();
}

static void close_listener(struct fake *f)
{
	if (f->listener >= 0)
		close(f->listener);
	f->listener = -1;
	unlink(f->path);
}

static bool obey(struct fake *f, const struct order *o)
{
	switch (o->command) {
	case C_QUIT:
		return false;
	case C_SETTLE:
		break;
	case C_DOWN:
		close_listener(f);
		hang_up_all(f, 1u << K_CONN);
		break;
	case C_UP:
		listen_again(f);
		break;
	case C_DROP:
		hang_up_all(f, 1u << K_CONN);
		break;
	case C_RELEASE:
		for (struct fake_fd *x = f->fds; x; x = x->next) {
			if (x->held)
				wire_send(x->fd, x->held, x->held_len, x->held_fd, x->held_fds, MSG_DONTWAIT);
			drop_held(x);
		}
		break;
	case C_REVOKE:
	case C_REVOKE_TELL:
		for (struct fake_fd *x = f->fds, *next; x; x = next) {
			next = x->next;
			if (x->kind != K_BOND)
				continue;
			if (o->command == C_REVOKE_TELL)
				send_event(f, SVAD__V1__EVENT_KIND__EVENT_STOPPING, x->bond);
			if (ftruncate(x->portal, 0) < 0)
				abort();
			hang_up(f, x);
		}
		break;
	case C_KILL:
		hang_up_all(f, 1u << K_CTX | 1u << K_BOND);
		break;
	case C_EVENT:
		send_event(f, o->arg, f->next_bond);
		break;
	case C_RAW:
		for (struct fake_fd *x = f->fds; x; x = x->next)
			if (x->kind == K_CONN)
				wire_send(x->fd, o->data, o->len, NULL, 0, MSG_DONTWAIT);
		break;
	}
	return true;
}

static void *fake_main(void *arg)
{
	struct fake *f = arg;

	for (;;) {
		struct fake_fd *who[512];
		struct pollfd p[514];
		nfds_t n = 2;

		p[0] = (struct pollfd){.fd = f->control[1], .events = POLLIN};
		p[1] = (struct pollfd){.fd = f->listener, .events = POLLIN};
		for (struct fake_fd *x = f->fds; x && n < 514; x = x->next, n++) {
			p[n] = (struct pollfd){.fd = x->fd, .events = POLLIN};
			who[n - 2] = x;
		}
		if (poll(p, n, -1) < 0)
			continue;
		if (p[0].revents) {
			struct order o;

			if (recv(f->control[1], &o, sizeof(o), 0) <= 0 || !obey(f, &o))
				return NULL;
			if (send(f->control[1], &o, 1, MSG_NOSIGNAL) < 0)
				return NULL;
			continue;
		}
		if (p[1].revents) {
			int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

			if (fd >= 0 && atomic_load(&f->hello) == FAKE_UNHEARD)
				refuse_unheard(f, fd);
			else if (fd >= 0)
				add(f, K_CONN, fd);
			continue;
		}
		/* One at a time: a handler may free any of the others. */
		for (nfds_t i = 2; i < n; i++) {
			if (!p[i].revents)
				continue;
			if (who[i - 2]->kind == K_CONN)
				on_request(f, who[i - 2]);
			else if (who[i - 2]->kind == K_CTX)
				on_ctx(f, who[i - 2]);
			else
				on_bond(f, who[i - 2]);
			break;
		}
	}
}

static void order(struct fake *f, const struct order *o)
{
	char ok;

	ck_assert_int_eq(send(f->control[0], o, sizeof(*o), MSG_NOSIGNAL), sizeof(*o));
	if (o->command != C_QUIT)
		ck_assert_int_eq(recv(f->control[0], &ok, 1, 0), 1);
}

void fake_start(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->directory, sizeof(f->directory), "/tmp/test-lib.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/svad.sock", f->directory);
	atomic_store(&f->know_context, true);
	f->cookie = 1000;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->cond, NULL);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->control), 0);
	listen_again(f);
	ck_assert_int_eq(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

void fake_stop(struct fake *f)
{
	order(f, &(struct order){.command = C_QUIT});
	pthread_join(f->thread, NULL);
	hang_up_all(f, 7);
	close_listener(f);
	close(f->control[0]);
	close(f->control[1]);
	rmdir(f->directory);
}

void fake_settle(struct fake *f)
{
	order(f, &(struct order){.command = C_SETTLE});
}
void fake_down(struct fake *f)
{
	order(f, &(struct order){.command = C_DOWN});
}
void fake_up(struct fake *f)
{
	order(f, &(struct order){.command = C_UP});
}
void fake_drop(struct fake *f)
{
	order(f, &(struct order){.command = C_DROP});
}
void fake_release(struct fake *f)
{
	order(f, &(struct order){.command = C_RELEASE});
}
void fake_revoke(struct fake *f, bool tell)
{
	order(f, &(struct order){.command = tell ? C_REVOKE_TELL : C_REVOKE});
}
void fake_kill_device(struct fake *f)
{
	order(f, &(struct order){.command = C_KILL});
}
void fake_event(struct fake *f, uint32_t kind)
{
	order(f, &(struct order){.command = C_EVENT, .arg = kind});
}

void fake_raw(struct fake *f, const void *data, size_t len)
{
	struct order o = {.command = C_RAW, .len = len};

	memcpy(o.data, data, len);
	order(f, &o);
}
