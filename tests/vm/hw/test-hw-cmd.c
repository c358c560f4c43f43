/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers, the command queue, each command: what it takes out of the caches and what it leaves in them. */
#include <string.h>

#include "fixture.h"
#include "tap.h"

#define VA UINT64_C(0x500000000000)
#define PA UINT64_C(0x60000000)

static void setup(void)
{
	fixture_world(NULL);
	world_map(w, &sp, VA, PA, 3);
	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A);
}

/* ---- registers --------------------------------------------------------------------------------------------
 */

START_TEST(identification)
{
	const uint32_t idr0 = reg32(w->smmu, IDR0), idr1 = reg32(w->smmu, IDR1), idr5 = reg32(w->smmu, IDR5);

	ck_assert(idr0 & IDR0_S1P);
	ck_assert(!(idr0 & 1));		     /* no stage 2 */
	ck_assert_uint_eq(idr0 >> 2 & 3, 2); /* AArch64 tables */
	ck_assert(idr0 & IDR0_COHACC && idr0 & IDR0_ASID16 && idr0 & IDR0_CD2L);
	ck_assert(!(idr0 & (1u << 5)));	      /* no broadcast TLB maintenance: commands alone */
	ck_assert_uint_eq(idr0 >> 24 & 3, 0); /* stall and terminate */
	ck_assert_uint_eq(idr1 & 63, 16);
	ck_assert_uint_eq(idr1 >> 6 & 31, 16);
	ck_assert_uint_eq(idr5 & 7, 5);
	ck_assert_uint_eq(idr5 >> 16, 64);
}
END_TEST

START_TEST(without_ats)
{
	world_free(w);
	w = world_new(&(struct world_options){ .no_ats = true });
	ck_assert(!(reg32(w->smmu, IDR0) & (IDR0_ATS | IDR0_PRI)));
	ck_assert(!pri_request(w->smmu, 1, 1, VA));
	ck_assert_uint_eq(world_command(w, CMD_ATC_INV, 0), CERROR_ILL);
}
END_TEST

START_TEST(acknowledged)
{
	reg32_set(w->smmu, CR0, CR0_CMDQEN);
	reg32_set(w->smmu, IRQ_CTRL, IRQ_CTRL_EVENTQ);
	ck_assert_uint_ne(reg32(w->smmu, CR0ACK), CR0_CMDQEN);
	world_run(w);
	ck_assert_uint_eq(reg32(w->smmu, CR0ACK), CR0_CMDQEN);
	ck_assert_uint_eq(reg32(w->smmu, IRQ_CTRLACK), IRQ_CTRL_EVENTQ);
}
END_TEST

