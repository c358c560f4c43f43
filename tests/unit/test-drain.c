/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drain's state machine: every input in every state, the order of a teardown, waiters, and calls from within calls. The clock is the test's. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/drain.h"
#include "tap.h"

/* ---- a drain that writes down what is done to it --------------------------------------------------- */

static char trace[512];
static struct drain D;
static enum drain_input from_stop, from_flush; /* what stop and flush answer from within, if set */
static bool stop_answers, flush_answers, finished;

static void note(const char *what)
{
	size_t n = strlen(trace);

	snprintf(trace + n, sizeof(trace) - n, "%s ", what);
}

static void op_revoke(struct drain *d)
{
	ck_assert_ptr_eq(d, &D);
	note("revoke");
}

static void op_stop(struct drain *d)
{
	note("stop");
	if (stop_answers)
		drain_input(d, from_stop, SVAB_CAUSE_NONE, 2000);
}

static void op_flush(struct drain *d)
{
	note("flush");
	if (flush_answers)
		drain_input(d, from_flush, SVAB_CAUSE_NONE, 3000);
}

static void op_cut(struct drain *d)
{
	(void)d;
	note("cut");
}

static void op_invalidate(struct drain *d)
{
	(void)d;
	note("invalidate");
}

static void op_release(struct drain *d)
{
	(void)d;
	note("release");
}

static void op_report(struct drain *d)
{
	note(drain_state_name(d->state));
}

static void op_finished(struct drain *d)
{
	note("finished");
	finished = true;
	memset(d, 0xa5, sizeof(*d)); /* as if freed: nobody may look at it any more */
}

static const struct drain_ops ops = { op_revoke, op_stop, op_flush, op_cut, op_invalidate, op_release, op_report, op_finished };
static const struct drain_ops no_ops;

static void begin(void)
{
	trace[0] = '\0';
	stop_answers = flush_answers = finished = false;
	drain_init(&D, &ops, 50);
}

/* Brings a fresh drain into a state, and forgets how. */
static void enter(enum svab_pasid_state state)
{
	begin();
	if (state == SVAB_PASID_BOUND)
		return;
	drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_ADMIN, 1000);
	if (state == SVAB_PASID_FLUSHED)
		drain_input(&D, DRAIN_STOPPED_FLUSHED, SVAB_CAUSE_NONE, 1100);
	else if (state == SVAB_PASID_QUARANTINED)
		drain_input(&D, DRAIN_DEADLINE, SVAB_CAUSE_NONE, 1100);
	ck_assert_int_eq((int)D.state, (int)state);
	trace[0] = '\0';
}

/* ---- the table ---------------------------------------------------------------------------------------- */

#define CLEAN_UP "invalidate release CLEAN finished "

