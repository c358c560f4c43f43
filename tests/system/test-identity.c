/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose a client is: by its socket, checked against its process; what a container may use of svad; and the reconciler's eyes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "netns-world.h"

#define QUIET "[containers]\nreconcile = 0\n"
#define EVENTUALLY_MS 60000

/* Kernels that tell less: each must come to the same end. */
static const char *const lacks[] = { "", "netns-id", "netns-id,pidfd-netns", "netns-id,pidfd-netns,pidfd-info,peerpidfd" };
#define N_LACKS ((int)(sizeof(lacks) / sizeof(lacks[0])))

static void start(const char *without, const char *config)
{
	MUST_EQ(setenv("SVAD_TEST_LACKS", without, 1), 0);
	sys_start(config);
}

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0);
	MUST_EQ(setns(fd, CLONE_NEWNET), 0);
	close(fd);
}

static int connected(int fd, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/%s", sys.dir, name);
	MUST_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Who is refused may be told so before it has said anything. */
static unsigned hello(int fd, char why[600])
{
	static unsigned char buf[WIRE_MAX];
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Hello body = SVAD__V1__HELLO__INIT;
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	Svad__V1__Reply *reply;
	ssize_t len;

	version.major = WIRE_VERSION_MAJOR;
	body.min = body.max = &version;
	request.id = 1;
	request.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	request.hello = &body;
	len = wire_encode_request(&request, buf, sizeof(buf));
	MUST(len > 0);
	(void)sys_send(fd, buf, (size_t)len, NULL, 0);
	reply = sys_receive(fd, sys_ms(EVENTUALLY_MS), NULL);
	snprintf(why, 600, "%s", reply && reply->status ? reply->status->message : "");
	return sys_code(reply);
}

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
		enter(w->socket_in);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (w->process_in)
		enter(w->process_in);
	else
		MUST_EQ(setns(home, CLONE_NEWNET), 0);
	connected(fd, w->name);
	code = hello(fd, why);
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
	start(lacks[_i], QUIET);
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
	ck_assert(sys_log_has("Refused a connection of pid"));
	ck_assert(sys_log_has("The socket was made in the network namespace of container alpha"));
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
	start("ptrace", QUIET);
	box_start(&a);
	box_start(&b);
	ct_registered(&a, "alpha");
	struct where w = { a.path, b.path, "svad.sock" };
	ck_assert_uint_eq(attempt(&w, &why, &child), SVAD_OK);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 1);
	ck_assert(sys_log_has("clients are told apart by their sockets alone"));
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
	start("netns-cookie", QUIET);
	box_start(&a);
	reply = ct_register(&a, "net", "alpha", "eth0");
	ck_assert_uint_eq(sys_code(reply), SVAD_FAILED_PRECONDITION);
	ck_assert_uint_eq(tenant_try(&a, "sim0"), SVAD_OK);
	ck_assert(sys_log_has("containers cannot be told apart"));
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
	start("", QUIET);
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
	ck_assert(sys_log_has("would be an administrator"));
	box_kill(&a);
	sys_stop();
}
END_TEST

