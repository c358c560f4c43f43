/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stream table entries and context descriptors: where they are, what they say, and which are kept until a
 * CFGI command. */
#include <string.h>

#include "smmu.h"

/* ---- stream table ----------------------------------------------------------------------------- */

static uint8_t fail(struct event *ev, uint8_t id, uint64_t fetch)
{
	ev->id = id;
	ev->class = CLASS_CD;
	ev->fetch = fetch;
	return id;
}

/* Where the entry of sid is. 0 or an event. */
static uint8_t ste_locate(const struct smmu *s, uint32_t sid, uint64_t *ret, struct event *ev)
{
	const uint64_t base = bits(s->strtab, 51, 6) << 6;
	const unsigned log2 = (unsigned)bits(s->strtab_cfg, 5, 0),
		       split = (unsigned)bits(s->strtab_cfg, 10, 6);
	const void *p;
	uint64_t l1;
	unsigned span;

	if (log2 < 32 && sid >> log2)
		return fail(ev, C_BAD_STREAMID, 0);
	if (bits(s->strtab_cfg, 17, 16) == 0) {
		*ret = base + sid * UINT64_C(64);
		return 0;
	}
	p = ram_at(s->ram, base + (sid >> split) * UINT64_C(8), 8);
	if (!p)
		return fail(ev, F_STE_FETCH, base + (sid >> split) * UINT64_C(8));
	l1 = load64(p);
	span = (unsigned)bits(l1, 4, 0);
	if (!span || span > split + 1 || (sid & ((1u << split) - 1)) >> (span - 1))
		return fail(ev, C_BAD_STREAMID, 0);
	*ret = (bits(l1, 51, 6) << 6) + (sid & ((1u << split) - 1)) * UINT64_C(64);
	return 0;
}

static bool ste_legal(const struct smmu *s, const struct ste *ste)
{
	switch (ste->config) {
	case STE_CONFIG_ABORT:
	case STE_CONFIG_BYPASS:
		return true;
	case STE_CONFIG_S1:
		break;
	default: /* 1 to 3 abort too, by the architecture; stage 2 is not there (IDR0.S2P = 0) */
		return ste->config < STE_CONFIG_BYPASS;
	}
	if (ste->s1cdmax > bits(reg32(s, IDR1), 10, 6))
		return false;
	return !ste->s1cdmax || (ste->s1fmt <= 2 && ste->s1dss <= STE_S1DSS_SSID0);
}

static uint8_t ste_fetch(const struct smmu *s, uint32_t sid, struct ste *ret, struct event *ev)
{
	const uint64_t *p;
	uint64_t at, d0, d1;
	uint8_t r = ste_locate(s, sid, &at, ev);

	if (r)
		return r;
	p = ram_at(s->ram, at, 64);
	if (!p)
		return fail(ev, F_STE_FETCH, at);
	/* V is looked at first: a driver sets it last. */
	d0 = load64(&p[0]);
	d1 = load64(&p[1]);
	if (!(d0 & STE_V))
		return fail(ev, C_BAD_STE, 0);
	*ret = (struct ste){
		.sid = sid,
		.valid = true,
		.config = (uint8_t)bits(d0, 3, 1),
		.s1fmt = (uint8_t)bits(d0, 5, 4),
		.s1ctxptr = bits(d0, 51, 6) << 6,
		.s1cdmax = (uint8_t)bits(d0, 63, 59),
		.s1dss = (uint8_t)bits(d1, 1, 0),
		.s1stalld = bits(d1, 27, 27),
		.eats = (uint8_t)bits(d1, 29, 28),
	};
	return ste_legal(s, ret) ? 0 : fail(ev, C_BAD_STE, 0);
}

static struct ste *ste_slot(struct smmu *s, uint32_t sid)
{
	return &s->stes[sid % SMMU_CACHED_STES];
}

uint8_t config_ste(struct smmu *s, uint32_t sid, struct ste *ret, struct event *ev)
{
	struct ste *slot = ste_slot(s, sid);
	uint8_t r;

	if (slot->valid && slot->sid == sid) {
		*ret = *slot;
		return 0;
	}
	r = ste_fetch(s, sid, ret, ev);
	if (!r)
		*slot = *ret;
	return r;
}