START_TEST(restarted)
{
	/* A driver that begins anew: queues off, indices from the beginning. */
	reg32_set(w->smmu, CR0, 0);
	world_run(w);
	w->cmdq_prod = 0;
	reg32_set(w->smmu, CMDQ_PROD, 0);
	reg32_set(w->smmu, CMDQ_CONS, 0);
	reg32_set(w->smmu, CR0, CR0_CMDQEN | CR0_SMMUEN | CR0_EVENTQEN);
	world_run(w);
	world_sync(w);
	ck_assert_uint_eq(reg32(w->smmu, CMDQ_CONS), 1);
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

/* ---- the queue
 * ----------------------------------------------------------------------------------------------- */

START_TEST(queue_wrap)
{
	for (unsigned i = 0; i < 200; i++)
		world_sync(w);
	ck_assert_uint_eq(reg32(w->smmu, CMDQ_CONS), w->cmdq_prod);
}
END_TEST

START_TEST(queue_filled)
{
	/* As many as it holds, at once. */
	const uint64_t before = w->smmu->stats.cmds;

	for (unsigned i = 0; i < 16; i++) {
		uint64_t *e = world_at(w, w->cmdq + ((w->cmdq_prod + i) & 15) * 16);

		e[0] = CMD_SYNC;
		e[1] = 0;
	}
	w->cmdq_prod = (w->cmdq_prod + 16) & 31;
	reg32_set(w->smmu, CMDQ_PROD, w->cmdq_prod);
	world_run(w);
	ck_assert_uint_eq(w->smmu->stats.cmds, before + 16);
	ck_assert_uint_eq(reg32(w->smmu, CMDQ_CONS), w->cmdq_prod);
}
END_TEST

START_TEST(queue_arithmetic)
{
	const struct queue q = { .log2 = 3 };

	ck_assert_uint_eq(queue_next(&q, 7), 8);
	ck_assert_uint_eq(queue_next(&q, 15), 0);
	ck_assert_uint_eq(queue_next(&q, 15 | QUEUE_OVFLG), QUEUE_OVFLG);
	ck_assert_uint_eq(queue_count(&q, 2, 14), 4);
	ck_assert_uint_eq(queue_count(&q, 2 | QUEUE_OVFLG, 14), 4);
	ck_assert(queue_full(&q, 8, 0));
	ck_assert(queue_full(&q, 0, 8));
	ck_assert(!queue_full(&q, 7, 0));
}
END_TEST

START_TEST(queue_nowhere)
{
	store64(w->smmu->regs + CMDQ_BASE, 0x8000 | 4);
	ck_assert_uint_eq(world_command(w, CMD_SYNC, 0), CERROR_ABT);
	ck_assert(reg32(w->smmu, GERROR) & GERROR_CMDQ_ERR);
}
END_TEST

START_TEST(illegal)
{
	static const uint8_t ops[] = { 0x00, 0x18, 0x20, 0x21, 0x22, 0x28, 0x2a, 0x47, 0x50, 0xff };
	const uint32_t at = w->cmdq_prod;
	uint64_t *e = world_at(w, w->cmdq + (at & 15) * 16);
	const uint64_t syncs = w->smmu->stats.syncs;

	ck_assert_uint_eq(world_command(w, ops[_i], 0), CERROR_ILL);
	ck_assert_uint_eq(reg32(w->smmu, CMDQ_CONS) & 0xffff, at); /* it stays at the culprit */
	ck_assert_uint_eq(reg32(w->smmu, GERROR), GERROR_CMDQ_ERR);
	ck_assert_uint_eq(w->irqs[HW_SPI_GERROR], 1);
	world_command(w, CMD_SYNC, 0);
	ck_assert_uint_eq(w->smmu->stats.syncs, syncs); /* nothing goes on */
	e[0] = CMD_SYNC; /* what the driver does: something harmless in its place, then the acknowledgement */
	e[1] = 0;
	reg32_set(w->smmu, GERRORN, GERROR_CMDQ_ERR);
	world_run(w);
	ck_assert_uint_eq(w->smmu->stats.syncs, syncs + 2);
	ck_assert_uint_eq(reg32(w->smmu, CMDQ_CONS), w->cmdq_prod);
}
END_TEST

START_TEST(illegal_fields)
{
	ck_assert_uint_eq(world_command(w, _i ? CMD_RESUME | 3 << 12 : CMD_SYNC | 3 << 12, 0), CERROR_ILL);
}
END_TEST

START_TEST(injected_error)
{
	char buf[100];

	control_execute(&w->hw, "cmdq error", buf, sizeof(buf), NULL);
	ck_assert_str_eq(buf, "ok");
	ck_assert_uint_eq(world_command(w, CMD_SYNC, 0), CERROR_ILL);
	reg32_set(w->smmu, GERRORN, GERROR_CMDQ_ERR);
	world_run(w);
	ck_assert_uint_eq(reg32(w->smmu, CMDQ_CONS), w->cmdq_prod); /* the same command is good now */
}
END_TEST

START_TEST(second_error)
{
	/* GERROR is a toggle: the second one is told by a bit that goes back. */
	for (unsigned i = 1; i < 4; i++) {
		uint64_t *e = world_at(w, w->cmdq + (w->cmdq_prod & 15) * 16);

		ck_assert_uint_eq(world_command(w, 0xff, 0), CERROR_ILL);
		ck_assert_uint_eq(reg32(w->smmu, GERROR) & GERROR_CMDQ_ERR, i & 1);
		e[0] = CMD_SYNC;
		reg32_set(w->smmu, GERRORN, reg32(w->smmu, GERROR));
		world_run(w);
		ck_assert_uint_eq(reg32(w->smmu, CMDQ_CONS), w->cmdq_prod);
	}
}
END_TEST

START_TEST(command_while_off)
{
	reg32_set(w->smmu, CR0, CR0_SMMUEN);
	world_run(w);
	ck_assert_uint_eq(world_violations(w), 0);
	world_command(w, CMD_SYNC, 0);
	ck_assert_uint_eq(world_violations(w), 1);
}
END_TEST

/* ---- TLB
 * ---------------------------------------------------------------------------------------------------------
 */

/* The page moves; true: the access sees the new one. */
static bool sees_new(uint64_t va, uint32_t ssid)
{
	struct access a = world_access(va, NULL, 8, false);
	uint64_t v = 0;

	a.ssid = ssid;
	a.data = &v;
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK);
	return v == 2;
}