/* The supervisor does not answer: whoever must be asked for waits, for a while; nobody else does. */
START_TEST(test_silent_supervisor)
{
	struct box a;
	struct child child;
	const char *why;
	struct raw raw;

	box_need();
	start("supervisor", QUIET);
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
	ck_assert(sys_log_has("has not told the network namespace of pid"));
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

	enter(p->from);
	raw_open(&raw);
	MUST_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	if (fork() == 0) {
		/* What the receiver can do: use what the giver is charged for, as long as the giver lives and may. */
		enter(p->to);
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
	start("", QUIET);
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

	enter(u->box);
	if (unshare(u->leaves ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWUSER) < 0) {
		say("not here");
		hear_this("end");
		return;
	}
	raw.conn = connected(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "svad.sock");
	code = hello(raw.conn, why);
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
	start(lacks[_i], QUIET);
	box_start(&a);
	ct_registered(&a, "alpha");
	stays.box = leaves.box = a.path;
	ck_assert_uint_eq(by_user(&child, &stays), SVAD_OK);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 1);
	ck_assert_uint_eq(ct_find("alpha", false)->bonds, 1);
	sys_end(&child);
	sys_await_counter("svad_clients", 0);
	/* A netns of its own is of no container: it has stepped out, and is under the host's policy, which knows its uid */
	ck_assert_uint_eq(by_user(&child, &leaves), SVAD_OK);
	ck_assert_uint_eq(ct_find("alpha", false)->clients, 0);
	sys_end(&child);
	/* ... unless that is forbidden */
	sys_configure(&(struct sys_options){ .config = QUIET "unregistered = refuse\n" });
	ck_assert_uint_eq(sys_code(sys_reload()), SVAD_OK);
	ck_assert_uint_eq(by_user(&child, &leaves), SVAD_PERMISSION_DENIED);
	sys_end(&child);
	ck_assert_uint_eq(by_user(&child, &stays), SVAD_OK);
	sys_end(&child);
	ck_assert(sys_log_has("unregistered = refuse"));
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
	start(lacks[_i], QUIET);
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
	start(lacks[_i], QUIET "[policy \"c\"]\ncontainer = alpha\ndevices = *\n[policy \"h\"]\nuid = 0\ndevices = sim1\n");
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

/* ---- limits: one container's are not another's ---------------------------------------------------------------- */

struct greedy {
	const char *box;
	unsigned connections, requests;
};

static void grab(void *arg)
{
	const struct greedy *g = arg;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListDevices list = SVAD__V1__LIST_DEVICES__INIT;
	char why[600] = "", limit[64] = "";
	unsigned n, code = SVAD_OK;
	uint64_t figure = 0;
	struct raw raw = { .ctx = -1 };
	int fd;

	enter(g->box);
	raw.conn = connected(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "svad.sock");
	MUST_EQ(hello(raw.conn, why), SVAD_OK);
	for (n = 1; n <= g->connections && code == SVAD_OK; n++) {
		fd = connected(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "svad.sock");
		code = hello(fd, why);
	}
	if (g->connections)
		say("connections %u code %u %s", n - 1, code, why);
	for (n = 0, code = SVAD_OK; n < g->requests && code == SVAD_OK; n++) {
		Svad__V1__Reply *reply;

		request.id = 0;
		request.body_case = SVAD__V1__REQUEST__BODY_LIST_DEVICES;
		request.list_devices = &list;
		reply = sys_call(raw.conn, &request, NULL);
		code = sys_code(reply);
		if (reply && reply->status) {
			snprintf(limit, sizeof(limit), "%s", reply->status->limit_name);
			figure = reply->status->limit_value;
		}
	}
	if (g->requests)
		say("requests %u code %u %s %llu", n, code, limit, (unsigned long long)figure);
	hear_this("end");
}

static void registered_with(const struct box *box, const char *id, Svad__V1__ContainerLimits *limits, const char *device)
{
	Svad__V1__RegisterContainer ask = SVAD__V1__REGISTER_CONTAINER__INIT;
	char *devices[1] = { text(device) };

	ask.limits = limits;
	ask.pod_namespace = text("podns");
	ask.pod_name = text("pod-1");
	if (device) {
		ask.devices = devices;
		ask.n_devices = 1;
	}
	MUST_EQ(sys_code(ct_register_with(&ask, box, "net", id, "eth0")), SVAD_OK);
}

static void binder(void *arg)
{
	const struct greedy *g = arg;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Bind bind = SVAD__V1__BIND__INIT;
	int conn, fd = -1;
	char why[600];

	enter(g->box);
	conn = connected(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "svad.sock");
	MUST_EQ(hello(conn, why), SVAD_OK);
	for (;;) {
		char device[32];
		const char *what = hear();
		Svad__V1__Reply *reply;

		if (strcmp(what, "end") == 0)
			return;
		snprintf(device, sizeof(device), "%s", what);
		request.id = 0;
		request.body_case = SVAD__V1__REQUEST__BODY_BIND;
		request.bind = &bind;
		bind.device = device;
		reply = sys_call(conn, &request, &fd);
		if (reply && reply->bind) {
			bind.context = reply->bind->context;
			say("granted %u", reply->bind->drain_deadline_ms);
		} else {
			say("code %u %s %llu %s", sys_code(reply), reply && reply->status ? reply->status->limit_name : "",
			    reply && reply->status ? (unsigned long long)reply->status->limit_value : 0,
			    reply && reply->status ? reply->status->message : "");
		}
	}
}

static const char *bind_of(struct child *child, const char *device)
{
	sys_tell(child, device);
	return sys_expect(child, "");
}

START_TEST(test_bonds)
{
	Svad__V1__ContainerLimits one = SVAD__V1__CONTAINER_LIMITS__INIT;
	struct greedy in_a, in_b;
	struct child a1, a2, b1;
	struct box a, b;
	const char *answer;

	box_need();
	start("", QUIET "[limits]\nbonds_per_uid = 1\nbonds_per_container = 3\n");
	box_start(&a);
	box_start(&b);
	one.bonds = 2;
	one.drain_deadline_ms = 777;
	registered_with(&a, "alpha", &one, NULL);
	ct_registered(&b, "beta");
	in_a = (struct greedy){ .box = a.path };
	in_b = (struct greedy){ .box = b.path };
	sys_child(&a1, binder, &in_a);
	sys_child(&a2, binder, &in_a);
	sys_child(&b1, binder, &in_b);
	/* its drain deadline is the smaller one; the uid, which they share, is charged for none */
	ck_assert_str_eq(bind_of(&a1, "sim0"), "granted 777");
	ck_assert_str_eq(bind_of(&a2, "sim0"), "granted 777");
	answer = bind_of(&a2, "sim1");
	ck_assert_msg(strstr(answer, "code 8 bonds_per_container 2 The container alpha (podns/pod-1) has 2 bonds or grants, the limit "
				     "bonds_per_container is 2;") == answer,
		      "%s", answer);
	ck_assert_str_eq(bind_of(&b1, "sim0"), "granted 2000");
	ck_assert_str_eq(bind_of(&b1, "sim1"), "granted 2000");
	ck_assert_uint_eq(ct_find("alpha", false)->refused, 1);
	ck_assert_uint_eq(ct_find("alpha", false)->limits->bonds, 2);
	ck_assert_uint_eq(ct_find("beta", false)->limits->bonds, 3);
	/* what one gives back another of the same container can have */
	sys_end(&a1);
	sys_await_counter("svad_clients", 2);
	ck_assert_str_eq(bind_of(&a2, "sim1"), "granted 777");
	sys_end(&a2);
	sys_end(&b1);
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	box_kill(&b);
	sys_stop();
}
END_TEST

START_TEST(test_connections_and_requests)
{
	Svad__V1__ContainerLimits few = SVAD__V1__CONTAINER_LIMITS__INIT;
	struct greedy in_a = { .connections = 20, .requests = 500 }, in_b = { .connections = 6, .requests = 50 };
	struct child child, neighbour;
	struct box a, b;
	unsigned n, code;
	const char *answer;

	box_need();
	start("", QUIET "[limits]\nconnections_per_uid = 5\n");
	box_start(&a);
	box_start(&b);
	few.connections = 4;
	few.requests_per_second = 40;
	registered_with(&a, "alpha", &few, NULL);
	ct_registered(&b, "beta");
	in_a.box = a.path;
	in_b.box = b.path;
	sys_child(&child, grab, &in_a);
	answer = sys_expect(&child, "connections ");
	ck_assert_int_eq(sscanf(answer, "connections %u code %u", &n, &code), 2);
	ck_assert_uint_eq(n, 4); /* with the first one it has three more, and this was refused */
	ck_assert_uint_eq(code, SVAD_RESOURCE_EXHAUSTED);
	ck_assert_msg(strstr(answer, "container alpha (podns/pod-1) has 4 connections, the limit connections_per_container is 4") != NULL, "%s",
		      answer);
	answer = sys_expect(&child, "requests ");
	ck_assert_int_eq(sscanf(answer, "requests %u code %u", &n, &code), 2);
	ck_assert_uint_eq(code, SVAD_RESOURCE_EXHAUSTED);
	ck_assert_msg(strstr(answer, "requests_per_second_per_container 40") != NULL, "%s", answer);
	/* the neighbour has more connections than a uid may have, and its requests are answered */
	sys_child(&neighbour, grab, &in_b);
	ck_assert_str_eq(sys_expect(&neighbour, "connections "), "connections 6 code 0 ");
	ck_assert_str_eq(sys_expect(&neighbour, "requests "), "requests 50 code 0  0");
	ck_assert_uint_eq(ct_find("beta", false)->connections, 7);
	ck_assert_uint_eq(ct_find("beta", false)->refused, 0);
	ck_assert_uint_eq(ct_find("alpha", false)->connections, 4);
	ck_assert_uint_ge(ct_find("alpha", false)->refused, 2);
	ck_assert(sys_log_has("has connections_per_container connections"));
	sys_end(&child);
	sys_end(&neighbour);
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	box_kill(&b);
	sys_stop();
}
END_TEST

/* ---- policy ----------------------------------------------------------------------------------------------------- */

#define ONLY_SIM0 QUIET "[policy \"web\"]\npod = podns/*\ndevices = sim0\n"
#define BOTH QUIET "[policy \"web\"]\npod = podns/*\ndevices = *\n"

START_TEST(test_policy)
{
	struct greedy in_a, in_b;
	struct child a1, b1;
	struct box a, b;
	const char *answer;

	box_need();
	start("", ONLY_SIM0);
	box_start(&a);
	box_start(&b);
	registered_with(&a, "alpha", NULL, NULL);
	ct_registered(&b, "beta");
	in_a = (struct greedy){ .box = a.path };
	in_b = (struct greedy){ .box = b.path };
	sys_child(&a1, binder, &in_a);
	sys_child(&b1, binder, &in_b);
	ck_assert_str_eq(bind_of(&a1, "sim0"), "granted 2000");
	answer = bind_of(&a1, "sim1");
	ck_assert_msg(strstr(answer, "code 7  0 Policy does not let container alpha (podns/pod-1) use device 'sim1'; add a [policy] section with "
				     "container =") == answer,
		      "%s", answer);
	answer = bind_of(&b1, "sim0"); /* root, but in a container that no policy names */
	ck_assert_msg(strstr(answer, "code 7  0 Policy does not let container beta use") == answer, "%s", answer);
	ck_assert_str_eq(ct_find("alpha", false)->policy, "web");
	/* the settings change under way */
	sys_configure(&(struct sys_options){ .config = BOTH });
	ck_assert_uint_eq(sys_code(sys_reload()), SVAD_OK);
	ck_assert_str_eq(bind_of(&a1, "sim1"), "granted 2000");
	/* and so does its registration, which only narrows */
	registered_with(&a, "alpha", NULL, "sim1");
	ck_assert_uint_eq(ct_find("alpha", false)->bonds, 1);
	answer = bind_of(&a1, "sim0");
	ck_assert_msg(strstr(answer, "The container alpha (podns/pod-1) was registered with other devices than 'sim0'") != NULL, "%s", answer);
	sys_end(&a1);
	sys_end(&b1);
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	box_kill(&b);
	sys_stop();
}
END_TEST

/* ---- the reconciler ------------------------------------------------------------------------------------------- */

static void await_removed(const char *id)
{
	Svad__V1__Event *event;
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(EVENTUALLY_MS) * 1000000u;

	do {
		event = sys_next_event(sys_ms(EVENTUALLY_MS));
		MUST(event && sys_now_ns() < end);
	} while (event->kind != SVAD__V1__EVENT_KIND__EVENT_CONTAINER_REMOVED || strcmp(event->container, id) != 0);
}

static void need_reconciler(void)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ReconcileContainers ask = SVAD__V1__RECONCILE_CONTAINERS__INIT;
	struct box box;
	unsigned code;

	box_start(&box);
	ct_registered(&box, "probe");
	request.body_case = SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS;
	request.reconcile_containers = &ask;
	code = sys_code(sys_call(sys.admin, &request, NULL));
	MUST_EQ(sys_code(ct_remove("net", "probe", "eth0", 0, "cni")), SVAD_OK);
	box_kill(&box);
	if (code != SVAD_OK)
		tap_skip("the namespaces of some processes cannot be looked at here");
}

