/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a client may do wrong on svad's own socket. Each time: a clear answer, a bystander whose bytes stay right, no fd left over in
 * broker or device.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static struct child neighbour;
static struct sys_baseline before;

static void begin(const char *config)
{
	sys_start(config);
	bystander_start(&neighbour, "sim1");
	before = sys_baseline();
}

static void finish(void)
{
	bystander_check(&neighbour);
	sys_no_leak(&before);
	bystander_end(&neighbour);
	sys_stop();
}

static size_t encode(Svad__V1__Request *request, unsigned char *buf)
{
	ssize_t len = wire_encode_request(request, buf, WIRE_MAX);

	MUST(len > 0);
	return (size_t)len;
}

static size_t encode_hello(unsigned char *buf, uint32_t min, uint32_t max)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Hello hello = SVAD__V1__HELLO__INIT;
	Svad__V1__Version low = SVAD__V1__VERSION__INIT, high = SVAD__V1__VERSION__INIT;

	low.major = min;
	high.major = max;
	hello.min = &low;
	hello.max = &high;
	hello.program = (char *)(uintptr_t)"bad";
	request.id = 7;
	request.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	request.hello = &hello;
	return encode(&request, buf);
}

/* Sends bytes, expects one answer. */
static Svad__V1__Reply *say_bytes(int fd, const void *data, size_t len)
{
	Svad__V1__Reply *reply;

	MUST(sys_send(fd, data, len, NULL, 0));
	reply = sys_receive(fd, sys_ms(10000), NULL);
	MUST(reply != NULL);
	MUST(reply->status == NULL || reply->status->message[0]);
	return reply;
}

START_TEST(test_garbage)
{
	int fd;
	unsigned seed = 4711;
	unsigned n = tap_scale(200);
	uint64_t bad;

	begin("");
	fd = sys_connect("svad.sock");
	bad = sys_counter("svad_bad_messages_total");
	for (unsigned i = 0; i < n; i++) {
		unsigned char data[300];
		size_t len = 1 + (size_t)rand_r(&seed) % sizeof(data);
		Svad__V1__Reply *reply;

		for (size_t j = 0; j < len; j++)
			data[j] = (unsigned char)rand_r(&seed);
		data[0] = 0xff; /* no field begins so: garbage for sure */
		reply = say_bytes(fd, data, len);
		ck_assert_uint_eq(sys_code(reply), SVAD_INVALID_ARGUMENT);
		ck_assert_uint_eq(reply->id, 0);
	}
	ck_assert_uint_eq(sys_counter("svad_bad_messages_total") - bad, n);
	/* packets keep their bounds: the connection is good still */
	ck_assert_uint_eq(sys_code(sys_hello(fd, 0)), SVAD_OK);
	close(fd);
	finish();
}
END_TEST

START_TEST(test_truncated)
{
	unsigned char data[WIRE_MAX];
	size_t len = encode_hello(data, 1, 1);
	int fd;

	begin("");
	fd = sys_connect("svad.sock");
	for (size_t n = 1; n < len; n++) {
		unsigned code = sys_code(say_bytes(fd, data, n));

		ck_assert_msg(code == SVAD_INVALID_ARGUMENT || code == SVAD_UNIMPLEMENTED, "%zu bytes of %zu: code %u", n, len, code);
	}
	ck_assert_uint_eq(sys_code(say_bytes(fd, data, len)), SVAD_OK);
	close(fd);
	finish();
}
END_TEST

START_TEST(test_empty)
{
	int fd;
	struct pollfd p;

	/* an empty packet cannot be told from the end, and is taken for it */
	begin("");
	fd = sys_client();
	ck_assert_int_eq((int)send(fd, "", 0, 0), 0);
	p = (struct pollfd) { .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, sys_ms(10000)), 1);
	ck_assert_ptr_null(sys_receive(fd, 0, NULL));
	close(fd);
	finish();
}
END_TEST

