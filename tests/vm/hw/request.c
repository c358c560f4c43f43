/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of the control channel, one function each. control.c describes them. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "log.h"

#define WORDS 8u
#define WAIT_MS 30000u

struct request {
	struct hw *hw;
	const bool *cancel;
	unsigned n;
	char *w[WORDS + 1];
	struct accel *dev; /* word 1, where the request has one */
	struct smmu *smmu; /* the device's, else the first */
	char *buf;
	unsigned size;
};

static void say(struct request *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct request *q, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(q->buf, q->size, fmt, ap);
	va_end(ap);
}

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	if (!text || *text == '-' || !*text)
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 0);
	return !errno && !*end && *ret <= max;
}

static bool word_is(const struct request *q, unsigned i, const char *text)
{
	return i < q->n && !strcmp(q->w[i], text);
}

static void usage(struct request *q, const char *text)
{
	say(q, "error %s", text);
}

/* ---- faults of a device ------------------------------------------------------------------------------ */

static void do_stop(struct request *q)
{
	struct accel_faults f = { 0 };
	uint64_t ms = 0;
	bool ok = true;

	if ((word_is(q, 2, "normal") || word_is(q, 2, "obey")) && q->n == 3)
		;
	else if (word_is(q, 2, "ignore") && (q->n == 3 || (word_is(q, 3, "forever") && q->n == 4)))
		f.stop_ignore = true;
	else if (word_is(q, 2, "ignore-one") && q->n == 3)
		f.stop_ignore_one = true;
	else if ((word_is(q, 2, "ignore") || word_is(q, 2, "delay")) && q->n == 4 &&
		 number(q->w[3], 3600000, &ms))
		f.stop_delay_ms = (unsigned)ms;
	else if (word_is(q, 2, "fail") && q->n == 3)
		f.stop_fail = true;
	else
		ok = false;
	if (!ok) {
		usage(q, "stop DEV normal | ignore [MS|forever] | ignore-one | delay MS | fail");
		return;
	}
	pthread_mutex_lock(&q->dev->lock);
	q->dev->faults.stop_ignore = f.stop_ignore;
	q->dev->faults.stop_ignore_one = f.stop_ignore_one;
	q->dev->faults.stop_delay_ms = f.stop_delay_ms;
	q->dev->faults.stop_fail = f.stop_fail;
	pthread_mutex_unlock(&q->dev->lock);
	say(q, "ok");
}

static void do_response(struct request *q)
{
	struct smmu *s = q->smmu;
	uint64_t n = 0;
	bool ok = (word_is(q, 2, "normal") && q->n == 3) ||
		  ((word_is(q, 2, "lose") || word_is(q, 2, "delay")) && q->n == 4 &&
		   number(q->w[3], 3600000, &n));

	if (!ok) {
		usage(q, "response DEV normal | lose N | delay MS");
		return;
	}
	pthread_mutex_lock(&s->lock);
	s->faults.response[q->dev->opt.sid].lose = word_is(q, 2, "lose") ? (unsigned)n : 0;
	s->faults.response[q->dev->opt.sid].delay_ms = word_is(q, 2, "delay") ? (unsigned)n : 0;
	pthread_mutex_unlock(&s->lock);
	say(q, "ok");
}

static void do_late_dma(struct request *q)
{
	uint64_t ms;

	if (!number(q->w[2], 3600000, &ms) || q->n > 4 || (q->n == 4 && !word_is(q, 3, "lie"))) {
		usage(q, "late-dma DEV MS [lie]");
		return;
	}
	pthread_mutex_lock(&q->dev->lock);
	q->dev->faults.late_ms = (unsigned)ms;
	q->dev->faults.late_lie = q->n == 4;
	pthread_mutex_unlock(&q->dev->lock);
	say(q, "ok");
}

static void do_dma_pace(struct request *q)
{
	uint64_t us;

	if (!number(q->w[2], 1000000, &us)) {
		usage(q, "dma-pace DEV US");
		return;
	}
	pthread_mutex_lock(&q->dev->lock);
	q->dev->faults.pace_us = (unsigned)us;
	pthread_mutex_unlock(&q->dev->lock);
	say(q, "ok");
}

