/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Too much of everything: the one who does it is told or waits, the others are served, and when it is over all is as it was. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

static size_t encode_list(unsigned char *buf, uint64_t id)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListDevices list = SVAD__V1__LIST_DEVICES__INIT;
	ssize_t len;

	request.id = id;
	request.body_case = SVAD__V1__REQUEST__BODY_LIST_DEVICES;
	request.list_devices = &list;
	len = wire_encode_request(&request, buf, WIRE_MAX);
	MUST(len > 0);
	return (size_t)len;
}

static unsigned long memory_kb(pid_t pid)
{
	char path[64], line[256];
	unsigned long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	MUST(f != NULL);
	while (!kb && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmRSS:", 6) == 0)
			kb = strtoul(line + 6, NULL, 10);
	fclose(f);
	return kb;
}

START_TEST(test_never_reads)
{
	unsigned char buf[WIRE_MAX];
	struct pollfd p;
	unsigned long kb;
	unsigned sent = 0;
	int fd;

	begin("");
	kb = memory_kb(before.broker);
	fd = sys_client();
	/* Requests go in until none does any more, and stays so while others are served. */
	for (int quiet = 0; quiet < 3;) {
		p = (struct pollfd) { .fd = fd, .events = POLLOUT };
		if (poll(&p, 1, 0) == 1) {
			size_t len = encode_list(buf, sent + 1);

			if (send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len) {
				sent++;
				quiet = 0;
				continue;
			}
		}
		bystander_check(&neighbour);
		(void)sys_counter("svad_clients");
		quiet++;
	}
	ck_assert_uint_gt(sent, 100);
	ck_assert_msg(memory_kb(before.broker) < kb + 2048 * tap_slow(), "%lu kB, before %lu", memory_kb(before.broker), kb);
	/* nothing was lost: each has its answer, in order */
	for (unsigned i = 1; i <= sent; i++) {
		Svad__V1__Reply *reply = sys_receive(fd, sys_ms(10000), NULL);

		ck_assert_msg(reply != NULL, "answer %u of %u", i, sent);
		ck_assert_uint_eq(reply->id, i);
		ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	}
	close(fd);
	finish();
}
END_TEST

START_TEST(test_never_reads_events)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Watch watch = SVAD__V1__WATCH__INIT;
	uint64_t told = 0, lost = 0;
	Svad__V1__Reply *reply;
	int fd;

	/* a watcher that sleeps through more events than its backlog holds learns how many it missed */
	begin("[limits]\nevent_backlog = 16\n");
	fd = sys_connect("admin.sock");
	ck_assert_uint_eq(sys_code(sys_hello(fd, 0)), SVAD_OK);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int) { 4096 }, sizeof(int)), 0);
	request.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	request.watch = &watch;
	ck_assert_uint_eq(sys_code(sys_call(fd, &request, NULL)), SVAD_OK);
	for (unsigned i = 0; i < 1000; i++) {
		int c = sys_connect("svad.sock");

		ck_assert_int_ge(c, 0);
		ck_assert_uint_eq(sys_code(sys_hello(c, 0)), SVAD_OK);
		close(c);
		sys_drop_events();
	}
	sys_await_counter("svad_clients", 1);
	sys_drop_events();
	lost = sys_counter("svad_events_lost_total");
	ck_assert_uint_gt(lost, 0);
	while (told < lost) {
		reply = sys_receive(fd, sys_ms(10000), NULL);
		ck_assert_msg(reply != NULL, "told of %llu lost events of %llu", (unsigned long long)told, (unsigned long long)lost);
		if (reply->event->kind == SVAD__V1__EVENT_KIND__EVENT_LOST)
			told += reply->event->count;
	}
	ck_assert_uint_eq(told, lost);
	close(fd);
	finish();
}
END_TEST

