/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "tap.h"

static int S[2];
static char buf[CHAN_MAX + 1];
static int fds[CHAN_MAX_FDS];
static struct chan_hdr hdr;

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, S), 0);
}

static void teardown(void)
{
	close(S[0]);
	close(S[1]);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Raw, as a peer gone wrong would. */
static void send_raw(const void *data, size_t len, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 64)];
	} ctrl = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		struct cmsghdr *cmsg;

		msg.msg_control = &ctrl;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memset(CMSG_DATA(cmsg), 0, sizeof(int) * n_fds); /* stdin, many times */
	}
	ck_assert_int_ge((int)sendmsg(S[0], &msg, 0), 0);
}

START_TEST(test_round_trip)
{
	int send[2] = { 0, 1 };

	ck_assert_int_eq(chan_send(S[0], CHAN_LISTEN, 42, "hello", 5, send, 2), 0);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), 5);
	ck_assert_uint_eq(hdr.type, CHAN_LISTEN);
	ck_assert_uint_eq(hdr.arg, 42);
	ck_assert_int_eq(memcmp(buf, "hello", 5), 0);
	ck_assert(fds[0] >= 0 && fds[1] >= 0 && fds[2] == -1 && fds[3] == -1);
	ck_assert(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	close(fds[0]);
	close(fds[1]);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), -EAGAIN);
}
END_TEST

START_TEST(test_sizes)
{
	static char big[CHAN_MAX + 1];

	memset(big, 'x', sizeof(big));
	ck_assert_int_eq(chan_send(S[0], CHAN_PING, 0, NULL, 0, NULL, 0), 0);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), 0);
	ck_assert_int_eq(chan_send(S[0], CHAN_LOG, 0, big, CHAN_MAX, NULL, 0), 0);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), CHAN_MAX);
	ck_assert_int_eq(memcmp(buf, big, CHAN_MAX), 0);
	ck_assert_int_eq(chan_send(S[0], CHAN_LOG, 0, big, CHAN_MAX + 1, NULL, 0), -EMSGSIZE);
	ck_assert_int_eq(chan_send(S[0], CHAN_LOG, 0, NULL, 0, (int[5]){ 0 }, 5), -EINVAL);
}
END_TEST

START_TEST(test_malformed)
{
	struct {
		struct chan_hdr h;
		char data[8];
	} m = { .h = { .type = CHAN_LOG, .len = 9 } };
	unsigned before = open_fds();
	static char big[sizeof(struct chan_hdr) + CHAN_MAX + 1];

	send_raw("x", 1, 0);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), -EBADMSG);
	send_raw(&m, sizeof(m), 1);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), -EBADMSG);
	m.h.len = 8;
	send_raw(&m, sizeof(m), CHAN_MAX_FDS + 1);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), -EBADMSG);
	send_raw(&m, sizeof(m), 60); /* more than fit the receiver's buffer */
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), -EBADMSG);
	send_raw(big, sizeof(big), 2);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), -EBADMSG);
	ck_assert_uint_eq(open_fds(), before);
	send_raw(&m, sizeof(m), CHAN_MAX_FDS);
	ck_assert_int_eq(chan_recv(S[1], &hdr, buf, fds), 8);
	ck_assert_uint_eq(open_fds(), before + CHAN_MAX_FDS);
}
END_TEST

START_TEST(test_ends)
{
	int n = 0, r;

	while ((r = chan_send(S[0], CHAN_LOG, 0, buf, 60000, NULL, 0)) == 0)
		ck_assert_int_lt(n++, 1000);
	ck_assert_int_eq(r, -EAGAIN);
	while (chan_recv(S[1], &hdr, buf, fds) >= 0)
		;
	close(S[1]);
	ck_assert_int_eq(chan_send(S[0], CHAN_PING, 0, NULL, 0, NULL, 0), -EPIPE);
	ck_assert_int_eq(chan_recv(S[0], &hdr, buf, fds), -ECONNRESET);
	ck_assert_int_eq(chan_send(-1, CHAN_PING, 0, NULL, 0, NULL, 0), -EBADF);
	S[1] = dup(S[0]);
}
END_TEST

/* Of any length, read from its beginning, and changed by nobody. */
START_TEST(test_memfd)
{
	static char bytes[3 * CHAN_MAX], back[sizeof(bytes)];
	int fd;

	memset(bytes, 'x', sizeof(bytes));
	fd = chan_memfd("test", bytes, sizeof(bytes));
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, back, sizeof(back)), (int)sizeof(back));
	ck_assert_int_eq(memcmp(bytes, back, sizeof(back)), 0);
	ck_assert_int_eq(read(fd, back, 1), 0);
	ck_assert_int_lt(pwrite(fd, "y", 1, 0), 0);
	ck_assert_int_lt(ftruncate(fd, 0), 0);
	close(fd);
}
END_TEST

static Suite *channel_suite(void)
{
	Suite *s = suite_create("channel");
	TCase *tc = tcase_create("channel");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_round_trip);
	tcase_add_test(tc, test_sizes);
	tcase_add_test(tc, test_memfd);
	tcase_add_test(tc, test_malformed);
	tcase_add_test(tc, test_ends);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, channel_suite, NULL);
}