static void do_hold(struct request *q)
{
	uint64_t pages = 0;

	if (q->n > 3 || (q->n == 3 && !number(q->w[2], UINT64_MAX, &pages))) {
		usage(q, "hold DEV [PAGES]");
		return;
	}
	pthread_mutex_lock(&q->dev->lock);
	q->dev->faults.hold = true;
	q->dev->faults.hold_after = pages;
	pthread_mutex_unlock(&q->dev->lock);
	say(q, "ok");
}

static void do_release(struct request *q)
{
	accel_release(q->dev);
	say(q, "ok");
}

/* ---- faults of the SMMU ------------------------------------------------------------------------------- */

static void evtq_release(struct smmu *s)
{
	const bool owed = s->evtq_irq_owed;

	s->faults.evtq_hold = false;
	s->evtq_irq_owed = false;
	if (owed)
		event_irq(s);
}

/* A record that a driver only logs: a StreamID that no device has. */
static bool junk(struct smmu *s)
{
	return event_write(s, &(struct event){ .id = C_BAD_STREAMID, .sid = 0xfff0 });
}

static void evtq_junk(struct request *q, uint64_t n)
{
	struct smmu *s = q->smmu;
	const unsigned late = s->faults.evtq_late_ms;
	uint64_t done = 0;

	s->faults.evtq_late_ms = 0;
	while (done < n && junk(s))
		done++;
	s->faults.evtq_late_ms = late;
	say(q, "ok %" PRIu64, done);
}

static void do_evtq(struct request *q)
{
	struct smmu *s = q->smmu;
	uint64_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (q->n == 1) {
		say(q, "ok prod=%#" PRIx32 " cons=%#" PRIx32 " pending=%u irq=%s", s->evtq_prod,
		    reg32(s, EVTQ_CONS), event_unread(s), s->faults.evtq_hold ? "held" : "on");
	} else if (q->n == 2 && word_is(q, 1, "normal")) {
		s->faults.evtq_delay_ms = s->faults.evtq_late_ms = 0;
		s->faults.evtq_late_cfgi = false;
		event_write_late(s, true);
		evtq_release(s);
		say(q, "ok");
	} else if (q->n == 2 && word_is(q, 1, "hold")) {
		s->faults.evtq_hold = true;
		say(q, "ok");
	} else if (q->n == 2 && word_is(q, 1, "release")) {
		evtq_release(s);
		say(q, "ok");
	} else if (q->n == 2 && word_is(q, 1, "overflow")) {
		evtq_junk(q, UINT64_MAX);
	} else if (q->n == 3 && word_is(q, 1, "junk") && number(q->w[2], 1u << 20, &n)) {
		evtq_junk(q, n);
	} else if (q->n == 3 && word_is(q, 1, "delay") && number(q->w[2], 3600000, &n)) {
		s->faults.evtq_delay_ms = (unsigned)n;
		say(q, "ok");
	} else if (q->n == 3 && word_is(q, 1, "late") && word_is(q, 2, "cfgi")) {
		s->faults.evtq_late_cfgi = true;
		say(q, "ok");
	} else if (q->n == 3 && word_is(q, 1, "late") && number(q->w[2], 3600000, &n)) {
		s->faults.evtq_late_ms = (unsigned)n;
		say(q, "ok");
	} else {
		usage(q, "evtq [normal | delay MS | hold | release | late MS|cfgi | overflow | junk N]");
	}
	pthread_mutex_unlock(&s->lock);
}

static void do_cmdq(struct request *q)
{
	struct smmu *s = q->smmu;
	uint64_t us = 0;

	pthread_mutex_lock(&s->lock);
	if (q->n == 2 && word_is(q, 1, "normal")) {
		s->faults.cmd_delay_us = 0;
		s->faults.cmd_error = false;
		say(q, "ok");
	} else if (q->n == 2 && word_is(q, 1, "error")) {
		s->faults.cmd_error = true;
		say(q, "ok");
	} else if (q->n == 3 && word_is(q, 1, "delay") && number(q->w[2], 10000000, &us)) {
		s->faults.cmd_delay_us = (unsigned)us;
		say(q, "ok");
	} else {
		usage(q, "cmdq normal | delay US | error");
	}
	pthread_mutex_unlock(&s->lock);
}

