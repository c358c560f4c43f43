// SPDX-License-Identifier: GPL-2.0-or-later
// The test wrapper itself: what it counts is what the whole project claims.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ---- a suite of every outcome, which the tests below run in a process of its own -------------------- */

START_TEST(sample_pass)
{
	printf("not ok 99 - a test may print what it likes\n1..7\n");
}
END_TEST

START_TEST(sample_fail)
{
	ck_abort_msg("one # two\nand a second line\nok 7 - that is no result\n1..9");
}
END_TEST

START_TEST(sample_skip)
{
	tap_skip("no %s\nhere", "device");
}
END_TEST

START_TEST(sample_crash)
{
	raise(SIGSEGV);
}
END_TEST

START_TEST(sample_leave)
{
	int fds[2];
	char c;

	/* a daemon: a session of its own, so that Check's kill of the test's process group does not reach it; the test waits for that */
	ck_assert_int_eq(pipe(fds), 0);
	if (fork() == 0) {
		setsid();
		close(fds[0]);
		close(fds[1]);
		pause();
		_exit(0);
	}
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], &c, 1), 0);
}
END_TEST

static Suite *sample_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} all[] = {
		{ "pass", sample_pass }, { "fail", sample_fail }, { "skip", sample_skip }, { "crash", sample_crash },
		{ "leave", sample_leave },
	};
	Suite *s = suite_create("sample");

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		TCase *tc = tcase_create(all[i].name);

		tcase_add_test(tc, all[i].test);
		suite_add_tcase(s, tc);
	}
	return s;
}

/* Runs the sample suite's named cases and gives back its output; the exit status must be status. */
static char *run_sample(const char *cases, int status)
{
	static char out[65536];
	char command[256];
	size_t n;
	FILE *f;
	int r;

	snprintf(command, sizeof(command), "SVAD_TAP_SAMPLE=1 SVAD_TAP_GRACE_MS=100 /proc/%d/exe %s 2>/dev/null", (int)getpid(),
		 cases);
	f = popen(command, "re");
	ck_assert_ptr_nonnull(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	r = pclose(f);
	ck_assert_int_eq(WEXITSTATUS(r), status);
	return out;
}

START_TEST(test_pass)
{
	ck_assert_str_eq(run_sample("pass", 0), "ok 1 - test-tap.c:pass:sample_pass: Passed\n1..1\n");
}
END_TEST

START_TEST(test_fail)
{
	ck_assert_str_eq(run_sample("pass fail", 1),
			 "ok 1 - test-tap.c:pass:sample_pass: Passed\n"
			 "not ok 2 - test-tap.c:fail:sample_fail: one = two\n"
			 "# and a second line\n"
			 "# ok 7 - that is no result\n"
			 "# 1..9\n"
			 "1..2\n");
}
END_TEST

START_TEST(test_skip)
{
	ck_assert_str_eq(run_sample("skip", 0), "ok 1 - test-tap.c:skip:sample_skip # SKIP no device here\n1..1\n");
}
END_TEST

START_TEST(test_crash)
{
	const char *out = run_sample("crash", 1);

	ck_assert_msg(strncmp(out, "not ok 1 - test-tap.c:crash:sample_crash: ", 41) == 0, "%s", out);
	ck_assert_ptr_nonnull(strstr(out, "\n1..1\n"));
}
END_TEST

START_TEST(test_left_behind)
{
	const char *out = run_sample("leave", 1);

	ck_assert_msg(strncmp(out, "ok 1 - test-tap.c:leave:", 24) == 0, "%s", out);
	ck_assert_ptr_nonnull(strstr(out, "not ok 2 - no process is left behind: "));
	ck_assert_ptr_nonnull(strstr(out, "\n1..2\n"));
}
END_TEST

START_TEST(test_no_such_case)
{
	ck_assert_str_eq(run_sample("nonsense", 1), "not ok 1 - there is such a case\n1..1\n");
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

	tc = tcase_create("outcomes");
	tcase_add_test(tc, test_pass);
	tcase_add_test(tc, test_fail);
	tcase_add_test(tc, test_skip);
	tcase_add_test(tc, test_crash);
	tcase_add_test(tc, test_left_behind);
	tcase_add_test(tc, test_no_such_case);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, getenv("SVAD_TAP_SAMPLE") ? sample_suite : tap_suite, NULL);
}