/* Nobody says that it has ended, and nobody asks. */
START_TEST(test_found_dead)
{
	struct box a, b;

	box_need();
	start(lacks[_i], "[containers]\nreconcile = 100ms\n");
	need_reconciler();
	box_start(&a);
	box_start(&b);
	ct_registered(&a, "alpha");
	ct_registered(&b, "beta");
	box_kill(&a);
	await_removed("alpha");
	ck_assert_ptr_null(ct_find("alpha", false));
	ck_assert_ptr_nonnull(ct_find("beta", false));
	box_kill(&b);
	await_removed("beta");
	sys_stop();
}
END_TEST

/* Long before it is time to look: its last client has gone, and soon after that a look finds it dead. */
START_TEST(test_last_client)
{
	struct tenant t;
	struct box a;

	box_need();
	start("", "[containers]\nreconcile = 24h\n");
	need_reconciler();
	box_start(&a);
	ct_registered(&a, "alpha");
	tenant_start(&t, &a, "sim0");
	box_kill(&a); /* the client is all that is left in there */
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 0);
	tenant_kill(&t);
	await_removed("alpha");
	sys_stop();
}
END_TEST

/* Alive by a mount that only the list of mounts tells of. */
START_TEST(test_bind_mount)
{
	char mountpoint[96];
	Svad__V1__Reply *reply;
	struct box a;
	int fd;

	box_need();
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		tap_skip("nothing can be mounted here");
	start(lacks[_i], QUIET);
	need_reconciler();
	box_start(&a);
	snprintf(mountpoint, sizeof(mountpoint), "%s/a netns", sys.dir);
	fd = open(mountpoint, O_CREAT | O_CLOEXEC | O_WRONLY, 0644);
	MUST(fd >= 0);
	close(fd);
	MUST_EQ(mount(a.path, mountpoint, NULL, MS_BIND, NULL), 0);
	ct_registered(&a, "alpha"); /* its path is the process's */
	box_kill(&a);
	reply = ct_reconcile();
	ck_assert_uint_ge(reply->reconcile_containers->looked_at, 1);
	ck_assert_uint_eq(reply->reconcile_containers->removed, 0);
	ck_assert_ptr_nonnull(ct_find("alpha", false));
	MUST_EQ(umount2(mountpoint, MNT_DETACH), 0);
	reply = ct_reconcile();
	ck_assert_uint_eq(reply->reconcile_containers->removed, 1);
	ck_assert_str_eq(reply->reconcile_containers->names[0], "alpha");
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 0);
	sys_stop();
}
END_TEST

