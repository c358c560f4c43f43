/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stalled transactions: they wait here for CMD_RESUME, also when their device has given them up. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "smmu.h"

/* What is to be done about a stall once the lock is dropped. */
struct outcome {
	struct waiter *waiter, *room; /* room: one that waited for a place in the table */
	bool orphan;
	struct access access; /* the orphan's */
};

static struct stall *find(struct smmu *s, uint16_t stag)
{
	for (unsigned i = 0; i < s->opt.stall_max; i++)
		if (s->stalls[i].used && s->stalls[i].stag == stag)
			return &s->stalls[i];
	return NULL;
}

static struct waiter *room_next(struct smmu *s)
{
	struct waiter *w = s->no_stall_free;

	if (!w)
		return NULL;
	s->no_stall_free = w->next;
	if (!s->no_stall_free)
		s->no_stall_free_tail = &s->no_stall_free;
	w->next = NULL;
	w->queued = false;
	return w;
}

bool stall_add(struct smmu *s, const struct access *a, struct event *ev)
{
	struct stall *st = NULL;

	for (unsigned i = 0; i < s->opt.stall_max && !st; i++)
		if (!s->stalls[i].used)
			st = &s->stalls[i];
	if (!st) {
		if (a->waiter) {
			a->waiter->next = NULL;
			a->waiter->queued = true;
			*s->no_stall_free_tail = a->waiter;
			s->no_stall_free_tail = &a->waiter->next;
		}
		return false;
	}
	*st = (struct stall){ .waiter = a->waiter, .access = *a };
	if (!a->waiter) { /* an orphan that stalls again */
		st->access.data = malloc(a->len);
		if (!st->access.data)
			return false;
		if (a->write)
			memcpy(st->access.data, a->data, a->len);
	}
	/* Never the tag of one that is outstanding, and not soon one of those that were: an answer that comes
	 * too late is seen. */
	do
		s->stall_seq++;
	while (!s->stall_seq || find(s, s->stall_seq));
	st->used = true;
	st->stag = s->stall_seq;
	ev->stall = true;
	ev->stag = st->stag;
	st->event = *ev;
	s->n_stalls++;
	s->stats.stalls++;
	if (s->n_stalls > s->stats.max_stalls)
		s->stats.max_stalls = s->n_stalls;
	if (a->ssv)
		checker_stall(&s->checker, a->sid, a->ssid, 1);
	event_write(s, ev);
	return true;
}

/* Lock. */
static struct outcome remove_stall(struct smmu *s, struct stall *st)
{
	struct outcome o = { .waiter = st->waiter, .orphan = !st->waiter, .access = st->access };

	if (st->access.ssv && !st->lost && !st->answered)
		checker_stall(&s->checker, st->access.sid, st->access.ssid, -1);
	st->used = false;
	s->n_stalls--;
	o.room = room_next(s);
	return o;
}

static void carry_out(struct smmu *s, struct outcome *o, enum answer a)
{
	if (o->waiter)
		o->waiter->wake(o->waiter, a);
	if (o->orphan && a == ANSWER_RETRY)
		smmu_access(s,
			    &o->access); /* what was sent arrives, although its device no longer wants it */
	if (o->orphan)
		free(o->access.data);
	if (o->room)
		o->room->wake(o->room, ANSWER_RETRY);
}

static enum answer answer_of(unsigned resp)
{
	if (resp == RESUME_RETRY)
		return ANSWER_RETRY;
	return resp == RESUME_ABORT ? ANSWER_ABORT : ANSWER_ZERO;
}

struct delayed {
	struct smmu *s;
	uint16_t stag;
	unsigned resp;
};

static void delayed_now(void *arg)
{
	struct delayed *d = arg;
	struct outcome o;
	struct stall *st;

	pthread_mutex_lock(&d->s->lock);
	st = find(d->s, d->stag);
	if (st)
		o = remove_stall(d->s, st);
	pthread_mutex_unlock(&d->s->lock);
	if (st)
		carry_out(d->s, &o, answer_of(d->resp));
	free(d);
}

