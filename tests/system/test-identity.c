/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose a client is: by its socket, checked against its process; and what a container may use of svad. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns-world.h"

#define QUIET "[containers]\nreconcile = 0\n"
#define ROOT_MAY "[policy \"root\"]\nuid = 0\ndevices = *\n" QUIET
#define EVENTUALLY_MS 60000

/* ---- a client process that connects in one netns with a socket of another -------------------------------- */

struct where {
	const char *socket_in, *process_in; /* paths of netnses; NULL: the host's */
	const char *name; /* of the socket */
};

static void elsewhere(void *arg)
{
	const struct where *w = arg;
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd;
	char why[600];
	unsigned code;

	if (w->socket_in)
		world_enter(w->socket_in);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (w->process_in)
		world_enter(w->process_in);
	else
		MUST_EQ(setns(home, CLONE_NEWNET), 0);
	world_connect(fd, w->name);
	code = world_hello(fd, why);
	say("code %u %s", code, why);
	hear_this("end");
}

/* The code; *why is good until the next message of a client process. */
static unsigned attempt(const struct where *w, const char **why, struct child *child)
{
	const char *answer;
	unsigned code;
	int n = 0;

	sys_child(child, elsewhere, (void *)(uintptr_t)w);
	answer = sys_expect(child, "code ");
	MUST(sscanf(answer, "code %u %n", &code, &n) == 1);
	*why = answer + n;
	return code;
}

START_TEST(test_wrong_socket)
{
	struct box a, b, stranger;
	struct child child;
	const char *why;

	box_need();
	sys_start_lacking(world_lacks[_i], QUIET);
	box_start(&a);
	box_start(&b);
	box_start(&stranger);
	ct_registered(&a, "alpha");
	ct_registered(&b, "beta");
	struct where ways[] = {
		{ a.path, a.path, "svad.sock" }, /* as it should be */
		{ a.path, b.path, "svad.sock" },
		{ a.path, NULL, "svad.sock" },
		{ a.path, stranger.path, "svad.sock" },
		{ stranger.path, a.path, "svad.sock" },
		{ stranger.path, stranger.path, "svad.sock" }, /* of no container: the host's policy, and root */
	};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		bool right = ways[i].socket_in == ways[i].process_in;
		unsigned code = attempt(&ways[i], &why, &child);

		ck_assert_msg(code == (right ? SVAD_OK : SVAD_PERMISSION_DENIED), "%zu: %u %s", i, code, why);
		if (!right) {
			ck_assert_msg(strstr(why, "was made in the network namespace of") != NULL, "%s", why);
			ck_assert_msg(strstr(why, i == 4 ? "in that of container alpha" : "of container alpha (cookie") != NULL, "%s", why);
			ck_assert(i != 1 || strstr(why, "in that of container beta"));
			ck_assert(sys_event(SVAD__V1__EVENT_KIND__EVENT_REFUSED, 0) != NULL);
		}
		sys_end(&child);
	}
	world_logged("Refused a connection of pid");
	world_logged("The socket was made in the network namespace of container alpha");
	ck_assert_uint_eq(sys_counter("svad_connections_refused_total"), 4);
	/* and nothing of it stays with anybody */
	sys_await_counter("svad_clients", 0);
	ck_assert_uint_eq(ct_find("alpha", false)->connections, 0);
	ck_assert_uint_eq(ct_find("beta", false)->connections, 0);
	box_kill(&a);
	box_kill(&b);
	box_kill(&stranger);
	sys_stop();
}
END_TEST

/* The supervisor may not look at processes: the cookie alone counts, and that is said. */
START_TEST(test_cannot_tell)
{
	struct box a, b;
	struct child child;
	const char *why;

	box_need();
	sys_start_lacking("ptrace", QUIET);
	box_start(&a);
	box_start(&b);
	ct_registered(&a, "alpha");
	struct where w = { a.path, b.path, "svad.sock" };
	ck_assert_uint_eq(attempt(&w, &why, &child), SVAD_OK);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 1);
	world_logged("clients are told apart by their sockets alone");
	sys_end(&child);
	box_kill(&a);
	box_kill(&b);
	sys_stop();
}
END_TEST

