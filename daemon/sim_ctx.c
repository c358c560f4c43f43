/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_ctx.h"
#include "../client/lib/sva/demo_accel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim_bond.h"
#include "sim_control.h"
#include "sim_device.h"
#include "sim_event.h"
#include "sim_mm.h"
#include "sim_msg.h"

#define MESSAGES_A_TURN 32

struct ctx_socket { /* a ctx has several after SVAB_CTX_REOPEN */
	struct list of_ctx;
	struct sim_ctx *ctx; /* counted */
	int fd;
	uv_poll_t poll;
	bool closed;
	struct bind_job *binding; /* no other message is read meanwhile */
};

struct bind_job { /* the fds of a bind are looked at in an OS thread: that may block */
	struct sim_work work;
	struct sim_note note;
	struct ctx_socket *socket; /* lent: it is not freed while its binding is set */
	struct svab_bind bind;
	struct sim_mm_fds fds;
	uint32_t seq, len;
	int result;
};

static void socket_ready(uv_poll_t *poll, int status, int events);

/* ---- lifetime ---------------------------------------------------------------------------------------- */

static void ctx_unref(struct sim_ctx *ctx)
{
	if (--ctx->refs)
		return;
	sim_mm_unuse(ctx->mm);
	free(ctx);
}

static void socket_unref(struct ctx_socket *s)
{
	close(s->fd);
	ctx_unref(s->ctx);
	free(s);
}

static void socket_freed(uv_handle_t *handle)
{
	struct ctx_socket *s = container_of(handle, struct ctx_socket, poll);

	if (!s->binding)
		socket_unref(s);
	else
		s->poll.data = s; /* the bind's end frees it */
}

static void socket_close(struct ctx_socket *s)
{
	if (s->closed)
		return;
	s->closed = true;
	list_remove(&s->of_ctx);
	shutdown(s->fd, SHUT_RDWR);
	uv_close((uv_handle_t *)&s->poll, socket_freed);
}

struct sim_ctx *sim_ctx_find(uint64_t cookie)
{
	struct idmap_node *node = idmap_find(&sim.ctxs, cookie);

	return node ? container_of(node, struct sim_ctx, by_cookie) : NULL;
}

static int socket_add(struct sim_ctx *ctx, int fd)
{
	struct ctx_socket *s = calloc(1, sizeof(*s));
	const int on = 1;
	int type = 0, r;
	socklen_t len = sizeof(type);

	if (!s) {
		r = -ENOMEM;
		goto fail;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		r = -EINVAL;
		goto fail;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
		r = -errno;
		goto fail;
	}
	r = uv_poll_init(&sim.loop, &s->poll, fd);
	if (r < 0)
		goto fail;
	s->fd = fd;
	s->ctx = ctx;
	ctx->refs++;
	list_append(&ctx->sockets, &s->of_ctx);
	(void)uv_poll_start(&s->poll, UV_READABLE, socket_ready);
	return 0;
fail:
	free(s);
	close(fd);
	return r;
}

int sim_ctx_create(const struct svab_ctx_create *create, int fd)
{
	struct sim_ctx *ctx;
	int r;

	if (!create->cookie || sim_ctx_find(create->cookie)) {
		sim_os_close_fd(fd, (uid_t)-1);
		return create->cookie ? -EEXIST : -EINVAL;
	}
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx) {
		sim_os_close_fd(fd, (uid_t)-1);
		return -ENOMEM;
	}
	ctx->refs = 1;
	ctx->cookie = create->cookie;
	ctx->uid = create->uid;
	ctx->gid = create->gid;
	ctx->pid = create->pid;
	list_init(&ctx->grants);
	list_init(&ctx->holds);
	list_init(&ctx->sockets);
	r = socket_add(ctx, fd);
	if (r < 0) {
		free(ctx);
		return r;
	}
	ctx->seq = ++sim.next_ctx_seq;
	idmap_insert(&sim.ctxs, &ctx->by_cookie, ctx->cookie);
	list_append(&sim.ctx_list, &ctx->all);
	return 0;
}

int sim_ctx_reopen(uint64_t cookie, int fd)
{
	struct sim_ctx *ctx = sim_ctx_find(cookie);

	if (!ctx || ctx->ended) {
		sim_os_close_fd(fd, (uid_t)-1);
		return -ENOENT;
	}
	return socket_add(ctx, fd);
}

