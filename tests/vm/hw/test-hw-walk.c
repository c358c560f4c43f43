/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translation: each granule, level, block and contiguous run, each bit that matters, against tables built by
 * hand. */
#include <stdlib.h>

#include "tap.h"
#include "world.h"

#define VA UINT64_C(0x123456789000)
#define PA UINT64_C(0x60000000)

static struct world *w;

static void setup(void)
{
	w = world_new(NULL);
}

static void teardown(void)
{
	world_free(w);
}

static struct walk_regime regime_of(const struct space *sp)
{
	return (struct walk_regime){ .ttb = sp->ttb, .granule = sp->granule, .tsz = sp->tsz, .oas = 48 };
}

static struct walk_result walk_at(const struct space *sp, uint64_t va)
{
	struct walk_regime r = regime_of(sp);
	struct walk_result ret;

	walk(&w->ram, &r, va, &ret);
	return ret;
}

/* ---- every size that there is: granule, level, log2 of the size, with and without the contiguous bit
 * -------- */

static const struct size_case {
	unsigned granule, level, size, run;
} sizes[] = {
	{ 12, 3, 12, 16 }, { 12, 2, 21, 25 }, { 12, 1, 30, 34 }, { 14, 3, 14, 21 },
	{ 14, 2, 25, 30 }, { 16, 3, 16, 21 }, { 16, 2, 29, 34 },
};

START_TEST(size)
{
	const struct size_case *c = &sizes[_i];
	struct space sp = world_space(w, c->granule, 16, WORLD_ASID);
	const uint64_t page = UINT64_C(1) << c->size, va = VA & ~(page - 1),
		       pa = UINT64_C(0x7a0000000000) & ~(page - 1);
	struct walk_result r;

	world_map(w, &sp, va, pa, c->level);
	r = walk_at(&sp, va + page - 8);
	ck_assert_uint_eq(r.event, 0);
	ck_assert_uint_eq(r.size, c->size);
	ck_assert_uint_eq(r.pa, pa);
	ck_assert(r.read_el0 && r.write_el0 && r.read_el1 && r.write_el1 && !r.global);
	ck_assert_uint_eq(walk_at(&sp, va + page).event, F_TRANSLATION);
	ck_assert_uint_eq(walk_at(&sp, va - 1).event, F_TRANSLATION);
}
END_TEST

START_TEST(contiguous)
{
	const struct size_case *c = &sizes[_i];
	struct space sp = world_space(w, c->granule, 16, WORLD_ASID);
	const uint64_t page = UINT64_C(1) << c->size, run = UINT64_C(1) << c->run;
	const uint64_t va = UINT64_C(0x400000000000), pa = UINT64_C(0x200000000000);
	struct walk_result r;

	for (uint64_t at = 0; at < run; at += page)
		*world_map(w, &sp, va + at, pa + at, c->level) |= PTE_CONT;
	for (uint64_t at = 0; at < run; at += run - page) {
		r = walk_at(&sp, va + at);
		ck_assert_uint_eq(r.event, 0);
		ck_assert_uint_eq(r.size, c->run);
		ck_assert_uint_eq(r.pa, pa);
		if (run == page)
			break;
	}
	ck_assert_uint_eq(walk_at(&sp, va + run).event, F_TRANSLATION);
}
END_TEST

/* Input sizes: the walk starts where the size says; the last address maps, and it is not taken for another.
 */
static const struct {
	unsigned granule, bits;
} inputs[] = { { 12, 48 }, { 12, 47 }, { 12, 39 }, { 12, 36 }, { 12, 30 }, { 12, 25 }, { 14, 48 }, { 14, 47 },
	       { 14, 36 }, { 14, 32 }, { 14, 26 }, { 16, 48 }, { 16, 42 }, { 16, 36 }, { 16, 30 } };

START_TEST(input_size)
{
	const unsigned granule = inputs[_i].granule, input = inputs[_i].bits;
	struct space sp = world_space(w, granule, 64 - input, WORLD_ASID);
	const uint64_t page = UINT64_C(1) << granule, last = (UINT64_C(1) << input) - page;

	world_map(w, &sp, last, PA, 3);
	world_map(w, &sp, 0, PA + page, 3);
	ck_assert_uint_eq(walk_at(&sp, last).pa, PA);
	ck_assert_uint_eq(walk_at(&sp, 0).pa, PA + page);
	ck_assert_uint_eq(walk_at(&sp, last - page).event, F_TRANSLATION);
}
END_TEST

START_TEST(no_table)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID);

	for (unsigned level = 0; level < 4; level++) {
		*world_pte(w, &sp, VA, level) = 0;
		ck_assert_uint_eq(walk_at(&sp, VA).event, F_TRANSLATION);
		ck_assert_uint_eq(walk_at(&sp, VA).class, CLASS_IN);
	}
}
END_TEST

