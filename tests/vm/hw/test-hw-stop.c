/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accelerator: stops of each kind, hold, late transactions, reset, disappearance. */
#include <string.h>

#include "../../../kmod/svabroker.h"
#include "accel-fixture.h"
#include "tap.h"

/* ---- stop
 * ------------------------------------------------------------------------------------------------------------
 */

START_TEST(stop_flushed)
{
	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPED); /* all it sent is with the SMMU */
	ck_assert(world_slot_acked(w, 0));
	ck_assert_uint_eq(done[0].status, SVA_DEMO_ABORTED);
	ck_assert_uint_eq(stall_count(w->smmu, 1), 1);
	/* ... and goes on from there when it is answered. */
	world_map(w, &sp, DST, PA + 0x200000 + PAGES * 8192, 3);
	world_resume(w, next_stag(), RESUME_RETRY);
	ck_assert_uint_eq(dst[0], 3);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	expect_state(SVAD_ACCEL_S_IDLE);
}
END_TEST

START_TEST(stop_clean)
{
	uint16_t stag;

	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 3 * 4096, 3));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPING);
	ck_assert(!world_slot_acked(w, 0));
	stag = next_stag();
	world_map(w, &sp, DST, PA + 0x200000 + PAGES * 8192, 3);
	world_resume(w, stag, _i ? RESUME_ABORT : RESUME_RETRY);
	expect_state(SVAD_ACCEL_S_STOPPED);
	ck_assert(world_slot_acked(w, 0));
	ck_assert_uint_eq(done[0].status, _i ? SVA_DEMO_FAULT_UNMAPPED : SVA_DEMO_ABORTED);
	ck_assert_uint_eq(done[0].bytes, _i ? 0 : 4096); /* no page after the one that was out */
	ck_assert_uint_eq(stall_count(w->smmu, 1), 0);
}
END_TEST

START_TEST(stop_while_record_stalls)
{
	unmap(DONE);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPED);
	world_resume(w, next_stag(), RESUME_ABORT);
}
END_TEST

START_TEST(stop_while_fetch_stalls)
{
	unmap(RING);
	store32(world_portal(w, 0) + SVA_DEMO_REG_DOORBELL, 1);
	world_run(w);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPED);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 0);
	world_resume(w, next_stag(), RESUME_ABORT);
}
END_TEST

START_TEST(stopped_fetches_nothing)
{
	struct sva_demo_desc d = desc(SVA_DEMO_FILL, 0, DST, 8, 1);

	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	world_submit(w, 0, ring, &d);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 0);
	ck_assert_uint_eq(dst[0], 0);
}
END_TEST

START_TEST(stop_ignored)
{
	ask(_i == 2 ? "stop accel0 ignore-one" : "stop accel0 ignore forever");
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(!world_slot_acked(w, 0));
	run_ok(desc(SVA_DEMO_FILL, 0, DST, 8, 1)); /* it works on */
	ck_assert_str_eq(ask("wait-stop accel0 1 0"), "ok 1");
	if (_i == 2) {
		store32(w->hw.accels[0].regs + SVAD_ACCEL_REG_STOP_ALL_SEQ, 1);
		world_run(w);
		expect_state(SVAD_ACCEL_S_STOPPED);
	} else if (_i) {
		ask("stop accel0 obey");
		world_run(w);
		expect_state(SVAD_ACCEL_S_STOPPED);
	} else {
		store32(w->hw.accels[0].regs + SVAD_ACCEL_REG_RESET_SEQ, 1);
		world_run(w);
		expect_state(SVAD_ACCEL_S_IDLE);
	}
	ck_assert(world_slot_acked(w, 0));
}
END_TEST

START_TEST(stop_fails)
{
	ask("stop 0 fail");
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(world_slot_acked(w, 0));
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STOP);
	expect_state(SVAD_ACCEL_S_ENABLED);
}
END_TEST

START_TEST(stop_late)
{
	ask("stop accel0 delay 3600000");
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(!world_slot_acked(w, 0));
	w->hw.accels[0].slots[0].obey_at = 1; /* the time has come */
	world_run(w);
	expect_state(SVAD_ACCEL_S_STOPPED);
}
END_TEST

START_TEST(stop_all)
{
	uint8_t *r = w->hw.accels[0].regs;

	world_slot_command(w, 3, SVAD_ACCEL_CMD_ENABLE, 6);
	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	store32(r + SVAD_ACCEL_REG_STOP_ALL_SEQ, 1);
	world_run(w);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_STOP_ALL_ACK), 1);
	expect_state(SVAD_ACCEL_S_STOPPED);
	ck_assert_uint_eq(world_slot(w, 3, SVAD_ACCEL_SLOT_STATE), SVAD_ACCEL_S_STOPPED);
	world_resume(w, next_stag(), RESUME_ABORT);
}
END_TEST

START_TEST(no_stop)
{
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE);
	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_BUSY);
	world_resume(w, next_stag(), RESUME_ABORT);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), 0);
	expect_state(SVAD_ACCEL_S_IDLE);
}
END_TEST

/* ---- hold, late transactions
 * ------------------------------------------------------------------------------------------- */