START_TEST(test_oversized)
{
	static unsigned char data[WIRE_MAX + 1];
	Svad__V1__Reply *reply;
	int fd;

	begin("");
	for (int i = 0; i < 3; i++) {
		fd = sys_client();
		reply = say_bytes(fd, data, sizeof(data));
		ck_assert_uint_eq(sys_code(reply), SVAD_INVALID_ARGUMENT);
		ck_assert_ptr_nonnull(strstr(reply->status->message, "65536"));
		ck_assert_ptr_null(sys_receive(fd, sys_ms(10000), NULL)); /* and closed */
		ck_assert(raw_hup(fd, 0));
		close(fd);
	}
	/* the largest that may be, though it is no request */
	fd = sys_client();
	memset(data, 0xff, sizeof(data));
	ck_assert_uint_eq(sys_code(say_bytes(fd, data, WIRE_MAX)), SVAD_INVALID_ARGUMENT);
	ck_assert(!raw_hup(fd, 0));
	close(fd);
	finish();
}
END_TEST

START_TEST(test_unknown)
{
	/* id 9, then field 999 (a message of no bytes) */
	static const unsigned char future[] = { 0x08, 9, 0xba, 0x3e, 0 };
	static const unsigned char no_id[] = { 0x52, 0 };
	static const unsigned char control[] = { 0x08, 9, 0x52, 5, 0x1a, 3, 'a', '\n', 'b' };
	static const unsigned char not_utf8[] = { 0x08, 9, 0x52, 5, 0x1a, 3, 'a', 0xc3, 'b' };
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__GetStatus status = SVAD__V1__GET_STATUS__INIT;
	Svad__V1__Subscribe subscribe = SVAD__V1__SUBSCRIBE__INIT;
	Svad__V1__Reply *reply;
	int fd;

	begin("");
	fd = sys_client();
	reply = say_bytes(fd, future, sizeof(future));
	ck_assert_uint_eq(sys_code(reply), SVAD_UNIMPLEMENTED);
	ck_assert_uint_eq(reply->id, 9);
	ck_assert_uint_eq(sys_code(say_bytes(fd, no_id, sizeof(no_id))), SVAD_INVALID_ARGUMENT);
	ck_assert_uint_eq(sys_code(say_bytes(fd, control, sizeof(control))), SVAD_INVALID_ARGUMENT);
	ck_assert_uint_eq(sys_code(say_bytes(fd, not_utf8, sizeof(not_utf8))), SVAD_INVALID_ARGUMENT);

	/* each socket's requests on the other */
	request.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	request.get_status = &status;
	ck_assert_uint_eq(sys_code(sys_call(fd, &request, NULL)), SVAD_PERMISSION_DENIED);
	request.id = 0;
	request.body_case = SVAD__V1__REQUEST__BODY_SUBSCRIBE;
	request.subscribe = &subscribe;
	ck_assert_uint_eq(sys_code(sys_call(sys.admin, &request, NULL)), SVAD_PERMISSION_DENIED);
	close(fd);
	finish();
}
END_TEST

START_TEST(test_version)
{
	unsigned char data[WIRE_MAX];
	Svad__V1__Reply *reply;
	int fd;

	begin("");
	fd = sys_connect("svad.sock");
	reply = say_bytes(fd, data, encode_hello(data, 7, 9));
	ck_assert_uint_eq(sys_code(reply), SVAD_FAILED_PRECONDITION);
	ck_assert_ptr_nonnull(strstr(reply->status->message, "7 to 9"));
	ck_assert_ptr_nonnull(strstr(reply->status->message, "1.0"));
	ck_assert_uint_eq(sys_code(say_bytes(fd, data, encode_hello(data, 2, 1))), SVAD_FAILED_PRECONDITION);
	ck_assert_uint_eq(sys_code(say_bytes(fd, data, encode_hello(data, 0, 0))), SVAD_FAILED_PRECONDITION);
	reply = say_bytes(fd, data, encode_hello(data, 0, 200)); /* a newer client that speaks ours too */
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->hello->version->major, 1);
	ck_assert_uint_eq(sys_code(say_bytes(fd, data, encode_hello(data, 1, 1))), SVAD_FAILED_PRECONDITION); /* twice */
	close(fd);
	finish();
}
END_TEST