void sim_ctx_check_gone(struct sim_ctx *ctx)
{
	struct svab_event e = { .type = SVAB_EV_CTX_GONE, .cookie = ctx->cookie };

	if (!ctx->ended || ctx->gone || !list_empty(&ctx->holds))
		return;
	ctx->gone = true;
	while (!list_empty(&ctx->sockets))
		socket_close(container_of(ctx->sockets.next, struct ctx_socket, of_ctx));
	idmap_remove(&sim.ctxs, &ctx->by_cookie);
	list_remove(&ctx->all);
	sim_event(&e);
	ctx_unref(ctx);
}

void sim_ctx_end(struct sim_ctx *ctx, enum svab_cause cause)
{
	struct list *l, *next;

	if (ctx->gone)
		return;
	ctx->ended = true;
	ctx->refs++;
	while (!list_empty(&ctx->grants)) {
		struct sim_grant *g = container_of(ctx->grants.next, struct sim_grant, link);

		list_remove(&g->link);
		free(g);
	}
	/* Ending a hold may free it, and no other. */
	list_for_each_safe(l, next, &ctx->holds)
		sim_hold_end(container_of(l, struct sim_hold, of_ctx), cause);
	sim_ctx_check_gone(ctx);
	ctx_unref(ctx);
}

/* ---- grants ---------------------------------------------------------------------------------------------
 */

struct sim_grant *sim_ctx_grant_find(struct sim_ctx *ctx, uint32_t device)
{
	struct list *l;

	list_for_each(l, &ctx->grants) {
		struct sim_grant *g = container_of(l, struct sim_grant, link);

		if (g->device == device)
			return g;
	}
	return NULL;
}

int sim_ctx_grant(struct sim_ctx *ctx, const struct svab_ctx_grant *grant)
{
	struct sim_device *device = sim_device_find(grant->device);
	struct sim_grant *g;

	if (ctx->ended)
		return -EACCES;
	if (!device)
		return -ENODEV;
	g = sim_ctx_grant_find(ctx, grant->device);
	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g)
			return -ENOMEM;
		list_append(&ctx->grants, &g->link);
	}
	g->device = grant->device;
	g->deadline_ms = grant->deadline_ms;
	if (!g->deadline_ms)
		g->deadline_ms = device->config->drain_deadline_ms;
	if (!g->deadline_ms)
		g->deadline_ms = sim.config->drain_deadline_ms;
	g->grant = grant->grant;
	return 0;
}

int sim_ctx_revoke_grant(struct sim_ctx *ctx, uint32_t device)
{
	struct sim_grant *g = sim_ctx_grant_find(ctx, device);

	if (!g)
		return -ENOENT;
	list_remove(&g->link);
	free(g);
	return 0;
}

/* ---- SVAB_BIND --------------------------------------------------------------------------------------------
 */

static int bind_finish(struct bind_job *job, struct svab_bind *out, int fds[2], unsigned *ret_n)
{
	struct sim_ctx *ctx = job->socket->ctx;
	struct sim_device *device = sim_device_find(job->bind.device);
	struct sim_hold *hold;
	struct sim_mm *mm;
	bool first;
	int r;

	if (job->result < 0)
		return job->result;
	if (ctx->ended)
		return -EACCES;
	if (!device)
		return -ENODEV;
	mm = sim_mm_get(&job->fds);
	if (!mm)
		return -ENOMEM;
	if (ctx->mm && ctx->mm != mm) {
		r = -EPERM;
		goto out;
	}
	r = sim_bond_get(ctx, device, mm, job->bind.at_random, &hold);
	if (r < 0)
		goto out;
	if (!ctx->mm)
		ctx->mm = sim_mm_use(mm);
	first = !hold->refs;
	/* Before anything can fail: the grant is used up, and the end of what the broker never saw begin
	 * would be no end to it. */
	if (first)
		sim_event_bond_hold(hold, SVAB_EV_BOUND);
	r = sim_ref_new(hold, &fds[0]);
	if (r < 0) {
		if (first)
			sim_hold_end(hold, SVAB_CAUSE_UNBIND);
		goto out;
	}
	fds[1] = hold->bond->portal_fd;
	*ret_n = fds[1] >= 0 ? 2 : 1;
	*out = (struct svab_bind){
		.size = sizeof(*out),
		.device = device->id,
		.pasid = hold->bond->pasid,
		.bond = hold->bond->id,
		.grant = hold->grant,
		.bond_fd = -1,
		.portal_size = fds[1] >= 0 ? SVA_DEMO_PORTAL_SIZE : 0,
		.at_random = job->bind.at_random,
	};
out:
	sim_mm_unuse(mm);
	return r;
}

