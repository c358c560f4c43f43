/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's own ends and beginnings, with real clients: processes of it that die, shutdown, socket activation, logs that cannot be written. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../client/lib/sva/queue.h"
#include "harness.h"

#define BYTES (1u << 20)
#define PATTERN 0x3333333333333333u

/* Kills one of svad's children and waits until it is dead. */
static void kill_one(pid_t pid)
{
	int fd = sys_pidfd(pid);

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	sys_await_exit(fd);
	close(fd);
}

/* ---- simdev dies ------------------------------------------------------------------------------------ */

static void device_back(void)
{
	/* The broker says so when the new one's devices are known. */
	sys_event(SVAD__V1__EVENT_KIND__EVENT_BACKEND_DOWN, 0);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_BACKEND_UP, 0);
	sys_fault_connect();
}

START_TEST(test_simdev_killed)
{
	struct sva_bond *handle;
	struct raw_bond bond;
	struct raw raw;
	struct sva *sva;
	pid_t broker;

	/* a limit of one bond shows that the charge ended with the bond */
	sys_start("[limits]\nbonds_per_client = 1\n");
	broker = sys_broker();
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	ck_assert_int_eq(sva_connect(sys_path("run/svad.sock"), sys_ms(5000), &sva), 0);
	ck_assert_int_eq(sva_bind(sva, "sim1", &handle), 0);
	kill_one(sys_simdev());
	ck_assert(raw_hup(bond.fd, sys_ms(10000)));
	sys_event(SVAD__V1__EVENT_KIND__EVENT_BACKEND_DOWN, 0);
	ck_assert_int_eq((int)sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, bond.id)->cause, (int)SVAB_CAUSE_DEVICE_GONE);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_BACKEND_UP, 0);
	sys_fault_connect();
	ck_assert_int_eq(sys_broker(), broker);
	ck_assert_int_eq(sva_bond_revoked(handle), 1);

	raw_bond_close(&bond);
	raw_bind(&raw, "sim0", &bond); /* the same connection; a new context */
	ck_assert_uint_eq(raw_run(&bond, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_close(&raw);
	(void)sva_unbind(handle, SVA_STATE_NONE);
	ck_assert_int_eq(sva_bind(sva, "sim1", &handle), 0);
	ck_assert_int_eq(sva_unbind(handle, SVA_STATE_NONE), 0);
	sva_disconnect(sva);
	sys_stop();
}
END_TEST

START_TEST(test_simdev_killed_again_and_again)
{
	struct raw_bond bond;
	struct raw raw;

	sys_start_with(&(struct sys_options) { .daemon_keys = "restart_backoff_max_ms = 20\n" });
	raw_open(&raw);
	for (unsigned i = 0; i < tap_scale(5); i++) {
		raw_bind(&raw, i % 2 ? "sim1" : "sim0", &bond);
		kill_one(sys_simdev());
		device_back();
		raw_bond_close(&bond);
	}
	raw_close(&raw);
	sys_stop();
}
END_TEST

/* ---- the broker dies ---------------------------------------------------------------------------------- */

struct worker {
	struct child child;
	uint64_t bond, cookie;
	unsigned pasid;
};

static void survivor(void *arg)
{
	unsigned char *to = pages(BYTES);
	struct sva_demo_completion *done = aligned_alloc(32, 32);
	struct sva_demo_desc desc = raw_fill(to, PATTERN, BYTES);
	Svad__V1__Reply *reply;
	struct raw_bond bond;
	struct raw raw;
	uint32_t device;

	(void)arg;
	memset(done, 0, sizeof(*done));
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	desc.completion = (uintptr_t)done;
	raw_submit(&bond, &desc);
	say("bond %llu pasid %u cookie %llx", (unsigned long long)bond.id, bond.pasid, (unsigned long long)raw.cookie);
	MUST(raw_hup(raw.conn, sys_ms(20000))); /* the broker is dead */
	say("down");
	hear_this("work"); /* DMA goes on without it */
	MUST_EQ(raw_wait(&bond, done), SVA_DEMO_OK);
	MUST(filled(to, PATTERN, BYTES));
	MUST_EQ(raw_run(&bond, raw_fill(to, 5, BYTES), NULL), SVA_DEMO_OK);
	MUST(filled(to, 5, BYTES));
	say("worked");
	hear_this("return");
	close(raw.conn);
	raw.conn = sys_connect("svad.sock");
	MUST(raw.conn >= 0);
	reply = sys_hello(raw.conn, raw.cookie);
	MUST_EQ(sys_code(reply), SVAD_OK);
	MUST(reply->hello->context_known);
	say("client %llu", (unsigned long long)reply->hello->client);
	hear_this("unbind");
	MUST_EQ(raw_grant(&raw, "sim1", &device), SVAD_RESOURCE_EXHAUSTED); /* the bond is charged to it */
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_bind(&raw, "sim1", &bond); /* the same context, and the charge is given back */
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
}

static void worker_start(struct worker *w, void (*fn)(void *arg))
{
	unsigned long long id, cookie;

	sys_child(&w->child, fn, NULL);
	MUST_EQ(sscanf(sys_expect(&w->child, "bond "), "bond %llu pasid %u cookie %llx", &id, &w->pasid, &cookie), 3);
	w->bond = id;
	w->cookie = cookie;
}

START_TEST(test_broker_killed)
{
	Svad__V1__Reply *reply;
	unsigned long long client;
	struct worker w;
	pid_t simdev;
	int thief;

	sys_start("[limits]\nbonds_per_client = 1\n");
	simdev = sys_simdev();
	sys_fault_ok("hold sim0");
	worker_start(&w, survivor);
	sys_fault_ok("wait sim0 held");
	kill_one(sys_broker());
	sys_expect(&w.child, "down");
	sys_fault_ok("unhold sim0");
	sys_tell(&w.child, "work");
	sys_expect(&w.child, "worked");
	sys_reconnect();
	ck_assert_int_eq(sys_simdev(), simdev);
	ck_assert_uint_eq(sys_counter("svad_broker_restarts_total"), 1);
	/* it knows from the device's list what there is */
	reply = sys_bonds();
	ck_assert_uint_eq(reply->list_bonds->n_bonds, 1);
	ck_assert_uint_eq(reply->list_bonds->bonds[0]->id, w.bond);
	ck_assert_uint_eq(reply->list_bonds->bonds[0]->pasid, w.pasid);
	ck_assert_int_eq(reply->list_bonds->bonds[0]->pid, w.child.pid);
	/* who is not its owner gets nothing by the secret either */
	thief = sys_connect("svad.sock");
	reply = sys_hello(thief, w.cookie);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert(!reply->hello->context_known);
	close(thief);
	sys_tell(&w.child, "return");
	ck_assert_int_eq(sscanf(sys_expect(&w.child, "client"), "client %llu", &client), 1);
	sys_await_counter("svad_clients", 1);
	sys_tell(&w.child, "unbind");
	ck_assert_int_eq(sys_reap(&w.child), 0);
	sys_stop();
}
END_TEST

static void goes_down_with_it(void *arg)
{
	struct raw_bond bond;
	struct raw raw;

	(void)arg;
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	say("bond %llu pasid %u cookie %llx", (unsigned long long)bond.id, bond.pasid, (unsigned long long)raw.cookie);
	hear_this("end");
}

START_TEST(test_client_dies_while_broker_is_down)
{
	struct worker w;

	sys_start("");
	worker_start(&w, goes_down_with_it);
	/* svad stands still, so that nothing is restarted meanwhile */
	{
		pid_t broker = sys_broker();

		ck_assert_int_eq(kill(sys.pid, SIGSTOP), 0);
		kill_one(broker);
	}
	sys_kill(&w.child, SIGKILL);
	for (int i = 0; strstr(sys_fault("state"), " bonds=1 "); i++) {
		ck_assert_int_lt(i, sys_ms(10000));
		poll(NULL, 0, 1); /* the device drains by itself; nobody is there to be told */
	}
	ck_assert_int_eq(kill(sys.pid, SIGCONT), 0);
	sys_reconnect();
	ck_assert_uint_eq(sys_bonds()->list_bonds->n_bonds, 0);
	sys_stop();
}
END_TEST

START_TEST(test_owner_stays_silent)
{
	struct worker w;

	/* It lives and says nothing to the new broker, which follows it all the same: its bond stays for as long as it does. */
	sys_start("");
	worker_start(&w, goes_down_with_it);
	kill_one(sys_broker());
	sys_reconnect();
	ck_assert_uint_eq(sys_bonds()->list_bonds->n_bonds, 1);
	sys_kill(&w.child, SIGKILL);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, w.bond);
	sys_stop();
}
END_TEST