static uint64_t *warm(uint64_t va, uint32_t ssid)
{
	uint64_t *e = world_pte(w, &sp, va, 3);

	*world_at(w, PA) = 1;
	*world_at(w, PA + 0x10000) = 2;
	ck_assert(!sees_new(va, ssid));
	*e += 0x10000;
	ck_assert(!sees_new(va, ssid)); /* it was not told */
	return e;
}

START_TEST(tlbi)
{
	static const struct {
		uint64_t c0, c1;
		bool hit;
	} cmds[] = {
		{ CMD_TLBI_NH_ALL, 0, true },
		{ CMD_TLBI_NSNH_ALL, 0, true },
		{ CMD_TLBI_NH_ASID | (uint64_t)WORLD_ASID << 48, 0, true },
		{ CMD_TLBI_NH_ASID | (uint64_t)(WORLD_ASID + 1) << 48, 0, false },
		{ CMD_TLBI_NH_VA | (uint64_t)WORLD_ASID << 48, VA | 1, true },
		{ CMD_TLBI_NH_VA | (uint64_t)WORLD_ASID << 48, VA + 0x1000, false },
		{ CMD_TLBI_NH_VA | (uint64_t)(WORLD_ASID + 1) << 48, VA, false },
		{ CMD_TLBI_NH_VAA, VA, true },
		{ CMD_TLBI_NH_VAA, VA - 0x1000, false },
		{ CMD_CFGI_CD | WORLD_SSID << 12 | UINT64_C(1) << 32, 1, false },
		{ CMD_ATC_INV, VA, false },
		{ CMD_PREFETCH_CFG, 0, false },
		{ CMD_PREFETCH_ADDR, 0, false },
		{ CMD_SYNC, 0, false },
	};

	warm(VA, WORLD_SSID);
	ck_assert_uint_eq(world_command(w, cmds[_i].c0, cmds[_i].c1), 0);
	world_sync(w);
	ck_assert_int_eq(sees_new(VA, WORLD_SSID), cmds[_i].hit);
}
END_TEST

START_TEST(tlbi_global)
{
	*world_pte(w, &sp, VA, 3) &= ~PTE_NG;
	warm(VA, WORLD_SSID);
	world_command(w, CMD_TLBI_NH_ASID | (uint64_t)WORLD_ASID << 48, 0); /* leaves global ones */
	ck_assert(!sees_new(VA, WORLD_SSID));
	world_command(w, CMD_TLBI_NH_VA | UINT64_C(99) << 48, VA); /* by address: whatever the ASID */
	ck_assert(sees_new(VA, WORLD_SSID));
}
END_TEST

