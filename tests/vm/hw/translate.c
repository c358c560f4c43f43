/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to a transaction: configuration, translation, permission, then the access itself or a fault.
 */
#include <inttypes.h>
#include <string.h>

#include "smmu.h"

struct found { /* how a transaction was translated */
	uint64_t pa;
	bool by_ssid; /* through a context descriptor of a substream: the checker's business */
	bool stale_config;
};

static enum access_result report(struct smmu *s, struct access *a, struct event *ev, bool record)
{
	ev->sid = a->sid;
	ev->ssid = a->ssid;
	ev->ssv = a->ssv;
	ev->privileged = a->privileged;
	ev->instruction = a->instruction;
	ev->read = !a->write;
	ev->addr = a->va;
	a->event = ev->id;
	if (record)
		event_write(s, ev);
	return ACCESS_ABORT;
}

/* A fault that may stall. */
static enum access_result translation_fault(struct smmu *s, struct access *a, const struct cd *cd,
					    struct event *ev)
{
	if (cd->stall) {
		report(s, a, ev, false);
		if (!stall_add(s, a, ev) && !a->waiter)
			return ACCESS_ABORT; /* nobody to be told when there is room: gone */
		return ACCESS_STALLED;
	}
	report(s, a, ev, cd->record);
	return cd->abort ? ACCESS_ABORT : ACCESS_ZERO;
}

/* Which half of the address space, and is it an address in it? NULL: it is not. */
static const struct half *half_of(const struct cd *cd, uint64_t va)
{
	const bool high = bits(va, 55, 55);
	const struct half *h = &cd->half[high];
	const unsigned top = h->tbi ? 55 : 63, low = 64 - h->regime.tsz;
	uint64_t ext;

	if (h->off || low > top)
		return h;
	ext = bits(va, top, low);
	return ext == (high ? bits(~UINT64_C(0), top, low) : 0) ? h : NULL;
}

static bool permits(const struct walk_result *w, const struct access *a)
{
	if (a->instruction && !(a->privileged ? w->exec_el1 : w->exec_el0))
		return false;
	if (a->privileged)
		return a->write ? w->write_el1 : w->read_el1;
	return a->write ? w->write_el0 : w->read_el0;
}

/* Is what the TLB says what the tables say? Between an unmapping and the end of its invalidation it need not
 * be; for how long not, is what suspicion is about. */
static void suspect(struct smmu *s, struct tlb_entry *e, const struct walk_regime *regime,
		    const struct access *a)
{
	const uint64_t offset_va = bits(a->va, 47, 0);
	struct walk_result now;
	bool differs;

	if (e->condemned)
		checker_violation(&s->checker,
				  "%s of %#" PRIx64 " by StreamID %" PRIu32 " PASID %" PRIu32
				  " through a TLB entry that was invalidated",
				  a->write ? "write" : "read", a->va, a->sid, a->ssid);
	if (e->ttb != regime->ttb && !e->global)
		checker_violation(&s->checker,
				  "%s of %#" PRIx64 " by StreamID %" PRIu32 " PASID %" PRIu32
				  " through a TLB entry of another address space with the same ASID",
				  a->write ? "write" : "read", a->va, a->sid, a->ssid);
	walk(s->ram, regime, offset_va, &now);
	if (now.event == F_ACCESS)
		return; /* aged: the page is still there */
	differs = now.event || (a->write && !permits(&now, a)) ||
		  now.pa + (offset_va & (BIT64(now.size) - 1)) !=
			  e->w.pa + (offset_va & (BIT64(e->w.size) - 1));
	if (!differs) {
		e->suspect_ns = 0;
	} else if (!e->suspect_ns) {
		e->suspect_ns = now_ns();
	} else if (now_ns() - e->suspect_ns > SMMU_STALE_NS) {
		e->suspect_ns = now_ns();
		checker_violation(&s->checker,
				  "%s of %#" PRIx64 " by StreamID %" PRIu32 " PASID %" PRIu32
				  " through a TLB entry that the tables have not held for seconds",
				  a->write ? "write" : "read", a->va, a->sid, a->ssid);
	}
}

