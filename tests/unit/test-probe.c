/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's look at vfio devices: a process of its own, which may report, fail, or never come back;
 * the loop around it is here. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../daemon/supervisor_private.h"
#include "../../daemon/vfio.h"
#include "tap.h"

static struct supervisor s;
static uint64_t clock_ns;

/* What went to the broker. */
static struct {
	unsigned n;
	uint64_t error;
	uint32_t len;
	unsigned char payload[CHAN_MAX];
} sent;

uint64_t now_ns(void)
{
	return clock_ns;
}

int child_send(struct child *c, enum chan_type type, uint64_t arg, const void *payload, uint32_t len,
	       const int *fds, unsigned n_fds)
{
	(void)fds;
	ck_assert_ptr_eq(c, &s.child[CHILD_BROKER]);
	ck_assert_int_eq(type, CHAN_PROBE_RESULT);
	ck_assert_uint_eq(n_fds, 0);
	ck_assert_uint_le(len, sizeof(sent.payload));
	sent.n++;
	sent.error = arg;
	sent.len = len;
	memcpy(sent.payload, payload, len);
	return 0;
}

/* How the look goes; in the forked process. */
static enum { LOOK_GOOD, LOOK_FULL, LOOK_FAILS, LOOK_DIES, LOOK_HANGS, LOOK_CHECKS_FDS } mode;
static int witness; /* an fd of ours that the look must not have */

const struct vfio_os vfio_os_linux;

int vfio_probe(const struct vfio_os *os, bool ask, struct vfio_report *ret)
{
	if (os != &vfio_os_linux || !ask)
		_exit(3);
	memset(ret, 0, sizeof(*ret));
	switch (mode) {
	case LOOK_FAILS:
		return -EIO;
	case LOOK_DIES:
		raise(SIGKILL);
		break;
	case LOOK_HANGS:
		for (;;)
			pause();
	case LOOK_FULL:
		ret->n = VFIO_REPORT_MAX;
		ret->more = 5;
		break;
	case LOOK_CHECKS_FDS:
		ret->n = 1;
		snprintf(ret->facts[0].why, sizeof(ret->facts[0].why), "%s",
			 write(witness, "x", 1) == 1 ? "open" : "closed");
		break;
	default:
		ret->n = 2;
		snprintf(ret->facts[1].name, sizeof(ret->facts[1].name), "second");
	}
	return 0;
}

static void setup(void)
{
	memset(&s, 0, sizeof(s));
	memset(&sent, 0, sizeof(sent));
	clock_ns = NS_PER_S;
	probe_init(&s);
}

static void teardown(void)
{
	probe_deinit(&s);
	ck_assert_int_eq(s.probe.fd, -1);
}

/* As the supervisor's loop does, until the answer is out. */
static void until_answered(unsigned n)
{
	while (sent.n < n) {
		struct pollfd pfd = { .fd = s.probe.fd, .events = POLLIN };

		ck_assert_int_ge(s.probe.fd, 0);
		ck_assert_int_eq(poll(&pfd, 1, 60000), 1);
		probe_read(&s);
	}
}

/* Its SIGCHLD, in effect. */
static void until_reaped(void)
{
	siginfo_t info;

	if (s.probe.pid > 0)
		ck_assert_int_eq(waitid(P_PID, (id_t)s.probe.pid, &info, WEXITED | WNOWAIT), 0);
	probe_reap(&s);
	ck_assert_int_eq(s.probe.pid, 0);
}

/* The next one has been started, because the one before has ended. */
static void until_begun(void)
{
	siginfo_t info;

	while (s.probe.fd < 0) {
		ck_assert_int_eq(waitid(P_PID, (id_t)s.probe.pid, &info, WEXITED | WNOWAIT), 0);
		probe_reap(&s);
	}
}

START_TEST(reports)
{
	struct vfio_report r;

	probe_ask(&s);
	ck_assert_uint_eq(sent.n, 0); /* nothing waits for it */
	probe_ask(&s);		      /* whoever asks meanwhile shares the answer */
	until_answered(1);
	ck_assert_uint_eq(sent.error, 0);
	ck_assert_uint_eq(sent.len, offsetof(struct vfio_report, facts) + 2 * sizeof(struct vfio_facts));
	memcpy(&r, sent.payload, sent.len);
	ck_assert_uint_eq(r.n, 2);
	ck_assert_str_eq(r.facts[1].name, "second");
	ck_assert_int_eq(s.probe.fd, -1);
	until_reaped();
	mode = LOOK_FULL;
	probe_ask(&s);
	until_answered(2);
	ck_assert_uint_eq(sent.len, sizeof(struct vfio_report));
	until_reaped();
}
END_TEST