static void do_ignore(struct request *q)
{
	struct smmu *s = q->smmu;
	uint64_t n;

	if (!number(q->w[1], UINT32_MAX, &n)) {
		usage(q, "ignore-tlbi N | ignore-cfgi N");
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (word_is(q, 0, "ignore-tlbi"))
		s->faults.ignore_tlbi = (unsigned)n;
	else
		s->faults.ignore_cfgi = (unsigned)n;
	pthread_mutex_unlock(&s->lock);
	say(q, "ok");
}

static void do_page_request(struct request *q)
{
	uint64_t pasid, addr;

	if (!number(q->w[2], 0xfffff, &pasid) || !number(q->w[3], UINT64_MAX, &addr))
		usage(q, "page-request DEV PASID ADDR");
	else if (!pri_request(q->smmu, q->dev->opt.sid, (uint32_t)pasid, addr))
		say(q, "error the PRI queue is off, or full");
	else
		say(q, "ok");
}

/* ---- the checker ----------------------------------------------------------------------------------------
 */

static void do_clean(struct request *q)
{
	struct smmu *s = q->smmu;
	uint64_t pasid, at = UINT64_MAX;
	bool about;

	if (!number(q->w[2], 0xfffff, &pasid) || (q->n == 4 && !number(q->w[3], UINT64_MAX, &at))) {
		usage(q, "clean DEV PASID [NS]");
		return;
	}
	pthread_mutex_lock(&s->lock);
	about = checker_clean(&s->checker, q->dev->opt.sid, (uint32_t)pasid, at);
	pthread_mutex_unlock(&s->lock);
	say(q, about ? "ok" : "ok new owner");
}

static void do_audit(struct request *q)
{
	uint64_t pasid, addr, len;

	if (!number(q->w[2], 0xfffff, &pasid) || !number(q->w[3], UINT64_MAX, &addr) ||
	    !number(q->w[4], BIT64(40), &len))
		usage(q, "audit DEV PASID ADDR LEN");
	else
		say(q, "ok %u", smmu_audit(q->smmu, q->dev->opt.sid, (uint32_t)pasid, addr, len));
}

/* The first SMMU of which there is one to tell. */
static struct smmu *accused(struct request *q)
{
	for (unsigned i = 1; i < HW_SMMUS; i++) {
		struct smmu *s = hw_smmu(q->hw, i);
		uint64_t n;

		pthread_mutex_lock(&s->lock);
		n = s->checker.violations;
		pthread_mutex_unlock(&s->lock);
		if (n)
			return s;
	}
	return &q->hw->smmu;
}

static void do_violations(struct request *q)
{
	struct smmu *s = accused(q);
	struct checker *c = &s->checker;

	pthread_mutex_lock(&s->lock);
	if (word_is(q, 0, "checker"))
		say(q, "ok violations=%" PRIu64 " accesses=%" PRIu64 "%s%s%s", c->violations,
		    s->stats.tlb_hits + s->stats.walks, c->violations ? " (" : "", c->texts[0],
		    c->violations ? ")" : "");
	else
		say(q, "ok %" PRIu64 "%s%s", c->violations, c->violations ? " " : "", c->texts[0]);
	pthread_mutex_unlock(&s->lock);
}

static void do_violation(struct request *q)
{
	struct smmu *s = accused(q);
	uint64_t i;

	pthread_mutex_lock(&s->lock);
	if (!number(q->w[1], CHECKER_TEXTS - 1, &i) || i >= s->checker.violations)
		say(q, "error there is no such violation");
	else
		say(q, "ok %s", s->checker.texts[i]);
	pthread_mutex_unlock(&s->lock);
}

static void do_owner(struct request *q)
{
	struct smmu *s = q->smmu;
	struct owner *o;
	uint64_t pasid;

	if (!number(q->w[2], 0xfffff, &pasid)) {
		usage(q, "owner DEV PASID");
		return;
	}
	pthread_mutex_lock(&s->lock);
	o = checker_owner(&s->checker, q->dev->opt.sid, (uint32_t)pasid);
	if (!o || !o->live)
		say(q, "ok none");
	else
		say(q, "ok ttb=%#" PRIx64 " asid=%u gen=%" PRIu32 " epd0=%d stalls=%" PRIu32 " jobs=%" PRIu32,
		    o->ttb, o->asid, o->gen, o->off, o->stalls, o->jobs);
	pthread_mutex_unlock(&s->lock);
}

/* ---- figures ---------------------------------------------------------------------------------------------
 */

static void stats_device(struct request *q)
{
	struct accel *d = q->dev;
	unsigned stalls = stall_count(q->smmu, d->opt.sid), enabled = 0, stopped = 0;

	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < d->top; i++) {
		enabled += d->slots[i].state == SVAD_ACCEL_S_ENABLED;
		stopped += d->slots[i].state == SVAD_ACCEL_S_STOPPED;
	}
	say(q,
	    "ok jobs=%" PRIu64 " pages=%" PRIu64 " bytes=%" PRIu64 " faults=%" PRIu64 " errors=%" PRIu64
	    " stalls=%u busy=%u held=%u enabled=%u stopped=%u stops=%" PRIu64 " resets=%" PRIu64,
	    d->jobs, d->pages, __atomic_load_n(&d->bytes, __ATOMIC_RELAXED), d->n_faults, d->errors, stalls,
	    d->running, d->held, enabled, stopped, d->stops, d->resets);
	pthread_mutex_unlock(&d->lock);
}