/* No cookies at all: nobody can be told apart, so nobody may be registered; all are the host's. */
START_TEST(test_no_cookies)
{
	const Svad__V1__Reply *reply;
	struct box a;

	box_need();
	sys_start_lacking("netns-cookie", QUIET);
	box_start(&a);
	reply = ct_register(&a, "net", "alpha", "eth0");
	ck_assert_uint_eq(sys_code(reply), SVAD_FAILED_PRECONDITION);
	ck_assert_uint_eq(tenant_try(&a, "sim0"), SVAD_OK);
	world_logged("containers cannot be told apart");
	box_kill(&a);
	sys_stop();
}
END_TEST

/* An administrator is of the host, whatever uid a container's root has. */
START_TEST(test_admin)
{
	struct box a;
	struct child child;
	const char *why;

	box_need();
	sys_start_lacking("", QUIET);
	box_start(&a);
	struct where inside = { a.path, a.path, "admin.sock" }, outside = { NULL, NULL, "admin.sock" };
	ck_assert_uint_eq(attempt(&inside, &why, &child), SVAD_PERMISSION_DENIED); /* of no container */
	ck_assert_msg(strstr(why, "connect from the host") != NULL, "%s", why);
	sys_end(&child);
	ct_registered(&a, "alpha");
	ck_assert_uint_eq(attempt(&inside, &why, &child), SVAD_PERMISSION_DENIED);
	sys_end(&child);
	ck_assert_uint_eq(attempt(&outside, &why, &child), SVAD_OK);
	sys_end(&child);
	world_logged("would be an administrator");
	box_kill(&a);
	sys_stop();
}
END_TEST

/* The supervisor does not answer: whoever must be asked for waits, for a while; nobody else does. */
START_TEST(test_silent_supervisor)
{
	struct box a, b;
	struct child child, early;
	const char *why;
	struct raw raw;

	box_need();
	sys_start_lacking("supervisor", QUIET);
	/* Who connects before its container is registered, and has not been told yet, is the container's. */
	box_start(&b);
	struct where before = { b.path, b.path, "svad.sock" };
	sys_child(&early, elsewhere, &before);
	sys_await_counter("svad_clients", 1);
	ct_registered(&b, "beta");
	ck_assert_uint_eq(ct_find("beta", false)->clients, 1);
	ck_assert_ptr_nonnull(sys_expect(&early, "code "));
	sys_end(&early);
	box_kill(&b);
	box_start(&a);
	ct_registered(&a, "alpha");
	struct where w = { a.path, a.path, "svad.sock" };
	sys_child(&child, elsewhere, &w);
	raw_open(&raw); /* of the host */
	ck_assert_uint_eq(raw_grant(&raw, "sim0", NULL), SVAD_OK);
	raw_close(&raw);
	why = sys_expect(&child, "code ");
	ck_assert_int_eq(atoi(why + 5), SVAD_UNAVAILABLE);
	ck_assert_msg(strstr(why, "could not tell in time") != NULL, "%s", why);
	sys_end(&child);
	world_logged("has not told the network namespace of pid");
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	sys_stop();
}
END_TEST

/* ---- where it came from is where it stays ------------------------------------------------------------------ */

struct passing {
	const char *from, *to;
};

/* Connects in one container, and gives the connection to a process in another. */
static void passes_it_on(void *arg)
{
	const struct passing *p = arg;
	struct raw_bond bond;
	struct raw raw;
	uint32_t device;
	int pair[2];
	char c;

	world_enter(p->from);
	raw_open(&raw);
	MUST_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	if (fork() == 0) {
		/* What the receiver can do: use what the giver is charged for, as long as the giver lives and may. */
		world_enter(p->to);
		MUST_EQ(raw_grant(&raw, "sim0", &device), SVAD_OK);
		MUST_EQ(raw_bind_own(&raw, device, &bond), 0);
		say("bound");
		MUST(raw_hup(bond.fd, sys_ms(EVENTUALLY_MS)));
		MUST(raw_grant(&raw, "sim0", NULL) != SVAD_OK);
		say("over");
		(void)!read(pair[1], &c, 1);
		_exit(0);
	}
	close(pair[1]);
	hear_this("end");
}

