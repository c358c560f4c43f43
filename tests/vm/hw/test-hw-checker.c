/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checker: each violation provoked, and what comes close to one and is none. The requests of the control
 * channel. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "irq.h"
#include "tap.h"

#define VA UINT64_C(0x500000000000)
#define PA UINT64_C(0x60000000)

static struct space next;
static char line[80];

static void setup(void)
{
	fixture_world(NULL);
	next = world_space(w, 12, 16, WORLD_ASID + 1);
	world_map(w, &sp, VA, PA, 3);
	world_map(w, &next, VA, PA + 4096, 3);
	world_cd_set(w, WORLD_SSID, &sp, CD_S | CD_R | CD_A);
}

/* This many, and the first says so. */
static void expect(unsigned n, const char *text)
{
	unsigned long long got = 0;

	ask("violations");
	ck_assert_int_eq(sscanf(answer, "ok %llu", &got), 1);
	ck_assert_uint_eq(got, n);
	if (n)
		ck_assert_ptr_nonnull(strstr(answer, text));
}

static void read_ok(void)
{
	uint64_t v;

	ck_assert_int_eq(world_read(w, VA, &v), ACCESS_OK);
}

static void no_wake(struct waiter *waiter, enum answer a)
{
	(void)waiter;
	(void)a;
}

static struct waiter nobody = { .wake = no_wake };

static uint16_t stall(void)
{
	static uint64_t data = 7;
	struct access a = world_access(VA + 0x10000, &data, 8, true);
	uint64_t ev[EVENT_DWORDS];

	a.waiter = &nobody;
	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_STALLED);
	ck_assert(world_event(w, ev));
	return (uint16_t)ev[1];
}

START_TEST(silent)
{
	for (unsigned i = 0; i < 50; i++) {
		world_cd_set(w, WORLD_SSID, i % 2 ? &sp : &next, CD_S | CD_R | CD_A);
		read_ok();
		world_resume(w, stall(), RESUME_ABORT);
		world_cd_set(w, WORLD_SSID, NULL, 0);
		world_command(w, CMD_TLBI_NH_ASID | (uint64_t)(WORLD_ASID + !(i % 2)) << 48, 0);
		world_sync(w);
		ask("clean accel0 5");
	}
	expect(0, "");
}
END_TEST

START_TEST(reused_with_stall)
{
	const uint16_t stag = stall();

	world_cd_set(w, WORLD_SSID, NULL, 0); /* to cut it off is no violation */
	expect(0, "");
	world_cd_set(w, WORLD_SSID, &next, CD_S | CD_R | CD_A);
	expect(1, "new owner while 1 faults");
	/* What was bound to come: the old transaction in the new owner's memory. */
	ck_assert(stall_orphan(w->smmu, &nobody));
	world_map(w, &next, VA + 0x10000, PA + 8192, 3);
	for (unsigned i = 0; i < w->smmu->opt.stall_max; i++)
		if (w->smmu->stalls[i].used)
			w->smmu->stalls[i].access.gen = 1; /* the owner that it was begun for */
	world_resume(w, stag, RESUME_RETRY);
	ck_assert_uint_eq(*world_at(w, PA + 8192), 7);
	expect(2, "new owner");
	ck_assert_ptr_nonnull(strstr(ask("violation 1"), "of owner 1 in the memory of owner 2"));
}
END_TEST

START_TEST(reused_with_job)
{
	struct checker *c = &w->smmu->checker;

	checker_job_begin(c, WORLD_SID, WORLD_SSID);
	world_cd_set(w, WORLD_SSID, &next, CD_S | CD_R | CD_A); /* without a gap */
	expect(1, "while the device works");
	checker_job_end(c, WORLD_SID, WORLD_SSID);
	ask("reset");
	world_cd_set(w, WORLD_SSID, &sp, CD_S | CD_R | CD_A);
	expect(0, "");
}
END_TEST

