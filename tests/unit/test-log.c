/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "log.h"
#include "tap.h"

static int P[2]; /* stderr is its second end */
static char text[65536];

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	unsetenv("JOURNAL_STREAM");
	ck_assert_int_eq(pipe2(P, O_CLOEXEC | O_NONBLOCK), 0);
	dup2(P[1], STDERR_FILENO);
	close(P[1]);
	log_init("unit", LOG_INFO);
}

static const char *written(void)
{
	ssize_t n = read(P[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

START_TEST(test_stderr)
{
	log_info("one %d", 1);
	ck_assert_str_eq(written(), "unit: <info> one 1\n");
	log_debug("not at this level");
	ck_assert_str_eq(written(), "");
	log_set_level(LOG_ERR);
	log_warning("nor this");
	log_err("but %s", "this");
	ck_assert_str_eq(written(), "unit: <error> but this\n");
}
END_TEST

START_TEST(test_scrubbed)
{
	log_err("two\nlines\033[2J\x7f");
	ck_assert_str_eq(written(), "unit: <error> two?lines?[2J?\n");
}
END_TEST

START_TEST(test_long)
{
	static char big[20000];
	const char *w;

	memset(big, 'x', sizeof(big) - 1);
	log_err("%s", big);
	w = written();
	ck_assert_uint_le(strlen(w), 4096);
	ck_assert_int_eq(w[strlen(w) - 1], '\n');
}
END_TEST

START_TEST(test_lost)
{
	int n = 0;

	fcntl(P[0], F_SETPIPE_SZ, 16384);
	for (n = 0; log_lost() == 0 && n < 10000; n++)
		log_err("%0100d", n);
	ck_assert_int_lt(n, 10000); /* and it did not block, which is the point */
	log_err("lost too");
	ck_assert_uint_eq(log_lost(), 2);
	while (*written())
		;
	log_err("back");
	ck_assert_str_eq(
		written(),
		"unit: <warning> 2 log records could not be written and are lost\nunit: <error> back\n");
	ck_assert_uint_eq(log_lost(), 2);
}
END_TEST

START_TEST(test_broken)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	close(P[0]); /* EPIPE */
	log_err("nobody");
	ck_assert_uint_eq(log_lost(), 1);
	dup2(full, STDERR_FILENO);
	log_err("nowhere");
	ck_assert_uint_eq(log_lost(), 2);
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
	log_err("fine");
	ck_assert_uint_eq(log_lost(), 2);
}
END_TEST

START_TEST(test_relay)
{
	const char *const fields[] = { "SVAD_UID=7", "lower=no", "MESSAGE=forged", NULL };
	static char buf[CHAN_MAX];
	int s[2], fds[CHAN_MAX_FDS];
	struct chan_hdr hdr;
	ssize_t n;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s), 0);
	log_relay_to(s[1]);
	log_fields(LOG_NOTICE, SVAD_MSG_LIMIT, fields, "uid %d", 7);
	log_relay_to(-1);
	ck_assert_str_eq(written(), "");
	n = chan_recv(s[0], &hdr, buf, fds);
	ck_assert_int_gt((int)n, 0);
	ck_assert_uint_eq(hdr.type, CHAN_LOG);
	ck_assert_uint_eq(hdr.arg, LOG_NOTICE);
	log_relayed("child", 99, buf, (uint32_t)n);
	ck_assert_str_eq(written(), "child: <notice> uid 7\n");
}
END_TEST

START_TEST(test_relayed_nonsense)
{
	log_relayed("child", 1, "", 0);
	log_relayed("child", 1, "3", 1);
	log_relayed("child", 1, "3no end", 7);
	log_relayed("child", 1, "\0\0\0\0", 4);
	ck_assert_ptr_nonnull(strstr(written(), "child: <notice> \n"));
	log_relayed("child", 1, "7\0debug", 8);
	ck_assert_str_eq(written(), "");
	log_relayed("child", 1, "3\0only a message", 17);
	ck_assert_str_eq(written(), "child: <error> only a message\n");
	log_relayed("child", 1, "3id", 4); /* no message at all */
	ck_assert_str_eq(written(), "child: <error> \n");
}
END_TEST

static void set_stream(void)
{
	struct stat st;
	char stream[64];

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("unit", LOG_INFO);
}

START_TEST(test_journal)
{
	static const char relayed[] =
		"6e5b2f7c8d1a94c0fb7d1c46b0f6f2a01\0hello too\0SVAD_X=1\0MESSAGE=forged";
	const char *const fields[] = { "SVAD_UID=7", "bad", NULL };

	setenv("JOURNAL_STREAM", "1:1", 1);
	log_init("unit", LOG_INFO);
	log_fields(LOG_INFO, SVAD_MSG_STARTED, fields, "stderr is another stream");
	ck_assert_str_eq(written(), "unit: <info> stderr is another stream\n");

	/* stderr is "the journal": a record goes there when journald runs, and to stderr when it does not; it
	 * is not lost */
	set_stream();
	log_fields(LOG_INFO, SVAD_MSG_STARTED, fields, "svad's unit test says hello");
	log_relayed("child", 7, relayed, sizeof(relayed));
	ck_assert_uint_eq(log_lost(), 0);
}
END_TEST

static Suite *log_suite(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("log");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_stderr);
	tcase_add_test(tc, test_scrubbed);
	tcase_add_test(tc, test_long);
	tcase_add_test(tc, test_lost);
	tcase_add_test(tc, test_broken);
	tcase_add_test(tc, test_relay);
	tcase_add_test(tc, test_relayed_nonsense);
	tcase_add_test(tc, test_journal);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, log_suite, NULL);
}