static void do_stats(struct request *q)
{
	struct smmu *s = q->smmu;
	const struct smmu_stats *t = &s->stats;

	if (q->dev) {
		stats_device(q);
		return;
	}
	pthread_mutex_lock(&s->lock);
	say(q,
	    "ok cmds=%" PRIu64 " syncs=%" PRIu64 " tlbi=%" PRIu64 " cfgi=%" PRIu64 " resumes=%" PRIu64
	    " events=%" PRIu64 " lost-events=%" PRIu64 " stalls=%u all-stalls=%" PRIu64 " max-stalls=%" PRIu64
	    " irqs=%" PRIu64 " tlb=%" PRIu32 " tlb-hits=%" PRIu64 " walks=%" PRIu64 " gerrors=%" PRIu64,
	    t->cmds, t->syncs, t->tlbi, t->cfgi, t->resumes, t->events, t->lost_events, s->n_stalls,
	    t->stalls, t->max_stalls, t->irqs, s->tlb.count, t->tlb_hits, t->walks, t->gerrors);
	pthread_mutex_unlock(&s->lock);
}

static void do_trace(struct request *q)
{
	if (!word_is(q, 1, "on") && !word_is(q, 1, "off")) {
		usage(q, "trace on | off");
		return;
	}
	log_trace(word_is(q, 1, "on"));
	say(q, "ok");
}

static void do_clock(struct request *q)
{
	say(q, "ok %" PRIu64, now_ns());
}

static void do_ping(struct request *q)
{
	say(q, "ok");
}

static void do_reset(struct request *q)
{
	hw_reset(q->hw);
	say(q, "ok");
}

/* ---- waits
 * -------------------------------------------------------------------------------------------------- */

struct wait {
	const char *name;
	uint64_t (*value)(struct request *q);
	bool takes_dev, takes_n, below; /* below: until it is 0; else until it is N (1) or more */
};

static uint64_t device_u64(struct request *q, const uint64_t *p)
{
	uint64_t v;

	pthread_mutex_lock(&q->dev->lock);
	v = *p;
	pthread_mutex_unlock(&q->dev->lock);
	return v;
}

static uint64_t device_unsigned(struct request *q, const unsigned *p)
{
	uint64_t v;

	pthread_mutex_lock(&q->dev->lock);
	v = *p;
	pthread_mutex_unlock(&q->dev->lock);
	return v;
}

