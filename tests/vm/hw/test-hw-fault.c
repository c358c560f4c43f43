/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults: what is recorded, field by field; stalls and their answers; the event queue when it is full, late,
 * unreachable. */
#include <string.h>

#include "control.h"
#include "tap.h"
#include "world.h"

#define VA UINT64_C(0x500000003000)
#define PA UINT64_C(0x60000000)

static struct world *w;
static struct space sp;

static void setup(void)
{
	w = world_new(NULL);
	sp = world_space(w, 12, 16, WORLD_ASID);
}

static void teardown(void)
{
	world_free(w);
}

static struct access access_of(uint32_t sid, bool ssv, uint32_t ssid)
{
	static uint64_t v;

	return (struct access){ .sid = sid, .ssid = ssid, .ssv = ssv, .va = VA, .data = &v, .len = 8 };
}

/* The next event is this one, and it is the only one. */
static void expect(unsigned id, uint32_t sid, bool ssv, uint32_t ssid)
{
	uint64_t ev[EVENT_DWORDS];

	ck_assert(world_event(w, ev));
	ck_assert_uint_eq(ev[0] & 0xff, id);
	ck_assert_uint_eq(ev[0] >> 32, sid);
	ck_assert_uint_eq(ev[0] >> 11 & 1, ssv);
	ck_assert_uint_eq(ev[0] >> 12 & 0xfffff, ssv ? ssid : 0);
	ck_assert(!world_event(w, ev));
}

static void refused(uint32_t sid, bool ssv, uint32_t ssid, unsigned id)
{
	struct access a = access_of(sid, ssv, ssid);

	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	ck_assert_uint_eq(a.event, id);
	expect(id, sid, ssv, ssid);
}

/* ---- configuration ------------------------------------------------------------------------------------ */

START_TEST(bad_streamid)
{
	refused(256, true, WORLD_SSID, C_BAD_STREAMID); /* the table has 8 bits */
	refused(0xffffff, false, 0, C_BAD_STREAMID);
}
END_TEST

START_TEST(bad_streamid_2level)
{
	world_free(w);
	w = world_new(&(struct world_options){ .strtab_2level = true });
	refused(1 << 16, true, WORLD_SSID, C_BAD_STREAMID);
	refused(256, true, WORLD_SSID, C_BAD_STREAMID);		/* a leaf that is not there: SPAN = 0 */
	*world_at(w, load64(w->smmu->regs + STRTAB_BASE)) -= 2; /* a leaf of a quarter: 64 entries */
	refused(64, true, WORLD_SSID, C_BAD_STREAMID);
	refused(63, true, WORLD_SSID, C_BAD_STE); /* is there, V = 0 */
}
END_TEST

START_TEST(ste_fetch)
{
	struct access a = access_of(300, true, WORLD_SSID);
	uint64_t ev[EVENT_DWORDS];

	world_free(w);
	w = world_new(&(struct world_options){ .strtab_2level = true });
	*world_at(w, load64(w->smmu->regs + STRTAB_BASE) + 8) = 0x10000 | 9;
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	ck_assert(world_event(w, ev));
	ck_assert_uint_eq(ev[0] & 0xff, F_STE_FETCH);
	ck_assert_uint_eq(ev[3], 0x10000 + 44 * 64);
}
END_TEST

START_TEST(bad_ste)
{
	uint64_t *ste = world_ste(w, 2);

	refused(2, true, WORLD_SSID, C_BAD_STE); /* V = 0 */
	world_ste_set(w, 2, 6);			 /* stage 2 alone: there is none */
	refused(2, true, WORLD_SSID, C_BAD_STE);
	world_ste_set(w, 2, 7);
	refused(2, true, WORLD_SSID, C_BAD_STE);
	world_ste_set(w, 2, STE_CONFIG_S1);
	ste[0] = (ste[0] & ~(UINT64_C(31) << 59)) | UINT64_C(17) << 59; /* more SubstreamIDs than there are */
	world_command(w, CMD_CFGI_STE | UINT64_C(2) << 32, 1);
	refused(2, true, WORLD_SSID, C_BAD_STE);
	world_ste_set(w, 2, STE_CONFIG_S1);
	ste[1] = 3; /* S1DSS: reserved */
	world_command(w, CMD_CFGI_STE | UINT64_C(2) << 32, 1);
	refused(2, false, 0, C_BAD_STE);
}
END_TEST