static enum access_result stage1(struct smmu *s, struct access *a, const struct ste *ste, const struct cd *cd,
				 struct found *ret)
{
	const struct half *h = half_of(cd, a->va);
	const bool high = bits(a->va, 55, 55);
	const uint64_t va = bits(a->va, 47, 0);
	struct event ev = { .class = CLASS_IN };
	struct tlb_entry *e;
	struct walk_result w;

	if (!h || h->off) {
		a->off = h && !cd->stall && !cd->record;
		ev.id = F_TRANSLATION;
		return translation_fault(s, a, cd, &ev);
	}
	e = tlb_lookup(&s->tlb, cd->asid, va, high);
	if (e && permits(&e->w, a)) {
		s->stats.tlb_hits++;
		suspect(s, e, &h->regime, a);
		w = e->w;
	} else {
		/* An entry that forbids may be out of date in the harmless direction: looked up anew. */
		s->stats.walks++;
		walk(s->ram, &h->regime, va, &w);
		if (w.event == F_WALK_EABT) {
			ev = (struct event){ .id = w.event, .class = w.class, .fetch = w.fetch };
			return report(s, a, &ev, true);
		}
		if (!w.event && !permits(&w, a))
			w.event = F_PERMISSION;
		if (w.event) {
			ev.id = w.event;
			return translation_fault(s, a, cd, &ev);
		}
		tlb_insert(&s->tlb, cd->asid, va, high, h->regime.ttb, &w);
	}
	ret->pa = w.pa + (va & (BIT64(w.size) - 1));
	if (ste->eats == STE_EATS_ATS && s->opt.ats)
		atc_insert(s, a->sid, a->ssid, a->va, ret->pa,
			   permits(&w, &(struct access){ .write = false }),
			   permits(&w, &(struct access){ .write = true }));
	return ACCESS_OK;
}

static enum access_result translate(struct smmu *s, struct access *a, struct found *ret)
{
	struct event ev = { 0 };
	struct atc_entry *atc;
	uint32_t ssid = a->ssid;
	struct ste ste;
	struct cd cd;

	a->event = 0;
	a->off = false;
	*ret = (struct found){ .pa = a->va };
	if (!(s->cr0 & CR0_SMMUEN))
		return reg32(s, GBPA) & GBPA_ABORT ? ACCESS_ABORT : ACCESS_OK;
	/* A device with ATS asks once and then does as it was told, whatever has become of its configuration.
	 */
	atc = s->opt.ats ? atc_lookup(s, a->sid, a->ssid, a->va) : NULL;
	if (atc && (a->write ? atc->write : atc->read)) {
		ret->pa = atc->pa + (a->va & 0xfff);
		ret->by_ssid = a->ssv;
		return ACCESS_OK;
	}
	a->off = true; /* unless it gets as far as tables */
	if (config_ste(s, a->sid, &ste, &ev))
		return report(s, a, &ev, true);
	if (ste.config < STE_CONFIG_BYPASS)
		return ACCESS_ABORT;
	if (a->ssv && (ste.config == STE_CONFIG_BYPASS || a->ssid >> ste.s1cdmax || !ste.s1cdmax ||
		       (!a->ssid && ste.s1dss == STE_S1DSS_SSID0))) {
		ev.id = C_BAD_SUBSTREAMID;
		return report(s, a, &ev, true);
	}
	if (!a->ssv && ste.config == STE_CONFIG_S1 && ste.s1cdmax) {
		if (ste.s1dss == STE_S1DSS_TERMINATE) {
			ev.id = F_STREAM_DISABLED;
			return report(s, a, &ev, true);
		}
		ssid = 0;
	}
	if (ste.config == STE_CONFIG_BYPASS || (!a->ssv && ste.s1cdmax && ste.s1dss == STE_S1DSS_BYPASS)) {
		a->off = false;
		return ACCESS_OK;
	}
	if (config_cd(s, &ste, ssid, &cd, &ev))
		return report(s, a, &ev, true);
	a->off = false;
	ret->by_ssid = a->ssv;
	ret->stale_config = config_has_condemned(s, a->sid, ssid);
	return stage1(s, a, &ste, &cd, ret);
}