/* Dead, though an fd still refers to it: nobody is in it. */
START_TEST(test_held_by_fd)
{
	struct box a;
	int fd;

	box_need();
	start(lacks[_i], QUIET);
	need_reconciler();
	box_start(&a);
	ct_registered(&a, "alpha");
	fd = open(a.path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 0);
	box_kill(&a);
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 1);
	close(fd);
	sys_stop();
}
END_TEST

/* Alive by a thread of a process that is elsewhere. */
static void *thread_main(void *arg)
{
	struct stat st;
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	int fd;

	(void)arg;
	MUST_EQ(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST_EQ(getsockopt(fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &len), 0);
	close(fd);
	MUST_EQ(stat("/proc/thread-self/ns/net", &st), 0);
	say("box %llu %llu %llu", (unsigned long long)cookie, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	pause();
	return NULL;
}

static void threaded(void *arg)
{
	pthread_t thread;

	(void)arg;
	MUST_EQ(pthread_create(&thread, NULL, thread_main, NULL), 0);
	hear_this("end");
}

START_TEST(test_thread)
{
	unsigned long long cookie, dev, inode;
	struct box a = { .path = "" };
	struct child child;

	box_need();
	start("", QUIET);
	need_reconciler();
	sys_child(&child, threaded, NULL);
	MUST_EQ(sscanf(sys_expect(&child, "box "), "box %llu %llu %llu", &cookie, &dev, &inode), 3);
	a.cookie = cookie;
	a.dev = dev;
	a.inode = inode;
	ct_registered(&a, "alpha");
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 0);
	sys_kill(&child, SIGKILL);
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 1);
	sys_stop();
}
END_TEST