START_TEST(ste_abort)
{
	struct access a = access_of(2, true, WORLD_SSID);
	uint64_t ev[EVENT_DWORDS];

	world_ste_set(w, 2, STE_CONFIG_ABORT);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	ck_assert(a.off);
	ck_assert(!world_event(w, ev)); /* without a word */
}
END_TEST

START_TEST(ste_bypass)
{
	struct access a = access_of(2, false, 0);

	world_ste_set(w, 2, STE_CONFIG_BYPASS);
	a.va = PA;
	*world_at(w, PA) = 99;
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK);
	ck_assert_uint_eq(*(uint64_t *)a.data, 99);
	refused(2, true, WORLD_SSID, C_BAD_SUBSTREAMID);
}
END_TEST

START_TEST(disabled)
{
	struct access a = access_of(1, false, 0);

	a.va = PA;
	reg32_set(w->smmu, CR0, 0);
	world_run(w);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK); /* GBPA says bypass */
	reg32_set(w->smmu, GBPA, GBPA_ABORT | GBPA_UPDATE);
	world_run(w);
	ck_assert_uint_eq(reg32(w->smmu, GBPA), GBPA_ABORT);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
}
END_TEST

START_TEST(bad_substreamid)
{
	world_cd_set(w, 0, &sp, CD_R | CD_A);
	refused(1, true, 256, C_BAD_SUBSTREAMID);    /* S1CDMax is 8 */
	refused(1, true, 0, C_BAD_SUBSTREAMID);	     /* 0 is for those without */
	world_ste(w, 1)[0] &= ~(UINT64_C(31) << 59); /* S1CDMax 0: no substreams */
	world_command(w, CMD_CFGI_STE | UINT64_C(1) << 32, 1);
	refused(1, true, WORLD_SSID, C_BAD_SUBSTREAMID);
}
END_TEST

START_TEST(bad_substreamid_2level)
{
	world_free(w);
	w = world_new(&(struct world_options){ .cd_fmt = (unsigned)_i + 1 });
	sp = world_space(w, 12, 16, WORLD_ASID);
	refused(1, true, _i ? 1024 : 64, C_BAD_SUBSTREAMID); /* a leaf that is not there */
	refused(1, true, _i ? 1023 : 63, C_BAD_CD);	     /* the last of the one that is */
	refused(1, true, 65536, C_BAD_SUBSTREAMID);
}
END_TEST

START_TEST(stream_disabled)
{
	world_ste(w, 1)[1] = STE_S1DSS_TERMINATE;
	world_command(w, CMD_CFGI_STE | UINT64_C(1) << 32, 1);
	refused(1, false, 0, F_STREAM_DISABLED);
}
END_TEST

START_TEST(without_substream)
{
	struct access a = access_of(1, false, 0);

	/* S1DSS = SSID0: the descriptor 0 */
	world_map(w, &sp, VA, PA, 3);
	world_cd_set(w, 0, &sp, CD_R | CD_A);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK);
	world_ste(w, 1)[1] = STE_S1DSS_BYPASS;
	world_command(w, CMD_CFGI_STE | UINT64_C(1) << 32, 1);
	a.va = PA + 4096;
	*world_at(w, PA + 4096) = 5;
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK);
	ck_assert_uint_eq(*(uint64_t *)a.data, 5);
}
END_TEST

