/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accelerator: commands of slots, rings, operations, faults. */
#include <string.h>

#include "../../../daemon/sim_crc32c.h"
#include "../../../kmod/svabroker.h"
#include "accel-fixture.h"
#include "tap.h"

/* ---- registers and commands
 * ---------------------------------------------------------------------------------- */

START_TEST(identification)
{
	const uint8_t *r = w->hw.accels[1].regs;

	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_MAGIC), SVAD_ACCEL_MAGIC);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_VERSION), SVAD_ACCEL_VERSION);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_OPS), 31);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_SLOTS), 8);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_FEATURES),
			  SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_STOP_CLEAN | SVAD_ACCEL_F_RESET);
	ck_assert_uint_eq(load32(w->hw.accels[3].regs + SVAD_ACCEL_REG_FEATURES), SVAD_ACCEL_F_RESET);
	r = world_portal(w, 0);
	ck_assert_uint_eq(load32(r + SVA_DEMO_REG_MAGIC), SVA_DEMO_MAGIC);
	ck_assert_uint_eq(load32(r + SVA_DEMO_REG_VERSION), SVA_DEMO_VERSION);
	ck_assert_uint_eq(load32(r + SVA_DEMO_REG_FLAGS), 0);
	ck_assert_uint_eq(load32(world_portal(w, 1) + SVA_DEMO_REG_MAGIC), 0); /* not enabled */
}
END_TEST

START_TEST(commands)
{
	expect_state(SVAD_ACCEL_S_ENABLED);
	ck_assert(world_slot_acked(w, 0));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_ENABLE, 6);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE); /* not stopped */
	world_slot_command(w, 0, 99, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE);
	for (unsigned i = 0; i < 2; i++) { /* twice is once */
		world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
		ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), 0);
		expect_state(SVAD_ACCEL_S_STOPPED);
	}
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), 0);
	expect_state(SVAD_ACCEL_S_IDLE);
	ck_assert_uint_eq(load64(world_portal(w, 0) + SVA_DEMO_REG_RING_BASE), 0);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE);
	world_slot_command(w, 7, SVAD_ACCEL_CMD_ENABLE, 9); /* the last one there is */
	ck_assert(world_slot_acked(w, 7));
}
END_TEST

START_TEST(interrupts)
{
	uint8_t *r = w->hw.accels[0].regs;
	const uint32_t n = load32(r + SVAD_ACCEL_REG_IRQ_COUNT);

	ck_assert_uint_eq(w->irqs[HW_SPI_ACCEL], 0); /* not asked for */
	ck_assert_uint_ge(n, 1);
	store32(r + SVAD_ACCEL_REG_IRQ_ENABLE, 1);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert_uint_eq(w->irqs[HW_SPI_ACCEL], 1);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_IRQ_COUNT), n + 1);
}
END_TEST

/* ---- operations
 * ------------------------------------------------------------------------------------------------ */

START_TEST(op_nop)
{
	run_ok(desc(SVA_DEMO_NOP, 0, 0, 0, 0));
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 1);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_JOBS), 0);
	ck_assert_uint_eq(load64(w->hw.accels[0].regs + SVAD_ACCEL_REG_JOBS), 1);
}
END_TEST

START_TEST(op_fill)
{
	static const uint32_t offsets[] = { 0, 1, 7, 4095, 4090 }, lens[] = { 1, 8, 4096, 9001, 20000 };
	const uint64_t to = DST + offsets[_i], len = lens[_i], arg = UINT64_C(0x0807060504030201);
	unsigned wrong = 0;

	run_ok(desc(SVA_DEMO_FILL, 0, to, len, arg));
	for (uint64_t i = 0; i < len; i++)
		wrong += *byte(to + i) != i % 8 + 1;
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(*byte(to + len), 0);
	if (offsets[_i])
		ck_assert_uint_eq(*byte(to - 1), 0);
}
END_TEST