/* Lock. True: an injected fault has taken the answer. */
static bool interfere(struct smmu *s, struct stall *st, unsigned resp)
{
	const uint32_t sid = st->access.sid;
	struct delayed *d;

	if (sid >= CHECKER_SIDS)
		return false;
	if (s->faults.response[sid].lose) {
		s->faults.response[sid].lose--;
		st->lost = true;
		if (st->access.ssv)
			checker_stall(&s->checker, sid, st->access.ssid, -1);
		return true;
	}
	if (!s->faults.response[sid].delay_ms)
		return false;
	d = malloc(sizeof(*d));
	if (!d)
		return false;
	*d = (struct delayed){ .s = s, .stag = st->stag, .resp = resp };
	if (!timers_add(s->timers, s->faults.response[sid].delay_ms, delayed_now, d, free)) {
		if (st->access.ssv && !st->answered)
			checker_stall(&s->checker, sid, st->access.ssid, -1);
		st->answered = true;
		return true;
	}
	free(d);
	return false;
}

void stall_resume(struct smmu *s, uint32_t sid, uint16_t stag, unsigned resp)
{
	struct outcome o = { 0 };
	struct stall *st;
	bool go = false;

	pthread_mutex_lock(&s->lock);
	s->stats.resumes++;
	st = find(s, stag);
	if (!st || st->access.sid != sid || st->lost || !st->recorded) {
		checker_violation(&s->checker,
				  "CMD_RESUME of StreamID %" PRIu32 " STAG %" PRIu16
				  ": there is no such fault",
				  sid, stag);
	} else if (!interfere(s, st, resp)) {
		o = remove_stall(s, st);
		go = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (go)
		carry_out(s, &o, answer_of(resp));
}

void stall_terminate(struct smmu *s, uint32_t sid)
{
	for (unsigned i = 0; i < s->opt.stall_max; i++) {
		struct outcome o;
		bool go;

		pthread_mutex_lock(&s->lock);
		go = s->stalls[i].used && s->stalls[i].access.sid == sid && !s->stalls[i].lost;
		if (go)
			o = remove_stall(s, &s->stalls[i]);
		pthread_mutex_unlock(&s->lock);
		if (go)
			carry_out(s, &o, ANSWER_ABORT);
	}
}

/* Lock. */
static bool unqueue(struct smmu *s, struct waiter *w)
{
	struct waiter **at = &s->no_stall_free;

	if (!w->queued)
		return false;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	for (s->no_stall_free_tail = &s->no_stall_free; *s->no_stall_free_tail;)
		s->no_stall_free_tail = &(*s->no_stall_free_tail)->next;
	w->queued = false;
	return true;
}

bool stall_orphan(struct smmu *s, struct waiter *w)
{
	struct stall *st = NULL;
	void *data;
	bool r;

	pthread_mutex_lock(&s->lock);
	r = unqueue(s, w);
	for (unsigned i = 0; i < s->opt.stall_max && !r && !st; i++)
		if (s->stalls[i].used && s->stalls[i].waiter == w)
			st = &s->stalls[i];
	if (st) {
		data = malloc(st->access.len);
		if (data && st->access.write)
			memcpy(data, st->access.data, st->access.len);
		if (!data)
			abort(); /* the model is of no use without */
		st->access.data = data;
		st->access.waiter = NULL;
		st->waiter = NULL;
		r = true;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

void stall_free_lost(struct smmu *s, uint32_t sid, bool all)
{
	for (unsigned i = 0; i < s->opt.stall_max; i++) {
		struct outcome o;
		bool go;

		pthread_mutex_lock(&s->lock);
		go = s->stalls[i].used && s->stalls[i].lost && (all || s->stalls[i].access.sid == sid);
		if (go)
			o = remove_stall(s, &s->stalls[i]);
		pthread_mutex_unlock(&s->lock);
		if (go)
			carry_out(s, &o, ANSWER_ABORT);
	}
}

unsigned stall_unanswered(struct smmu *s, uint32_t sid)
{
	unsigned n = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->opt.stall_max; i++)
		n += s->stalls[i].used && s->stalls[i].access.sid == sid && !s->stalls[i].lost;
	pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned stall_count(struct smmu *s, uint32_t sid)
{
	unsigned n = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->opt.stall_max; i++)
		n += s->stalls[i].used && s->stalls[i].access.sid == sid;
	pthread_mutex_unlock(&s->lock);
	return n;
}