static uint64_t v_jobs(struct request *q)
{
	return device_u64(q, &q->dev->jobs);
}

static uint64_t v_pages(struct request *q)
{
	return device_u64(q, &q->dev->pages);
}

static uint64_t v_stops(struct request *q)
{
	return device_u64(q, &q->dev->stops);
}

static uint64_t v_held(struct request *q)
{
	return device_unsigned(q, &q->dev->held);
}

static uint64_t v_busy(struct request *q)
{
	return device_unsigned(q, &q->dev->running);
}

static uint64_t v_stalls(struct request *q)
{
	return stall_count(q->smmu, q->dev->opt.sid);
}

static uint64_t v_unanswered(struct request *q)
{
	return stall_unanswered(q->smmu, q->dev->opt.sid);
}

static uint64_t v_pending(struct request *q)
{
	uint64_t v;

	pthread_mutex_lock(&q->smmu->lock);
	v = event_unread(q->smmu);
	pthread_mutex_unlock(&q->smmu->lock);
	return v;
}

static uint64_t v_pri(struct request *q)
{
	uint64_t v;

	pthread_mutex_lock(&q->smmu->lock);
	v = q->smmu->pris;
	pthread_mutex_unlock(&q->smmu->lock);
	return v;
}

static uint64_t v_gone(struct request *q)
{
	bool gone;

	pthread_mutex_lock(&q->dev->lock);
	gone = q->dev->gone != q->dev->blank || q->dev->returning;
	pthread_mutex_unlock(&q->dev->lock);
	return gone;
}

static const struct wait waits[] = {
	{ "wait-jobs", v_jobs, true, true, false },	 { "wait-pages", v_pages, true, true, false },
	{ "wait-stall", v_stalls, true, true, false },	 { "wait-no-stall", v_stalls, true, false, true },
	{ "wait-held", v_held, true, true, false },	 { "wait-idle", v_busy, true, false, true },
	{ "wait-busy", v_busy, true, true, false },	 { "wait-pending", v_pending, false, true, false },
	{ "wait-empty", v_pending, false, false, true }, { "wait-pri", v_pri, false, false, true },
	{ "wait-stop", v_stops, true, true, false },	 { "wait-answered", v_unanswered, true, false, true },
};

/* Polled: what is waited for changes in many places, and none of them shall have to know. */
static void wait_for(struct request *q, const struct wait *w, uint64_t n, uint64_t ms)
{
	const uint64_t end = now_ns() + ms * UINT64_C(1000000);
	const struct timespec nap = { .tv_nsec = 300000 };
	uint64_t v;

	for (;;) {
		v = w->value(q);
		if (w->below ? !v : v >= n) {
			say(q, "ok %" PRIu64, v);
			return;
		}
		if (now_ns() >= end || (q->cancel && __atomic_load_n(q->cancel, __ATOMIC_ACQUIRE))) {
			say(q, "error timeout");
			return;
		}
		nanosleep(&nap, NULL);
	}
}

static void do_wait_named(struct request *q, const struct wait *w)
{
	const unsigned first = w->takes_dev ? 2 : 1;
	uint64_t n = 1, ms = WAIT_MS;
	unsigned i = first;

	if (w->takes_n && i < q->n && !number(q->w[i++], UINT64_MAX, &n)) {
		say(q, "error %s takes a number", w->name);
		return;
	}
	if ((i < q->n && !number(q->w[i++], 3600000, &ms)) || i < q->n) {
		say(q, "error %s: its last word is a limit in ms", w->name);
		return;
	}
	wait_for(q, w, n, ms);
}

/* wait DEV held|idle|busy [MS] */
static void do_wait(struct request *q)
{
	uint64_t ms = WAIT_MS;
	char name[32];

	snprintf(name, sizeof(name), "wait-%s", q->n > 2 ? q->w[2] : "");
	if (q->n <= 4 && (q->n < 4 || number(q->w[3], 3600000, &ms)))
		for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
			if (!strcmp(waits[i].name, name) && waits[i].takes_dev) {
				wait_for(q, &waits[i], 1, ms);
				return;
			}
	usage(q, "wait DEV busy|idle|held [MS]");
}

