/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "sim_bond.h"
#include "sim_checker.h"
#include "sim_ctx.h"
#include "sim_device.h"
#include "sim_event.h"
#include "sim_iommu.h"
#include "sim_msg.h"

#define EVENTS_MAX 65536u
#define AWAKE_NS 50000u /* after a grant */
#define PACKET_EVENTS ((SIMWIRE_MAX - sizeof(struct simwire_hdr)) / sizeof(struct svab_event))
#define LIST_ENTRIES                                                                                         \
	((SIMWIRE_MAX - sizeof(struct simwire_hdr) - sizeof(struct svab_list)) /                             \
	 sizeof(struct svab_list_entry))

struct packet { /* an answer that waits for the broker to read */
	struct list link;
	size_t len;
	unsigned char bytes[];
};

static struct {
	int fd; /* -1: no broker */
	uv_poll_t *poll;
	uv_prepare_t prepare;
	bool draining, wants_write;
	struct list packets;
	struct svab_event *events; /* a ring */
	size_t first, n, room;
	uint64_t lost, lost_total;
} control = { .fd = -1 };

static void control_ready(uv_poll_t *poll, int status, int events);

static void poll_freed(uv_handle_t *handle)
{
	free(handle);
}

static void control_close(void)
{
	if (control.fd < 0)
		return;
	close(control.fd);
	control.fd = -1;
	uv_close((uv_handle_t *)control.poll, poll_freed);
	control.poll = NULL;
	while (!list_empty(&control.packets)) {
		struct packet *p = container_of(control.packets.next, struct packet, link);

		list_remove(&p->link);
		free(p);
	}
	control.first = control.n = 0;
	control.lost = 0;
	control.wants_write = false;
}

/* ---- going out ------------------------------------------------------------------------------------------
 */

static void want_write(bool on)
{
	if (control.fd < 0 || control.wants_write == on)
		return;
	control.wants_write = on;
	(void)uv_poll_start(control.poll, UV_READABLE | (on ? UV_WRITABLE : 0), control_ready);
}