START_TEST(after_clean)
{
	read_ok();
	world_cd_set(w, WORLD_SSID, NULL, 0);
	ask("clean accel0 5");
	expect(0, "");
	w->smmu->faults.ignore_cfgi = 1;
	world_cd_set(w, WORLD_SSID, &sp, CD_R | CD_A); /* a new owner: clean no more */
	read_ok();
	expect(0, "");
}
END_TEST

/* The word that a PASID is CLEAN comes when it has its next owner: it is not about that one. */
START_TEST(clean_comes_late)
{
	unsigned long long at;

	world_cd_set(w, WORLD_SSID, NULL, 0);
	ck_assert_int_eq(sscanf(ask("clock"), "ok %llu", &at), 1);
	world_cd_set(w, WORLD_SSID, &next, CD_S | CD_R | CD_A);
	snprintf(line, sizeof(line), "clean accel0 5 %llu", at);
	ck_assert_str_eq(ask(line), "ok new owner");
	read_ok();
	expect(0, "");
	/* Nor when that one has been cut off and is not CLEAN yet. */
	stall();
	world_cd_set(w, WORLD_SSID, NULL, 0);
	ck_assert_str_eq(ask(line), "ok new owner");
	expect(0, "");
}
END_TEST

START_TEST(clean_in_time)
{
	unsigned long long at;

	ck_assert_int_eq(sscanf(ask("clock"), "ok %llu", &at), 1);
	snprintf(line, sizeof(line), "clean accel0 5 %llu", at);
	ck_assert_str_eq(ask(line), "ok");
	expect(1, "with its descriptor valid");
	read_ok();
	expect(2, "with its descriptor valid");
	ck_assert_ptr_nonnull(strstr(ask("violation 1"), "after CLEAN"));
}
END_TEST

START_TEST(clean_too_early)
{
	ask("clean accel0 5");
	expect(1, "with its descriptor valid");
	read_ok();
	expect(2, "with its descriptor valid");
	ck_assert_ptr_nonnull(strstr(ask("violation 1"), "after CLEAN"));
	ask("reset");
	stall();
	world_cd_set(w, WORLD_SSID, NULL, 0);
	ask("clean accel0 5");
	expect(1, "1 faults unanswered");
}
END_TEST

START_TEST(stale_descriptor)
{
	read_ok();
	ask("ignore-cfgi 1");
	world_cd_set(w, WORLD_SSID, NULL, 0);
	expect(0, "");
	read_ok(); /* the cache still has it */
	expect(2, "through a descriptor that was invalidated");
	ask("reset");
	ck_assert_int_eq(world_read(w, VA, &(uint64_t){ 0 }), ACCESS_ABORT);
	expect(0, "");
}
END_TEST

START_TEST(ended_space)
{
	read_ok();
	ask("ignore-cfgi 1");
	world_cd(w, WORLD_SSID)[0] = (world_cd(w, WORLD_SSID)[0] & ~(CD_S | CD_R)) | BIT64(14);
	world_cfgi_cd(w, WORLD_SSID);
	read_ok();
	expect(2, "that has ended");
}
END_TEST

/* Linux switches the tables off when a process ends, in a descriptor that a detaching at the same moment has
 * just invalidated: it is valid again, leads nowhere, and is nobody's. */
START_TEST(ended_after_detaching)
{
	const uint64_t cd = world_cd(w, WORLD_SSID)[0];
	unsigned long long at;

	read_ok();
	world_cd_set(w, WORLD_SSID, NULL, 0);
	ck_assert_int_eq(sscanf(ask("clock"), "ok %llu", &at), 1);
	world_cd(w, WORLD_SSID)[0] = (cd & ~(CD_S | CD_R)) | BIT64(14);
	world_cfgi_cd(w, WORLD_SSID);
	snprintf(line, sizeof(line), "clean accel0 5 %llu", at);
	ck_assert_str_eq(ask(line), "ok");
	expect(0, "");
	world_cd_set(w, WORLD_SSID, &next, CD_S | CD_R | CD_A);
	ck_assert_str_eq(ask(line), "ok new owner");
	read_ok();
	expect(0, "");
}
END_TEST