START_TEST(reserved_encodings)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID);
	uint64_t *e = world_map(w, &sp, VA, PA, 3);

	*e &= ~UINT64_C(2); /* a block at level 3 */
	ck_assert_uint_eq(walk_at(&sp, VA).event, F_TRANSLATION);
	*world_pte(w, &sp, VA, 0) = PA | PTE_AF | 1; /* a block at level 0 */
	ck_assert_uint_eq(walk_at(&sp, VA).event, F_TRANSLATION);
	sp = world_space(w, 14, 16, WORLD_ASID);
	world_map(w, &sp, VA, PA, 1); /* 16 KiB: no blocks above level 2 */
	ck_assert_uint_eq(walk_at(&sp, VA).event, F_TRANSLATION);
	sp = world_space(w, 16, 16, WORLD_ASID);
	world_map(w, &sp, VA, PA, 1); /* nor with 64 KiB */
	ck_assert_uint_eq(walk_at(&sp, VA).event, F_TRANSLATION);
}
END_TEST

START_TEST(access_flag)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID);

	*world_map(w, &sp, VA, PA, 3) &= ~PTE_AF;
	ck_assert_uint_eq(walk_at(&sp, VA).event, F_ACCESS);
}
END_TEST

START_TEST(permissions)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID);
	uint64_t *e = world_map(w, &sp, VA, PA, 3);
	struct walk_result r;

	*e |= PTE_RO;
	r = walk_at(&sp, VA);
	ck_assert(r.read_el0 && !r.write_el0 && r.read_el1 && !r.write_el1);
	*e &= ~PTE_USER;
	r = walk_at(&sp, VA);
	ck_assert(!r.read_el0 && !r.write_el0 && r.read_el1 && !r.write_el1);
	*e &= ~PTE_RO;
	r = walk_at(&sp, VA);
	ck_assert(!r.read_el0 && !r.write_el0 && r.read_el1 && r.write_el1);
	*e |= PTE_UXN;
	ck_assert(!walk_at(&sp, VA).exec_el0);
	*e = (*e & ~PTE_UXN & ~PTE_NG) | BIT64(53);
	r = walk_at(&sp, VA);
	ck_assert(r.exec_el0 && !r.exec_el1 && r.global);
}
END_TEST

START_TEST(hierarchical)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID);
	struct walk_regime regime = regime_of(&sp);
	struct walk_result r;

	world_map(w, &sp, VA, PA, 3);
	*world_pte(w, &sp, VA, 1) |= BIT64(62); /* APTable: read-only below */
	r = walk_at(&sp, VA);
	ck_assert(r.read_el0 && !r.write_el0 && !r.write_el1);
	*world_pte(w, &sp, VA, 2) |= BIT64(61) | BIT64(60) | BIT64(59); /* nothing for EL0, no execution */
	r = walk_at(&sp, VA);
	ck_assert(!r.read_el0 && r.read_el1 && !r.exec_el0 && !r.exec_el1);
	regime.hierarchy_off = true;
	walk(&w->ram, &regime, VA, &r);
	ck_assert(r.read_el0 && r.write_el0 && r.exec_el0 && r.exec_el1);
}
END_TEST

START_TEST(output_size)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID);
	struct walk_regime regime = regime_of(&sp);
	struct walk_result r;

	world_map(w, &sp, VA, UINT64_C(0x1000000000), 3); /* bit 36 */
	regime.oas = 36;
	walk(&w->ram, &regime, VA, &r);
	ck_assert_uint_eq(r.event, F_ADDR_SIZE);
	regime.oas = 40;
	walk(&w->ram, &regime, VA, &r);
	ck_assert_uint_eq(r.event, 0);
	*world_pte(w, &sp, VA, 1) = UINT64_C(0x10000000000) | 3; /* a table beyond */
	walk(&w->ram, &regime, VA, &r);
	ck_assert_uint_eq(r.event, F_ADDR_SIZE);
}
END_TEST

START_TEST(table_nowhere)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID);
	struct walk_result r;

	*world_pte(w, &sp, VA, 1) = UINT64_C(0x10000000) | 3;
	r = walk_at(&sp, VA);
	ck_assert_uint_eq(r.event, F_WALK_EABT);
	ck_assert_uint_eq(r.class, CLASS_TT);
	ck_assert_uint_eq(r.fetch, UINT64_C(0x10000000) + ((VA >> 21) & 511) * 8);
	sp.ttb = 0x1000;
	ck_assert_uint_eq(walk_at(&sp, VA).fetch, 0x1000 + ((VA >> 39) & 511) * 8);
}
END_TEST

/* ---- through the whole SMMU -------------------------------------------------------------------------------
 */