START_TEST(op_copy)
{
	static const uint32_t from_off[] = { 0, 3, 4000, 1, 100 }, to_off[] = { 0, 5, 1, 4095, 100 };
	const uint64_t from = SRC + from_off[_i], to = DST + to_off[_i], len = 30000;
	unsigned wrong = 0;

	for (uint64_t i = 0; i < PAGES * 4096; i++)
		*byte(SRC + i) = (uint8_t)(i * 7 + i / 256);
	run_ok(desc(SVA_DEMO_COPY, from, to, len, 0));
	for (uint64_t i = 0; i < len; i++)
		wrong += *byte(to + i) != *byte(from + i);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(*byte(to + len), 0);
}
END_TEST

START_TEST(op_crc)
{
	uint8_t flat[10000];

	for (unsigned i = 0; i < sizeof(flat); i++)
		flat[i] = *byte(SRC + 17 + i) = (uint8_t)(i * 31);
	ck_assert_uint_eq(run_ok(desc(SVA_DEMO_CRC32C, SRC + 17, 0, sizeof(flat), 0)).result,
			  crc32c(0, flat, sizeof(flat)));
	ck_assert_uint_eq(run_ok(desc(SVA_DEMO_CRC32C, SRC, 0, 0, 5)).result, 5);
	memcpy(src, "123456789", 9);
	ck_assert_uint_eq(run_ok(desc(SVA_DEMO_CRC32C, SRC, 0, 9, 0)).result, 0xe3069283);
}
END_TEST

START_TEST(op_compare)
{
	struct sva_demo_completion c;

	ck_assert_uint_eq(run_ok(desc(SVA_DEMO_COMPARE, SRC, DST + 4, 20000, 0)).result, 0);
	*byte(DST + 4 + 9000) = 1;
	c = run(desc(SVA_DEMO_COMPARE, SRC, DST + 4, 20000, 0));
	ck_assert_uint_eq(c.status, SVA_DEMO_OK);
	ck_assert_uint_eq(c.result, 9001);
	ck_assert_uint_eq(c.bytes, 9000);
}
END_TEST

START_TEST(without_record)
{
	struct sva_demo_desc d = desc(SVA_DEMO_FILL, 0, DST, 8, 5);

	d.completion = 0;
	run(d);
	ck_assert_uint_eq(dst[0], 5);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 1);
}
END_TEST

START_TEST(bad_descriptor)
{
	struct sva_demo_desc d = desc(SVA_DEMO_COPY, SRC, DST, 64, 0);

	switch (_i) {
	case 0:
		d.op = 5;
		break;
	case 1:
		d.flags = 1;
		break;
	case 2:
		d.reserved0 = 1;
		break;
	case 3:
		d.reserved1[1] = 1;
		break;
	case 4:
		d.len = ACCEL_LEN_MAX + 1;
		break;
	case 5:
		d.src = UINT64_MAX - 10;
		break;
	case 6:
		d.dst = UINT64_MAX - 10;
		break;
	case 7:
		d.dst = d.src + 63;
		break;
	case 8:
		d.completion = DONE + 4;
		break;
	}
	run(d);
	if (d.completion == DONE)
		ck_assert_uint_eq(done[0].status, SVA_DEMO_BAD_DESCRIPTOR);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_SEQ), 1);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_CODE), SVAB_FAULT_DESCRIPTOR);
	ck_assert_uint_eq(dst[0], 0);
	run_ok(desc(SVA_DEMO_FILL, 0, DST, 8, 1)); /* the ring goes on */
}
END_TEST

START_TEST(ring_order)
{
	/* All eight at once, each depending on the one before, twice around. */
	for (unsigned n = 0; n < 16; n++) {
		struct sva_demo_desc d = desc(SVA_DEMO_COPY, SRC + n % 8 * 64, SRC + (n + 1) % 8 * 64, 64, 0);

		d.completion = DONE + n % 8 * 32;
		memcpy(&ring[n % 8], &d, sizeof(d));
		if (n % 8 == 7) {
			memset(src, 0, 4096);
			src[0] = (uint8_t)(n + 1);
			store32(world_portal(w, 0) + SVA_DEMO_REG_DOORBELL, n + 1);
			world_run(w);
			ck_assert_uint_eq(src[7 * 64], n + 1);
		}
	}
	ck_assert_uint_eq(w->hw.accels[0].jobs, 16);
}
END_TEST

