/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stalls and their answers; the event queue when it is full, late, unreachable. */
#include <string.h>

#include "fault-fixture.h"
#include "tap.h"

static void setup(void)
{
	fixture_world(NULL);
}

/* ---- stalls
 * ------------------------------------------------------------------------------------------------ */

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
	ck_assert_uint_eq(stall_unanswered(w->smmu, 1), 0);
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
	ck_assert_uint_eq(stall_unanswered(w->smmu, 1), 1);
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

START_TEST(record_until_cfgi)
{
	struct access a = access_of(2, true, WORLD_SSID), b;
	char buf[200];

	b = faulty(0, CD_S | CD_R | CD_A);
	control_execute(&w->hw, "evtq late cfgi", buf, sizeof(buf), NULL);
	smmu_access(w->smmu, &a);
	ck_assert_uint_eq(event_unread(w->smmu), 1); /* no stall: at once */
	b.waiter = waiter();
	ck_assert_int_eq(smmu_access(w->smmu, &b), ACCESS_STALLED);
	world_run(w);
	ck_assert_uint_eq(world_command(w, CMD_TLBI_NH_ALL, 0), CERROR_NONE);
	world_sync(w);
	world_cfgi_cd(w, WORLD_SSID + 1);
	world_sync(w);
	ck_assert_uint_eq(event_unread(w->smmu), 1);
	ck_assert_uint_eq(world_command(w, CMD_CFGI_CD | WORLD_SSID << 12 | (uint64_t)WORLD_SID << 32, 1),
			  CERROR_NONE);
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
	Suite *s = suite_create("hw-stall");
	TCase *tc = group(s, "stall", setup, fixture_free);

	tcase_add_test(tc, stall_limit);
	tcase_add_test(tc, stall_unrecorded_given_up);
	tcase_add_test(tc, orphan_arrives);
	tcase_add_test(tc, orphan_stalls_again);
	tcase_add_test(tc, orphan_aborted);
	tcase_add_test(tc, answers_lost_and_late);
	tcase_add_test(tc, stall_term);
	tc = group(s, "event", setup, fixture_free);
	tcase_add_test(tc, event_wrap);
	tcase_add_test(tc, event_overflow);
	tcase_add_test(tc, stall_waits_for_room);
	tcase_add_test(tc, event_queue_off);
	tcase_add_test(tc, event_queue_nowhere);
	tcase_add_test(tc, interrupt_held);
	tcase_add_test(tc, record_late);
	tcase_add_test(tc, record_until_cfgi);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