START_TEST(end_to_end)
{
	const struct size_case *c = &sizes[_i];
	struct space sp = world_space(w, c->granule, 16, WORLD_ASID);
	const uint64_t page = UINT64_C(1) << c->size;
	/* A block may be larger than the memory: the part of it that is memory counts. */
	const uint64_t pa = UINT64_C(0x60000000) & ~(page - 1), off = UINT64_C(0x60000010) - pa;
	uint64_t v = 0;

	world_map(w, &sp, VA & ~(page - 1), pa, c->level);
	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A);
	*world_at(w, pa + off) = 0x1234;
	ck_assert_int_eq(world_read(w, (VA & ~(page - 1)) + off, &v), ACCESS_OK);
	ck_assert_uint_eq(v, 0x1234);
	ck_assert_int_eq(world_write(w, (VA & ~(page - 1)) + off, 0x5678), ACCESS_OK);
	ck_assert_uint_eq(*world_at(w, pa + off), 0x5678);
	ck_assert_uint_eq(w->smmu->stats.walks, 1);
	ck_assert_uint_eq(w->smmu->stats.tlb_hits, 1);
	ck_assert_uint_eq(world_violations(w), 0);
}
END_TEST

START_TEST(tagged)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID);
	uint64_t v;

	world_map(w, &sp, VA, PA, 3);
	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A);
	ck_assert_int_eq(world_read(w, VA | UINT64_C(0xab) << 56, &v), ACCESS_ABORT);
	world_cd(w, WORLD_SSID)[0] |= BIT64(38); /* TBI0 */
	world_cfgi_cd(w, WORLD_SSID);
	ck_assert_int_eq(world_read(w, VA | UINT64_C(0xab) << 56, &v), ACCESS_OK);
	ck_assert_int_eq(world_read(w, VA | BIT64(50), &v), ACCESS_ABORT);
}
END_TEST

START_TEST(upper_half)
{
	struct space sp = world_space(w, 12, 16, WORLD_ASID), high = world_space(w, 12, 16, WORLD_ASID);
	uint64_t v, *cd, va = UINT64_C(0xffff) << 48 | VA;

	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A);
	ck_assert_int_eq(world_read(w, va, &v), ACCESS_ABORT); /* EPD1 */
	world_map(w, &high, VA, PA, 3);
	*world_at(w, PA) = 77;
	cd = world_cd(w, WORLD_SSID);
	cd[2] = high.ttb;
	cd[0] = (cd[0] & ~BIT64(30)) | UINT64_C(16) << 16 | UINT64_C(2) << 22; /* T1SZ; TG1: 4 KiB */
	world_cfgi_cd(w, WORLD_SSID);
	ck_assert_int_eq(world_read(w, va, &v), ACCESS_OK);
	ck_assert_uint_eq(v, 77);
	ck_assert_int_eq(world_read(w, VA, &v), ACCESS_ABORT); /* the other half is another table */
}
END_TEST

START_TEST(upper_half_granules)
{
	static const unsigned tg1[] = { 2, 1, 3 }; /* 4, 16, 64 KiB */
	struct space sp = world_space(w, 12, 16, WORLD_ASID);
	struct space high = world_space(w, 12 + 2 * (unsigned)_i, 16, WORLD_ASID);
	uint64_t v, *cd;

	world_map(w, &high, UINT64_C(0x7fff00000000), PA, 3);
	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A);
	cd = world_cd(w, WORLD_SSID);
	cd[2] = high.ttb;
	cd[0] = (cd[0] & ~BIT64(30)) | UINT64_C(16) << 16 | (uint64_t)tg1[_i] << 22;
	world_cfgi_cd(w, WORLD_SSID);
	ck_assert_int_eq(world_read(w, UINT64_C(0xffff7fff00000000), &v), ACCESS_OK);
	ck_assert_int_eq(world_read(w, UINT64_C(0xfffe7fff00000000), &v), ACCESS_ABORT);
	ck_assert_int_eq(world_read(w, UINT64_C(0x7fff00000000), &v), ACCESS_ABORT);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hw-walk");
	TCase *tc = tcase_create("walk");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, size, 0, 7);
	tcase_add_loop_test(tc, contiguous, 0, 7);
	tcase_add_loop_test(tc, input_size, 0, 15);
	tcase_add_test(tc, no_table);
	tcase_add_test(tc, reserved_encodings);
	tcase_add_test(tc, access_flag);
	tcase_add_test(tc, permissions);
	tcase_add_test(tc, hierarchical);
	tcase_add_test(tc, output_size);
	tcase_add_test(tc, table_nowhere);
	suite_add_tcase(s, tc);
	tc = tcase_create("translate");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, end_to_end, 0, 7);
	tcase_add_test(tc, tagged);
	tcase_add_test(tc, upper_half);
	tcase_add_loop_test(tc, upper_half_granules, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
