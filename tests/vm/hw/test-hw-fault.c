/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults: what is recorded, field by field. */
#include <string.h>

#include "fault-fixture.h"
#include "tap.h"

static void setup(void)
{
	fixture_world(NULL);
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

static Suite *suite(void)
{
	Suite *s = suite_create("hw-fault");
	TCase *tc = group(s, "configuration", setup, fixture_free);

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
	tc = group(s, "translation", setup, fixture_free);
	tcase_add_loop_test(tc, fault_recorded, 0, N_FAULTS);
	tcase_add_loop_test(tc, fault_silent, 0, N_FAULTS);
	tcase_add_loop_test(tc, fault_zero, 0, N_FAULTS);
	tcase_add_loop_test(tc, fault_stalled, 0, N_FAULTS);
	tcase_add_test(tc, stalled_whatever_r_says);
	tcase_add_test(tc, walk_abort);
	tcase_add_test(tc, switched_off);
	tcase_add_test(tc, nothing_there);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
