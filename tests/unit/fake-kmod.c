/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake-kmod-private.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct fake_module fake_m = { .lock = PTHREAD_MUTEX_INITIALIZER,
			      .cond = PTHREAD_COND_INITIALIZER,
			      .event_fd = -1 };

struct fake_kmod_knobs fake_knobs;

uint64_t fake_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct fake_device *fake_device_by(uint32_t id)
{
	struct fake_device *d;

	each(d, fake_m.devices) if (id && d->info.id == id) return d;
	return NULL;
}

struct fake_ctx *fake_ctx_by(uint64_t cookie)
{
	struct fake_ctx *c;

	each(c, fake_m.ctxs) if (cookie && c->cookie == cookie) return c;
	return NULL;
}

struct fake_bond *fake_bond_by(uint64_t id)
{
	struct fake_bond *b;

	each(b, fake_m.bonds) if (id && b->id == id) return b;
	return NULL;
}

struct fake_hold *fake_hold_by(uint64_t cookie, uint32_t device)
{
	struct fake_hold *h;

	each(h, fake_m.holds) if (cookie && h->cookie == cookie && h->device == device) return h;
	return NULL;
}

/* ---- events ---- */

void fake_emit(struct svab_event e)
{
	e.size = sizeof(e);
	e.time_ns = fake_clock_ns();
	if (fake_m.event_fd < 0)
		return;
	if (fake_m.n_queue >= fake_knobs.queue) {
		fake_m.lost++;
		return;
	}
	fake_m.queue[fake_m.n_queue++] = e;
	ck_assert_int_eq(eventfd_write(fake_m.event_fd, 1), 0);
}

void fake_bond_emit(const struct fake_bond *b, uint32_t type, uint64_t value)
{
	struct fake_hold *h, *of = NULL;

	each(h, fake_m.holds) if (!of && h->bond == b->id && h->cookie) of = h;
	fake_emit((struct svab_event){
		.type = type,
		.cookie = of ? of->cookie : 0,
		.grant = of ? of->grant : 0,
		.bond = b->id,
		.device = b->device,
		.pasid = b->pasid,
		.state = b->state,
		.cause = b->cause,
		.value = value,
	});
}

static void ctx_maybe_gone(uint64_t cookie)
{
	struct fake_ctx *c = fake_ctx_by(cookie);
	struct fake_hold *h;

	if (!c || !c->ended)
		return;
	each(h, fake_m.holds) if (h->cookie == cookie && h->bond) return;
	each(h, fake_m.holds) if (h->cookie == cookie) memset(h, 0, sizeof(*h));
	fake_emit((struct svab_event){ .type = SVAB_EV_CTX_GONE, .cookie = cookie });
	if (c->client_fd >= 0)
		close(c->client_fd);
	memset(c, 0, sizeof(*c));
	c->client_fd = -1;
}

void fake_bond_clean(struct fake_bond *b)
{
	uint64_t id = b->id;
	struct fake_hold *h;

	b->state = SVAB_PASID_CLEAN;
	fake_bond_emit(b, SVAB_EV_DRAINED, fake_clock_ns() - b->stopping_ns);
	fake_m.drained++;
	memset(b, 0, sizeof(*b));
	each(h, fake_m.holds)
	{
		uint64_t cookie = h->cookie;

		if (h->bond != id || !cookie)
			continue;
		memset(h, 0, sizeof(*h));
		ctx_maybe_gone(cookie);
	}
}

void fake_bond_end(struct fake_bond *b, uint32_t cause)
{
	if (b->state != SVAB_PASID_BOUND)
		return;
	b->state = SVAB_PASID_STOPPING;
	b->cause = cause;
	b->stopping_ns = fake_clock_ns();
	if (cause == SVAB_CAUSE_MM_RELEASED)
		fake_bond_emit(b, SVAB_EV_MM_RELEASED, 0);
	fake_bond_emit(b, SVAB_EV_STOPPING, 0);
	if (fake_knobs.slow_stop)
		return;
	b->state = SVAB_PASID_FLUSHED;
	fake_bond_emit(b, SVAB_EV_FLUSHED, 0);
	fake_bond_clean(b);
}

/* A ctx lets go of a bond: the last one takes it with it. */
void fake_hold_end(struct fake_hold *h, uint32_t cause)
{
	struct fake_bond *b = fake_bond_by(h->bond);
	struct fake_hold *other;
	unsigned others = 0;

	if (b->state != SVAB_PASID_BOUND)
		return;
	each(other, fake_m.holds) others += other->cookie && other->bond == h->bond && other != h;
	if (!others) {
		fake_bond_end(b, cause);
		return;
	}
	fake_emit((struct svab_event){ .type = SVAB_EV_UNREF,
				       .cookie = h->cookie,
				       .bond = h->bond,
				       .grant = h->grant,
				       .device = b->device,
				       .pasid = b->pasid });
	memset(h, 0, sizeof(*h));
}