START_TEST(cd_fetch)
{
	struct access a = access_of(1, true, 70);
	uint64_t ev[EVENT_DWORDS];

	world_free(w);
	w = world_new(&(struct world_options){ .cd_fmt = 1 });
	*world_at(w, w->cdtab + 8) = 0x20000 | 1;
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	ck_assert(world_event(w, ev));
	ck_assert_uint_eq(ev[0] & 0xff, F_CD_FETCH);
	ck_assert_uint_eq(ev[3], 0x20000 + 6 * 64);
}
END_TEST

START_TEST(bad_cd)
{
	static const struct {
		uint64_t clear, set;
	} edits[] = {
		{ BIT64(31), 0 },	  /* V */
		{ BIT64(41), 0 },	  /* AA64 */
		{ 0x3f, 15 },		  /* T0SZ too small */
		{ 0x3f, 40 },		  /* ... too big */
		{ 0, UINT64_C(3) << 6 },  /* TG0 reserved */
		{ 0, UINT64_C(7) << 32 }, /* IPS reserved */
		{ BIT64(30), 0 },	  /* TTB1 in use, with T1SZ = 0 */
	};
	uint64_t *cd = world_cd(w, WORLD_SSID);

	world_map(w, &sp, VA, PA, 3);
	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A);
	cd[0] = (cd[0] & ~edits[_i].clear) | edits[_i].set;
	world_cfgi_cd(w, WORLD_SSID);
	refused(1, true, WORLD_SSID, C_BAD_CD);
}
END_TEST

START_TEST(bad_cd_stalld)
{
	world_cd_set(w, WORLD_SSID, &sp, CD_S | CD_R | CD_A);
	world_ste(w, 1)[1] |= BIT64(27); /* S1STALLD, and S in the descriptor */
	world_command(w, CMD_CFGI_STE | UINT64_C(1) << 32, 1);
	refused(1, true, WORLD_SSID, C_BAD_CD);
}
END_TEST

START_TEST(bad_cd_ttb)
{
	uint64_t *cd = world_cd(w, WORLD_SSID);

	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A);
	cd[0] &= ~(UINT64_C(7) << 32); /* IPS: 32 bits */
	cd[1] = UINT64_C(1) << 32;
	world_cfgi_cd(w, WORLD_SSID);
	refused(1, true, WORLD_SSID, C_BAD_CD);
}
END_TEST

/* ---- translation: every kind of fault, every way to end ---------------------------------------------------
 */

static const struct {
	unsigned id;
	bool write, privileged, instruction;
} faults[] = {
	{ F_TRANSLATION, false, false, false }, { F_TRANSLATION, true, false, false },
	{ F_TRANSLATION, true, true, false },	{ F_TRANSLATION, false, false, true },
	{ F_PERMISSION, true, false, false },	{ F_PERMISSION, false, false, true },
	{ F_ACCESS, false, false, false },	{ F_ADDR_SIZE, false, false, false },
};
#define N_FAULTS 8

static struct access faulty(int i, uint64_t sra)
{
	struct access a = access_of(1, true, WORLD_SSID);
	uint64_t *e;

	a.write = faults[i].write;
	a.privileged = faults[i].privileged;
	a.instruction = faults[i].instruction;
	world_cd_set(w, WORLD_SSID, &sp, sra);
	if (faults[i].id == F_TRANSLATION)
		return a;
	e = world_map(w, &sp, VA, PA, 3);
	if (faults[i].id == F_PERMISSION)
		*e |= PTE_RO | PTE_UXN;
	if (faults[i].id == F_ACCESS)
		*e &= ~PTE_AF;
	if (faults[i].id == F_ADDR_SIZE) {
		world_cd(w, WORLD_SSID)[0] &= ~(UINT64_C(7) << 32); /* IPS: 32 bits */
		world_cfgi_cd(w, WORLD_SSID);
		*e |= BIT64(40);
	}
	return a;
}