/* Without the right to look nothing is found dead, and whoever asks is told why. */
START_TEST(test_may_not_look)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ReconcileContainers ask = SVAD__V1__RECONCILE_CONTAINERS__INIT;
	const Svad__V1__Reply *reply;
	struct box a;

	box_need();
	start("ptrace", QUIET);
	box_start(&a);
	ct_registered(&a, "alpha");
	box_kill(&a);
	request.body_case = SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS;
	request.reconcile_containers = &ask;
	reply = sys_call(sys.admin, &request, NULL);
	ck_assert_uint_ne(sys_code(reply), SVAD_OK);
	ck_assert_msg(strstr(reply->status->message, "CAP_SYS_PTRACE") != NULL, "%s", reply->status->message);
	ck_assert_ptr_nonnull(ct_find("alpha", false));
	sys_stop();
}
END_TEST

/* ---- the socket that is mounted into containers -------------------------------------------------------------------- */

START_TEST(test_socket_dir)
{
	char name[600];
	struct raw raw = { .ctx = -1 };

	sys_start(QUIET);
	raw.conn = connected(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "containers/svad.sock");
	ck_assert_uint_eq(hello(raw.conn, name), SVAD_OK);
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

static void each(Suite *s, const char *name, const TTest *test)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 300);
	tcase_add_loop_test(c, test, 0, N_LACKS);
	suite_add_tcase(s, c);
}

static Suite *identity_suite(void)
{
	Suite *s = suite_create("identity");

	each(s, "wrong_socket", test_wrong_socket);
	sys_test(s, "cannot_tell", test_cannot_tell);
	sys_test(s, "no_cookies", test_no_cookies);
	sys_test(s, "admin", test_admin);
	sys_test(s, "silent_supervisor", test_silent_supervisor);
	sys_test(s, "passed_on", test_passed_on);
	each(s, "user_namespace", test_user_namespace);
	each(s, "registered_later", test_registered_later);
	each(s, "broker_restart", test_broker_restart);
	sys_test(s, "bonds", test_bonds);
	sys_test(s, "connections_and_requests", test_connections_and_requests);
	sys_test(s, "policy", test_policy);
	each(s, "found_dead", test_found_dead);
	sys_test(s, "last_client", test_last_client);
	each(s, "bind_mount", test_bind_mount);
	each(s, "held_by_fd", test_held_by_fd);
	sys_test(s, "thread", test_thread);
	sys_test(s, "may_not_look", test_may_not_look);
	sys_test(s, "socket_dir", test_socket_dir);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, identity_suite, NULL);
}