static int send_bytes(const void *bytes, size_t len)
{
	ssize_t n;

	do
		n = send(control.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static bool send_packets(void)
{
	while (!list_empty(&control.packets)) {
		struct packet *p = container_of(control.packets.next, struct packet, link);
		int r = send_bytes(p->bytes, p->len);

		if (r == -EAGAIN || r == -ENOBUFS)
			return false;
		list_remove(&p->link);
		free(p);
	}
	return true;
}

static struct {
	struct simwire_hdr hdr;
	struct svab_event events[PACKET_EVENTS];
} batch;

/* The first of the waiting events as one packet in batch; its length in bytes. batch_taken() takes them off.
 */
static size_t batch_fill(size_t *ret_n)
{
	size_t n = 0, bytes;

	for (; n < PACKET_EVENTS && n < control.n; n++)
		batch.events[n] = control.events[(control.first + n) % control.room];
	if (control.lost && n == control.n && n < PACKET_EVENTS)
		batch.events[n++] = (struct svab_event){
			.size = sizeof(struct svab_event),
			.type = SVAB_EV_LOST,
			.time_ns = sim_now(),
			.value = control.lost,
		};
	bytes = n * sizeof(struct svab_event);
	batch.hdr = (struct simwire_hdr){ .op = SIMWIRE_EVENTS, .len = (uint32_t)bytes };
	*ret_n = n;
	return sizeof(batch.hdr) + bytes;
}

static void batch_taken(size_t n)
{
	if (n > control.n) {
		control.lost = 0;
		n--;
	}
	control.first = (control.first + n) % (control.room ? control.room : 1);
	control.n -= n;
}

static bool send_events(void)
{
	while (control.n || control.lost) {
		size_t n, len = batch_fill(&n);
		int r = send_bytes(&batch, len);

		if (r == -EAGAIN || r == -ENOBUFS)
			return false;
		if (r < 0) { /* it is gone; the channel will bring a new one */
			control.n = 0;
			control.lost = 0;
			return true;
		}
		batch_taken(n);
	}
	return true;
}

/* Events that could not be sent yet become packets, so that an answer that is queued now stays behind them: a
 * listing must not overtake the history that led to it. */
static bool pack_events(void)
{
	while (control.n || control.lost) {
		size_t n, len = batch_fill(&n);
		struct packet *p = malloc(sizeof(*p) + len);

		if (!p)
			return false;
		p->len = len;
		memcpy(p->bytes, &batch, len);
		list_append(&control.packets, &p->link);
		batch_taken(n);
	}
	return true;
}

static void control_flush(void)
{
	if (control.fd < 0)
		return;
	want_write(!(send_packets() && send_events()));
}

void sim_control_flush(void)
{
	if (!control.wants_write && (control.n || control.lost || !list_empty(&control.packets)))
		control_flush();
}

/* Before the loop sleeps: everything that one turn has brought goes in few packets. */
static void control_prepare(uv_prepare_t *prepare)
{
	(void)prepare;
	sim_control_flush();
}

void sim_event(struct svab_event *e)
{
	e->size = sizeof(*e);
	e->time_ns = sim_now();
	if (control.fd < 0)
		return;
	if (control.n == control.room) {
		size_t room = control.room ? control.room * 2 : 256;
		struct svab_event *events = room <= EVENTS_MAX ? calloc(room, sizeof(*events)) : NULL;

		if (!events || control.lost) {
			free(events);
			control.lost++;
			control.lost_total++;
			return;
		}
		for (size_t i = 0; i < control.n; i++)
			events[i] = control.events[(control.first + i) % control.room];
		free(control.events);
		control.events = events;
		control.first = 0;
		control.room = room;
	}
	if (control.lost) { /* in order: nothing may follow a gap before the gap was told */
		control.lost++;
		control.lost_total++;
		return;
	}
	control.events[(control.first + control.n) % control.room] = *e;
	control.n++;
}

static void answer(const struct sim_msg *m, int result, const void *arg, size_t len)
{
	struct simwire_hdr hdr = {
		.op = m->hdr.op, .seq = m->hdr.seq, .result = result, .len = (uint32_t)len
	};
	struct packet *p;

	if (!m->hdr.seq || control.fd < 0)
		return;
	p = malloc(sizeof(*p) + sizeof(hdr) + len);
	/* What happened before is told before. */
	sim_control_flush();
	if (!p || !pack_events()) {
		free(p);
		log_err("no memory for an answer to the broker; its connection is closed");
		control_close();
		return;
	}
	p->len = sizeof(hdr) + len;
	memcpy(p->bytes, &hdr, sizeof(hdr));
	if (len)
		memcpy(p->bytes + sizeof(hdr), arg, len);
	list_append(&control.packets, &p->link);
	if (!control.wants_write)
		control_flush();
}

static void answer_arg(const struct sim_msg *m, int result, const void *arg, size_t known)
{
	answer(m, result, arg, result < 0 ? 0 : m->hdr.len < known ? m->hdr.len : known);
}

/* ---- requests --------------------------------------------------------------------------------------------
 */

static void do_info(struct sim_msg *m)
{
	struct svab_info info;
	struct checker_counts counts;
	uint32_t max = 0;
	int r = sim_msg_arg(m, &info, sizeof(info));

	for (uint32_t i = 0; i < sim.n_devices; i++)
		if (sim.devices[i].max_pasid > max)
			max = sim.devices[i].max_pasid;
	checker_counts(&counts);
	info = (struct svab_info){
		.size = sizeof(info),
		.abi = SVAB_ABI_VERSION,
		.pasids_total = max,
		.pasids_free = max - sim_pasids_used(),
		.devices = sim.n_devices,
		.ctxs = (uint32_t)sim.ctxs.n,
		.bonds = sim.n_bonds,
		.draining = sim.draining,
		.quarantined = sim.quarantined,
		.violations = counts.violations,
		.drained = sim.drained,
		.dma_blocked = counts.blocked,
		.events_lost = control.lost_total,
	};
	answer_arg(m, r, &info, sizeof(info));
}

static void do_dev_next(struct sim_msg *m)
{
	struct svab_dev_info info;
	struct sim_device *next = NULL;
	int r = sim_msg_arg(m, &info, sizeof(info));

	for (uint32_t i = 0; i < sim.n_devices && !next; i++)
		if (sim.devices[i].id > info.id)
			next = &sim.devices[i];
	if (!r && !next)
		r = -ENOENT;
	if (!r) {
		sim_device_info(next, &info);
		info.size = sizeof(info);
	}
	answer_arg(m, r, &info, sizeof(info));
}

static void do_ctx_create(struct sim_msg *m)
{
	struct svab_ctx_create create;
	int r = sim_msg_arg(m, &create, sizeof(create));

	if (!r && m->n_fds != 1)
		r = -EINVAL;
	if (!r && m->hdr.op == SVAB_CTX_CREATE)
		r = sim_ctx_create(&create, sim_msg_take_fd(m, 0));
	else if (!r)
		r = sim_ctx_reopen(create.cookie, sim_msg_take_fd(m, 0));
	create.size = sizeof(create);
	create.fd = -1;
	answer_arg(m, r, &create, sizeof(create));
}

static void do_ctx_grant(struct sim_msg *m)
{
	struct svab_ctx_grant grant;
	struct sim_ctx *ctx;
	int r = sim_msg_arg(m, &grant, sizeof(grant));

	if (!r) {
		ctx = sim_ctx_find(grant.cookie);
		r = ctx ? sim_ctx_grant(ctx, &grant) : -ENOENT;
	}
	if (!r)
		sim.awake_until = sim_now() + AWAKE_NS;
	answer(m, r, NULL, 0);
}

static bool cause_good(uint32_t cause)
{
	return cause && cause <= SVAB_CAUSE_SHUTDOWN;
}

static void do_ctx_ref(struct sim_msg *m)
{
	struct svab_ctx_ref ref;
	struct sim_ctx *ctx;
	int r = sim_msg_arg(m, &ref, sizeof(ref));

	if (!r && m->hdr.op == SVAB_CTX_REVOKE && !cause_good(ref.cause))
		r = -EINVAL;
	if (!r) {
		ctx = sim_ctx_find(ref.cookie);
		if (!ctx) {
			r = -ENOENT;
			/* It could not be made (no fd, no memory) and the broker was not told: now it must
			 * hear of its end. */
			if (m->hdr.op == SVAB_CTX_REVOKE)
				sim_event(&(struct svab_event){ .type = SVAB_EV_CTX_GONE,
								.cookie = ref.cookie });
		} else if (m->hdr.op == SVAB_CTX_REVOKE_GRANT)
			r = sim_ctx_revoke_grant(ctx, ref.device);
		else
			sim_ctx_end(ctx, (enum svab_cause)ref.cause);
	}
	answer(m, r, NULL, 0);
}

static void do_bond_revoke(struct sim_msg *m)
{
	struct svab_bond_ref ref;
	struct sim_bond *bond;
	int r = sim_msg_arg(m, &ref, sizeof(ref));

	if (!r && !cause_good(ref.cause))
		r = -EINVAL;
	if (!r) {
		bond = sim_bond_find(ref.bond);
		if (bond)
			sim_bond_revoke(bond, (enum svab_cause)ref.cause);
		else
			r = -ENOENT;
	}
	answer(m, r, NULL, 0);
}

static void do_dev_reset(struct sim_msg *m)
{
	struct svab_dev_reset reset;
	struct sim_device *device;
	int r = sim_msg_arg(m, &reset, sizeof(reset));

	if (!r) {
		device = sim_device_find(reset.device);
		r = device ? sim_device_reset(device, m->hdr.seq) : -ENODEV;
	}
	if (r < 0)
		answer(m, r, NULL, 0); /* else when its bonds have settled */
}

void sim_control_answer_reset(uint32_t seq, const struct svab_dev_reset *reset)
{
	struct sim_msg m = { .hdr = { .op = (uint32_t)SVAB_DEV_RESET, .seq = seq, .len = sizeof(*reset) } };

	answer(&m, 0, reset, sizeof(*reset));
}

/* The cursor is the ctx's number << 16 | how many of its entries were given. */
struct lister {
	struct svab_list head;
	struct svab_list_entry entries[LIST_ENTRIES];
	uint32_t max, skip, at;
	uint64_t ctx_seq;
};

/* False: full. */
static bool list_add(struct lister *l, const struct svab_list_entry *e)
{
	if (l->at++ < l->skip)
		return true;
	if (l->head.count == l->max) {
		l->head.cursor = l->ctx_seq << 16 | (l->at - 1);
		return false;
	}
	l->entries[l->head.count++] = *e;
	return true;
}

static uint32_t list_ctx_entries(const struct sim_ctx *ctx)
{
	const struct list *p;
	uint32_t n = 1;

	list_for_each(p, &ctx->grants)
		n++;
	list_for_each(p, &ctx->holds)
		n++;
	return n;
}

static bool list_ctx(struct lister *l, struct sim_ctx *ctx)
{
	struct svab_list_entry e = {
		.type = SVAB_LIST_CTX,
		.cookie = ctx->cookie,
		.pid = ctx->pid,
		.uid = ctx->uid,
		.gid = ctx->gid,
	};
	struct list *p;

	if (!list_add(l, &e))
		return false;
	list_for_each(p, &ctx->grants) {
		struct sim_grant *g = container_of(p, struct sim_grant, link);

		e = (struct svab_list_entry){
			.type = SVAB_LIST_GRANT,
			.cookie = ctx->cookie,
			.device = g->device,
			.grant = g->grant,
			.deadline_ms = g->deadline_ms,
		};
		if (!list_add(l, &e))
			return false;
	}
	list_for_each(p, &ctx->holds) {
		struct sim_hold *h = container_of(p, struct sim_hold, of_ctx);
		struct sim_bond *b = h->bond;

		e = (struct svab_list_entry){
			.type = SVAB_LIST_BOND,
			.cookie = ctx->cookie,
			.device = b->device->id,
			.bond = b->id,
			.grant = h->grant,
			.pasid = b->pasid,
			.state = b->drain.state,
			.cause = b->drain.cause,
			.deadline_ms = b->drain.deadline_ms,
			.refs = b->n_refs,
			.bound_ns = b->bound_ns,
			.stopping_ns = b->drain.began_ns,
			.faults = atomic_load(&b->faults),
		};
		if (!list_add(l, &e))
			return false;
	}
	return true;
}

static void do_list(struct sim_msg *m)
{
	static struct lister l;
	uint64_t from;
	struct list *p;
	int r = sim_msg_arg(m, &l.head, sizeof(l.head));

	if (r < 0 || m->hdr.len < sizeof(l.head)) {
		answer(m, -EINVAL, NULL, 0);
		return;
	}
	from = l.head.cursor;
	l.max = l.head.count && l.head.count < LIST_ENTRIES ? l.head.count : (uint32_t)LIST_ENTRIES;
	l.head = (struct svab_list){ .size = sizeof(l.head) };
	list_for_each(p, &sim.ctx_list) {
		struct sim_ctx *ctx = container_of(p, struct sim_ctx, all);

		if (ctx->seq < from >> 16)
			continue;
		l.ctx_seq = ctx->seq;
		l.at = 0;
		l.skip = ctx->seq == from >> 16 ? (uint32_t)(from & 0xffff) : 0;
		/* A ctx is cut in two only when it fits no page: between two pages its entries may become
		 * fewer. */
		if (l.head.count && l.head.count + list_ctx_entries(ctx) > l.max) {
			l.head.cursor = ctx->seq << 16;
			break;
		}
		if (!list_ctx(&l, ctx))
			break;
	}
	answer(m, 0, &l, sizeof(l.head) + l.head.count * sizeof(l.entries[0]));
}

static const struct {
	uint32_t op;
	void (*handle)(struct sim_msg *m);
} requests[] = {
	{ SVAB_INFO, do_info },
	{ SVAB_DEV_NEXT, do_dev_next },
	{ SVAB_CTX_CREATE, do_ctx_create },
	{ SVAB_CTX_GRANT, do_ctx_grant },
	{ SVAB_CTX_REVOKE_GRANT, do_ctx_ref },
	{ SVAB_CTX_REVOKE, do_ctx_ref },
	{ SVAB_BOND_REVOKE, do_bond_revoke },
	{ SVAB_DEV_RESET, do_dev_reset },
	{ SVAB_LIST, do_list },
	{ SVAB_CTX_REOPEN, do_ctx_create },
};

static void control_handle(struct sim_msg *m)
{
	if (m->bad) {
		answer(m, m->bad, NULL, 0);
		return;
	}
	if (m->n_fds && m->hdr.op != SVAB_CTX_CREATE && m->hdr.op != SVAB_CTX_REOPEN) {
		answer(m, -EINVAL, NULL, 0);
		return;
	}
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].op == m->hdr.op) {
			requests[i].handle(m);
			return;
		}
	answer(m, -ENOTTY, NULL, 0);
}