START_TEST(ring_error)
{
	uint8_t *p = world_portal(w, 0);

	store32(p + SVA_DEMO_REG_ENABLE, 0);
	world_run(w);
	switch (_i) {
	case 0:
		store32(p + SVA_DEMO_REG_RING_SIZE, 3);
		break;
	case 1:
		store32(p + SVA_DEMO_REG_RING_SIZE, 1);
		break;
	case 2:
		store32(p + SVA_DEMO_REG_RING_SIZE, 8192);
		break;
	case 3:
		store64(p + SVA_DEMO_REG_RING_BASE, RING + 4);
		break;
	case 4:
		store64(p + SVA_DEMO_REG_RING_BASE, UINT64_MAX - 63);
		break;
	case 5:
		store32(p + SVA_DEMO_REG_DOORBELL, 9); /* more than there is room for */
		break;
	}
	store32(p + SVA_DEMO_REG_ENABLE, 1);
	world_run(w);
	ck_assert_uint_eq(load32(p + SVA_DEMO_REG_ERROR), SVAB_FAULT_RING);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_SEQ), 1); /* once */
	store32(p + SVA_DEMO_REG_ENABLE, 0);
	store32(p + SVA_DEMO_REG_DOORBELL, 0);
	world_run(w);
	ck_assert_uint_eq(load32(p + SVA_DEMO_REG_ERROR), 0);
	world_ring(w, 0, RING);
	run_ok(desc(SVA_DEMO_FILL, 0, DST, 8, 1));
}
END_TEST

/* ---- faults
 * ------------------------------------------------------------------------------------------------------- */

START_TEST(fault_retried)
{
	struct sva_demo_desc d = desc(SVA_DEMO_FILL, 0, DST, PAGES * 4096, 3);
	uint64_t *e[PAGES], was[PAGES];

	for (unsigned i = 0; i < PAGES; i++) {
		e[i] = world_pte(w, &sp, DST + i * 4096, 3);
		was[i] = *e[i];
		*e[i] = 0;
	}
	ck_assert_uint_eq(run(d).status, SVA_DEMO_PENDING);
	for (unsigned i = 0; i < PAGES; i++) { /* every page through a stall, one at a time */
		uint16_t stag = next_stag();

		ck_assert_uint_eq(done[0].status, SVA_DEMO_PENDING);
		ck_assert_uint_eq(stall_count(w->smmu, 1), 1);
		*e[i] = was[i];
		world_resume(w, stag, RESUME_RETRY);
	}
	ck_assert_uint_eq(done[0].status, SVA_DEMO_OK);
	ck_assert_uint_eq(done[0].bytes, PAGES * 4096);
	ck_assert_uint_eq(*byte(DST + PAGES * 4096 - 8), 3);
}
END_TEST

START_TEST(fault_aborted)
{
	unmap(DST + 2 * 4096);
	run(desc(SVA_DEMO_FILL, 0, DST, 4 * 4096, 3));
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(done[0].status, SVA_DEMO_FAULT_UNMAPPED);
	ck_assert_uint_eq(done[0].fault_addr, DST + 2 * 4096);
	ck_assert_uint_eq(done[0].bytes, 2 * 4096);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_CODE), SVAB_FAULT_UNMAPPED);
	ck_assert_uint_eq(load64(w->hw.accels[0].regs + SVAD_ACCEL_REG_FAULTS), 1);
	run_ok(desc(SVA_DEMO_FILL, 0, DST, 4096, 3));
}
END_TEST

