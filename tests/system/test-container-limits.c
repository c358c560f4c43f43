/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a container may use, by its registration, by policy and by [limits]; and that its neighbour does not notice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns-world.h"

#define QUIET "[containers]\nreconcile = 0\n"

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

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

	world_enter(g->box);
	raw.conn = world_connect(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "svad.sock");
	MUST_EQ(world_hello(raw.conn, why), SVAD_OK);
	for (n = 1; n <= g->connections && code == SVAD_OK; n++) {
		fd = world_connect(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "svad.sock");
		code = world_hello(fd, why);
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

	world_enter(g->box);
	conn = world_connect(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "svad.sock");
	MUST_EQ(world_hello(conn, why), SVAD_OK);
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
	sys_start_lacking("", QUIET "[limits]\nbonds_per_uid = 1\nbonds_per_container = 3\n");
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
	sys_start_lacking("", QUIET "[limits]\nconnections_per_uid = 5\n");
	box_start(&a);
	box_start(&b);
	few.connections = 4;
	few.requests_per_second = 5; /* so few that a slow machine exceeds it too; its Hellos are within the burst */
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
	ck_assert_msg(strstr(answer, "requests_per_second_per_container 5") != NULL, "%s", answer);
	/* the neighbour has more connections than a uid may have, and its requests are answered */
	sys_child(&neighbour, grab, &in_b);
	ck_assert_str_eq(sys_expect(&neighbour, "connections "), "connections 6 code 0 ");
	ck_assert_str_eq(sys_expect(&neighbour, "requests "), "requests 50 code 0  0");
	ck_assert_uint_eq(ct_find("beta", false)->connections, 7);
	ck_assert_uint_eq(ct_find("beta", false)->refused, 0);
	ck_assert_uint_eq(ct_find("alpha", false)->connections, 4);
	ck_assert_uint_ge(ct_find("alpha", false)->refused, 2);
	world_logged("container alpha (podns/pod-1) has reached its limit connections_per_container, 4");
	world_logged("The container alpha (podns/pod-1) has reached its limit requests_per_second_per_container, 5");
	sys_end(&child);
	sys_end(&neighbour);
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	box_kill(&b);
	sys_stop();
}
END_TEST

/* ---- policy ----------------------------------------------------------------------------------------------------- */

/* A policy by uid too: its limits are those of its clients, from the moment that they connect. */
START_TEST(test_by_user)
{
	struct greedy in_a = { .connections = 9 };
	struct child child;
	struct box a;
	unsigned n, code;

	box_need();
	sys_start_lacking("", QUIET "[policy \"all\"]\ncontainer = *\ndevices = *\nconnections_per_container = 2\n"
				    "[policy \"root\"]\ncontainer = *\ngid = 0\ndevices = *\nconnections_per_container = 5\n");
	box_start(&a);
	ct_registered(&a, "alpha");
	in_a.box = a.path;
	sys_child(&child, grab, &in_a);
	ck_assert_int_eq(sscanf(sys_expect(&child, "connections "), "connections %u code %u", &n, &code), 2);
	ck_assert_uint_eq(n, 5);
	ck_assert_uint_eq(code, SVAD_RESOURCE_EXHAUSTED);
	sys_end(&child);
	sys_await_counter("svad_clients", 0);
	box_kill(&a);
	sys_stop();
}
END_TEST

#define ONLY_SIM0 QUIET "[policy \"web\"]\npod = podns/*\ndevices = sim0\n"
#define BOTH QUIET "[policy \"web\"]\npod = podns/*\ndevices = *\n"

START_TEST(test_policy)
{
	struct greedy in_a, in_b;
	struct child a1, b1;
	struct box a, b;
	const char *answer;

	box_need();
	sys_start_lacking("", ONLY_SIM0);
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

static Suite *container_limits_suite(void)
{
	Suite *s = suite_create("container-limits");

	sys_test(s, "bonds", test_bonds);
	sys_test(s, "connections_and_requests", test_connections_and_requests);
	sys_test(s, "by_user", test_by_user);
	sys_test(s, "policy", test_policy);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, container_limits_suite, NULL);
}
