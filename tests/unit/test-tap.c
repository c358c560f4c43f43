// SPDX-License-Identifier: GPL-2.0-or-later
// The test wrapper itself: what it counts is what the whole project claims.
#include <stdlib.h>
#include <string.h>

#include "tap.h"

START_TEST(test_scale)
{
	setenv("SVAD_TEST_SCALE", "10", 1);
	ck_assert_uint_eq(tap_scale(1000), 100);
	ck_assert_uint_eq(tap_scale(1), 1);
	setenv("SVAD_TEST_SCALE", "nonsense", 1);
	ck_assert_uint_eq(tap_scale(1000), 1000);
	unsetenv("SVAD_TEST_SCALE");
	ck_assert_uint_eq(tap_scale(1000), 1000);
}
END_TEST

START_TEST(test_slow)
{
	setenv("CK_TIMEOUT_MULTIPLIER", "4", 1);
	ck_assert_uint_eq(tap_slow(), 4);
	unsetenv("CK_TIMEOUT_MULTIPLIER");
	ck_assert_uint_eq(tap_slow(), 1);
}
END_TEST

START_TEST(test_directories)
{
	setenv("SVAD_BUILDDIR", "/b", 1);
	setenv("SVAD_SRCDIR", "/s", 1);
	unsetenv("SVAD_LIBEXECDIR");
	ck_assert_str_eq(tap_builddir(), "/b");
	ck_assert_str_eq(tap_srcdir(), "/s");
	ck_assert_str_eq(tap_libexecdir(), "/b");
	setenv("SVAD_LIBEXECDIR", "/l", 1);
	ck_assert_str_eq(tap_libexecdir(), "/l");
}
END_TEST

static Suite *tap_suite(void)
{
	Suite *s = suite_create("tap");
	TCase *tc = tcase_create("environment");

	tcase_add_test(tc, test_scale);
	tcase_add_test(tc, test_slow);
	tcase_add_test(tc, test_directories);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, tap_suite, NULL);
}
