/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_CTL_RUN_H
#define SVAD_TESTS_CTL_RUN_H
/* Runs svadctl for its tests: in a pipe or on a terminal, against the stand-in for the daemon. One Check test
 * at a time. */
#include <jansson.h>
#include <string.h>
#include <termios.h>

#include "ctl-fake.h"

extern char dir[64], sock_path[96]; /* of the running test */
extern char ctl_path[4096];
extern const char *ctl_input; /* stdin of the next ones, NULL: the test's own */
extern char *text_out, *text_err; /* what svadctl wrote */

void setup(void); /* fixtures */
void teardown(void);
void start(enum fake_mode mode); /* the stand-in, in place of the one before */
void stop_server(void);

/* Runs svadctl with the words of args (no quoting); returns its exit code, 128 + signal when killed. Bounded
 * by Check's timeout. */
int ctl(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Its stdout as JSON; the caller's. */
json_t *parsed(void);

/* Runs svadctl on a terminal, waits until `until` was written, then sends keys (or a signal) and reads to the
 * end. */
int on_terminal(const char *arg, const char *until, const char *keys, int signo, struct termios *before,
		struct termios *after);

#define expect(code, ...)                                                                                    \
	do {                                                                                                 \
		int got_ = ctl(__VA_ARGS__);                                                                 \
		ck_assert_msg(got_ == (code), "exit %d instead of %d\nstdout: %.2000s\nstderr: %.2000s",     \
			      got_, (code), text_out, text_err);                                             \
	} while (0)
#define has(text, part) ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in:\n%.3000s", part, text)
#define lacks(text, part) ck_assert_msg(strstr(text, part) == NULL, "\"%s\" in:\n%.3000s", part, text)

#endif
