// SPDX-License-Identifier: GPL-2.0-or-later
// Framing, decoding and status codes: what a stranger may send, and that nothing of it leaks.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/status.h"
#include "proto/wire.h"
#include "proto/wire_check.h"
#include "tap.h"

static int sock[2];
static unsigned char buf[WIRE_MAX], memory[1 << 20];
static struct wire_arena arena;

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
	wire_arena_init(&arena, memory, sizeof(memory));
}

static void teardown(void)
{
	close(sock[0]);
	close(sock[1]);
}

static int decode(const void *data, size_t len)
{
	Svad__V1__Request *req;
	unsigned char *exact = malloc(len); /* so that a sanitizer sees one byte too far */
	int r;

	memcpy(exact, data, len);
	wire_arena_reset(&arena);
	r = wire_decode_request(exact, len, &arena, &req);
	free(exact);
	return r;
}

static size_t hello(unsigned char *out, const char *program)
{
	Svad__V1__Version v = SVAD__V1__VERSION__INIT;
	Svad__V1__Hello body = SVAD__V1__HELLO__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	ssize_t n;

	v.major = 1;
	body.min = body.max = &v;
	body.program = (char *)(uintptr_t)program;
	req.id = 300;
	req.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	req.hello = &body;
	n = wire_encode_request(&req, out, WIRE_MAX);
	ck_assert_int_gt(n, 0);
	return (size_t)n;
}

/* ---- frames ---- */

START_TEST(test_fds)
{
	struct wire_fds fds;
	int before = open_fds(), lent[WIRE_MAX_FDS + 1], fd;
	pid_t pid = 1;

	for (unsigned i = 0; i <= WIRE_MAX_FDS; i++)
		lent[i] = sock[1];
	for (unsigned n = 0; n <= WIRE_MAX_FDS; n++) {
		ck_assert_int_eq(wire_send(sock[0], "hello", 5, lent, n, 0), 0);
		ck_assert_int_eq(wire_recv(sock[1], buf, sizeof(buf), &fds, &pid, 0), 5);
		ck_assert_uint_eq(fds.n, n);
		ck_assert_int_eq(pid, 0);
		fd = wire_fds_take(&fds, 0);
		ck_assert_int_eq(fd >= 0, n > 0);
		ck_assert_int_eq(wire_fds_take(&fds, 0), -1);
		ck_assert_int_eq(wire_fds_take(&fds, n), -1);
		if (fd >= 0) {
			ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
			close(fd);
		}
		wire_fds_close(&fds);
		ck_assert_int_eq(open_fds(), before);
	}
	ck_assert_int_eq(wire_send(sock[0], "hello", 5, lent, WIRE_MAX_FDS + 1, 0), -EINVAL);
}
END_TEST

static void send_fds(const void *data, size_t len, unsigned n)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(64 * sizeof(int))];
	} control = {.room = {0}};
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &sock[1], sizeof(int));
	ck_assert_int_eq(sendmsg(sock[0], &msg, 0), (ssize_t)len);
}