START_TEST(tlbi_in_block)
{
	/* Any address of a block, and of a contiguous run, takes the whole of it. */
	static const uint64_t at[] = { 0, 0x1000, 0x1ff000 };
	uint64_t va = VA + 0x40000000, *e = world_map(w, &sp, va, PA, 2);

	*world_at(w, PA) = 1;
	*world_at(w, PA + 0x200000) = 2;
	ck_assert(!sees_new(va, WORLD_SSID));
	*e += 0x200000;
	ck_assert(!sees_new(va, WORLD_SSID));
	world_command(w, CMD_TLBI_NH_VA | (uint64_t)WORLD_ASID << 48, va + at[_i]);
	ck_assert(sees_new(va, WORLD_SSID));
}
END_TEST

START_TEST(tlbi_in_contiguous)
{
	uint64_t va = VA + 0x40000000;

	for (unsigned i = 0; i < 16; i++)
		*world_map(w, &sp, va + i * 4096, PA + i * 4096, 3) |= PTE_CONT;
	*world_at(w, PA) = 1;
	*world_at(w, PA + 0x10000) = 2;
	ck_assert(!sees_new(va, WORLD_SSID));
	ck_assert_uint_eq(w->smmu->tlb.count, 1);
	for (unsigned i = 0; i < 16; i++)
		*world_pte(w, &sp, va + i * 4096, 3) += 0x10000;
	ck_assert(!sees_new(va, WORLD_SSID));
	world_command(w, CMD_TLBI_NH_VA | (uint64_t)WORLD_ASID << 48, va + 0xf000);
	ck_assert(sees_new(va, WORLD_SSID));
}
END_TEST

START_TEST(tlb_permission)
{
	/* An entry that forbids is looked up again: a page may have become writable. One that allows is used
	 * as it is. */
	uint64_t *e = world_pte(w, &sp, VA, 3), v;

	*e |= PTE_RO;
	ck_assert_int_eq(world_read(w, VA, &v), ACCESS_OK);
	ck_assert_int_eq(world_write(w, VA, 3), ACCESS_ABORT);
	*e &= ~PTE_RO;
	ck_assert_int_eq(world_write(w, VA, 3), ACCESS_OK);
	*e |= PTE_RO;
	ck_assert_int_eq(world_write(w, VA, 4), ACCESS_OK);
	world_command(w, CMD_TLBI_NH_VA | (uint64_t)WORLD_ASID << 48, VA);
	ck_assert_int_eq(world_write(w, VA, 5), ACCESS_ABORT);
}
END_TEST

