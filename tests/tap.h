/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_TAP_H
#define SVAD_TESTS_TAP_H
/*
 * Check suites that speak TAP on stdout, so that every single test is counted by automake, with skips and their reasons.
 *
 *	int main(int argc, char **argv)
 *	{
 *		return tap_main(argc, argv, wire_suite, NULL);
 *	}
 *
 * The suites run in a child process (CK_FORK mode: each test in a process of its own); the parent prints. When the suites are over it also
 * waits for every process that the tests left behind, and one that does not end by itself within seconds is killed and is one
 * more failed test, by name.
 *
 *	./test-wire                every case
 *	./test-wire decode frames  the named cases (Check's tcases); CK_RUN_CASE=decode does the same
 *	./test-wire --list         the names of all cases
 *	CK_FORK=no ./test-wire decode   in one process, for a debugger
 *
 * The Check environment variables CK_TIMEOUT_MULTIPLIER, CK_RUN_SUITE, CK_INCLUDE_TAGS work as usual. Not thread-safe, except
 * tap_skip() as noted.
 */
#include <check.h>

/* Runs every suite that the NULL-terminated list of functions makes. Returns main's exit status: 0 when nothing failed. */
int tap_main(int argc, char **argv, Suite *(*suite_fn)(void), ...) __attribute__((sentinel));

/* Ends the running test as skipped. The reason is one line, for people: what this machine lacks, or how to get it. Call it from the
 * test's own thread, and not from a forked child of it. */
#define tap_skip(...) tap_skip_at(__FILE__, __LINE__, __VA_ARGS__)
void tap_skip_at(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4), noreturn));

/* How much to do: full, or less when $SVAD_TEST_SCALE (percent, 1..100) says so; at least 1. The sanitizer, Valgrind and quick runs
 * set it, for tests whose size is a matter of degree. */
unsigned tap_scale(unsigned full);

/* How much slower than usual this run is: $CK_TIMEOUT_MULTIPLIER, else 1. Multiply a test's own timeouts with it. */
unsigned tap_slow(void);

/* How many times longer than usual to wait for what must come before the test fails: $SVAD_TEST_PATIENCE, else 6, and at least
 * twice tap_slow(). A test that passes takes no longer by it, and passes on a machine that stands still for seconds. Not for what a test
 * waits out. */
unsigned tap_patience(void);

/* The build directory and the source directory: $SVAD_BUILDDIR and $SVAD_SRCDIR, else ".", and for the source a directory up that has
 * configure.ac. Lent. */
const char *tap_builddir(void);
const char *tap_srcdir(void);

/* Where svad shall find svad-broker and svad-simdev: $SVAD_LIBEXECDIR (a wrapper's directory, for Valgrind), else tap_builddir(). Lent. */
const char *tap_libexecdir(void);

#endif