void sim_control_drain(void)
{
	struct sim_msg m;
	int r;

	if (control.draining) /* a request's own handler ends bonds and comes by here */
		return;
	control.draining = true;
	while (control.fd >= 0) {
		r = sim_recv(control.fd, &m);
		if (r == -EAGAIN)
			break;
		if (r <= 0) {
			control_close(); /* the broker is gone: contexts and bonds stay for the next one */
			break;
		}
		control_handle(&m);
		sim_msg_close_fds(&m);
	}
	control.draining = false;
}

static void control_ready(uv_poll_t *poll, int status, int events)
{
	(void)poll;
	(void)status;
	sim_control_drain();
	if (control.fd >= 0 && (events & UV_WRITABLE))
		control_flush();
}

int sim_control_attach(int fd)
{
	int r;

	control_close();
	for (uint32_t i = 0; i < sim.n_devices; i++)
		sim.devices[i].reset_seq = 0; /* who asked is gone */
	control.poll = calloc(1, sizeof(*control.poll));
	if (!control.poll) {
		close(fd);
		return -ENOMEM;
	}
	r = uv_poll_init(&sim.loop, control.poll, fd);
	if (r < 0) {
		free(control.poll);
		control.poll = NULL;
		close(fd);
		return r;
	}
	control.fd = fd;
	return uv_poll_start(control.poll, UV_READABLE, control_ready);
}

int sim_control_init(void)
{
	list_init(&control.packets);
	uv_prepare_init(&sim.loop, &control.prepare);
	return uv_prepare_start(&control.prepare, control_prepare);
}

void sim_control_deinit(void)
{
	control_close();
	if (!uv_is_closing((uv_handle_t *)&control.prepare))
		uv_close((uv_handle_t *)&control.prepare, NULL);
	free(control.events);
	control.events = NULL;
	control.room = 0;
}