START_TEST(test_too_much)
{
	static unsigned char big[WIRE_MAX + 10];
	struct wire_fds fds;
	int before = open_fds(), on = 1;
	pid_t pid;

	for (unsigned n = WIRE_MAX_FDS + 1; n <= 60;
	     n += 3) { /* also what fits into the room for credentials */
		send_fds("x", 1, n);
		ck_assert_int_eq(wire_recv(sock[1], buf, sizeof(buf), &fds, NULL, 0), -EMSGSIZE);
		ck_assert_uint_eq(fds.n, 0);
		ck_assert_int_eq(open_fds(), before);
	}
	send_fds(big, sizeof(big), 2);
	ck_assert_int_eq(wire_recv(sock[1], buf, sizeof(buf), &fds, NULL, 0), -EMSGSIZE);
	ck_assert_int_eq(open_fds(), before);
	ck_assert_int_eq(wire_send(sock[0], big, sizeof(big), NULL, 0, 0), -EMSGSIZE);
	ck_assert_int_eq(wire_send(sock[0], big, 0, NULL, 0, 0), -EINVAL);
	send_fds("", 0, 2); /* an empty packet with fds */
	ck_assert_int_eq(wire_recv(sock[1], buf, sizeof(buf), &fds, NULL, 0), 0);
	ck_assert_int_eq(open_fds(), before);

	ck_assert_int_eq(setsockopt(sock[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
#ifdef SO_PASSPIDFD
	(void)setsockopt(sock[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on));
#else
	(void)setsockopt(sock[1], SOL_SOCKET, 76, &on, sizeof(on)); /* SO_PASSPIDFD, since 6.5 */
#endif
	send_fds("x", 1, WIRE_MAX_FDS);
	ck_assert_int_eq(wire_recv(sock[1], buf, sizeof(buf), &fds, &pid, 0), 1);
	ck_assert_uint_eq(fds.n, WIRE_MAX_FDS);
	ck_assert_int_eq(pid, getpid());
	wire_fds_close(&fds);
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

START_TEST(test_ends)
{
	struct wire_fds fds;

	ck_assert_int_eq(wire_recv(sock[1], buf, sizeof(buf), &fds, NULL, MSG_DONTWAIT), -EAGAIN);
	close(sock[0]);
	ck_assert_int_eq(wire_recv(sock[1], buf, sizeof(buf), &fds, NULL, 0), 0);
	ck_assert_int_eq(wire_send(sock[1], "x", 1, NULL, 0, 0), -EPIPE); /* and no SIGPIPE */
	sock[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(wire_recv(sock[0], buf, sizeof(buf), &fds, NULL, 0), -ENOTSOCK);
}
END_TEST

/* ---- decoding ---- */

START_TEST(test_round_trip)
{
	Svad__V1__Request *req;
	size_t n = hello(buf, "h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80");

	ck_assert_int_eq(wire_decode_request(buf, n, &arena, &req), 0);
	ck_assert_uint_eq(req->id, 300);
	ck_assert_str_eq(req->hello->program, "h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80");
	ck_assert((unsigned char *)req >= memory && (unsigned char *)req < memory + sizeof(memory));
	/* Unknown fields are tomorrow's. */
	memcpy(buf + n, "\xf8\x7f\x05", 3);
	ck_assert_int_eq(decode(buf, n + 3), 0);
}
END_TEST

START_TEST(test_refused)
{
	static const struct {
		const char *data;
		size_t len;
	} bad[] = {
		{"", 0},
		{"\x00\x01", 2},					  /* field number 0 */
		{"\x08", 1},						  /* cut off */
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11},	  /* more than 64 bits */
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* eleven bytes */
		{"\x0a\x01x", 3},					  /* the id as a string */
		{"\x08\x01\x08\x02", 4},				  /* the id twice */
		{"\x08\x01\x52\x00\x52\x00", 6},			  /* the body twice */
		{"\x08\x01\x52\x00\x5a\x00", 6},			  /* two bodies */
		{"\x08\x01\x52\x7f", 4},				  /* longer than the packet */
		{"\x08\x01\x52\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13},
		{"\x08\x01\x0b\x0c", 4},		     /* groups */
		{"\x08\x01\x52\x03\x1a\x01\x00", 7},	     /* NUL in a string */
		{"\x08\x01\x52\x06\x1a\x04\x1b[2J", 10},     /* a terminal's escape */
		{"\x08\x01\x52\x04\x1a\x02\xc2\x9b", 8},     /* the same in C1 */
		{"\x08\x01\x52\x04\x1a\x02\xc0\xaf", 8},     /* overlong UTF-8 */
		{"\x08\x01\x52\x05\x1a\x03\xed\xa0\x80", 9}, /* a surrogate */
		{"\x08\x01\x52\x03\x1a\x01\xe2", 7},	     /* UTF-8 cut off */
		{"\x08\x01\xff", 3},			     /* garbage behind */
	};
	static unsigned char longer[WIRE_STRING_MAX + 2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(decode(bad[i].data, bad[i].len) == -EBADMSG, "case %zu was taken", i);
	memset(longer, 'x', WIRE_STRING_MAX);
	ck_assert_int_eq(decode(buf, hello(buf, (char *)longer)), 0);
	longer[WIRE_STRING_MAX] = 'x';
	ck_assert_int_eq(decode(buf, hello(buf, (char *)longer)), -EBADMSG);
	memset(buf, 0, sizeof(buf));
	ck_assert_int_eq(decode(buf, sizeof(buf)), -EBADMSG);
}
END_TEST

START_TEST(test_every_cut)
{
	unsigned char msg[256];
	size_t n = hello(msg, "program");

	/* A cut message may still be one (without its last fields): never more than that, and never a crash.
	 */
	for (size_t i = 0; i < n; i++)
		ck_assert_int_le(decode(msg, i), 0);
}
END_TEST

START_TEST(test_arena)
{
	unsigned char small[512];
	Svad__V1__Request *req;
	size_t n = hello(buf, "program");
	int r = -EBADMSG;

	for (size_t size = 0; size <= sizeof(small); size++) {
		wire_arena_init(&arena, small + size % 7, size < 7 ? 0 : size - 7); /* odd addresses too */
		r = wire_decode_request(buf, n, &arena, &req);
		ck_assert(r == 0 || r == -EBADMSG);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_int_eq(wire_encode_request(req, memory, 3), -EMSGSIZE);
}
END_TEST

START_TEST(test_mutations)
{
	unsigned char msg[256], changed[256];
	Svad__V1__Reply *reply;
	size_t n = hello(msg, "program");
	unsigned seed = 1;

	for (unsigned i = 0; i < tap_scale(200000); i++) {
		size_t len = n;

		memcpy(changed, msg, n);
		for (unsigned k = 0; k <= (unsigned)rand_r(&seed) % 4; k++)
			changed[(size_t)rand_r(&seed) % n] = (unsigned char)rand_r(&seed);
		len -= (size_t)rand_r(&seed) % 3;
		(void)decode(changed, len);
		wire_arena_reset(&arena);
		(void)wire_decode_reply(changed, len, &arena, &reply);
	}
}
END_TEST

/* ---- status ---- */

START_TEST(test_status)
{
	ck_assert_str_eq(svad_code_name(SVAD_OK), "OK");
	ck_assert_str_eq(svad_code_name(SVAD_UNAUTHENTICATED), "UNAUTHENTICATED");
	ck_assert_str_eq(svad_code_name(17), "UNKNOWN");
	ck_assert_str_eq(svad_code_name(UINT32_MAX), "UNKNOWN");
	ck_assert_int_eq(svad_code_to_errno(SVAD_OK), 0);
	for (unsigned i = 1; i < 40; i++)
		ck_assert_int_lt(svad_code_to_errno(i), 0);
	ck_assert_int_eq(svad_code_to_errno(SVAD_RESOURCE_EXHAUSTED), -ENOSPC);
	ck_assert_int_eq(svad_code_to_errno(UINT32_MAX), -EIO);
}
END_TEST

static Suite *wire_suite(void)
{
	Suite *s = suite_create("wire");
	TCase *frames = tcase_create("frames"), *decoding = tcase_create("decode"),
	      *status = tcase_create("status");

	tcase_add_checked_fixture(frames, setup, teardown);
	tcase_add_test(frames, test_fds);
	tcase_add_test(frames, test_too_much);
	tcase_add_test(frames, test_ends);
	suite_add_tcase(s, frames);
	tcase_add_checked_fixture(decoding, setup, teardown);
	tcase_set_timeout(decoding, 60);
	tcase_add_test(decoding, test_round_trip);
	tcase_add_test(decoding, test_refused);
	tcase_add_test(decoding, test_every_cut);
	tcase_add_test(decoding, test_arena);
	tcase_add_test(decoding, test_mutations);
	suite_add_tcase(s, decoding);
	tcase_add_test(status, test_status);
	suite_add_tcase(s, status);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, wire_suite, NULL);
}
