/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients, devices and administrators do to the module that is played. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake-kmod-private.h"

void fake_kmod_load(void)
{
	struct fake_ctx *c;

	fake_knobs = (struct fake_kmod_knobs){ .queue = 65536, .record = sizeof(struct svab_event) };
	fake_m.queue = calloc(65536, sizeof(*fake_m.queue));
	ck_assert_ptr_nonnull(fake_m.queue);
	memset(fake_m.devices, 0, sizeof(fake_m.devices));
	memset(fake_m.ctxs, 0, sizeof(fake_m.ctxs));
	memset(fake_m.bonds, 0, sizeof(fake_m.bonds));
	memset(fake_m.holds, 0, sizeof(fake_m.holds));
	each(c, fake_m.ctxs) c->client_fd = -1;
}

void fake_kmod_unload(void)
{
	struct fake_ctx *c;

	each(c, fake_m.ctxs) if (c->cookie && c->client_fd >= 0) close(c->client_fd);
	free(fake_m.queue);
	fake_m.queue = NULL;
	fake_m.n_queue = 0;
	if (fake_m.event_fd >= 0)
		close(fake_m.event_fd);
	fake_m.event_fd = -1;
}

int fake_kmod_open(void)
{
	int fd;

	fake_m.n_queue = 0;
	fake_m.lost = 0;
	if (fake_m.event_fd >= 0)
		close(fake_m.event_fd);
	fake_m.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_ge(fake_m.event_fd, 0);
	/* The module's side of it stays, whoever closes theirs. */
	fd = fcntl(fake_m.event_fd, F_DUPFD_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	return fd;
}

uint32_t fake_device_add(const char *name, uint64_t caps)
{
	struct fake_device *d;

	pthread_mutex_lock(&fake_m.lock);
	each(d, fake_m.devices) if (!d->info.id) break;
	d->info = (struct svab_dev_info){
		.id = ++fake_m.last_device, .caps = caps, .numa_node = -1, .engines = 1
	};
	snprintf(d->info.name, sizeof(d->info.name), "%s", name);
	fake_emit((struct svab_event){ .type = SVAB_EV_DEV_ADDED, .device = d->info.id });
	pthread_mutex_unlock(&fake_m.lock);
	return d->info.id;
}

void fake_device_gone(uint32_t id)
{
	struct fake_bond *b;

	pthread_mutex_lock(&fake_m.lock);
	fake_device_by(id)->info.state = SVAB_DEV_GONE;
	fake_emit((struct svab_event){ .type = SVAB_EV_DEV_GONE, .device = id });
	each(b, fake_m.bonds) if (b->id && b->device == id) fake_bond_end(b, SVAB_CAUSE_DEVICE_GONE);
	pthread_mutex_unlock(&fake_m.lock);
}

void fake_device_forget(uint32_t id)
{
	pthread_mutex_lock(&fake_m.lock);
	memset(fake_device_by(id), 0, sizeof(struct fake_device));
	pthread_mutex_unlock(&fake_m.lock);
}

static int64_t bind_locked(uint64_t cookie, uint32_t device, unsigned mm)
{
	struct fake_ctx *c = fake_ctx_by(cookie);
	struct fake_hold *h = fake_hold_by(cookie, device);
	struct fake_bond *b;

	if (!c || c->ended || !h)
		return -EACCES;
	if (c->mm && c->mm != mm)
		return -EPERM;
	each(b, fake_m.bonds) if (b->id && b->device == device && b->mm == mm) break;
	if (b == fake_m.bonds + MAX_BONDS) {
		each(b, fake_m.bonds) if (!b->id) break;
		*b = (struct fake_bond){ .id = ++fake_m.last_bond,
					 .device = device,
					 .pasid = ++fake_m.last_pasid,
					 .state = SVAB_PASID_BOUND,
					 .deadline_ms = h->deadline_ms,
					 .mm = mm,
					 .bound_ns = fake_clock_ns() };
	} else if (b->state != SVAB_PASID_BOUND) {
		return -EBUSY;
	}
	c->mm = mm;
	if (h->bond != b->id) {
		h->bond = b->id;
		fake_emit((struct svab_event){ .type = SVAB_EV_BOUND,
					       .cookie = cookie,
					       .bond = b->id,
					       .grant = h->grant,
					       .device = device,
					       .pasid = b->pasid,
					       .state = b->state });
	}
	return (int64_t)b->id;
}

int64_t fake_bind(uint64_t cookie, uint32_t device, unsigned mm)
{
	int64_t r;

	pthread_mutex_lock(&fake_m.lock);
	r = bind_locked(cookie, device, mm);
	pthread_mutex_unlock(&fake_m.lock);
	return r;
}

void fake_unbind(uint64_t cookie, uint64_t bond)
{
	struct fake_bond *b;

	pthread_mutex_lock(&fake_m.lock);
	b = fake_bond_by(bond);
	fake_hold_end(fake_hold_by(cookie, b->device), SVAB_CAUSE_UNBIND);
	pthread_mutex_unlock(&fake_m.lock);
}

void fake_mm_gone(unsigned mm)
{
	struct fake_bond *b;

	pthread_mutex_lock(&fake_m.lock);
	each(b, fake_m.bonds) if (b->id && b->mm == mm) fake_bond_end(b, SVAB_CAUSE_MM_RELEASED);
	pthread_mutex_unlock(&fake_m.lock);
}

void fake_ctx_closed(uint64_t cookie)
{
	pthread_mutex_lock(&fake_m.lock);
	fake_ctx_end(fake_ctx_by(cookie), SVAB_CAUSE_LAST_CLOSE);
	pthread_mutex_unlock(&fake_m.lock);
}

void fake_stopped(uint64_t bond, bool in_time)
{
	struct fake_bond *b;

	pthread_mutex_lock(&fake_m.lock);
	b = fake_bond_by(bond);
	if (in_time) {
		fake_bond_clean(b);
	} else {
		fake_bond_emit(b, SVAB_EV_STOP_FAILED, 0);
		b->state = SVAB_PASID_QUARANTINED;
		fake_bond_emit(b, SVAB_EV_QUARANTINED, fake_clock_ns() - b->stopping_ns);
	}
	pthread_mutex_unlock(&fake_m.lock);
}

void fake_fault(uint64_t bond, uint64_t address)
{
	struct fake_bond *b;

	pthread_mutex_lock(&fake_m.lock);
	b = fake_bond_by(bond);
	b->faults++;
	fake_bond_emit(b, SVAB_EV_FAULT, address);
	pthread_mutex_unlock(&fake_m.lock);
}

void fake_event(uint32_t type, uint64_t value)
{
	pthread_mutex_lock(&fake_m.lock);
	fake_emit((struct svab_event){ .type = type, .value = value });
	pthread_mutex_unlock(&fake_m.lock);
}

unsigned fake_bonds(void)
{
	struct fake_bond *b;
	unsigned n = 0;

	each(b, fake_m.bonds) n += b->id != 0;
	return n;
}

unsigned fake_ctxs(void)
{
	struct fake_ctx *c;
	unsigned n = 0;

	each(c, fake_m.ctxs) n += c->cookie != 0;
	return n;
}

unsigned fake_grants(void)
{
	struct fake_hold *h;
	unsigned n = 0;

	each(h, fake_m.holds) n += h->cookie && !h->bond;
	return n;
}

unsigned fake_lists(void)
{
	return fake_m.lists;
}

uint32_t fake_bond_state(uint64_t bond)
{
	struct fake_bond *b = fake_bond_by(bond);

	return b ? b->state : (uint32_t)SVAB_PASID_NONE;
}

uint32_t fake_bond_cause(uint64_t bond)
{
	struct fake_bond *b = fake_bond_by(bond);

	return b ? b->cause : (uint32_t)SVAB_CAUSE_NONE;
}

uint64_t fake_last_ctx(void)
{
	return fake_m.last_ctx;
}

bool fake_reset_held(void)
{
	bool held;

	pthread_mutex_lock(&fake_m.lock);
	while (!fake_m.reset_held && fake_knobs.hold_reset)
		pthread_cond_wait(&fake_m.cond, &fake_m.lock);
	held = fake_m.reset_held;
	pthread_mutex_unlock(&fake_m.lock);
	return held;
}

void fake_reset_release(void)
{
	pthread_mutex_lock(&fake_m.lock);
	fake_knobs.hold_reset = false;
	pthread_cond_broadcast(&fake_m.cond);
	pthread_mutex_unlock(&fake_m.lock);
}