START_TEST(test_flood)
{
	enum { REQUESTS = 1000, RATE = 100 };
	unsigned char buf[WIRE_MAX];
	unsigned ok = 0, refused = 0;
	uint64_t start;
	int fd;

	begin("[limits]\nrequests_per_second = 100\n");
	fd = sys_client();
	start = sys_now_ns();
	for (unsigned i = 1; i <= REQUESTS; i++) {
		Svad__V1__Reply *reply;

		ck_assert(sys_send(fd, buf, encode_list(buf, i), NULL, 0));
		reply = sys_receive(fd, sys_ms(10000), NULL);
		ck_assert_ptr_nonnull(reply);
		ck_assert_uint_eq(reply->id, i);
		if (sys_code(reply) == SVAD_OK) {
			ok++;
			continue;
		}
		ck_assert_uint_eq(sys_code(reply), SVAD_RESOURCE_EXHAUSTED);
		ck_assert_str_eq(reply->status->limit_name, "requests_per_second");
		ck_assert_uint_eq(reply->status->limit_value, RATE);
		refused++;
	}
	ck_assert_uint_eq(ok + refused, REQUESTS);
	/* a burst of one second's worth, and the rate from then on */
	ck_assert_uint_le(ok, RATE + 2 + (unsigned)((sys_now_ns() - start) / (1000000000u / RATE)));
	ck_assert_uint_ge(ok, RATE - 1);
	ck_assert_uint_eq(sys_counter("svad_requests_rate_limited_total"), refused);
	close(fd);
	finish();
}
END_TEST

START_TEST(test_many_connections)
{
	unsigned limit = tap_scale(4096), n = tap_scale(5000), in = 0, out = 0;
	struct rlimit lim;
	char config[128];
	struct raw raw;
	struct raw_bond bond;
	int *fds;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = lim.rlim_max;
	if (lim.rlim_max < n * 2 + 100 || setrlimit(RLIMIT_NOFILE, &lim) < 0)
		tap_skip("%u connections need a hard limit of %u open files; ulimit -Hn is %lu", n, n * 2 + 100, (unsigned long)lim.rlim_max);
	config[0] = '\0';
	if (limit != 4096)
		snprintf(config, sizeof(config), "[limits]\nconnections_per_uid = %u\n", limit);
	begin(config);
	fds = malloc(n * sizeof(*fds));
	for (unsigned i = 0; i < n; i++) {
		fds[i] = sys_connect("svad.sock");
		ck_assert_int_ge(fds[i], 0);
	}
	/* every one of them is heard: served, or told the limit and its figure */
	for (unsigned i = 0; i < n; i++) {
		Svad__V1__Reply *reply = sys_hello(fds[i], 0);

		if (reply && sys_code(reply) == SVAD_OK) {
			in++;
			continue;
		}
		if (!reply) {
			/* Hello went nowhere: what was said first is in the queue (id 0), or was read by sys_hello() */
			out++;
			continue;
		}
		ck_abort_msg("code %u", sys_code(reply));
	}
	ck_assert_uint_eq(in + out, n);
	/* the bystander and the two administrators are charged too */
	ck_assert_uint_eq(in, limit - 3);
	ck_assert_uint_eq(sys_counter("svad_connections_refused_total"), out);
	{
		int one = sys_connect("svad.sock");
		Svad__V1__Reply *reply = sys_receive(one, sys_ms(10000), NULL);

		ck_assert_ptr_nonnull(reply);
		ck_assert_uint_eq(sys_code(reply), SVAD_RESOURCE_EXHAUSTED);
		ck_assert_str_eq(reply->status->limit_name, "connections_per_uid");
		ck_assert_uint_eq(reply->status->limit_value, limit);
		ck_assert_ptr_null(sys_receive(one, sys_ms(10000), NULL));
		close(one);
	}
	bystander_check(&neighbour);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	free(fds);
	sys_await_counter("svad_clients", 1);
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_close(&raw);
	finish();
}
END_TEST