START_TEST(tlb_asids)
{
	struct space other = world_space(w, 12, 16, WORLD_ASID + 1);

	world_map(w, &other, VA, PA + 0x20000, 3);
	*world_at(w, PA + 0x20000) = 2;
	world_cd_set(w, WORLD_SSID + 1, &other, CD_R | CD_A);
	*world_at(w, PA) = 1;
	ck_assert(!sees_new(VA, WORLD_SSID));
	ck_assert(sees_new(VA, WORLD_SSID + 1));
	ck_assert(!sees_new(VA, WORLD_SSID));
	ck_assert_uint_eq(w->smmu->tlb.count, 2);
	world_command(w, CMD_TLBI_NH_ASID | (uint64_t)other.asid << 48, 0);
	ck_assert_uint_eq(w->smmu->tlb.count, 1);
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

START_TEST(tlb_capacity)
{
	/* More pages than entries: old ones go, none is wrong. */
	const unsigned n = TLB_SETS * TLB_WAYS + 1000;
	unsigned wrong = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t va = VA + UINT64_C(0x100000000) + i * UINT64_C(4096), v;

		world_map(w, &sp, va, PA + (i % 64) * 4096, 3);
		*world_at(w, PA + (i % 64) * 4096) = i % 64;
		wrong += world_read(w, va, &v) != ACCESS_OK || v != i % 64;
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_le(w->smmu->tlb.count, TLB_SETS * TLB_WAYS);
	world_command(w, CMD_TLBI_NH_ALL, 0);
	ck_assert_uint_eq(w->smmu->tlb.count, 0);
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

/* ---- configuration cache
 * -------------------------------------------------------------------------------------------- */

START_TEST(cfgi_cd)
{
	static const struct {
		uint64_t c0, c1;
		bool hit;
	} cmds[] = {
		{ CMD_CFGI_CD | WORLD_SSID << 12 | UINT64_C(1) << 32, 1, true },
		{ CMD_CFGI_CD | WORLD_SSID << 12 | UINT64_C(1) << 32, 0, true },
		{ CMD_CFGI_CD | (WORLD_SSID + 1) << 12 | UINT64_C(1) << 32, 1, false },
		{ CMD_CFGI_CD | WORLD_SSID << 12 | UINT64_C(2) << 32, 1, false },
		{ CMD_CFGI_CD_ALL | UINT64_C(1) << 32, 0, true },
		{ CMD_CFGI_CD_ALL | UINT64_C(2) << 32, 0, false },
		{ CMD_CFGI_STE | UINT64_C(1) << 32, 1, true },
		{ CMD_CFGI_STE | UINT64_C(2) << 32, 1, false },
		{ CMD_CFGI_STE_RANGE | UINT64_C(1) << 32, 31, true },
		{ CMD_CFGI_STE_RANGE | UINT64_C(4) << 32, 1, false },
		{ CMD_CFGI_STE_RANGE | UINT64_C(2) << 32, 1, true }, /* 0 to 3 */
		{ CMD_TLBI_NH_ALL, 0, false },
	};
	uint64_t v;

	ck_assert_int_eq(world_read(w, VA, &v), ACCESS_OK);
	world_cd(w, WORLD_SSID)[0] = 0;
	ck_assert_int_eq(world_read(w, VA, &v), ACCESS_OK);
	world_command(w, cmds[_i].c0, cmds[_i].c1);
	world_sync(w);
	ck_assert_int_eq(world_read(w, VA, &v), cmds[_i].hit ? ACCESS_ABORT : ACCESS_OK);
}
END_TEST

START_TEST(cfgi_ste)
{
	struct access a = { .sid = 2, .va = PA, .len = 8, .data = &(uint64_t){ 0 } };

	world_ste_set(w, 2, STE_CONFIG_BYPASS);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK);
	world_ste(w, 2)[0] = STE_V; /* abort */
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK);
	world_command(w, CMD_CFGI_CD_ALL | UINT64_C(2) << 32, 0); /* not that */
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_OK);
	world_command(w, CMD_CFGI_STE | UINT64_C(2) << 32, 1);
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
}
END_TEST

START_TEST(invalid_not_kept)
{
	uint64_t v;

	world_cd_set(w, WORLD_SSID, NULL, 0);
	ck_assert_int_eq(world_read(w, VA, &v), ACCESS_ABORT);
	world_cd(w, WORLD_SSID)[0] = world_cd(w, 6)[0]; /* still none */
	ck_assert_int_eq(world_read(w, VA, &v), ACCESS_ABORT);
	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A);
	ck_assert_int_eq(world_read(w, VA, &v), ACCESS_OK);
}
END_TEST

/* ---- ATS, PRI
 * -----------------------------------------------------------------------------------------------------------
 */

static void use_ats(void)
{
	world_ste(w, 1)[1] |= UINT64_C(1) << 28; /* EATS */
	world_command(w, CMD_CFGI_STE | UINT64_C(1) << 32, 1);
}