START_TEST(test_before_hello)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListDevices list = SVAD__V1__LIST_DEVICES__INIT;
	Svad__V1__ListBonds bonds = SVAD__V1__LIST_BONDS__INIT;
	Svad__V1__Subscribe subscribe = SVAD__V1__SUBSCRIBE__INIT;
	Svad__V1__Reload reload = SVAD__V1__RELOAD__INIT;
	struct raw raw = { .ctx = -1 };
	Svad__V1__Reply *reply;
	int admin;

	begin("");
	raw.conn = sys_connect("svad.sock");
	request.body_case = SVAD__V1__REQUEST__BODY_LIST_DEVICES;
	request.list_devices = &list;
	reply = sys_call(raw.conn, &request, NULL);
	ck_assert_uint_eq(sys_code(reply), SVAD_FAILED_PRECONDITION);
	ck_assert_ptr_nonnull(strstr(reply->status->message, "Hello"));
	request.id = 0;
	request.body_case = SVAD__V1__REQUEST__BODY_LIST_BONDS;
	request.list_bonds = &bonds;
	ck_assert_uint_eq(sys_code(sys_call(raw.conn, &request, NULL)), SVAD_FAILED_PRECONDITION);
	request.id = 0;
	request.body_case = SVAD__V1__REQUEST__BODY_SUBSCRIBE;
	request.subscribe = &subscribe;
	ck_assert_uint_eq(sys_code(sys_call(raw.conn, &request, NULL)), SVAD_FAILED_PRECONDITION);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", NULL), SVAD_FAILED_PRECONDITION);
	admin = sys_connect("admin.sock");
	request.id = 0;
	request.body_case = SVAD__V1__REQUEST__BODY_RELOAD;
	request.reload = &reload;
	ck_assert_uint_eq(sys_code(sys_call(admin, &request, NULL)), SVAD_FAILED_PRECONDITION);
	close(admin);
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_fds_to_the_broker)
{
	unsigned char data[WIRE_MAX];
	size_t len = encode_hello(data, 1, 1);
	int many[40], fd;
	Svad__V1__Reply *reply;

	begin("");
	for (unsigned i = 0; i < 40; i++)
		many[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* as many as are taken off the wire: refused, and the connection stays */
	for (unsigned n = 1; n <= WIRE_MAX_FDS; n++) {
		fd = sys_connect("svad.sock");
		ck_assert(sys_send(fd, data, len, many, n));
		reply = sys_receive(fd, sys_ms(10000), NULL);
		ck_assert_uint_eq(sys_code(reply), SVAD_INVALID_ARGUMENT);
		ck_assert_ptr_nonnull(strstr(reply->status->message, "no fds"));
		ck_assert_uint_eq(sys_code(sys_hello(fd, 0)), SVAD_OK);
		close(fd);
	}
	/* more: some are lost, and with them what the message meant */
	for (unsigned n = WIRE_MAX_FDS + 1; n <= 40; n += 31) {
		fd = sys_connect("svad.sock");
		ck_assert(sys_send(fd, data, len, many, n));
		ck_assert_uint_eq(sys_code(sys_receive(fd, sys_ms(10000), NULL)), SVAD_INVALID_ARGUMENT);
		ck_assert_ptr_null(sys_receive(fd, sys_ms(10000), NULL));
		close(fd);
	}
	/* announced, and none came */
	fd = sys_client();
	{
		Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
		Svad__V1__ListDevices list = SVAD__V1__LIST_DEVICES__INIT;

		request.fds = 2;
		request.body_case = SVAD__V1__REQUEST__BODY_LIST_DEVICES;
		request.list_devices = &list;
		ck_assert_uint_eq(sys_code(sys_call(fd, &request, NULL)), SVAD_INVALID_ARGUMENT);
	}
	close(fd);
	for (unsigned i = 0; i < 40; i++)
		close(many[i]);
	finish();
}
END_TEST

START_TEST(test_fds_in_a_socket_that_nobody_reads)
{
	unsigned char data[WIRE_MAX];
	size_t len = encode_hello(data, 1, 1);
	int fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* fds that lie in the queue of a connection that ends go with it */
	begin("");
	fd = sys_connect("svad.sock");
	for (int i = 0; i < 20; i++)
		ck_assert(sys_send(fd, data, len, &null, 1));
	close(fd);
	close(null);
	finish();
}
END_TEST

/* ---- bind of what is not to be had -------------------------------------------------------------------- */

START_TEST(test_bind_unknown)
{
	struct raw raw;
	char name[300];

	begin("");
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "no-such-device", NULL), SVAD_NOT_FOUND);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_uint_eq(raw_grant(&raw, name, NULL), SVAD_NOT_FOUND);
	ck_assert_int_eq(raw.ctx, -1);
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_bind_name_and_selector)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Bind bind = SVAD__V1__BIND__INIT;
	Svad__V1__Selector selector = SVAD__V1__SELECTOR__INIT;
	int fd;

	begin("");
	fd = sys_client();
	bind.device = (char *)(uintptr_t)"sim0";
	bind.selector = &selector;
	request.body_case = SVAD__V1__REQUEST__BODY_BIND;
	request.bind = &bind;
	ck_assert_uint_eq(sys_code(sys_call(fd, &request, NULL)), SVAD_INVALID_ARGUMENT);
	bind.device = (char *)(uintptr_t)"";
	selector.operations = 1ull << 40;
	request.id = 0;
	ck_assert_uint_eq(sys_code(sys_call(fd, &request, NULL)), SVAD_NOT_FOUND);
	close(fd);
	finish();
}
END_TEST