static void expect_fault(int i, bool stall, uint16_t *ret_stag)
{
	uint64_t ev[EVENT_DWORDS];

	ck_assert(world_event(w, ev));
	ck_assert_uint_eq(ev[0], faults[i].id | BIT64(11) | WORLD_SSID << 12 | UINT64_C(1) << 32);
	ck_assert_uint_eq(ev[1] >> 31 & 1, stall);
	ck_assert_uint_eq(ev[1] >> 33 & 1, faults[i].privileged);
	ck_assert_uint_eq(ev[1] >> 34 & 1, faults[i].instruction);
	ck_assert_uint_eq(ev[1] >> 35 & 1, !faults[i].write);
	ck_assert_uint_eq(ev[1] >> 39 & 1, 0); /* S2 */
	ck_assert_uint_eq(ev[1] >> 40 & 3, CLASS_IN);
	ck_assert_uint_eq(ev[2], VA);
	if (!stall)
		ck_assert_uint_eq(ev[1] & 0xffff, 0);
	else
		*ret_stag = (uint16_t)ev[1];
	ck_assert(!world_event(w, ev));
}

START_TEST(fault_recorded)
{
	struct access a = faulty(_i, CD_R | CD_A);

	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	ck_assert_uint_eq(a.event, faults[_i].id);
	expect_fault(_i, false, NULL);
	/* Not kept: it is a fault again, until the tables say otherwise. */
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	expect_fault(_i, false, NULL);
	ck_assert_uint_eq(w->smmu->tlb.count, 0);
}
END_TEST

START_TEST(fault_silent)
{
	struct access a = faulty(_i, CD_A);
	uint64_t ev[EVENT_DWORDS];

	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	ck_assert(!world_event(w, ev));
}
END_TEST

START_TEST(fault_zero)
{
	struct access a = faulty(_i, CD_R);

	*(uint64_t *)a.data = 1;
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ZERO);
	ck_assert_uint_eq(*(uint64_t *)a.data, a.write ? 1 : 0);
	expect_fault(_i, false, NULL);
}
END_TEST

static struct {
	struct waiter waiter;
	unsigned n;
	enum answer a;
} woken;

static void wake(struct waiter *waiter, enum answer a)
{
	ck_assert_ptr_eq(waiter, &woken.waiter);
	woken.n++;
	woken.a = a;
}

static struct waiter *waiter(void)
{
	memset(&woken, 0, sizeof(woken));
	woken.waiter.wake = wake;
	return &woken.waiter;
}

START_TEST(fault_stalled)
{
	static const struct {
		unsigned resp;
		enum answer a;
	} answers[] = { { RESUME_RETRY, ANSWER_RETRY },
			{ RESUME_ABORT, ANSWER_ABORT },
			{ RESUME_TERM, ANSWER_ZERO } };
	struct access a = faulty(_i, CD_S | CD_R | CD_A);
	uint16_t stag = 0, last = 0;

	for (unsigned i = 0; i < 3; i++) {
		a.waiter = waiter();
		ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
		expect_fault(_i, true, &stag);
		ck_assert_uint_ne(stag, last);
		ck_assert_uint_eq(w->smmu->n_stalls, 1);
		ck_assert_uint_eq(woken.n, 0);
		world_resume(w, stag, answers[i].resp);
		ck_assert_uint_eq(woken.n, 1);
		ck_assert_int_eq(woken.a, answers[i].a);
		ck_assert_uint_eq(w->smmu->n_stalls, 0);
		last = stag;
	}
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

START_TEST(stalled_whatever_r_says)
{
	struct access a = faulty(0, CD_S);
	uint16_t stag = 0;

	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	expect_fault(0, true, &stag);
}
END_TEST

START_TEST(walk_abort)
{
	struct access a = faulty(0, CD_S | CD_A);
	uint64_t ev[EVENT_DWORDS];

	*world_pte(w, &sp, VA, 0) = 0x3000 | 3;
	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT); /* never stalls, always told */
	ck_assert(world_event(w, ev));
	ck_assert_uint_eq(ev[0] & 0xff, F_WALK_EABT);
	ck_assert_uint_eq(ev[1] >> 40 & 3, CLASS_TT);
	ck_assert_uint_eq(ev[1] >> 31 & 1, 0);
	ck_assert_uint_eq(ev[2], VA);
	ck_assert_uint_eq(ev[3], 0x3000 + ((VA >> 30) & 511) * 8);
}
END_TEST