START_TEST(test_library_over_broker_restart)
{
	struct sva_queue *queue;
	struct sva_bond *bond, *same;
	struct sva *sva;
	unsigned char *to = pages(BYTES);
	uint32_t pasid;

	sys_start("");
	ck_assert_int_eq(sva_connect(sys_path("run/svad.sock"), sys_ms(5000), &sva), 0);
	ck_assert_int_eq(sva_bind(sva, "sim0", &bond), 0);
	ck_assert_int_eq(sva_queue_new(bond, 16, &queue), 0);
	pasid = sva_bond_pasid(bond);
	for (unsigned i = 0; i < 3; i++) {
		kill_one(sys_broker());
		ck_assert_int_eq(sva_fill(queue, to, i + 1, BYTES, NULL), 0);
		ck_assert(filled(to, i + 1, BYTES));
		ck_assert_int_ge(sva_list_devices(sva, NULL, 0), 2); /* connects again */
		ck_assert_int_eq(sva_bond_revoked(bond), 0);
		sys_reconnect();
		ck_assert_uint_eq(sys_bonds()->list_bonds->n_bonds, 1);
	}
	ck_assert_int_eq(sva_bind(sva, "sim0", &same), 0);
	ck_assert_ptr_eq(same, bond);
	ck_assert_uint_eq(sva_bond_pasid(same), pasid);
	ck_assert_int_eq(sva_unbind(same, SVA_STATE_NONE), 1);
	sva_queue_free(queue);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	sva_disconnect(sva);
	sys_stop();
}
END_TEST