static const struct {
	enum svab_pasid_state state;
	enum drain_input input;
	const char *trace; /* NULL: means nothing there */
} table[] = {
	{ SVAB_PASID_BOUND, DRAIN_BEGIN, "revoke STOPPING stop " },
	{ SVAB_PASID_BOUND, DRAIN_STOPPED_FLUSHED, NULL },
	{ SVAB_PASID_BOUND, DRAIN_STOPPED_CLEAN, NULL },
	{ SVAB_PASID_BOUND, DRAIN_STOP_FAILED, NULL },
	{ SVAB_PASID_BOUND, DRAIN_FLUSHED_ALL, NULL },
	{ SVAB_PASID_BOUND, DRAIN_DEADLINE, NULL },
	{ SVAB_PASID_BOUND, DRAIN_RETRY, NULL },
	{ SVAB_PASID_BOUND, DRAIN_RESET, "revoke STOPPING " CLEAN_UP },

	{ SVAB_PASID_STOPPING, DRAIN_BEGIN, NULL },
	{ SVAB_PASID_STOPPING, DRAIN_STOPPED_FLUSHED, "FLUSHED flush " },
	{ SVAB_PASID_STOPPING, DRAIN_STOPPED_CLEAN, CLEAN_UP },
	{ SVAB_PASID_STOPPING, DRAIN_STOP_FAILED, "cut QUARANTINED " },
	{ SVAB_PASID_STOPPING, DRAIN_FLUSHED_ALL, NULL },
	{ SVAB_PASID_STOPPING, DRAIN_DEADLINE, "cut QUARANTINED " },
	{ SVAB_PASID_STOPPING, DRAIN_RETRY, NULL },
	{ SVAB_PASID_STOPPING, DRAIN_RESET, CLEAN_UP },

	{ SVAB_PASID_FLUSHED, DRAIN_BEGIN, NULL },
	{ SVAB_PASID_FLUSHED, DRAIN_STOPPED_FLUSHED, NULL },
	{ SVAB_PASID_FLUSHED, DRAIN_STOPPED_CLEAN, NULL },
	{ SVAB_PASID_FLUSHED, DRAIN_STOP_FAILED, NULL },
	{ SVAB_PASID_FLUSHED, DRAIN_FLUSHED_ALL, CLEAN_UP },
	{ SVAB_PASID_FLUSHED, DRAIN_DEADLINE, "cut QUARANTINED " },
	{ SVAB_PASID_FLUSHED, DRAIN_RETRY, NULL },
	{ SVAB_PASID_FLUSHED, DRAIN_RESET, CLEAN_UP },

	{ SVAB_PASID_QUARANTINED, DRAIN_BEGIN, NULL },
	{ SVAB_PASID_QUARANTINED, DRAIN_STOPPED_FLUSHED, "FLUSHED flush " },
	{ SVAB_PASID_QUARANTINED, DRAIN_STOPPED_CLEAN, CLEAN_UP },
	{ SVAB_PASID_QUARANTINED, DRAIN_STOP_FAILED, NULL },
	{ SVAB_PASID_QUARANTINED, DRAIN_FLUSHED_ALL, CLEAN_UP },
	{ SVAB_PASID_QUARANTINED, DRAIN_DEADLINE, NULL },
	{ SVAB_PASID_QUARANTINED, DRAIN_RETRY, "stop " },
	{ SVAB_PASID_QUARANTINED, DRAIN_RESET, CLEAN_UP },
};

START_TEST(test_table)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		bool meant;

		enter(table[i].state);
		meant = drain_input(&D, table[i].input, SVAB_CAUSE_UNBIND, 5000);
		ck_assert_msg(meant == (table[i].trace != NULL), "%s, input %d", drain_state_name(table[i].state), (int)table[i].input);
		ck_assert_msg(strcmp(trace, table[i].trace ? table[i].trace : "") == 0, "%s, input %d: %s",
			      drain_state_name(table[i].state), (int)table[i].input, trace);
		if (!meant) {
			ck_assert_int_eq((int)D.state, (int)table[i].state);
			drain_deinit(&D);
		}
	}
}
END_TEST

START_TEST(test_clean_takes_nothing)
{
	struct drain d;

	/* one that nobody frees when it is finished */
	drain_init(&d, &no_ops, 50);
	ck_assert(drain_input(&d, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000));
	ck_assert(drain_input(&d, DRAIN_STOPPED_CLEAN, SVAB_CAUSE_NONE, 1500));
	ck_assert_int_eq((int)d.state, (int)SVAB_PASID_CLEAN);
	for (int input = DRAIN_BEGIN; input <= DRAIN_RESET; input++)
		ck_assert(!drain_input(&d, (enum drain_input)input, SVAB_CAUSE_ADMIN, 2000));
	ck_assert_int_eq((int)d.cause, (int)SVAB_CAUSE_UNBIND);
	ck_assert_uint_eq(d.ended_ns - d.began_ns, 500);
	drain_deinit(&d);
}
END_TEST

START_TEST(test_first_cause_wins)
{
	begin();
	ck_assert(drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_MM_RELEASED, 1000));
	for (int i = 0; i < 10; i++)
		ck_assert(!drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_ADMIN, 1001));
	ck_assert_int_eq((int)D.cause, (int)SVAB_CAUSE_MM_RELEASED);
	ck_assert_str_eq(trace, "revoke STOPPING stop "); /* once */
	drain_deinit(&D);
	begin();
	ck_assert(drain_input(&D, DRAIN_RESET, SVAB_CAUSE_DEVICE_RESET, 1000));
	ck_assert(finished);
}
END_TEST