START_TEST(test_bind_vanished)
{
	struct raw raw;
	struct raw_bond bond;
	uint32_t device;

	begin("");
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK); /* granted, and gone before it is used */
	sys_fault_ok("vanish sim0");
	sys_event(SVAD__V1__EVENT_KIND__EVENT_DEVICE_GONE, 0);
	ck_assert_int_eq(raw_bind_own(&raw, device, &bond), -ENODEV);
	raw_close(&raw);
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_UNAVAILABLE);
	ck_assert_int_eq(sys_device("sim0")->health, SVAD__V1__DEVICE_HEALTH__HEALTH_GONE);
	sys_fault_ok("return sim0");
	sys_event(SVAD__V1__EVENT_KIND__EVENT_DEVICE_ADDED, 0);
	raw_bind(&raw, "sim0", &bond);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_close(&raw);
	finish();
}
END_TEST

static void refused_by_policy(void *arg)
{
	struct raw raw;

	(void)arg;
	become(12345, 12345);
	raw_open(&raw);
	MUST_EQ(raw_grant(&raw, "sim0", NULL), SVAD_PERMISSION_DENIED);
	MUST_EQ(raw_grant(&raw, "", NULL), SVAD_PERMISSION_DENIED);
	MUST_EQ(raw.ctx, -1);
	say("refused");
}

START_TEST(test_bind_refused)
{
	struct child child;

	if (geteuid() != 0)
		tap_skip("run as root: another uid is needed");
	begin("");
	sys_child(&child, refused_by_policy, NULL);
	sys_expect(&child, "refused");
	ck_assert_int_eq(sys_reap(&child), 0);
	finish();
}
END_TEST

START_TEST(test_bind_quarantined)
{
	struct raw raw, again;
	struct raw_bond bond, second;
	struct svab_unbind u;
	uint32_t device;

	begin("[device \"sim0\"]\ndrain_deadline = 600ms\n[device \"sim1\"]\n");
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	sys_fault_ok("stop sim0 ignore forever");
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, &u), 0);
	ck_assert_uint_eq(u.state, SVAB_PASID_QUARANTINED);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_ABORTED);
	/* nor by another way: a connection of its own, the same address space */
	raw_open(&again);
	ck_assert_uint_eq(raw_grant(&again, "sim0", &device), SVAD_OK);
	ck_assert_int_eq(raw_bind_own(&again, device, &second), -EBUSY);
	ck_assert_int_eq(sys_device("sim0")->health, SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED);
	sys_fault_ok("stop sim0 obey");
	ck_assert_uint_eq(sys_code(sys_reset("sim0")), SVAD_OK);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, bond.id);
	ck_assert_int_eq(raw_bind_own(&again, device, &second), 0);
	ck_assert_int_eq(raw_unbind(&second, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_bond_close(&second);
	raw_close(&raw);
	raw_close(&again);
	finish();
}
END_TEST

static Suite *bad_input_suite(void)
{
	Suite *s = suite_create("bad-input");

	sys_test(s, "garbage", test_garbage);
	sys_test(s, "truncated", test_truncated);
	sys_test(s, "empty", test_empty);
	sys_test(s, "oversized", test_oversized);
	sys_test(s, "unknown", test_unknown);
	sys_test(s, "version", test_version);
	sys_test(s, "before-hello", test_before_hello);
	sys_test(s, "fds", test_fds_to_the_broker);
	sys_test(s, "fds-unread", test_fds_in_a_socket_that_nobody_reads);
	sys_test(s, "bind-unknown", test_bind_unknown);
	sys_test(s, "bind-name-and-selector", test_bind_name_and_selector);
	sys_test(s, "bind-vanished", test_bind_vanished);
	sys_test(s, "bind-refused", test_bind_refused);
	sys_test(s, "bind-quarantined", test_bind_quarantined);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, bad_input_suite, NULL);
}