/* ---- shutdown ------------------------------------------------------------------------------------------ */

static void many_bonds(void *arg)
{
	struct raw_bond bond;
	struct raw raw;

	(void)arg;
	raw_open(&raw);
	raw_bind(&raw, "", &bond);
	{
		struct sva_demo_desc desc = raw_fill(pages(BYTES), PATTERN, BYTES);

		raw_submit(&bond, &desc);
	}
	say("bound");
	MUST(raw_hup(bond.fd, sys_ms(20000)));
	say("told");
	hear_this("end");
}

START_TEST(test_sigterm_with_bonds)
{
	unsigned n = tap_scale(100);
	struct child *children = calloc(n, sizeof(*children));

	sys_start("");
	for (unsigned i = 0; i < n; i++)
		sys_child(&children[i], many_bonds, NULL);
	for (unsigned i = 0; i < n; i++)
		sys_expect(&children[i], "bound");
	ck_assert_uint_eq(sys_counter("svad_bonds"), n);
	ck_assert_int_eq(sys_terminate(), 0);
	for (unsigned i = 0; i < n; i++) {
		sys_expect(&children[i], "told");
		sys_end(&children[i]);
	}
	ck_assert(!sys_log_has("would not drain"));
	ck_assert(!sys_log_has("violation"));
	free(children);
	sys_clean();
}
END_TEST

START_TEST(test_sigterm_undrainable)
{
	char line[64];
	struct worker w;

	sys_start("[drain]\nshutdown_deadline = 3s\n[device \"sim0\"]\ndrain_deadline = 600ms\n[device \"sim1\"]\n");
	worker_start(&w, goes_down_with_it);
	sys_fault_ok("stop sim0 ignore forever");
	ck_assert_int_eq(sys_terminate(), 4);
	snprintf(line, sizeof(line), "bond %llu device sim0", (unsigned long long)w.bond);
	ck_assert(sys_log_has(line));
	ck_assert(sys_log_has("QUARANTINED"));
	sys_end(&w.child);
	sys_clean();
}
END_TEST