START_TEST(fault_permission)
{
	*world_pte(w, &sp, DST, 3) |= PTE_RO;
	run(desc(SVA_DEMO_COPY, SRC, DST, 64, 0));
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(done[0].status, SVA_DEMO_FAULT_PERMISSION);
	ck_assert_uint_eq(done[0].fault_addr, DST);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_CODE), SVAB_FAULT_PERMISSION);
}
END_TEST

START_TEST(fault_zeroed)
{
	unmap(SRC);
	src[0] = 9;
	run(desc(SVA_DEMO_COPY, SRC, DST, 64, 0));
	dst[0] = 9;
	world_resume(w, next_stag(), RESUME_TERM); /* reads as zero */
	ck_assert_uint_eq(done[0].status, SVA_DEMO_OK);
	ck_assert_uint_eq(dst[0], 0);
}
END_TEST

START_TEST(fault_of_ring)
{
	unmap(RING);
	store32(world_portal(w, 0) + SVA_DEMO_REG_DOORBELL, 1);
	world_run(w);
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_ERROR), SVAB_FAULT_RING);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 0);
}
END_TEST

START_TEST(fault_of_record)
{
	unmap(DONE);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(done[0].status, SVA_DEMO_PENDING);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_CODE), SVAB_FAULT_UNMAPPED);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_JOBS), 0);
}
END_TEST

START_TEST(process_ended)
{
	uint64_t ev[EVENT_DWORDS];

	world_cd(w, WORLD_SSID)[0] = (world_cd(w, WORLD_SSID)[0] & ~(CD_S | CD_R)) | BIT64(14);
	world_cfgi_cd(w, WORLD_SSID);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_ERROR), SVAB_FAULT_MM_GONE);
	ck_assert(!world_event(w, ev));
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_SEQ), 1); /* it does not go on asking */
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPED);
}
END_TEST

START_TEST(others_go_on)
{
	/* A slot that waits for its page leaves the engines to the others. */
	struct space other = world_space(w, 12, 16, WORLD_ASID + 1);
	struct sva_demo_desc d;

	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_map(w, &other, RING, PA + 0x300000, 3);
	world_map(w, &other, DONE, PA + 0x301000, 3);
	world_cd_set(w, 9, &other, CD_S | CD_R | CD_A);
	world_slot_command(w, 1, SVAD_ACCEL_CMD_ENABLE, 9);
	world_ring(w, 1, RING);
	d = desc(SVA_DEMO_NOP, 0, 0, 0, 0);
	world_submit(w, 1, world_at(w, PA + 0x300000), &d);
	ck_assert_uint_eq(load32(world_at(w, PA + 0x301000)), SVA_DEMO_OK);
	ck_assert_uint_eq(done[0].status, SVA_DEMO_PENDING);
	world_resume(w, next_stag(), RESUME_ABORT);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hw-accel");
	TCase *tc = group(s, "slot", accel_setup, accel_teardown);

	tcase_add_test(tc, identification);
	tcase_add_test(tc, commands);
	tcase_add_test(tc, interrupts);
	tc = group(s, "operation", accel_setup, accel_teardown);
	tcase_add_test(tc, op_nop);
	tcase_add_loop_test(tc, op_fill, 0, 5);
	tcase_add_loop_test(tc, op_copy, 0, 5);
	tcase_add_test(tc, op_crc);
	tcase_add_test(tc, op_compare);
	tcase_add_test(tc, without_record);
	tcase_add_loop_test(tc, bad_descriptor, 0, 9);
	tcase_add_test(tc, ring_order);
	tcase_add_loop_test(tc, ring_error, 0, 6);
	tc = group(s, "fault", accel_setup, accel_teardown);
	tcase_add_test(tc, fault_retried);
	tcase_add_test(tc, fault_aborted);
	tcase_add_test(tc, fault_permission);
	tcase_add_test(tc, fault_zeroed);
	tcase_add_test(tc, fault_of_ring);
	tcase_add_test(tc, fault_of_record);
	tcase_add_test(tc, process_ended);
	tcase_add_test(tc, others_go_on);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