void fake_ctx_end(struct fake_ctx *c, uint32_t cause)
{
	uint64_t cookie = c->cookie;
	struct fake_hold *h;

	c->ended = true;
	each(h, fake_m.holds)
	{
		if (h->cookie != cookie)
			continue;
		if (h->bond)
			fake_hold_end(h, cause);
		else
			memset(h, 0, sizeof(*h));
	}
	ctx_maybe_gone(cookie);
}

/* ---- the control fd ---- */

static int do_info(struct svab_info *i)
{
	struct fake_device *d;
	struct fake_ctx *c;
	struct fake_bond *b;

	*i = (struct svab_info){ .size = sizeof(*i), .abi = SVAB_ABI_VERSION, .pasids_total = 65535 };
	each(d, fake_m.devices) i->devices += d->info.id != 0;
	each(c, fake_m.ctxs) i->ctxs += c->cookie != 0;
	each(b, fake_m.bonds)
	{
		i->bonds += b->id != 0;
		i->quarantined += b->state == SVAB_PASID_QUARANTINED;
	}
	i->pasids_free = i->pasids_total - i->bonds;
	i->drained = fake_m.drained;
	return 0;
}

static int do_dev_next(struct svab_dev_info *i)
{
	struct fake_device *d, *next = NULL;
	struct fake_bond *b;

	each(d, fake_m.devices) if (d->info.id > i->id && (!next || d->info.id < next->info.id)) next = d;
	if (!next)
		return -ENOENT;
	*i = next->info;
	i->size = sizeof(*i);
	each(b, fake_m.bonds) i->bonds += b->id && b->device == i->id;
	return 0;
}

static int do_ctx_create(struct svab_ctx_create *create)
{
	struct fake_ctx *c;
	int fd[2];

	if (!create->cookie)
		return -EINVAL;
	if (fake_ctx_by(create->cookie))
		return -EEXIST;
	each(c, fake_m.ctxs)
	{
		if (c->cookie)
			continue;
		if (pipe(fd) < 0)
			return -errno;
		c->cookie = fake_m.last_ctx = create->cookie;
		c->labels = *create;
		c->client_fd = fd[0];
		create->fd = fd[1];
		return 0;
	}
	return -ENOSPC;
}

static int do_grant(const struct svab_ctx_grant *g)
{
	struct fake_ctx *c = fake_ctx_by(g->cookie);
	struct fake_device *d = fake_device_by(g->device);
	struct fake_hold *h = fake_hold_by(g->cookie, g->device);

	if (!c || c->ended)
		return -ENOENT;
	if (!d || d->info.state == SVAB_DEV_GONE)
		return -ENODEV;
	if (!h)
		each(h, fake_m.holds) if (!h->cookie) break;
	*h = (struct fake_hold){
		.cookie = g->cookie, .device = g->device, .grant = g->grant, .deadline_ms = g->deadline_ms
	};
	return 0;
}

static int do_list(struct svab_list *list)
{
	struct svab_list_entry all[MAX_CTXS + MAX_HOLDS], *to = (void *)(uintptr_t)list->entries;
	uint32_t n = 0, room = list->count, at = (uint32_t)list->cursor;
	struct fake_ctx *c;
	struct fake_hold *h;
	struct fake_bond *b;

	if (!room)
		return -EINVAL;
	if (fake_knobs.page && room > fake_knobs.page)
		room = fake_knobs.page;
	memset(all, 0, sizeof(all));
	each(c, fake_m.ctxs) if (c->cookie) all[n++] = (struct svab_list_entry){ .type = SVAB_LIST_CTX,
										 .cookie = c->cookie,
										 .pid = c->labels.pid,
										 .uid = c->labels.uid,
										 .gid = c->labels.gid };
	each(h, fake_m.holds)
	{
		if (!h->cookie)
			continue;
		b = fake_bond_by(h->bond);
		all[n] = (struct svab_list_entry){ .type = b ? SVAB_LIST_BOND : SVAB_LIST_GRANT,
						   .cookie = h->cookie,
						   .device = h->device,
						   .grant = h->grant,
						   .deadline_ms = h->deadline_ms };
		if (b) {
			all[n].bond = b->id;
			all[n].pasid = b->pasid;
			all[n].state = b->state;
			all[n].cause = b->cause;
			all[n].bound_ns = b->bound_ns;
			all[n].stopping_ns = b->stopping_ns;
			all[n].faults = b->faults;
		}
		n++;
	}
	list->count = at < n ? n - at : 0;
	if (list->count > room)
		list->count = room;
	memcpy(to, all + at, list->count * sizeof(*to));
	list->cursor = at + list->count < n ? at + list->count : 0;
	fake_m.lists++;
	return 0;
}