START_TEST(stale_tlb)
{
	read_ok();
	ask("ignore-tlbi 1");
	*world_pte(w, &sp, VA, 3) = 0;
	world_command(w, CMD_TLBI_NH_VA | (uint64_t)WORLD_ASID << 48, VA);
	world_sync(w);
	expect(0, "");
	read_ok();
	expect(1, "TLB entry that was invalidated");
}
END_TEST

START_TEST(never_invalidated)
{
	read_ok();
	*world_pte(w, &sp, VA, 3) = 0;
	read_ok(); /* between the unmapping and its invalidation: allowed */
	expect(0, "");
	ck_assert_str_eq(ask("audit accel0 5 0x500000000000 4096"), "ok 1");
	expect(1, "in a way that the tables do not");
	ask("reset");
	w->smmu->tlb.entries[0].suspect_ns = 0;
	for (unsigned i = 0; i < TLB_SETS * TLB_WAYS; i++)
		if (w->smmu->tlb.entries[i].valid)
			w->smmu->tlb.entries[i].suspect_ns = 1; /* it has been so for long */
	read_ok();
	expect(1, "not held for seconds");
}
END_TEST

START_TEST(audit_silent)
{
	read_ok();
	ck_assert_str_eq(ask("audit accel0 5 0x500000000000 65536"), "ok 1");
	*world_pte(w, &sp, VA, 3) &= ~PTE_AF; /* aged */
	ck_assert_str_eq(ask("audit accel0 5 0x500000000000 65536"), "ok 1");
	expect(0, "");
}
END_TEST

START_TEST(same_asid)
{
	read_ok();
	next.asid = WORLD_ASID; /* given away without a TLBI */
	world_cd_set(w, WORLD_SSID, &next, CD_R | CD_A);
	read_ok();
	expect(1, "of another address space with the same ASID");
}
END_TEST

START_TEST(resume_of_nothing)
{
	const uint16_t stag = stall();

	world_resume(w, stag, RESUME_ABORT);
	expect(0, "");
	world_resume(w, stag, RESUME_ABORT);
	expect(1, "no such fault");
	ck_assert_uint_eq(world_command(w, CMD_RESUME | UINT64_C(2) << 32, stall()), 0); /* another's */
	expect(2, "no such fault");
}
END_TEST

START_TEST(many_violations)
{
	for (unsigned i = 0; i < 100; i++)
		world_resume(w, 1, RESUME_ABORT);
	expect(100, "no such fault");
	ck_assert_ptr_nonnull(strstr(ask("violation 63"), "no such fault"));
	ck_assert_str_eq(ask("violation 64"), "error there is no such violation");
	ck_assert_ptr_nonnull(strstr(ask("checker"), "ok violations=100 "));
	ask("reset");
	expect(0, "");
}
END_TEST

/* ---- the control channel --------------------------------------------------------------------------------
 */

START_TEST(requests_refused)
{
	static const char *const bad[] = {
		"",
		"  ",
		"nonsense",
		"stop",
		"stop accel0",
		"stop accel99 obey",
		"stop accel0 what",
		"stop accel0 ignore x",
		"stop accel0 obey now",
		"response 1 lose",
		"response 1 lose -1",
		"late-dma 0 x",
		"late-dma 0 5 truth",
		"dma-pace 0",
		"hold",
		"hold 0 x",
		"evtq what",
		"evtq junk",
		"cmdq",
		"cmdq delay x",
		"ignore-tlbi",
		"ignore-tlbi x",
		"page-request 0 1",
		"clean accel0",
		"clean accel0 x",
		"clean accel0 5 x",
		"audit 0 1 2",
		"violation x",
		"owner accel0",
		"trace maybe",
		"wait accel0 asleep",
		"wait-jobs",
		"wait-jobs accel0 x",
		"wait-idle accel0 1 2",
		"a b c d e f g h i j",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!strncmp(ask(bad[i]), "error ", 6), "\"%s\": %s", bad[i], answer);
}
END_TEST