START_TEST(test_times)
{
	begin();
	ck_assert_uint_eq(D.deadline_ns, 0);
	ck_assert(!drain_active(&D));
	drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000);
	ck_assert(drain_active(&D));
	ck_assert_uint_eq(D.began_ns, 1000);
	ck_assert_uint_eq(D.deadline_ns, 1000 + 50000000u);
	drain_input(&D, DRAIN_STOPPED_FLUSHED, SVAB_CAUSE_NONE, 2000);
	ck_assert(drain_active(&D));
	ck_assert_uint_eq(D.deadline_ns, 1000 + 50000000u); /* one deadline for all of it */
	drain_input(&D, DRAIN_DEADLINE, SVAB_CAUSE_NONE, 60000000u);
	ck_assert(!drain_active(&D));
	ck_assert_uint_eq(D.deadline_ns, 0);
	ck_assert_uint_eq(D.ended_ns, 60000000u);
	ck_assert(D.was_quarantined);
	/* late: the flush has a deadline of its own, and may fail again */
	drain_input(&D, DRAIN_STOPPED_FLUSHED, SVAB_CAUSE_NONE, 70000000u);
	ck_assert_uint_eq(D.deadline_ns, 120000000u);
	drain_input(&D, DRAIN_DEADLINE, SVAB_CAUSE_NONE, 120000000u);
	ck_assert_int_eq((int)D.state, (int)SVAB_PASID_QUARANTINED);
	ck_assert_uint_eq(D.began_ns, 1000);
	ck_assert_uint_eq(D.ended_ns, 120000000u);
	drain_deinit(&D);
}
END_TEST

/* ---- answers from within ------------------------------------------------------------------------------ */

START_TEST(test_stop_answers_at_once)
{
	begin();
	stop_answers = flush_answers = true;
	from_stop = DRAIN_STOPPED_FLUSHED;
	from_flush = DRAIN_FLUSHED_ALL;
	ck_assert(drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000));
	ck_assert_str_eq(trace, "revoke STOPPING stop FLUSHED flush " CLEAN_UP);
	begin();
	stop_answers = true;
	from_stop = DRAIN_STOPPED_CLEAN;
	ck_assert(drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000));
	ck_assert_str_eq(trace, "revoke STOPPING stop " CLEAN_UP);
	begin();
	stop_answers = true;
	from_stop = DRAIN_STOP_FAILED;
	ck_assert(drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000));
	ck_assert_str_eq(trace, "revoke STOPPING stop cut QUARANTINED ");
	/* and once more, at last obeyed */
	trace[0] = '\0';
	from_stop = DRAIN_STOPPED_CLEAN;
	ck_assert(drain_input(&D, DRAIN_RETRY, SVAB_CAUSE_NONE, 1000));
	ck_assert_str_eq(trace, "stop " CLEAN_UP);
	ck_assert(finished);
}
END_TEST

START_TEST(test_retries)
{
	enter(SVAB_PASID_QUARANTINED);
	for (int i = 0; i < 3; i++) /* in vain: still quarantined, and nothing is reported anew */
		ck_assert(drain_input(&D, DRAIN_RETRY, SVAB_CAUSE_NONE, 5000));
	ck_assert_str_eq(trace, "stop stop stop ");
	ck_assert_int_eq((int)D.state, (int)SVAB_PASID_QUARANTINED);
	ck_assert(drain_input(&D, DRAIN_STOPPED_FLUSHED, SVAB_CAUSE_NONE, 6000));
	ck_assert(drain_input(&D, DRAIN_FLUSHED_ALL, SVAB_CAUSE_NONE, 7000));
	ck_assert(finished);
}
END_TEST

START_TEST(test_no_ops)
{
	struct drain d;

	/* each op may be missing: then only inputs move it */
	drain_init(&d, &no_ops, 1);
	ck_assert(drain_input(&d, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1));
	ck_assert(drain_input(&d, DRAIN_STOPPED_FLUSHED, SVAB_CAUSE_NONE, 2));
	ck_assert(drain_input(&d, DRAIN_DEADLINE, SVAB_CAUSE_NONE, 3));
	ck_assert(drain_input(&d, DRAIN_RETRY, SVAB_CAUSE_NONE, 4));
	ck_assert(drain_input(&d, DRAIN_RESET, SVAB_CAUSE_NONE, 5));
	ck_assert_int_eq((int)d.state, (int)SVAB_PASID_CLEAN);
	drain_deinit(&d);
}
END_TEST

