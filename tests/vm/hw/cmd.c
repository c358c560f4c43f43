/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands. */
#include <inttypes.h>

#include "log.h"
#include "smmu.h"

struct fields {
	uint32_t sid, ssid;
	uint64_t c0, c1;
};

static bool ignored(unsigned *n)
{
	if (!*n)
		return false;
	--*n;
	return true;
}

static unsigned cfgi_ste(struct smmu *s, const struct fields *f, unsigned range)
{
	const uint64_t n = UINT64_C(2) << range, first = f->sid & ~(n - 1);

	s->stats.cfgi++;
	config_forget_ste(s, f->sid, range, ignored(&s->faults.ignore_cfgi));
	for (uint64_t sid = first; sid < CHECKER_SIDS && sid - first < n; sid++)
		config_observe_stream(s, (uint32_t)sid);
	return CERROR_NONE;
}

static unsigned cfgi_ste_one(struct smmu *s, const struct fields *f)
{
	s->stats.cfgi++;
	config_forget_ste(s, f->sid, 0,
			  ignored(&s->faults.ignore_cfgi)); /* a pair: more than asked for is allowed */
	config_observe_stream(s, f->sid);
	return CERROR_NONE;
}

static unsigned cfgi_ste_range(struct smmu *s, const struct fields *f)
{
	return cfgi_ste(s, f, (unsigned)bits(f->c1, 4, 0));
}

static unsigned cfgi_cd(struct smmu *s, const struct fields *f)
{
	s->stats.cfgi++;
	config_forget_cd(s, f->sid, f->ssid, false, ignored(&s->faults.ignore_cfgi));
	config_observe(s, f->sid, f->ssid);
	event_cfgi(s, f->sid, false, f->ssid);
	return CERROR_NONE;
}

static unsigned cfgi_cd_all(struct smmu *s, const struct fields *f)
{
	s->stats.cfgi++;
	config_forget_cd(s, f->sid, 0, true, ignored(&s->faults.ignore_cfgi));
	config_observe_stream(s, f->sid);
	event_cfgi(s, f->sid, true, 0);
	return CERROR_NONE;
}

static unsigned tlbi(struct smmu *s, const struct tlb_match *m)
{
	s->stats.tlbi++;
	tlb_invalidate(&s->tlb, m, ignored(&s->faults.ignore_tlbi));
	return CERROR_NONE;
}

static unsigned tlbi_all(struct smmu *s, const struct fields *f)
{
	(void)f;
	return tlbi(s, &(struct tlb_match){ 0 });
}

static unsigned tlbi_asid(struct smmu *s, const struct fields *f)
{
	return tlbi(s, &(struct tlb_match){ .by_asid = true,
					    .spare_global = true,
					    .asid = (uint16_t)bits(f->c0, 63, 48) });
}

static unsigned tlbi_va(struct smmu *s, const struct fields *f)
{
	return tlbi(s, &(struct tlb_match){ .by_asid = true,
					    .asid = (uint16_t)bits(f->c0, 63, 48),
					    .by_va = true,
					    .va = f->c1 & ~UINT64_C(0xfff) });
}

static unsigned tlbi_vaa(struct smmu *s, const struct fields *f)
{
	return tlbi(s, &(struct tlb_match){ .by_va = true, .va = f->c1 & ~UINT64_C(0xfff) });
}

static unsigned prefetch(struct smmu *s, const struct fields *f)
{
	(void)s;
	(void)f;
	return CERROR_NONE; /* a hint */
}

static unsigned atc_inv(struct smmu *s, const struct fields *f)
{
	if (!s->opt.ats)
		return CERROR_ILL;
	/* Without SSV: the translations without a substream; they are kept as those of substream 0. */
	atc_invalidate(s, f->sid, f->c0 & BIT64(11) ? f->ssid : 0, f->c0 & BIT64(9), f->c1,
		       (unsigned)bits(f->c1, 5, 0));
	return CERROR_NONE;
}

static unsigned pri_resp(struct smmu *s, const struct fields *f)
{
	(void)f;
	if (!s->opt.ats)
		return CERROR_ILL;
	if (s->pris)
		s->pris--;
	return CERROR_NONE;
}

/* These three take the lock themselves. */

static unsigned resume(struct smmu *s, const struct fields *f)
{
	const unsigned resp = (unsigned)bits(f->c0, 13, 12);

	if (resp == 3)
		return CERROR_ILL;
	stall_resume(s, f->sid, (uint16_t)f->c1, resp);
	return CERROR_NONE;
}

static unsigned stall_term(struct smmu *s, const struct fields *f)
{
	stall_terminate(s, f->sid);
	return CERROR_NONE;
}

static unsigned sync_all(struct smmu *s, const struct fields *f)
{
	const unsigned cs = (unsigned)bits(f->c0, 13, 12);

	/* No MSIs (IDR0.MSI = 0) and no interrupt line of its own: whatever a driver asks to be told by, it
	 * looks at CONS. */
	if (cs == 3)
		return CERROR_ILL;
	smmu_sync(s);
	pthread_mutex_lock(&s->lock);
	s->stats.syncs++;
	pthread_mutex_unlock(&s->lock);
	return CERROR_NONE;
}

static const struct {
	unsigned (*fn)(struct smmu *s, const struct fields *f);
	bool takes_lock;
} commands[] = {
	[CMD_PREFETCH_CFG] = { prefetch, false },  [CMD_PREFETCH_ADDR] = { prefetch, false },
	[CMD_CFGI_STE] = { cfgi_ste_one, false },  [CMD_CFGI_STE_RANGE] = { cfgi_ste_range, false },
	[CMD_CFGI_CD] = { cfgi_cd, false },	   [CMD_CFGI_CD_ALL] = { cfgi_cd_all, false },
	[CMD_TLBI_NH_ALL] = { tlbi_all, false },   [CMD_TLBI_NH_ASID] = { tlbi_asid, false },
	[CMD_TLBI_NH_VA] = { tlbi_va, false },	   [CMD_TLBI_NH_VAA] = { tlbi_vaa, false },
	[CMD_TLBI_NSNH_ALL] = { tlbi_all, false }, [CMD_ATC_INV] = { atc_inv, false },
	[CMD_PRI_RESP] = { pri_resp, false },	   [CMD_RESUME] = { resume, true },
	[CMD_STALL_TERM] = { stall_term, true },   [CMD_SYNC] = { sync_all, true },
};

unsigned cmd_execute(struct smmu *s, const uint64_t cmd[COMMAND_DWORDS])
{
	const struct fields f = { .sid = (uint32_t)(cmd[0] >> 32),
				  .ssid = (uint32_t)bits(cmd[0], 31, 12),
				  .c0 = cmd[0],
				  .c1 = cmd[1] };
	const unsigned op = (unsigned)bits(cmd[0], 7, 0);
	unsigned r;

	trace("command %02x %016" PRIx64 " %016" PRIx64, op, cmd[0], cmd[1]);
	pthread_mutex_lock(&s->lock);
	s->stats.cmds++;
	/* Commands of EL2, EL3 and stage 2 are illegal here: IDR0.HYP and S2P are 0. */
	if (op >= sizeof(commands) / sizeof(commands[0]) || !commands[op].fn) {
		pthread_mutex_unlock(&s->lock);
		return CERROR_ILL;
	}
	if (commands[op].takes_lock) {
		pthread_mutex_unlock(&s->lock);
		return commands[op].fn(s, &f);
	}
	r = commands[op].fn(s, &f);
	pthread_mutex_unlock(&s->lock);
	return r;
}