static int do_reset(struct svab_dev_reset *reset)
{
	struct fake_device *d = fake_device_by(reset->device);
	struct fake_bond *b;

	if (!d)
		return -ENODEV;
	if (!(d->info.caps & SVAB_DEV_CAP_CAN_RESET))
		return -EOPNOTSUPP;
	while (fake_knobs.hold_reset) {
		fake_m.reset_held = true;
		pthread_cond_broadcast(&fake_m.cond);
		pthread_cond_wait(&fake_m.cond, &fake_m.lock);
	}
	each(b, fake_m.bonds)
	{
		if (!b->id || b->device != reset->device)
			continue;
		if (b->state == SVAB_PASID_BOUND) {
			b->state = SVAB_PASID_STOPPING;
			b->cause = SVAB_CAUSE_DEVICE_RESET;
			b->stopping_ns = fake_clock_ns();
			fake_bond_emit(b, SVAB_EV_STOPPING, 0);
		}
		fake_bond_clean(b);
		reset->clean++;
	}
	fake_emit((struct svab_event){
		.type = SVAB_EV_DEV_RESET, .device = reset->device, .value = reset->clean });
	return 0;
}

static int do_ctx_ref(unsigned long request, const struct svab_ctx_ref *ref)
{
	struct fake_ctx *c = fake_ctx_by(ref->cookie);
	struct fake_hold *h = fake_hold_by(ref->cookie, ref->device);

	if (!c)
		return -ENOENT;
	if (request == SVAB_CTX_REVOKE) {
		fake_ctx_end(c, ref->cause);
		return 0;
	}
	if (!h || h->bond)
		return -ENOENT;
	memset(h, 0, sizeof(*h));
	return 0;
}

static int do_bond_revoke(const struct svab_bond_ref *ref)
{
	struct fake_bond *b = fake_bond_by(ref->bond);

	if (!b)
		return -ENOENT;
	if (b->state == SVAB_PASID_QUARANTINED && !fake_knobs.slow_stop)
		fake_bond_clean(b);
	else
		fake_bond_end(b, ref->cause);
	return 0;
}

static int dispatch(unsigned long request, void *arg)
{
	switch (request) {
	case SVAB_INFO:
		return do_info(arg);
	case SVAB_DEV_NEXT:
		return do_dev_next(arg);
	case SVAB_CTX_CREATE:
		return do_ctx_create(arg);
	case SVAB_CTX_GRANT:
		return do_grant(arg);
	case SVAB_CTX_REVOKE:
	case SVAB_CTX_REVOKE_GRANT:
		return do_ctx_ref(request, arg);
	case SVAB_BOND_REVOKE:
		return do_bond_revoke(arg);
	case SVAB_DEV_RESET:
		return do_reset(arg);
	case SVAB_LIST:
		return do_list(arg);
	default:
		return -ENOTTY;
	}
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	uint32_t size;
	int r;

	(void)fd;
	memcpy(&size, arg, sizeof(size));
	if (request == SVAB_LIST && fake_knobs.on_list)
		fake_knobs.on_list();
	pthread_mutex_lock(&fake_m.lock);
	if (fake_knobs.interrupts) {
		fake_knobs.interrupts--;
		r = -EINTR;
	} else if (size != _IOC_SIZE(request)) {
		r = -EINVAL;
	} else if (fake_knobs.fails == request) {
		r = -fake_knobs.fail_error;
	} else {
		r = dispatch(request, arg);
	}
	pthread_mutex_unlock(&fake_m.lock);
	errno = -r;
	return r < 0 ? -1 : 0;
}

static ssize_t fake_read(int fd, void *buf, size_t len)
{
	unsigned char *to = buf;
	ssize_t n = 0;
	eventfd_t v;

	(void)fd;
	pthread_mutex_lock(&fake_m.lock);
	if (fake_knobs.interrupts || fake_knobs.read_error) {
		errno = fake_knobs.interrupts ? EINTR : fake_knobs.read_error;
		fake_knobs.interrupts -= fake_knobs.interrupts > 0;
		n = -1;
	} else if (!fake_m.n_queue && !fake_m.lost) {
		errno = EAGAIN;
		n = -1;
	}
	while (n >= 0 && (fake_m.n_queue || fake_m.lost) && (size_t)n + fake_knobs.record <= len) {
		struct svab_event e = { .type = SVAB_EV_LOST,
					.value = fake_m.lost,
					.time_ns = fake_clock_ns() };
		unsigned size = fake_knobs.record < sizeof(e) ? fake_knobs.record : sizeof(e);

		/* Of the loss it is told after what came before it. */
		if (fake_m.n_queue) {
			e = fake_m.queue[0];
			memmove(fake_m.queue, fake_m.queue + 1, --fake_m.n_queue * sizeof(e));
		} else {
			fake_m.lost = 0;
		}
		e.size = fake_knobs.record;
		memset(to + n, 0xee, fake_knobs.record);
		memcpy(to + n, &e, size);
		n += fake_knobs.record;
	}
	if (n > 0 && !fake_m.n_queue && !fake_m.lost)
		(void)eventfd_read(fake_m.event_fd, &v);
	pthread_mutex_unlock(&fake_m.lock);
	return n;
}

const struct kmod_sys fake_kmod_sys = { .ioctl = fake_ioctl, .read = fake_read };