START_TEST(switched_off)
{
	/* As Linux leaves it when a process has ended: EPD0, no stall, no record, abort. */
	struct access a = access_of(1, true, WORLD_SSID);
	uint64_t ev[EVENT_DWORDS];

	world_map(w, &sp, VA, PA, 3);
	world_cd_set(w, WORLD_SSID, &sp, CD_S | CD_R | CD_A);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK);
	world_cd(w, WORLD_SSID)[0] = (world_cd(w, WORLD_SSID)[0] & ~(CD_S | CD_R)) | BIT64(14);
	world_cfgi_cd(w, WORLD_SSID);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT); /* although the TLB still has it */
	ck_assert(a.off);
	ck_assert(!world_event(w, ev));
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

START_TEST(nothing_there)
{
	struct access a = access_of(1, true, WORLD_SSID);
	uint64_t ev[EVENT_DWORDS];

	world_map(w, &sp, VA, UINT64_C(0x1000), 3); /* not memory */
	world_cd_set(w, WORLD_SSID, &sp, CD_S | CD_R | CD_A);
	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	ck_assert(!world_event(w, ev));
}
END_TEST

/* ---- stalls
 * ------------------------------------------------------------------------------------------------ */

static uint16_t next_stag(void)
{
	uint64_t ev[EVENT_DWORDS];

	ck_assert(world_event(w, ev));
	ck_assert(ev[1] >> 31 & 1);
	return (uint16_t)ev[1];
}

START_TEST(stall_limit)
{
	struct access a;
	uint16_t stag;

	world_free(w);
	w = world_new(&(struct world_options){ .stall_max = 2 });
	sp = world_space(w, 12, 16, WORLD_ASID);
	ck_assert_uint_eq(reg32(w->smmu, IDR5) >> 16, 2);
	a = faulty(0, CD_S | CD_R | CD_A);
	a.waiter = waiter();
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert_uint_eq(event_unread(w->smmu), 2); /* the third waits for room */
	stag = next_stag();
	world_resume(w, stag, RESUME_ABORT);
	ck_assert_uint_eq(woken.n, 2); /* the one that was answered, and the one that may try now */
	ck_assert_int_eq(woken.a, ANSWER_RETRY);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert_uint_eq(event_unread(w->smmu), 2);
	ck_assert_uint_eq(w->smmu->stats.max_stalls, 2);
}
END_TEST

START_TEST(stall_unrecorded_given_up)
{
	struct access a;

	world_free(w);
	w = world_new(&(struct world_options){ .stall_max = 1 });
	sp = world_space(w, 12, 16, WORLD_ASID);
	a = faulty(0, CD_S | CD_R | CD_A);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED); /* an orphan from the start */
	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert(stall_orphan(w->smmu, &woken.waiter));
	ck_assert(!stall_orphan(w->smmu, &woken.waiter));
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(woken.n, 0);
}
END_TEST