/* ---- waiters -------------------------------------------------------------------------------------------- */

struct waiter {
	struct drain_waiter w;
	unsigned calls;
	enum svab_pasid_state state;
	uint64_t took;
	struct waiter *drops; /* given up from within the callback */
	struct drain *waits_again;
};

static void on_done(struct drain_waiter *w, enum svab_pasid_state state, uint64_t took_ns)
{
	struct waiter *waiter = (struct waiter *)(void *)w;

	waiter->calls++;
	waiter->state = state;
	waiter->took = took_ns;
	note("waiter");
	if (waiter->drops)
		drain_unwait(&waiter->drops->w);
	if (waiter->waits_again) {
		struct drain *d = waiter->waits_again;

		waiter->waits_again = NULL;
		waiter->w.clean_only = true;
		drain_wait(d, w);
	}
}

static void wait_for(struct waiter *w, bool clean_only)
{
	memset(w, 0, sizeof(*w));
	w->w.done = on_done;
	w->w.clean_only = clean_only;
	drain_wait(&D, &w->w);
}

START_TEST(test_waiters_one_result)
{
	struct waiter w[5];

	begin();
	for (int i = 0; i < 3; i++)
		wait_for(&w[i], false); /* before it begins */
	drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000);
	for (int i = 3; i < 5; i++)
		wait_for(&w[i], false);
	ck_assert_uint_eq(w[0].calls, 0);
	trace[0] = '\0';
	drain_input(&D, DRAIN_STOPPED_CLEAN, SVAB_CAUSE_NONE, 1500);
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_eq(w[i].calls, 1);
		ck_assert_int_eq((int)w[i].state, (int)SVAB_PASID_CLEAN);
		ck_assert_uint_eq(w[i].took, 500);
		drain_unwait(&w[i].w); /* harmless */
	}
	/* after the report, before it may be freed */
	ck_assert_str_eq(trace, "invalidate release CLEAN waiter waiter waiter waiter waiter finished ");
}
END_TEST

START_TEST(test_waiters_clean_only)
{
	struct waiter patient, hasty, late, later;

	begin();
	wait_for(&patient, true);
	wait_for(&hasty, false);
	drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000);
	drain_input(&D, DRAIN_DEADLINE, SVAB_CAUSE_NONE, 2000);
	ck_assert_uint_eq(hasty.calls, 1);
	ck_assert_int_eq((int)hasty.state, (int)SVAB_PASID_QUARANTINED);
	ck_assert_uint_eq(patient.calls, 0);
	wait_for(&late, false); /* there is a result already */
	ck_assert_uint_eq(late.calls, 1);
	ck_assert_int_eq((int)late.state, (int)SVAB_PASID_QUARANTINED);
	wait_for(&later, true);
	ck_assert_uint_eq(later.calls, 0);
	drain_input(&D, DRAIN_RESET, SVAB_CAUSE_NONE, 4000);
	ck_assert_uint_eq(patient.calls, 1);
	ck_assert_uint_eq(later.calls, 1);
	ck_assert_uint_eq(hasty.calls, 1);
	ck_assert_int_eq((int)patient.state, (int)SVAB_PASID_CLEAN);
	ck_assert_uint_eq(patient.took, 3000);
}
END_TEST

START_TEST(test_waiters_give_up)
{
	struct waiter w[4];

	for (int gone = 0; gone < 4; gone++) { /* first, middle and last of the list */
		begin();
		for (int i = 0; i < 4; i++)
			wait_for(&w[i], false);
		drain_unwait(&w[gone].w);
		drain_unwait(&w[gone].w);
		drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000);
		drain_input(&D, DRAIN_STOPPED_CLEAN, SVAB_CAUSE_NONE, 1500);
		for (int i = 0; i < 4; i++)
			ck_assert_uint_eq(w[i].calls, i == gone ? 0 : 1);
	}
}
END_TEST