START_TEST(atc)
{
	static const struct {
		uint64_t c0, c1;
		bool hit;
	} cmds[] = {
		{ CMD_ATC_INV | BIT64(11) | WORLD_SSID << 12 | UINT64_C(1) << 32, VA, true },
		{ CMD_ATC_INV | BIT64(11) | WORLD_SSID << 12 | UINT64_C(1) << 32, VA + 0x1000, false },
		{ CMD_ATC_INV | BIT64(11) | WORLD_SSID << 12 | UINT64_C(1) << 32,
		  (VA & ~UINT64_C(0x1fffff)) | 9, true },
		{ CMD_ATC_INV | BIT64(11) | WORLD_SSID << 12 | UINT64_C(1) << 32, 52, true },
		{ CMD_ATC_INV | BIT64(11) | (WORLD_SSID + 1) << 12 | UINT64_C(1) << 32, 52, false },
		{ CMD_ATC_INV | BIT64(11) | BIT64(9) | UINT64_C(1) << 32, 52, true }, /* every substream */
		{ CMD_ATC_INV | BIT64(11) | WORLD_SSID << 12 | UINT64_C(2) << 32, 52, false },
		{ CMD_TLBI_NH_ALL, 0, false }, /* the device's own cache: not the SMMU's to clear */
		{ CMD_CFGI_STE_RANGE, 31, false },
	};

	use_ats();
	warm(VA, WORLD_SSID);
	world_command(w, CMD_TLBI_NH_ALL, 0); /* so that the ATC alone remembers */
	ck_assert(!sees_new(VA, WORLD_SSID));
	world_command(w, cmds[_i].c0, cmds[_i].c1);
	ck_assert_int_eq(sees_new(VA, WORLD_SSID), cmds[_i].hit);
}
END_TEST

START_TEST(no_atc_without_eats)
{
	warm(VA, WORLD_SSID);
	world_command(w, CMD_TLBI_NH_ALL, 0);
	ck_assert(sees_new(VA, WORLD_SSID));
}
END_TEST

START_TEST(pri)
{
	const uint64_t *e = world_at(w, w->priq);

	ck_assert(pri_request(w->smmu, 1, WORLD_SSID, VA + 0x123));
	ck_assert_uint_eq(reg32(w->smmu, PRIQ_PROD), 1);
	ck_assert_uint_eq(w->irqs[HW_SPI_PRI], 1);
	ck_assert_uint_eq(e[0] & 0xffffffff, 1);
	ck_assert_uint_eq(e[0] >> 32 & 0xfffff, WORLD_SSID);
	ck_assert_uint_eq(e[1] & ~UINT64_C(0xfff), VA);
	ck_assert_uint_eq(w->smmu->pris, 1);
	world_command(w, CMD_PRI_RESP | BIT64(11) | WORLD_SSID << 12 | UINT64_C(1) << 32, 1);
	ck_assert_uint_eq(w->smmu->pris, 0);
	for (unsigned i = 1; i < 16; i++)
		ck_assert(pri_request(w->smmu, 1, WORLD_SSID, VA));
	ck_assert(!pri_request(w->smmu, 1, WORLD_SSID, VA)); /* full */
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hw-cmd");
	TCase *tc = group(s, "register", setup, fixture_free);

	tcase_add_test(tc, identification);
	tcase_add_test(tc, without_ats);
	tcase_add_test(tc, acknowledged);
	tcase_add_test(tc, restarted);
	tc = group(s, "queue", setup, fixture_free);
	tcase_add_test(tc, queue_wrap);
	tcase_add_test(tc, queue_filled);
	tcase_add_test(tc, queue_arithmetic);
	tcase_add_test(tc, queue_nowhere);
	tcase_add_loop_test(tc, illegal, 0, 10);
	tcase_add_loop_test(tc, illegal_fields, 0, 2);
	tcase_add_test(tc, injected_error);
	tcase_add_test(tc, second_error);
	tcase_add_test(tc, command_while_off);
	tc = group(s, "tlb", setup, fixture_free);
	tcase_add_loop_test(tc, tlbi, 0, 14);
	tcase_add_test(tc, tlbi_global);
	tcase_add_loop_test(tc, tlbi_in_block, 0, 3);
	tcase_add_test(tc, tlbi_in_contiguous);
	tcase_add_test(tc, tlb_permission);
	tcase_add_test(tc, tlb_asids);
	tcase_add_test(tc, tlb_capacity);
	tc = group(s, "config", setup, fixture_free);
	tcase_add_loop_test(tc, cfgi_cd, 0, 12);
	tcase_add_test(tc, cfgi_ste);
	tcase_add_test(tc, invalid_not_kept);
	tc = group(s, "ats", setup, fixture_free);
	tcase_add_loop_test(tc, atc, 0, 9);
	tcase_add_test(tc, no_atc_without_eats);
	tcase_add_test(tc, pri);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