/* The process can open `room` fds more than it has now. The limit is one of numbers, not of how many there are. */
static void narrow(pid_t pid, unsigned room, struct rlimit *was)
{
	char path[64];
	unsigned n;
	struct rlimit lim;

	for (n = 0;; n++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)pid, n);
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && room-- == 0)
			break;
	}
	MUST_EQ(prlimit(pid, RLIMIT_NOFILE, NULL, was), 0);
	lim = *was;
	lim.rlim_cur = n;
	MUST_EQ(prlimit(pid, RLIMIT_NOFILE, &lim, NULL), 0);
}

START_TEST(test_emfile)
{
	enum { N = 60, ROOM = 21 };
	unsigned in = 0, told = 0, dropped = 0;
	struct rlimit was;
	int fds[N];
	struct raw raw;
	uint32_t device;

	begin("");
	raw_open(&raw);
	narrow(before.broker, ROOM, &was);
	for (unsigned i = 0; i < N; i++) {
		fds[i] = sys_connect("svad.sock");
		ck_assert_int_ge(fds[i], 0);
	}
	for (unsigned i = 0; i < N; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };
		Svad__V1__Reply *reply;

		/* whoever is dropped was told why first */
		if (poll(&p, 1, in ? 0 : 20) == 1) {
			reply = sys_receive(fds[i], 0, NULL);
			if (reply) {
				ck_assert_uint_eq(sys_code(reply), SVAD_UNAVAILABLE);
				told++;
			} else {
				dropped++;
			}
			continue;
		}
		reply = sys_hello(fds[i], 0);
		if (sys_code(reply) == SVAD_OK)
			in++;
		else
			told++;
	}
	ck_assert_uint_eq(dropped, 0);
	ck_assert_uint_ge(in, ROOM / 2 - 1); /* two fds each */
	ck_assert_uint_eq(in + told, N);
	ck_assert_uint_ge(sys_counter("svad_accept_failures_total"), told);
	bystander_check(&neighbour);
	/* with no fd left for a context a bind is refused in words, and nothing is charged for it */
	if (raw_grant(&raw, "sim0", &device) != SVAD_OK)
		ck_assert_uint_eq(sys_counter("svad_bonds"), 1);
	ck_assert_int_eq(prlimit(before.broker, RLIMIT_NOFILE, &was, NULL), 0);
	for (unsigned i = 0; i < N; i++)
		close(fds[i]);
	/* and then all is well again */
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	raw_close(&raw);
	{
		int one = sys_client();

		close(one);
	}
	finish();
}
END_TEST