static void copy(void *memory, const struct access *a)
{
	if (a->write && a->len == 4 && a->va % 4 == 0)
		store32(memory, *(const uint32_t *)a->data);
	else if (a->write)
		memcpy(memory, a->data, a->len);
	else
		memcpy(a->data, memory, a->len);
}

enum access_result smmu_access(struct smmu *s, struct access *a)
{
	enum access_result r;
	struct found f;
	unsigned epoch;
	void *memory;

	pthread_mutex_lock(&s->lock);
	r = translate(s, a, &f);
	memory = r == ACCESS_OK ? ram_at(s->ram, f.pa, a->len) : NULL;
	if (r == ACCESS_OK && !memory)
		r = ACCESS_ABORT; /* nobody answers there */
	if (r != ACCESS_OK) {
		pthread_mutex_unlock(&s->lock);
		if (r == ACCESS_ZERO && !a->write)
			memset(a->data, 0, a->len);
		return r;
	}
	if (f.by_ssid) {
		uint32_t gen = checker_access(&s->checker, a->sid, a->ssid, a->gen, a->va, a->write);

		if (!a->gen)
			a->gen = gen;
		if (f.stale_config)
			checker_violation(&s->checker,
					  "%s of %#" PRIx64 " by StreamID %" PRIu32 " PASID %" PRIu32
					  " through a cached configuration that was invalidated",
					  a->write ? "write" : "read", a->va, a->sid, a->ssid);
	}
	epoch = s->epoch;
	s->inflight[epoch]++;
	pthread_mutex_unlock(&s->lock);

	copy(memory, a);

	pthread_mutex_lock(&s->lock);
	if (!--s->inflight[epoch])
		pthread_cond_broadcast(&s->drained);
	pthread_mutex_unlock(&s->lock);
	return ACCESS_OK;
}

void smmu_sync(struct smmu *s)
{
	unsigned old;

	/* One caller at a time, so the other side is empty: it was waited for the last time. */
	pthread_mutex_lock(&s->lock);
	event_write_late(s, false);
	old = s->epoch;
	s->epoch = !old;
	while (s->inflight[old])
		pthread_cond_wait(&s->drained, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

unsigned smmu_audit(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t va, uint64_t len)
{
	const uint64_t first = va & ~UINT64_C(0xfff);
	struct event ev = { 0 };
	struct walk_result w;
	struct tlb_entry *e;
	unsigned n = 0;
	struct ste ste;
	struct cd cd;

	pthread_mutex_lock(&s->lock);
	if (!len || config_ste(s, sid, &ste, &ev) || ste.config != STE_CONFIG_S1 ||
	    config_cd(s, &ste, ssid, &cd, &ev))
		goto out;
	for (uint64_t at = first; at - first < len + (va - first); at += 4096) {
		const struct half *h = half_of(&cd, at);
		const uint64_t low = bits(at, 47, 0);

		e = h && !h->off ? tlb_lookup(&s->tlb, cd.asid, low, bits(at, 55, 55)) : NULL;
		if (!e)
			continue;
		n++;
		walk(s->ram, &h->regime, low, &w);
		if (w.event == F_ACCESS)
			continue;
		if (w.event ||
		    w.pa + (low & (BIT64(w.size) - 1)) != e->w.pa + (low & (BIT64(e->w.size) - 1)) ||
		    (e->w.write_el0 && !w.write_el0))
			checker_violation(&s->checker,
					  "StreamID %" PRIu32 " PASID %" PRIu32
					  ": the TLB still translates %#" PRIx64
					  " in a way that the tables do not",
					  sid, ssid, at);
	}
out:
	pthread_mutex_unlock(&s->lock);
	return n;
}