START_TEST(orphan_arrives)
{
	struct access a = faulty(1, CD_S | CD_R | CD_A);
	uint64_t v = 42;

	a.data = &v;
	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert(stall_orphan(w->smmu, &woken.waiter));
	v = 43; /* the device reuses its buffer */
	world_map(w, &sp, VA, PA, 3);
	world_resume(w, next_stag(), RESUME_RETRY);
	ck_assert_uint_eq(*world_at(w, PA), 42);
	ck_assert_uint_eq(woken.n, 0);
	ck_assert_uint_eq(w->smmu->n_stalls, 0);
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

START_TEST(orphan_stalls_again)
{
	struct access a = faulty(1, CD_S | CD_R | CD_A);
	uint64_t v = 44;

	a.data = &v;
	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert(stall_orphan(w->smmu, &woken.waiter));
	world_resume(w, next_stag(), RESUME_RETRY); /* but nothing was mapped */
	ck_assert_uint_eq(w->smmu->n_stalls, 1);
	world_map(w, &sp, VA, PA, 3);
	world_resume(w, next_stag(), RESUME_RETRY);
	ck_assert_uint_eq(*world_at(w, PA), 44);
}
END_TEST

START_TEST(orphan_aborted)
{
	struct access a = faulty(1, CD_S | CD_R | CD_A);

	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert(stall_orphan(w->smmu, &woken.waiter));
	world_map(w, &sp, VA, PA, 3);
	*world_at(w, PA) = 1;
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(*world_at(w, PA), 1);
	ck_assert_uint_eq(w->smmu->n_stalls, 0);
}
END_TEST

START_TEST(answers_lost_and_late)
{
	struct access a = faulty(0, CD_S | CD_R | CD_A);
	uint16_t stag;

	w->smmu->faults.response[1].lose = 1;
	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	world_resume(w, next_stag(), RESUME_RETRY);
	ck_assert_uint_eq(woken.n, 0);
	ck_assert_uint_eq(stall_count(w->smmu, 1), 1);
	smmu_faults_off(w->smmu);
	ck_assert_uint_eq(woken.n, 1);
	ck_assert_int_eq(woken.a, ANSWER_ABORT);
	ck_assert_uint_eq(stall_count(w->smmu, 1), 0);

	w->smmu->faults.response[1].delay_ms = 1000;
	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	stag = next_stag();
	world_resume(w, stag, RESUME_RETRY);
	ck_assert_uint_eq(woken.n, 0);
	ck_assert_uint_eq(timers_flush(&w->hw.timers), 1);
	ck_assert_uint_eq(woken.n, 1);
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

START_TEST(stall_term)
{
	struct access a = faulty(0, CD_S | CD_R | CD_A);

	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	world_command(w, CMD_STALL_TERM | UINT64_C(2) << 32, 0);
	ck_assert_uint_eq(woken.n, 0);
	world_command(w, CMD_STALL_TERM | UINT64_C(1) << 32, 0);
	ck_assert_uint_eq(woken.n, 2);
	ck_assert_int_eq(woken.a, ANSWER_ABORT);
}
END_TEST

/* ---- the event queue
 * ------------------------------------------------------------------------------------------ */

START_TEST(event_wrap)
{
	for (unsigned i = 0; i < 100; i++)
		refused(2, true, i % 256, C_BAD_STE);
	ck_assert_uint_eq(w->smmu->stats.lost_events, 0);
	ck_assert_uint_eq(w->smmu->stats.events, 100);
	ck_assert_uint_eq(w->irqs[HW_SPI_EVENT], 100);
}
END_TEST

START_TEST(event_overflow)
{
	struct access a = access_of(2, true, WORLD_SSID);
	uint64_t ev[EVENT_DWORDS];

	for (unsigned i = 0; i < 16; i++)
		smmu_access(w->smmu, &a);
	ck_assert_uint_eq(reg32(w->smmu, EVTQ_PROD), 16);
	for (unsigned i = 0; i < 3; i++)
		smmu_access(w->smmu, &a);
	ck_assert_uint_eq(reg32(w->smmu, EVTQ_PROD), 16 | QUEUE_OVFLG); /* told once */
	ck_assert_uint_eq(w->smmu->stats.lost_events, 3);
	for (unsigned i = 0; i < 16; i++)
		ck_assert(world_event(w, ev));
	ck_assert(!world_event(w, ev));
	reg32_set(w->smmu, EVTQ_CONS, w->evtq_cons | QUEUE_OVFLG); /* acknowledged */
	for (unsigned i = 0; i < 17; i++)
		smmu_access(w->smmu, &a);
	ck_assert_uint_eq(reg32(w->smmu, EVTQ_PROD), 0); /* a second overflow, told by the bit's change */
}
END_TEST

START_TEST(stall_waits_for_room)
{
	struct access a, junk = access_of(2, true, WORLD_SSID);
	uint64_t ev[EVENT_DWORDS];
	unsigned n = 0;

	for (unsigned i = 0; i < 16; i++)
		smmu_access(w->smmu, &junk);
	a = faulty(0, CD_S | CD_R | CD_A);
	a.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert_uint_eq(reg32(w->smmu, EVTQ_PROD), 16); /* nothing was lost, so no overflow */
	while (world_event(w, ev))
		n++;
	ck_assert_uint_eq(n, 17);
	ck_assert_uint_eq(ev[0] & 0xff, F_TRANSLATION);
	world_resume(w, (uint16_t)ev[1], RESUME_RETRY);
	ck_assert_uint_eq(woken.n, 1);
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

START_TEST(event_queue_off)
{
	struct access a = access_of(2, true, WORLD_SSID);

	reg32_set(w->smmu, CR0, CR0_SMMUEN | CR0_CMDQEN);
	world_run(w);
	smmu_access(w->smmu, &a);
	ck_assert_uint_eq(reg32(w->smmu, EVTQ_PROD), 0);
	ck_assert_uint_eq(w->smmu->stats.lost_events, 1);
}
END_TEST

START_TEST(event_queue_nowhere)
{
	struct access a = access_of(2, true, WORLD_SSID);

	store64(w->smmu->regs + EVTQ_BASE, 0x4000 | 4);
	smmu_access(w->smmu, &a);
	ck_assert_uint_eq(reg32(w->smmu, GERROR), GERROR_EVENTQ_ABT);
	ck_assert_uint_eq(w->irqs[HW_SPI_GERROR], 1);
	smmu_access(w->smmu, &a); /* active already: no change that could be taken for its end */
	ck_assert_uint_eq(reg32(w->smmu, GERROR), GERROR_EVENTQ_ABT);
}
END_TEST

START_TEST(interrupt_held)
{
	uint64_t ev[EVENT_DWORDS];
	struct access a = access_of(2, true, WORLD_SSID);
	char buf[200];

	control_execute(&w->hw, "evtq hold", buf, sizeof(buf), NULL);
	smmu_access(w->smmu, &a);
	ck_assert_uint_eq(w->irqs[HW_SPI_EVENT], 0);
	ck_assert_uint_eq(event_unread(w->smmu), 1);
	control_execute(&w->hw, "evtq release", buf, sizeof(buf), NULL);
	ck_assert_uint_eq(w->irqs[HW_SPI_EVENT], 1);
	ck_assert(world_event(w, ev));
	control_execute(&w->hw, "evtq delay 50", buf, sizeof(buf), NULL);
	smmu_access(w->smmu, &a);
	ck_assert_uint_eq(w->irqs[HW_SPI_EVENT], 1);
	ck_assert_uint_eq(timers_flush(&w->hw.timers), 1);
	ck_assert_uint_eq(w->irqs[HW_SPI_EVENT], 2);
	reg32_set(w->smmu, IRQ_CTRL, 0);
	world_run(w);
	control_execute(&w->hw, "evtq normal", buf, sizeof(buf), NULL);
	smmu_access(w->smmu, &a);
	ck_assert_uint_eq(w->irqs[HW_SPI_EVENT], 2); /* masked */
}
END_TEST

START_TEST(record_late)
{
	struct access a = access_of(2, true, WORLD_SSID), b;

	b = faulty(0, CD_S | CD_R | CD_A); /* (its CMD_SYNC would wait for a late record) */
	w->smmu->faults.evtq_late_ms = 100;
	smmu_access(w->smmu, &a);
	b.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &b), ACCESS_STALLED);
	world_run(w);
	ck_assert_uint_eq(event_unread(w->smmu), 0);
	ck_assert_uint_eq(timers_flush(&w->hw.timers), 2);
	ck_assert_uint_eq(event_unread(w->smmu), 2);
	ck_assert_uint_eq(w->smmu->inflight[0] + w->smmu->inflight[1], 0);
}
END_TEST

START_TEST(record_until_sync)
{
	struct access a = access_of(2, true, WORLD_SSID), b;
	char buf[200];

	b = faulty(0, CD_S | CD_R | CD_A);
	control_execute(&w->hw, "evtq late sync", buf, sizeof(buf), NULL);
	smmu_access(w->smmu, &a);
	ck_assert_uint_eq(event_unread(w->smmu), 1); /* no stall: at once */
	b.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &b), ACCESS_STALLED);
	world_run(w);
	ck_assert_uint_eq(world_command(w, CMD_TLBI_NH_ALL, 0), CERROR_NONE);
	ck_assert_uint_eq(event_unread(w->smmu), 1);
	world_sync(w);
	ck_assert_uint_eq(event_unread(w->smmu), 2);
	b.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &b), ACCESS_STALLED);
	ck_assert_uint_eq(event_unread(w->smmu), 2);
	control_execute(&w->hw, "evtq normal", buf, sizeof(buf), NULL);
	ck_assert_uint_eq(event_unread(w->smmu), 3);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hw-fault");
	TCase *tc = tcase_create("configuration");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, bad_streamid);
	tcase_add_test(tc, bad_streamid_2level);
	tcase_add_test(tc, ste_fetch);
	tcase_add_test(tc, bad_ste);
	tcase_add_test(tc, ste_abort);
	tcase_add_test(tc, ste_bypass);
	tcase_add_test(tc, disabled);
	tcase_add_test(tc, bad_substreamid);
	tcase_add_loop_test(tc, bad_substreamid_2level, 0, 2);
	tcase_add_test(tc, stream_disabled);
	tcase_add_test(tc, without_substream);
	tcase_add_test(tc, cd_fetch);
	tcase_add_loop_test(tc, bad_cd, 0, 7);
	tcase_add_test(tc, bad_cd_stalld);
	tcase_add_test(tc, bad_cd_ttb);
	suite_add_tcase(s, tc);
	tc = tcase_create("translation");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, fault_recorded, 0, N_FAULTS);
	tcase_add_loop_test(tc, fault_silent, 0, N_FAULTS);
	tcase_add_loop_test(tc, fault_zero, 0, N_FAULTS);
	tcase_add_loop_test(tc, fault_stalled, 0, N_FAULTS);
	tcase_add_test(tc, stalled_whatever_r_says);
	tcase_add_test(tc, walk_abort);
	tcase_add_test(tc, switched_off);
	tcase_add_test(tc, nothing_there);
	suite_add_tcase(s, tc);
	tc = tcase_create("stall");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, stall_limit);
	tcase_add_test(tc, stall_unrecorded_given_up);
	tcase_add_test(tc, orphan_arrives);
	tcase_add_test(tc, orphan_stalls_again);
	tcase_add_test(tc, orphan_aborted);
	tcase_add_test(tc, answers_lost_and_late);
	tcase_add_test(tc, stall_term);
	suite_add_tcase(s, tc);
	tc = tcase_create("event");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, event_wrap);
	tcase_add_test(tc, event_overflow);
	tcase_add_test(tc, stall_waits_for_room);
	tcase_add_test(tc, event_queue_off);
	tcase_add_test(tc, event_queue_nowhere);
	tcase_add_test(tc, interrupt_held);
	tcase_add_test(tc, record_late);
	tcase_add_test(tc, record_until_sync);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