static void bind_done(struct sim_note *note)
{
	struct bind_job *job = container_of(note, struct bind_job, note);
	struct ctx_socket *s = job->socket;
	struct svab_bind out;
	int fds[2] = { -1, -1 }, r;
	unsigned n = 0;

	s->binding = NULL;
	sim_control_drain();
	if (!s->closed) {
		r = bind_finish(job, &out, fds, &n);
		sim_control_flush(); /* the broker can know of the bond before the client does */
		if (r < 0)
			r = sim_answer_raw(s->fd, SVAB_BIND, job->seq, r, NULL, 0, NULL, 0);
		else
			r = sim_answer_raw(s->fd, SVAB_BIND, job->seq, 0, &out,
					   job->len < sizeof(out) ? job->len : sizeof(out), fds, n);
		/* An answer that cannot be delivered: closing our copy of the client's end ends the
		 * reference. */
		(void)r;
		if (fds[0] >= 0)
			close(fds[0]);
		if (!s->closed)
			(void)uv_poll_start(&s->poll, UV_READABLE, socket_ready);
	} else if (s->poll.data == s) {
		socket_unref(s);
	}
	sim_os_close_fd(job->fds.mem, job->fds.uid);
	sim_os_close_fd(job->fds.maps, job->fds.uid);
	free(job);
}

static void bind_check(struct sim_work *work)
{
	struct bind_job *job = container_of(work, struct bind_job, work);

	job->result = sim_mm_check_fds(&job->fds);
	job->note.run = bind_done;
	sim_post(&job->note);
}

static int ctx_bind(struct ctx_socket *s, struct sim_msg *m)
{
	struct sim_ctx *ctx = s->ctx;
	struct sim_device *device;
	struct bind_job *job;
	struct svab_bind bind;
	struct list *l;
	bool granted = false;
	int r;

	r = sim_msg_arg(m, &bind, sizeof(bind));
	if (r < 0)
		return r;
	if (m->n_fds != 2)
		return -EINVAL;
	if (!m->pid)
		return -EPERM; /* a sender in no pid namespace of ours: its fds cannot be checked */
	if (ctx->ended)
		return -EACCES;
	if (ctx->mm && ctx->mm->pid != m->pid)
		return -EPERM;
	device = sim_device_find(bind.device);
	if (!device)
		return -ENODEV;
	/* Who has nothing to bind by costs no thread. */
	granted = sim_ctx_grant_find(ctx, device->id);
	list_for_each(l, &ctx->holds)
		granted = granted || container_of(l, struct sim_hold, of_ctx)->bond->device == device;
	if (!granted)
		return -EACCES;

	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->work.run = bind_check;
	job->socket = s;
	job->bind = bind;
	job->seq = m->hdr.seq;
	job->len = m->hdr.len;
	job->fds = (struct sim_mm_fds){
		.mem = sim_msg_take_fd(m, 0),
		.maps = sim_msg_take_fd(m, 1),
		.pid = m->pid,
		.uid = m->uid,
		.at_random = bind.at_random,
	};
	s->binding = job;
	(void)uv_poll_start(&s->poll, UV_DISCONNECT, socket_ready);
	sim_os_submit(&job->work, m->uid);
	return 1;
}

static void socket_ready(uv_poll_t *poll, int status, int events)
{
	struct ctx_socket *s = container_of(poll, struct ctx_socket, poll);
	struct sim_ctx *ctx = s->ctx;
	int n = MESSAGES_A_TURN;

	sim_control_drain();
	if (s->binding && !s->closed && ((events & UV_DISCONNECT) || status < 0))
		goto eof;
	while (!s->closed && !s->binding && n--) {
		struct sim_msg m;
		int r = sim_recv(s->fd, &m);

		if (r == -EAGAIN)
			return;
		if (r <= 0)
			goto eof;
		if (m.bad)
			r = m.bad;
		else if (m.hdr.op == SVAB_BIND)
			r = ctx_bind(s, &m);
		else
			r = m.n_fds ? -EINVAL : -ENOTTY;
		sim_msg_close_fds(&m);
		if (r <= 0)
			(void)sim_answer(s->fd, &m, r, NULL, 0, NULL, 0);
	}
	return;
eof:
	socket_close(s);
	if (list_empty(&ctx->sockets))
		sim_ctx_end(ctx, SVAB_CAUSE_LAST_CLOSE);
}
