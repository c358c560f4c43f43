/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event queue: records, overflow, its interrupt; and how both may come late. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "smmu.h"

#define EVTQ_LOG2_MAX 10u

static struct queue evtq(const struct smmu *s)
{
	return queue_at(s, EVTQ_BASE, EVTQ_LOG2_MAX);
}

unsigned event_unread(struct smmu *s)
{
	struct queue q = evtq(s);

	return s->cr0 & CR0_EVENTQEN ? queue_count(&q, s->evtq_prod, reg32(s, EVTQ_CONS)) : 0;
}

/* ---- interrupt --------------------------------------------------------------------------------- */

static void irq_now(void *arg)
{
	struct smmu *s = arg;

	pthread_mutex_lock(&s->lock);
	s->stats.irqs++;
	s->irq(s->irq_arg, s->opt.spi_event);
	pthread_mutex_unlock(&s->lock);
}

void event_irq(struct smmu *s)
{
	if (!(reg32(s, IRQ_CTRLACK) & IRQ_CTRL_EVENTQ))
		return;
	if (s->faults.evtq_hold) {
		s->evtq_irq_owed = true;
		return;
	}
	if (s->faults.evtq_delay_ms && !timers_add(s->timers, s->faults.evtq_delay_ms, irq_now, s, NULL))
		return;
	s->stats.irqs++;
	s->irq(s->irq_arg, s->opt.spi_event);
}

/* ---- records ----------------------------------------------------------------------------------- */

static void encode(const struct event *ev, uint64_t d[EVENT_DWORDS])
{
	const bool has_address = ev->id >= F_WALK_EABT;

	d[0] = ev->id | (ev->ssv ? BIT64(11) | (uint64_t)ev->ssid << 12 : 0) | (uint64_t)ev->sid << 32;
	d[1] = 0;
	d[2] = 0;
	d[3] = ev->fetch;
	if (!has_address)
		return;
	d[1] = (ev->stall ? BIT64(31) | ev->stag : 0) | (ev->privileged ? BIT64(33) : 0) |
	       (ev->instruction ? BIT64(34) : 0) | (ev->read ? BIT64(35) : 0) | (uint64_t)ev->class << 40;
	d[2] = ev->addr;
}

/* False: no room. */
static bool put(struct smmu *s, const struct event *ev)
{
	struct queue q = evtq(s);
	const uint32_t cons = reg32(s, EVTQ_CONS);
	uint64_t d[EVENT_DWORDS], *entry;

	if (!(s->cr0 & CR0_EVENTQEN) || queue_full(&q, s->evtq_prod, cons)) {
		/* Only what is lost makes an overflow: a stalled transaction waits with its event. One
		 * overflow at a time is told. */
		if ((s->cr0 & CR0_EVENTQEN) && !ev->stall && !((s->evtq_prod ^ cons) & QUEUE_OVFLG)) {
			s->evtq_prod ^= QUEUE_OVFLG;
			reg32_set(s, EVTQ_PROD, s->evtq_prod);
		}
		return false;
	}
	entry = queue_entry(s, &q, s->evtq_prod, EVENT_DWORDS);
	if (!entry) {
		smmu_gerror(s, GERROR_EVENTQ_ABT);
		return false;
	}
	encode(ev, d);
	for (unsigned i = EVENT_DWORDS; i-- > 0;)
		store64(&entry[i], d[i]);
	s->evtq_prod = queue_next(&q, s->evtq_prod);
	reg32_set(s, EVTQ_PROD, s->evtq_prod);
	s->stats.events++;
	trace("event %02x StreamID %" PRIu32 " PASID %" PRIu32 " at %#" PRIx64 "%s%s", ev->id, ev->sid,
	      ev->ssid, ev->addr, ev->read ? " read" : " write", ev->stall ? " stalled" : "");
	event_irq(s);
	return true;
}

struct late {
	struct smmu *s;
	unsigned epoch; /* a CMD_SYNC that comes later waits for it, as for a transaction */
	struct event ev;
};

static void late_now(void *arg)
{
	struct late *late = arg;
	struct smmu *s = late->s;

	pthread_mutex_lock(&s->lock);
	if (!late->ev.stall) {
		if (!put(s, &late->ev))
			s->stats.lost_events++;
	} else {
		for (unsigned i = 0; i < s->opt.stall_max; i++)
			if (s->stalls[i].used && s->stalls[i].stag == late->ev.stag)
				s->stalls[i].late = false;
		event_stalls_pending(s);
	}
	if (!--s->inflight[late->epoch])
		pthread_cond_broadcast(&s->drained);
	pthread_mutex_unlock(&s->lock);
	free(late);
}

/* True: its record will be written later. */
static bool put_late(struct smmu *s, const struct event *ev)
{
	struct late *late = s->faults.evtq_late_ms ? malloc(sizeof(*late)) : NULL;

	if (!late)
		return false;
	*late = (struct late){ .s = s, .epoch = s->epoch, .ev = *ev };
	if (!timers_add(s->timers, s->faults.evtq_late_ms, late_now, late, free)) {
		s->inflight[late->epoch]++;
		return true;
	}
	free(late);
	return false;
}

bool event_write(struct smmu *s, const struct event *ev)
{
	bool done;

	if (ev->stall) {
		/* The stall is in the table already: a late one is written from there. */
		for (unsigned i = 0; i < s->opt.stall_max; i++) {
			struct stall *st = &s->stalls[i];

			if (!st->used || st->stag != ev->stag)
				continue;
			st->until_cfgi = s->faults.evtq_late_cfgi;
			st->late = st->until_cfgi || put_late(s, ev);
		}
		event_stalls_pending(s);
		return true;
	}
	done = put_late(s, ev) || put(s, ev);
	if (!done)
		s->stats.lost_events++;
	return done;
}

void event_stalls_pending(struct smmu *s)
{
	for (unsigned i = 0; s->n_stalls && i < s->opt.stall_max; i++) {
		struct stall *st = &s->stalls[i];

		if (!st->used || st->recorded || st->late)
			continue;
		if (!put(s, &st->event))
			return;
		st->recorded = true;
	}
}

void event_cfgi(struct smmu *s, uint32_t sid, bool every_ssid, uint32_t ssid)
{
	for (unsigned i = 0; s->n_stalls && i < s->opt.stall_max; i++) {
		struct stall *st = &s->stalls[i];

		if (st->used && st->until_cfgi && st->event.sid == sid &&
		    (every_ssid || st->event.ssid == ssid))
			st->cfgi = true;
	}
}

void event_write_late(struct smmu *s, bool all)
{
	for (unsigned i = 0; s->n_stalls && i < s->opt.stall_max; i++) {
		struct stall *st = &s->stalls[i];

		if (st->used && st->until_cfgi && (all || st->cfgi))
			st->until_cfgi = st->late = false;
	}
	event_stalls_pending(s);
}