START_TEST(fails)
{
	mode = LOOK_FAILS;
	probe_ask(&s);
	until_answered(1);
	ck_assert_uint_eq(sent.error, EIO);
	until_reaped();
	mode = LOOK_DIES;
	probe_ask(&s);
	until_answered(2);
	ck_assert_uint_eq(sent.error, EIO);
	until_reaped();
}
END_TEST

START_TEST(hangs)
{
	mode = LOOK_HANGS;
	probe_ask(&s);
	clock_ns += 7 * NS_PER_S;
	probe_tick(&s, clock_ns);
	ck_assert_uint_eq(sent.n, 0);
	clock_ns += 2 * NS_PER_S;
	probe_tick(&s, clock_ns);
	ck_assert_uint_eq(sent.n, 1);
	ck_assert_uint_eq(sent.error, ETIMEDOUT);
	until_reaped(); /* it was killed */
	probe_tick(&s, clock_ns + 60 * NS_PER_S);
	ck_assert_uint_eq(sent.n, 1);
}
END_TEST

/* Asked again between its last word and its end: that is not one that hangs. */
START_TEST(asked_again_at_once)
{
	for (unsigned i = 1; i <= tap_scale(200); i++) {
		probe_ask(&s);
		ck_assert_uint_eq(sent.n, i - 1);
		if (s.probe.fd < 0) { /* it waits for the one before */
			ck_assert_uint_ne(probe_deadline(&s), UINT64_MAX);
			until_begun();
		}
		until_answered(i);
		ck_assert_uint_eq(sent.error, 0);
	}
	until_reaped();
	ck_assert_uint_eq(probe_deadline(&s), UINT64_MAX);
}
END_TEST

/* It has said all, somebody asks again, and it never ends. */
START_TEST(never_ends)
{
	mode = LOOK_HANGS;
	probe_ask(&s);
	close(s.probe.fd);
	s.probe.fd = -1;
	probe_ask(&s);
	ck_assert_uint_eq(sent.n, 0);
	probe_tick(&s, probe_deadline(&s) - 1);
	ck_assert_uint_eq(sent.n, 0);
	probe_tick(&s, probe_deadline(&s));
	ck_assert_uint_eq(sent.n, 1);
	ck_assert_uint_eq(sent.error, ETIMEDOUT);
	until_reaped();
	ck_assert_uint_eq(probe_deadline(&s), UINT64_MAX);
}
END_TEST

/* One that cannot be killed, because it hangs in the kernel: one that was not reaped yet stands for it. */
START_TEST(cannot_be_killed)
{
	mode = LOOK_HANGS;
	probe_ask(&s);
	close(s.probe.fd);
	s.probe.fd = -1;
	s.probe.stuck = true; /* given up, and not reaped yet */
	probe_ask(&s);
	ck_assert_uint_eq(sent.n, 1);
	ck_assert_uint_eq(sent.error, EBUSY);
	ck_assert_ptr_nonnull(strstr((char *)sent.payload, "hangs"));
	kill(s.probe.pid, SIGKILL);
	until_reaped();
	mode = LOOK_GOOD;
	probe_ask(&s); /* and it goes on */
	until_answered(2);
	ck_assert_uint_eq(sent.error, 0);
	until_reaped();
}
END_TEST

/* A look that hangs for ever must not keep the listening sockets open. */
START_TEST(keeps_no_fds)
{
	struct vfio_report r;

	witness = memfd_create("witness", 0);
	ck_assert_int_gt(witness, CHAN_FD);
	mode = LOOK_CHECKS_FDS;
	probe_ask(&s);
	until_answered(1);
	memcpy(&r, sent.payload, sent.len);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_str_eq(r.facts[0].why, "closed");
	until_reaped();
	close(witness);
}
END_TEST

START_TEST(stopping)
{
	s.phase = PHASE_STOP_BROKER;
	probe_ask(&s);
	ck_assert_uint_eq(sent.error, ESHUTDOWN);
	ck_assert_int_eq(s.probe.pid, 0);
	s.phase = PHASE_RUN;
	mode = LOOK_HANGS;
	probe_ask(&s);
	probe_deinit(&s); /* does not wait for it */
	ck_assert_int_eq(s.probe.fd, -1);
}
END_TEST

static Suite *probe_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} cases[] = {
		{ "reports", reports },
		{ "fails", fails },
		{ "hangs", hangs },
		{ "cannot-be-killed", cannot_be_killed },
		{ "keeps-no-fds", keeps_no_fds },
		{ "stopping", stopping },
		{ "asked-again-at-once", asked_again_at_once },
		{ "never-ends", never_ends },
	};
	Suite *suite = suite_create("probe");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tc = tcase_create(cases[i].name);

		tcase_set_timeout(tc, 60);
		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_add_test(tc, cases[i].test);
		suite_add_tcase(suite, tc);
	}
	return suite;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, probe_suite, NULL);
}