START_TEST(test_passed_on)
{
	struct box a, b;
	struct child child;

	box_need();
	sys_start_lacking("", QUIET);
	box_start(&a);
	box_start(&b);
	ct_registered(&a, "alpha");
	ct_registered(&b, "beta");
	struct passing p = { a.path, b.path };
	sys_child(&child, passes_it_on, &p);
	sys_expect(&child, "bound");
	ck_assert_uint_eq(ct_find("alpha", false)->bonds, 1);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 1);
	ck_assert_uint_eq(ct_find("beta", false)->bonds, 0);
	ck_assert_uint_eq(ct_find("beta", false)->clients, 0);
	ck_assert_str_eq(sys_bonds()->list_bonds->bonds[0]->container, "alpha");
	ck_assert_uint_eq(ct_remove("net", "alpha", "eth0", 0, "cni")->remove_container->clean, 1);
	sys_expect(&child, "over");
	sys_end(&child);
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	box_kill(&b);
	sys_stop();
}
END_TEST

struct user {
	const char *box;
	bool leaves; /* into a netns of its own */
};

static void in_user_namespace(void *arg)
{
	const struct user *u = arg;
	char why[600];
	struct raw raw = { .ctx = -1 };
	unsigned code;

	world_enter(u->box);
	if (unshare(u->leaves ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWUSER) < 0) {
		say("not here");
		hear_this("end");
		return;
	}
	raw.conn = world_connect(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "svad.sock");
	code = world_hello(raw.conn, why);
	if (code == SVAD_OK)
		code = raw_grant(&raw, "sim0", NULL);
	say("code %u %s", code, why);
	hear_this("end");
}

static unsigned by_user(struct child *child, const struct user *u)
{
	const char *answer;

	sys_child(child, in_user_namespace, (void *)(uintptr_t)u);
	answer = sys_expect(child, "");
	if (strcmp(answer, "not here") == 0) {
		sys_end(child);
		tap_skip("no user namespace can be made here");
	}
	MUST(strncmp(answer, "code ", 5) == 0);
	return (unsigned)atoi(answer + 5);
}

START_TEST(test_user_namespace)
{
	struct user stays = { NULL, false }, leaves = { NULL, true };
	struct child child;
	struct box a;

	box_need();
	sys_start_lacking(world_lacks[_i], QUIET);
	box_start(&a);
	ct_registered(&a, "alpha");
	stays.box = leaves.box = a.path;
	ck_assert_uint_eq(by_user(&child, &stays), SVAD_OK);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 1);
	ck_assert_uint_eq(ct_find("alpha", false)->bonds, 1);
	sys_end(&child);
	sys_await_counter("svad_clients", 0);
	/* A netns of its own is of no container: it has stepped out, and what root may without any policy it may not, */
	ck_assert_uint_eq(by_user(&child, &leaves), SVAD_PERMISSION_DENIED);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 0);
	sys_end(&child);
	sys_await_counter("svad_clients", 0);
	/* but is under the host's policies, which know its uid */
	sys_configure(&(struct sys_options){ .config = ROOT_MAY });
	ck_assert_uint_eq(sys_code(sys_reload()), SVAD_OK);
	ck_assert_uint_eq(by_user(&child, &leaves), SVAD_OK);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 0);
	/* ... unless that is forbidden, or is from now on */
	sys_configure(&(struct sys_options){ .config = ROOT_MAY "unregistered = refuse\n" });
	ck_assert_uint_eq(sys_code(sys_reload()), SVAD_OK);
	sys_await_counter("svad_clients", 0);
	sys_end(&child);
	ck_assert_uint_eq(by_user(&child, &leaves), SVAD_PERMISSION_DENIED);
	sys_end(&child);
	ck_assert_uint_eq(by_user(&child, &stays), SVAD_OK);
	sys_end(&child);
	world_logged("unregistered = refuse");
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	sys_stop();
}
END_TEST