START_TEST(requests_taken)
{
	static const char *const good[] = {
		"ping",
		"stop accel0 obey",
		"stop 1 ignore",
		"stop 1 ignore forever",
		"stop 2 ignore 5",
		"stop 3 delay 5",
		"response 0 lose 2",
		"response 0 delay 5",
		"response 0 normal",
		"late-dma 0 5",
		"late-dma 0 5 lie",
		"dma-pace 0 10",
		"hold 0",
		"hold 0 3",
		"release 0",
		"unhold 0",
		"evtq",
		"evtq hold",
		"evtq release",
		"evtq delay 3",
		"evtq late 3",
		"evtq late cfgi",
		"evtq normal",
		"evtq junk 2",
		"evtq overflow",
		"cmdq delay 1",
		"cmdq normal",
		"ignore-tlbi 0",
		"ignore-cfgi 0x0",
		"page-request 0 1 0x1000",
		"stats",
		"stats accel0",
		"owner accel0 5",
		"trace off",
		"wait-idle accel0",
		"wait accel0 idle 5",
		"wait-jobs 0 0",
		"wait-no-stall 0",
		"vanish 3",
		"reset",
		"violations",
		"checker",
	};

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!strcmp(good[i], "vanish 3")) {
			accel_vanish(&w->hw.accels[3]);
			world_run(w);
		}
		ck_assert_msg(!strncmp(ask(good[i]), "ok", 2), "\"%s\": %s", good[i], answer);
	}
	ck_assert_str_eq(ask("wait-jobs 0 1 1"), "error timeout");
	ck_assert_ptr_nonnull(strstr(ask("owner accel0 5"), " epd0=0 "));
	ck_assert_str_eq(ask("owner accel0 6"), "ok none");
	ck_assert(!w->hw.accels[1].faults.stop_ignore && !w->smmu->faults.evtq_late_ms); /* reset */
}
END_TEST

START_TEST(gic_path)
{
	char path[128];

	ck_assert(irq_find_gic("{\"return\": [{\"name\": \"device[1]\", \"type\": \"child<pl011>\"}, "
			       "{\"name\": \"device[2]\", \"type\": \"child<arm-gicv3>\"}]}",
			       path, sizeof(path)));
	ck_assert_str_eq(path, "/machine/unattached/device[2]");
	ck_assert(!irq_find_gic("{\"return\": [{\"name\": \"device[1]\", \"type\": \"child<pl011>\"}]}", path,
				sizeof(path)));
	ck_assert(!irq_find_gic("", path, sizeof(path)));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hw-checker");
	TCase *tc = group(s, "checker", setup, fixture_free);

	tcase_add_test(tc, silent);
	tcase_add_test(tc, reused_with_stall);
	tcase_add_test(tc, reused_with_job);
	tcase_add_test(tc, after_clean);
	tcase_add_test(tc, clean_comes_late);
	tcase_add_test(tc, clean_in_time);
	tcase_add_test(tc, clean_too_early);
	tcase_add_test(tc, stale_descriptor);
	tcase_add_test(tc, ended_space);
	tcase_add_test(tc, ended_after_detaching);
	tcase_add_test(tc, stale_tlb);
	tcase_add_test(tc, never_invalidated);
	tcase_add_test(tc, audit_silent);
	tcase_add_test(tc, same_asid);
	tcase_add_test(tc, resume_of_nothing);
	tcase_add_test(tc, many_violations);
	tc = group(s, "control", setup, fixture_free);
	tcase_add_test(tc, requests_refused);
	tcase_add_test(tc, requests_taken);
	tcase_add_test(tc, gic_path);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