/* ---- context descriptors ---------------------------------------------------------------------- */

static uint8_t cd_locate(const struct smmu *s, const struct ste *ste, uint32_t ssid, uint64_t *ret,
			 struct event *ev)
{
	const uint32_t leaf = ste->s1fmt == 1 ? CD_LEAF_4K : CD_LEAF_64K;
	const void *p;
	uint64_t l1, at;

	if (!ste->s1cdmax || ste->s1fmt == 0) {
		*ret = ste->s1ctxptr + ssid * UINT64_C(64);
		return 0;
	}
	at = ste->s1ctxptr + ssid / leaf * UINT64_C(8);
	p = ram_at(s->ram, at, 8);
	if (!p)
		return fail(ev, F_CD_FETCH, at);
	l1 = load64(p);
	if (!(l1 & 1))
		return fail(ev, C_BAD_SUBSTREAMID, 0);
	*ret = (bits(l1, 51, 12) << 12) + ssid % leaf * UINT64_C(64);
	return 0;
}

/* TG0 and TG1 number the granules differently. 0: reserved. */
static unsigned granule_of(uint64_t tg, bool high)
{
	static const uint8_t low_tg[4] = { 12, 16, 14, 0 }, high_tg[4] = { 0, 14, 12, 16 };

	return high ? high_tg[tg] : low_tg[tg];
}

static bool half_decode(const uint64_t d[CD_DWORDS], bool high, struct half *ret)
{
	static const uint8_t oas_bits[8] = { 32, 36, 40, 42, 44, 48, 48, 0 };
	const unsigned at = high ? 16 : 0;
	struct walk_regime *r = &ret->regime;

	ret->off = bits(d[0], 14 + at, 14 + at);
	ret->tbi = bits(d[0], high ? 39 : 38, high ? 39 : 38);
	r->tsz = (unsigned)bits(d[0], 5 + at, at);
	r->granule = granule_of(bits(d[0], 7 + at, 6 + at), high);
	r->ttb = bits(d[high ? 2 : 1], 51, 4) << 4;
	r->oas = oas_bits[bits(d[0], 34, 32)];
	r->hierarchy_off = bits(d[high ? 2 : 1], 1, 1);
	if (ret->off)
		return true;
	return r->granule && r->tsz >= 16 && r->tsz <= 39 && r->oas &&
	       (r->oas == 48 || !(r->ttb >> r->oas)) && !(r->ttb >> 48);
}

static uint8_t cd_fetch(const struct smmu *s, const struct ste *ste, uint32_t ssid, struct cd *ret,
			struct event *ev)
{
	uint64_t at, d[CD_DWORDS];
	const uint64_t *p;
	uint8_t r = cd_locate(s, ste, ssid, &at, ev);

	if (r)
		return r;
	p = ram_at(s->ram, at, CD_SIZE);
	if (!p)
		return fail(ev, F_CD_FETCH, at);
	for (unsigned i = 0; i < CD_DWORDS; i++)
		d[i] = load64(&p[i]);
	if (!bits(d[0], 31, 31) || !bits(d[0], 41, 41)) /* V; AA64: the only format there is */
		return fail(ev, C_BAD_CD, 0);
	*ret = (struct cd){
		.sid = ste->sid,
		.ssid = ssid,
		.valid = true,
		.stall = bits(d[0], 44, 44),
		.record = bits(d[0], 45, 45),
		.abort = bits(d[0], 46, 46), /* HA and HD do not count: IDR0.HTTU is 0 */
		.asid = (uint16_t)bits(d[0], 63, 48),
	};
	if (ret->stall && ste->s1stalld)
		return fail(ev, C_BAD_CD, 0);
	if (!half_decode(d, false, &ret->half[0]) || !half_decode(d, true, &ret->half[1]))
		return fail(ev, C_BAD_CD, 0);
	return 0;
}