START_TEST(test_svad_killed)
{
	struct worker w;
	int broker, simdev;

	/* with the supervisor dead nobody is left: the device ends what is bound, and clients see it */
	sys_start("");
	worker_start(&w, goes_down_with_it);
	broker = sys_pidfd(sys_broker());
	simdev = sys_pidfd(sys_simdev());
	ck_assert_int_eq(kill(sys.pid, SIGKILL), 0);
	sys_await_exit(sys.pidfd);
	sys_await_exit(broker);
	sys_await_exit(simdev);
	waitpid(sys.pid, NULL, 0);
	sys_end(&w.child);
	close(broker);
	close(simdev);
	sys_clean();
}
END_TEST

/* ---- beginnings ---------------------------------------------------------------------------------------- */

static int listening(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/%s", sys.dir, name);
	MUST_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	MUST_EQ(listen(fd, 16), 0);
	return fd;
}

START_TEST(test_socket_activation)
{
	struct sys_options options = { .config = NULL };
	struct raw_bond bond;
	struct raw raw = { .ctx = -1 };
	struct stat st;

	sys_make_dir();
	ck_assert_int_eq(mkdir(sys_path("run"), 0755), 0);
	options.listen_fds[0] = listening("svad.sock");
	options.listen_fds[1] = listening("admin.sock");
	raw.conn = sys_connect("svad.sock"); /* before there is a daemon: it is what starts it */
	ck_assert_int_ge(raw.conn, 0);
	sys_start_with(&options);
	close(options.listen_fds[0]);
	close(options.listen_fds[1]);
	ck_assert_uint_eq(sys_code(sys_hello(raw.conn, 0)), SVAD_OK);
	raw_bind(&raw, "sim0", &bond);
	ck_assert_uint_eq(raw_run(&bond, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_close(&raw);
	sys_await_counter("svad_bonds", 0);
	ck_assert_int_eq(sys_terminate(), 0);
	/* the sockets are whose who made them */
	ck_assert_int_eq(stat(sys_path("run/svad.sock"), &st), 0);
	sys_clean();
}
END_TEST

START_TEST(test_logs_cannot_be_written)
{
	struct raw_bond bond;
	struct raw raw;
	int fd;

	sys_start_with(&(struct sys_options) { .daemon_keys = "log_level = debug\n", .stderr_path = "/dev/full" });
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	for (int i = 0; i < 50; i++) { /* what makes lines */
		fd = sys_client();
		ck_assert(sys_send(fd, "\xff\xff", 2, NULL, 0));
		ck_assert_uint_eq(sys_code(sys_receive(fd, sys_ms(10000), NULL)), SVAD_INVALID_ARGUMENT);
		close(fd);
	}
	ck_assert_uint_eq(raw_run(&bond, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_close(&raw);
	sys_stop();
}
END_TEST

static Suite *daemon_suite(void)
{
	Suite *s = suite_create("daemon");

	sys_test(s, "simdev-killed", test_simdev_killed);
	sys_test(s, "simdev-killed-often", test_simdev_killed_again_and_again);
	sys_test(s, "broker-killed", test_broker_killed);
	sys_test(s, "client-dies-while-broker-is-down", test_client_dies_while_broker_is_down);
	sys_test(s, "owner-never-returns", test_owner_stays_silent);
	sys_test(s, "library-over-broker-restart", test_library_over_broker_restart);
	sys_test(s, "sigterm-with-bonds", test_sigterm_with_bonds);
	sys_test(s, "sigterm-undrainable", test_sigterm_undrainable);
	sys_test(s, "svad-killed", test_svad_killed);
	sys_test(s, "socket-activation", test_socket_activation);
	sys_test(s, "logs-cannot-be-written", test_logs_cannot_be_written);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, daemon_suite, NULL);
}