/* Who was there before the container was registered belongs to it from then on. */
START_TEST(test_registered_later)
{
	struct tenant t;
	struct box a;

	box_need();
	sys_start_lacking(world_lacks[_i], ROOT_MAY);
	box_start(&a);
	tenant_start(&t, &a, "sim0 sim1");
	ck_assert_uint_eq(sys_bonds()->list_bonds->n_bonds, 2);
	ck_assert_str_eq(sys_bonds()->list_bonds->bonds[0]->container, "");
	ct_registered(&a, "alpha");
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 1);
	ck_assert_uint_eq(ct_find("alpha", false)->connections, 1);
	ck_assert_uint_eq(ct_find("alpha", false)->bonds, 2);
	ck_assert_str_eq(sys_bonds()->list_bonds->bonds[0]->container, "alpha");
	ck_assert_uint_eq(ct_remove("net", "alpha", "eth0", 0, "cni")->remove_container->clean, 2);
	ck_assert(!tenant_has_connection(&t));
	tenant_kill(&t);
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	sys_stop();
}
END_TEST

/* A broker that dies: its clients have no socket any more, and are told by their processes before anybody is let in. */
START_TEST(test_broker_restart)
{
	struct tenant t, host;
	struct box a, here;
	int broker;

	box_need();
	sys_start_lacking(world_lacks[_i], QUIET "[policy \"c\"]\ncontainer = alpha\ndevices = *\n[policy \"h\"]\nuid = 0\ndevices = sim1\n");
	box_start(&a);
	ct_registered(&a, "alpha");
	tenant_start(&t, &a, "sim0 sim1"); /* sim0 by the container's policy alone */
	snprintf(here.path, sizeof(here.path), "/proc/%d/ns/net", (int)getpid());
	tenant_start(&host, &here, "sim1");
	broker = sys_pidfd(sys_broker());
	MUST_EQ(kill(sys_broker(), SIGKILL), 0);
	sys_await_exit(broker);
	close(broker);
	sys_reconnect();
	ck_assert_uint_eq(sys_bonds()->list_bonds->n_bonds, 3);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 1);
	ck_assert_uint_eq(ct_find("alpha", false)->bonds, 2);
	ck_assert_uint_eq(ct_remove("net", "alpha", "eth0", 0, "cni")->remove_container->clean, 2);
	ck_assert_uint_eq(sys_bonds()->list_bonds->n_bonds, 1);
	tenant_kill(&t);
	tenant_kill(&host);
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	sys_stop();
}
END_TEST

/* ---- the socket that is mounted into containers -------------------------------------------------------------------- */

START_TEST(test_socket_dir)
{
	char name[600];
	struct raw raw = { .ctx = -1 };

	sys_start(QUIET);
	raw.conn = world_connect(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "containers/svad.sock");
	ck_assert_uint_eq(world_hello(raw.conn, name), SVAD_OK);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", NULL), SVAD_OK);
	raw_close(&raw);
	snprintf(name, sizeof(name), "%s/run/containers/admin.sock", sys.dir);
	ck_assert_int_ne(access(name, F_OK), 0);
	snprintf(name, sizeof(name), "%s/run/containers/svad.sock", sys.dir);
	ck_assert_int_eq(sys_terminate(), 0);
	ck_assert_int_ne(access(name, F_OK), 0);
	sys_clean();
}
END_TEST

static Suite *identity_suite(void)
{
	Suite *s = suite_create("identity");

	world_each(s, "wrong_socket", test_wrong_socket);
	sys_test(s, "cannot_tell", test_cannot_tell);
	sys_test(s, "no_cookies", test_no_cookies);
	sys_test(s, "admin", test_admin);
	sys_test(s, "silent_supervisor", test_silent_supervisor);
	sys_test(s, "passed_on", test_passed_on);
	world_each(s, "user_namespace", test_user_namespace);
	world_each(s, "registered_later", test_registered_later);
	world_each(s, "broker_restart", test_broker_restart);
	sys_test(s, "socket_dir", test_socket_dir);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, identity_suite, NULL);
}