START_TEST(test_waiters_from_within)
{
	struct waiter a, b, c;

	/* a waiter's callback drops its neighbour, whichever of the two comes first */
	begin();
	wait_for(&a, false);
	wait_for(&b, false);
	wait_for(&c, false);
	a.drops = &c;
	c.drops = &a;
	drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000);
	drain_input(&D, DRAIN_DEADLINE, SVAB_CAUSE_NONE, 1500);
	ck_assert_uint_eq(b.calls, 1);
	ck_assert_uint_eq(a.calls + c.calls, 1);
	drain_deinit(&D);

	/* one that hears QUARANTINED and stays for CLEAN */
	begin();
	wait_for(&a, false);
	wait_for(&b, true);
	a.waits_again = &D;
	drain_input(&D, DRAIN_BEGIN, SVAB_CAUSE_UNBIND, 1000);
	drain_input(&D, DRAIN_DEADLINE, SVAB_CAUSE_NONE, 1500);
	ck_assert_uint_eq(a.calls, 1);
	ck_assert_uint_eq(b.calls, 0);
	drain_input(&D, DRAIN_RESET, SVAB_CAUSE_NONE, 2500);
	ck_assert_uint_eq(a.calls, 2);
	ck_assert_uint_eq(b.calls, 1);
	ck_assert_int_eq((int)a.state, (int)SVAB_PASID_CLEAN);
}
END_TEST

/* Any inputs in any order: the invariants, which are what the rest of the program is built on. */
START_TEST(test_random_inputs)
{
	unsigned seed = 20260101;

	for (unsigned i = 0; i < 20000; i++) {
		struct waiter w;
		unsigned reports = 0;

		begin();
		wait_for(&w, true);
		for (unsigned j = 0; j < 12 && !finished; j++) {
			enum drain_input input = (enum drain_input)(rand_r(&seed) % (DRAIN_RESET + 1));

			drain_input(&D, input, SVAB_CAUSE_UNBIND, 1000 + j);
		}
		for (const char *p = trace; (p = strstr(p, "STOPPING ")); p++)
			reports++;
		ck_assert_uint_le(reports, 1); /* it begins once */
		/* nothing is released but after invalidation, and once */
		ck_assert(!strstr(trace, "release") || strstr(trace, "invalidate release CLEAN waiter finished "));
		ck_assert_uint_eq(w.calls, finished ? 1 : 0);
		if (strstr(trace, "release"))
			ck_assert(finished);
		if (!finished) {
			drain_unwait(&w.w);
			drain_deinit(&D);
		}
	}
}
END_TEST

START_TEST(test_names)
{
	ck_assert_str_eq(drain_state_name(SVAB_PASID_QUARANTINED), "QUARANTINED");
	ck_assert_str_eq(drain_state_name((enum svab_pasid_state)99), "UNKNOWN");
	for (int i = SVAB_CAUSE_NONE; i <= SVAB_CAUSE_SHUTDOWN; i++)
		ck_assert_str_ne(drain_cause_name((enum svab_cause)i), "unknown");
	ck_assert_str_eq(drain_cause_name((enum svab_cause)99), "unknown");
}
END_TEST

static Suite *drain_suite(void)
{
	Suite *s = suite_create("drain");
	TCase *states = tcase_create("states"), *within = tcase_create("within"), *waiters = tcase_create("waiters");

	tcase_add_test(states, test_table);
	tcase_add_test(states, test_clean_takes_nothing);
	tcase_add_test(states, test_first_cause_wins);
	tcase_add_test(states, test_times);
	tcase_add_test(states, test_retries);
	tcase_add_test(states, test_no_ops);
	tcase_add_test(states, test_random_inputs);
	tcase_add_test(states, test_names);
	tcase_add_test(within, test_stop_answers_at_once);
	tcase_add_test(waiters, test_waiters_one_result);
	tcase_add_test(waiters, test_waiters_clean_only);
	tcase_add_test(waiters, test_waiters_give_up);
	tcase_add_test(waiters, test_waiters_from_within);
	suite_add_tcase(s, states);
	suite_add_tcase(s, within);
	suite_add_tcase(s, waiters);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, drain_suite, NULL);
}
