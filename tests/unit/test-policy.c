/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "policy.h"
#include "tap.h"

static struct config *C;
static struct policy_verdict v;

static void configure(const char *text)
{
	struct config_errors errors = { 0 };

	config_free(C);
	C = NULL;
	ck_assert_msg(config_from_text(text, strlen(text), &C, &errors) == 0, "%s",
		      errors.n ? errors.lines[0] : "?");
}

static void teardown(void)
{
	config_free(C);
	C = NULL;
}

static bool check(uid_t uid, gid_t gid, const gid_t *groups, size_t n, const char *device)
{
	policy_check(C,
		     &(struct policy_subject){
			     .uid = uid, .gid = gid, .groups = groups, .n_groups = n, .daemon_uid = 500 },
		     device, &v);
	return v.allowed;
}

START_TEST(test_none)
{
	configure("[daemon]\nruntime_dir = /r\n");
	ck_assert(check(0, 0, NULL, 0, "sim0"));
	ck_assert(check(500, 500, NULL, 0, "sim0"));
	ck_assert(!check(1000, 0, NULL, 0, "sim0"));
	ck_assert_ptr_null(v.policy);
	check(0, 0, NULL, 0, "sim0");
	ck_assert_uint_eq(v.bonds_per_client, 64);
	ck_assert_uint_eq(v.bonds_per_uid, 16384);
}
END_TEST

START_TEST(test_who)
{
	gid_t groups[] = { 7, 30 };

	configure("[daemon]\nruntime_dir = /r\n[policy \"a\"]\nuid = 1000-1005\ngid = 30\ndevices = sim*\n");
	ck_assert(check(1000, 1, NULL, 0, "sim0"));
	ck_assert_str_eq(v.policy, "a");
	ck_assert(check(1005, 1, NULL, 0, "sim0"));
	ck_assert(!check(1006, 1, NULL, 0, "sim0"));
	ck_assert(!check(999, 1, NULL, 0, "sim0"));
	ck_assert(check(999, 30, NULL, 0, "sim0"));
	ck_assert(check(999, 1, groups, 2, "sim0"));
	ck_assert(!check(999, 1, groups, 1, "sim0"));
	ck_assert(!check(1000, 1, NULL, 0, "hw0"));
	ck_assert(!check(0, 0, NULL, 0, "sim0")); /* with policies, root has none of its own */
}
END_TEST

START_TEST(test_combine)
{
	configure("[daemon]\nruntime_dir = /r\n"
		  "[policy \"all\"]\nuid = *\ndevices = *\nbonds_per_client = 2\n"
		  "[policy \"staff\"]\nuid = 1000\ndevices = sim?\nbonds_per_client = 9\nbonds_per_uid = 11\n"
		  "[policy \"not\"]\nuid = 2000\ndevices = sim1\nallow = no\n");
	ck_assert(check(1, 1, NULL, 0, "sim0"));
	ck_assert_uint_eq(v.bonds_per_client, 2);
	ck_assert_uint_eq(v.bonds_per_uid, 16384);
	ck_assert(check(1000, 1, NULL, 0, "sim0"));
	ck_assert_uint_eq(v.bonds_per_client, 9);
	ck_assert_uint_eq(v.bonds_per_uid, 11);
	ck_assert(check(2000, 1, NULL, 0, "sim0"));
	ck_assert(!check(2000, 1, NULL, 0, "sim1"));
	ck_assert_str_eq(v.policy, "not");
	ck_assert_uint_eq(v.bonds_per_client, 0);
}
END_TEST

static Suite *policy_suite(void)
{
	Suite *s = suite_create("policy");
	TCase *tc = tcase_create("policy");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, test_none);
	tcase_add_test(tc, test_who);
	tcase_add_test(tc, test_combine);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, policy_suite, NULL);
}