START_TEST(test_bind_at_emfile)
{
	struct rlimit was;
	struct raw raw;
	struct raw_bond bond;

	begin("[limits]\nbonds_per_client = 1\n");
	raw_open(&raw);
	narrow(before.broker, 0, &was);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_eq(raw_grant(&raw, "sim0", NULL), SVAD_UNAVAILABLE);
	ck_assert_int_eq(raw.ctx, -1);
	ck_assert_int_eq(prlimit(before.broker, RLIMIT_NOFILE, &was, NULL), 0);
	/* the limit of one bond shows that the refused ones are not charged */
	raw_bind(&raw, "sim0", &bond);
	ck_assert_uint_eq(raw_grant(&raw, "sim1", NULL), SVAD_RESOURCE_EXHAUSTED);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_device_at_emfile)
{
	struct rlimit was;
	struct raw raw;
	struct raw_bond bond;
	uint32_t device;
	int r;

	/* the device has no fd for what a bind brings, or for what it makes: refused each time; a new grant is all that is needed */
	begin("");
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	(void)sys_counter("svad_bonds"); /* the context has arrived */
	for (unsigned room = 0; room < 4; room++) {
		narrow(before.simdev, room, &was);
		r = raw_bind_own(&raw, device, &bond);
		ck_assert_int_eq(prlimit(before.simdev, RLIMIT_NOFILE, &was, NULL), 0);
		ck_assert_msg(r == -EMFILE || r == -EINVAL, "room for %u: %d", room, r);
		bystander_check(&neighbour);
		ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	}
	ck_assert_int_eq(raw_bind_own(&raw, device, &bond), 0);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_in_flight)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Revoke revoke = SVAD__V1__REVOKE__INIT;
	unsigned char buf[1024];
	unsigned answered = 0, refused = 0;
	struct raw raw;
	struct raw_bond bond;

	/* requests that wait for a drain, more than may be unanswered */
	begin("[limits]\nrequests_in_flight = 4\n[device \"sim0\"]\ndrain_deadline = 10min\n[device \"sim1\"]\n");
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	sys_fault_ok("stop sim0 ignore forever");
	revoke.bond = bond.id;
	request.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	request.revoke = &revoke;
	for (request.id = 50001; request.id <= 50010; request.id++) {
		ssize_t len = wire_encode_request(&request, buf, sizeof(buf));

		ck_assert(sys_send(sys.admin, buf, (size_t)len, NULL, 0));
	}
	while (answered + refused < 10) {
		Svad__V1__Reply *reply = sys_receive(sys.admin, sys_ms(10000), NULL);

		ck_assert_ptr_nonnull(reply);
		if (sys_code(reply) == SVAD_OK) {
			ck_assert_uint_eq(reply->revoke->clean, 1);
			answered++;
			continue;
		}
		ck_assert_uint_eq(sys_code(reply), SVAD_RESOURCE_EXHAUSTED);
		ck_assert_str_eq(reply->status->limit_name, "requests_in_flight");
		ck_assert_uint_eq(reply->status->limit_value, 4);
		refused++;
		if (refused == 6) /* what is over the limit is refused before anything is stopped */
			sys_fault_ok("stop sim0 obey");
	}
	ck_assert_uint_eq(answered, 4);
	raw_bond_close(&bond);
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_enomem)
{
	static char library[4096];
	struct pollfd p;
	int fd, trigger, served;

	snprintf(library, sizeof(library), "%s/.libs/faulty-accept.so", tap_builddir());
	if (access(library, R_OK) < 0)
		tap_skip("no %s: build it with make check-programs", library);
	sys_make_dir();
	setenv("SVAD_TEST_ENOMEM", sys_path("enomem"), 1);
	sys_start_with(&(struct sys_options) { .preload = library });
	bystander_start(&neighbour, "sim1");
	before = sys_baseline();
	served = sys_client();

	trigger = open(sys_path("enomem"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_ge(trigger, 0);
	close(trigger);
	fd = sys_connect("svad.sock"); /* into the queue */
	ck_assert_int_ge(fd, 0);
	sys_await_counter("svad_accept_failures_total", 1);
	/* it is tried again, not in a busy loop: what is connected is served meanwhile */
	ck_assert_uint_eq(sys_code(sys_hello(served, 0)), SVAD_FAILED_PRECONDITION);
	bystander_check(&neighbour);
	p = (struct pollfd) { .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 200), 0);
	ck_assert_uint_lt(sys_counter("svad_accept_failures_total"), 50);
	ck_assert_int_eq(unlink(sys_path("enomem")), 0);
	ck_assert_uint_eq(sys_code(sys_hello(fd, 0)), SVAD_OK);
	close(fd);
	close(served);
	finish();
}
END_TEST

static Suite *overload_suite(void)
{
	Suite *s = suite_create("overload");

	sys_test(s, "never-reads", test_never_reads);
	sys_test(s, "never-reads-events", test_never_reads_events);
	sys_test(s, "flood", test_flood);
	sys_test(s, "many-connections", test_many_connections);
	sys_test(s, "emfile", test_emfile);
	sys_test(s, "bind-at-emfile", test_bind_at_emfile);
	sys_test(s, "device-at-emfile", test_device_at_emfile);
	sys_test(s, "in-flight", test_in_flight);
	sys_test(s, "enomem", test_enomem);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, overload_suite, NULL);
}