static struct cd *cd_slot(struct smmu *s, uint32_t sid, uint32_t ssid)
{
	return &s->cds[(sid * 61u + ssid) % SMMU_CACHED_CDS];
}

uint8_t config_cd(struct smmu *s, const struct ste *ste, uint32_t ssid, struct cd *ret, struct event *ev)
{
	struct cd *slot = cd_slot(s, ste->sid, ssid);
	uint8_t r;

	if (slot->valid && slot->sid == ste->sid && slot->ssid == ssid) {
		*ret = *slot;
		return 0;
	}
	r = cd_fetch(s, ste, ssid, ret, ev);
	if (!r)
		*slot = *ret;
	return r;
}

/* ---- invalidation ------------------------------------------------------------------------------ */

void config_forget_cd(struct smmu *s, uint32_t sid, uint32_t ssid, bool all_ssids, bool condemn)
{
	struct cd *slot = cd_slot(s, sid, ssid);

	if (!all_ssids) {
		if (slot->sid == sid && slot->ssid == ssid && condemn)
			slot->condemned = true;
		else if (slot->sid == sid && slot->ssid == ssid)
			slot->valid = false;
		return;
	}
	for (unsigned i = 0; i < SMMU_CACHED_CDS; i++) {
		if (s->cds[i].sid != sid)
			continue;
		if (condemn)
			s->cds[i].condemned = true;
		else
			s->cds[i].valid = false;
	}
}

void config_forget_ste(struct smmu *s, uint32_t sid, unsigned range, bool condemn)
{
	const uint64_t n = UINT64_C(2) << range, first = sid & ~(n - 1);

	for (unsigned i = 0; i < SMMU_CACHED_STES; i++) {
		if (s->stes[i].sid < first || s->stes[i].sid - first >= n)
			continue;
		if (condemn)
			s->stes[i].condemned = true;
		else
			s->stes[i].valid = false;
	}
	/* What an entry leads to goes with it. */
	for (unsigned i = 0; i < SMMU_CACHED_CDS; i++) {
		if (s->cds[i].sid < first || s->cds[i].sid - first >= n)
			continue;
		if (condemn)
			s->cds[i].condemned = true;
		else
			s->cds[i].valid = false;
	}
}

void config_drop_condemned(struct smmu *s)
{
	for (unsigned i = 0; i < SMMU_CACHED_STES; i++)
		s->stes[i].valid &= !s->stes[i].condemned;
	for (unsigned i = 0; i < SMMU_CACHED_CDS; i++)
		s->cds[i].valid &= !s->cds[i].condemned;
}

bool config_has_condemned(const struct smmu *s, uint32_t sid, uint32_t ssid)
{
	const struct ste *ste = &s->stes[sid % SMMU_CACHED_STES];
	const struct cd *cd = &s->cds[(sid * 61u + ssid) % SMMU_CACHED_CDS];

	return (ste->valid && ste->sid == sid && ste->condemned) ||
	       (cd->valid && cd->sid == sid && cd->ssid == ssid && cd->condemned);
}

/* ---- for the checker ---------------------------------------------------------------------------- */

void config_observe(struct smmu *s, uint32_t sid, uint32_t ssid)
{
	struct event ev;
	struct ste ste;
	struct cd cd;
	bool live = (s->cr0 & CR0_SMMUEN) && !ste_fetch(s, sid, &ste, &ev) && ste.config == STE_CONFIG_S1 &&
		    ssid >> ste.s1cdmax == 0 && !cd_fetch(s, &ste, ssid, &cd, &ev);

	if (live)
		checker_observe(&s->checker, sid, ssid, true, cd.half[0].regime.ttb, cd.asid, cd.half[0].off);
	else
		checker_observe(&s->checker, sid, ssid, false, 0, 0, false);
}

void config_observe_stream(struct smmu *s, uint32_t sid)
{
	if (sid >= CHECKER_SIDS)
		return;
	for (uint32_t ssid = 0; ssid < s->checker.top[sid]; ssid++)
		if (s->checker.owners[sid][ssid].gen)
			config_observe(s, sid, ssid);
}