static void do_vanish(struct request *q)
{
	static const struct wait settled = { .value = v_gone, .below = true };

	if (word_is(q, 0, "vanish"))
		accel_vanish(q->dev);
	else
		accel_return(q->dev);
	wait_for(q, &settled, 0, WAIT_MS);
}

/* ---- dispatch
 * -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned min, max; /* words, with the name */
	bool dev;	   /* the second word is a device (where there is one) */
	void (*fn)(struct request *q);
} requests[] = {
	{ "stop", 3, 4, true, do_stop },	   { "response", 3, 4, true, do_response },
	{ "late-dma", 3, 4, true, do_late_dma },   { "dma-pace", 3, 3, true, do_dma_pace },
	{ "hold", 2, 3, true, do_hold },	   { "release", 2, 2, true, do_release },
	{ "unhold", 2, 2, true, do_release },	   { "vanish", 2, 2, true, do_vanish },
	{ "return", 2, 2, true, do_vanish },	   { "evtq", 1, 3, false, do_evtq },
	{ "cmdq", 2, 3, false, do_cmdq },	   { "ignore-tlbi", 2, 2, false, do_ignore },
	{ "ignore-cfgi", 2, 2, false, do_ignore }, { "page-request", 4, 4, true, do_page_request },
	{ "reset", 1, 1, false, do_reset },	   { "clean", 3, 4, true, do_clean },
	{ "audit", 5, 5, true, do_audit },	   { "violations", 1, 1, false, do_violations },
	{ "checker", 1, 1, false, do_violations }, { "violation", 2, 2, false, do_violation },
	{ "stats", 1, 2, true, do_stats },	   { "owner", 3, 3, true, do_owner },
	{ "trace", 2, 2, false, do_trace },	   { "ping", 1, 1, false, do_ping },
	{ "clock", 1, 1, false, do_clock },	   { "wait", 3, 4, true, do_wait },
};

/* False: there is no such device; said. */
static bool find_device(struct request *q)
{
	const char *name = q->w[1];

	for (unsigned i = 0; i < HW_ACCELS; i++) {
		const char *full = q->hw->accels[i].opt.name;

		if (!strcmp(name, full) || !strcmp(name, full + strlen(full) - 1)) {
			q->dev = &q->hw->accels[i];
			q->smmu = q->dev->smmu;
			return true;
		}
	}
	say(q, "error there is no device \"%s\"", name);
	return false;
}

void control_execute(struct hw *hw, const char *line, char *buf, unsigned size, const bool *cancel)
{
	struct request q = { .hw = hw, .smmu = &hw->smmu, .cancel = cancel, .buf = buf, .size = size };
	char text[CONTROL_LINE], *save = NULL, *word;

	snprintf(text, sizeof(text), "%s", line);
	for (word = strtok_r(text, " \t\r", &save); word && q.n < WORDS;
	     word = strtok_r(NULL, " \t\r", &save))
		q.w[q.n++] = word;
	if (!q.n || word) {
		say(&q, "error %s", word ? "too many words" : "what?");
		return;
	}
	for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		if (strcmp(waits[i].name, q.w[0]))
			continue;
		if (waits[i].takes_dev && q.n < 2)
			say(&q, "error %s takes a device", q.w[0]);
		else if (!waits[i].takes_dev || find_device(&q))
			do_wait_named(&q, &waits[i]);
		return;
	}
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (strcmp(requests[i].name, q.w[0]))
			continue;
		if (q.n < requests[i].min || q.n > requests[i].max)
			say(&q, "error %s takes %u to %u words more", q.w[0], requests[i].min - 1,
			    requests[i].max - 1);
		else if (!requests[i].dev || q.n < 2 || find_device(&q))
			requests[i].fn(&q);
		return;
	}
	say(&q, "error unknown request \"%s\"", q.w[0]);
}