START_TEST(held)
{
	ask("hold accel0 2");
	run(desc(SVA_DEMO_FILL, 0, DST, 5 * 4096, 3));
	ck_assert_str_eq(ask("wait accel0 held 0"), "ok 1");
	ck_assert_uint_eq(*byte(DST + 4096), 3);
	ck_assert_uint_eq(*byte(DST + 2 * 4096), 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_JOBS), 1);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_INFLIGHT), 1);
	if (_i) {
		world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
		expect_state(SVAD_ACCEL_S_STOPPED);
		ck_assert_uint_eq(done[0].status, SVA_DEMO_ABORTED);
		ck_assert_uint_eq(done[0].bytes, 2 * 4096);
	} else {
		ask("unhold accel0");
		world_run(w);
		ck_assert_uint_eq(done[0].status, SVA_DEMO_OK);
	}
	ck_assert_str_eq(ask("wait-idle accel0 0"), "ok 0");
}
END_TEST

START_TEST(late)
{
	ask("late-dma accel0 1000");
	run(desc(SVA_DEMO_FILL, 0, DST, 8, 3));
	timers_flush(&w->hw.timers); /* the descriptor */
	world_run(w);
	ck_assert_uint_eq(dst[0], 0); /* the data is on its way */
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(!world_slot_acked(w, 0)); /* and the stop waits for it */
	for (unsigned i = 0; i < 4; i++) {
		timers_flush(&w->hw.timers);
		world_run(w);
	}
	ck_assert_uint_eq(dst[0], 3);
	expect_state(SVAD_ACCEL_S_STOPPED);
}
END_TEST

/* ---- reset, disappearance
 * --------------------------------------------------------------------------------------------------- */

START_TEST(reset)
{
	uint8_t *r = w->hw.accels[0].regs;

	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	store32(r + SVAD_ACCEL_REG_RESET_SEQ, 7);
	world_run(w);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_RESET_ACK), 7);
	expect_state(SVAD_ACCEL_S_IDLE);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_MAGIC), 0);
	ck_assert_uint_eq(stall_count(w->smmu, 1), 1); /* what was sent is the SMMU's */
	world_resume(w, next_stag(), RESUME_ABORT);
	accel_begin();
	run_ok(desc(SVA_DEMO_FILL, 0, DST + 4096, 8, 1));
}
END_TEST

START_TEST(reset_of_lost_answer)
{
	ask("response accel0 lose 1");
	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_resume(w, next_stag(), RESUME_ABORT);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(!world_slot_acked(w, 0)); /* it waits for ever */
	store32(w->hw.accels[0].regs + SVAD_ACCEL_REG_RESET_SEQ, 1);
	world_run(w);
	ck_assert_uint_eq(load32(w->hw.accels[0].regs + SVAD_ACCEL_REG_RESET_ACK), 1);
	ck_assert_uint_eq(stall_count(w->smmu, 1), 0);
}
END_TEST

START_TEST(vanished)
{
	uint8_t *r = w->hw.accels[0].regs;
	char ret[64];

	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	accel_vanish(&w->hw.accels[0]);
	world_run(w);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_MAGIC), UINT32_MAX);
	ck_assert_uint_eq(load32(world_portal(w, 0)), UINT32_MAX);
	world_slot_command(w, 1, SVAD_ACCEL_CMD_ENABLE, 9);
	ck_assert(!world_slot_acked(w, 1));
	accel_return(&w->hw.accels[0]);
	world_run(w);
	control_execute(&w->hw, "return accel0", ret, sizeof(ret), NULL);
	ck_assert_str_eq(ret, "ok 0");
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_MAGIC), SVAD_ACCEL_MAGIC);
	expect_state(SVAD_ACCEL_S_IDLE);
	world_resume(w, next_stag(), RESUME_ABORT);
	accel_begin();
	run_ok(desc(SVA_DEMO_FILL, 0, DST + 4096, 8, 1));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hw-stop");
	TCase *tc = group(s, "stop", accel_setup, accel_teardown);

	tcase_add_test(tc, stop_flushed);
	tcase_add_test(tc, stop_while_record_stalls);
	tcase_add_test(tc, stop_while_fetch_stalls);
	tcase_add_test(tc, stopped_fetches_nothing);
	tcase_add_loop_test(tc, stop_ignored, 0, 3);
	tcase_add_test(tc, stop_fails);
	tcase_add_test(tc, stop_late);
	tcase_add_test(tc, stop_all);
	tcase_add_loop_test(group(s, "stop-clean", accel_setup_clean, accel_teardown), stop_clean, 0, 2);
	tcase_add_test(group(s, "no-stop", accel_setup_nostop, accel_teardown), no_stop);
	tc = group(s, "injected", accel_setup, accel_teardown);
	tcase_add_loop_test(tc, held, 0, 2);
	tcase_add_test(tc, late);
	tc = group(s, "reset", accel_setup, accel_teardown);
	tcase_add_test(tc, reset);
	tcase_add_test(tc, vanished);
	tcase_add_test(group(s, "reset-clean", accel_setup_clean, accel_teardown), reset_of_lost_answer);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
