/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who gets which bond: references, contexts, limits, policies, and the choice of a device. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../client/lib/sva/queue.h"
#include "harness.h"

/* ---- references ------------------------------------------------------------------------------------ */

#define THREADS 8

static struct sva *lib;
static struct sva_bond *handles[THREADS];

static void *bind_thread(void *arg)
{
	MUST_EQ(sva_bind(lib, "sim0", arg), 0);
	return NULL;
}

START_TEST(test_threads)
{
	pthread_t threads[THREADS];

	sys_start("");
	ck_assert_int_eq(sva_connect(sys_path("run/svad.sock"), sys_ms(5000), &lib), 0);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, bind_thread, &handles[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 1; i < THREADS; i++)
		ck_assert_ptr_eq(handles[i], handles[0]);
	ck_assert_uint_eq(sva_bond_references(handles[0]), THREADS);
	ck_assert_uint_eq(sys_counter("svad_bonds"), 1);
	ck_assert_uint_eq(sys_bonds()->list_bonds->bonds[0]->pasid, sva_bond_pasid(handles[0]));
	for (unsigned i = 1; i < THREADS; i++)
		ck_assert_int_eq(sva_unbind(handles[0], SVA_STATE_NONE), 1);
	ck_assert_uint_eq(sys_counter("svad_bonds"), 1);
	ck_assert_int_eq(sva_unbind(handles[0], SVA_STATE_NONE), 0);
	sys_await_counter("svad_bonds", 0);
	sva_disconnect(lib);
	sys_stop();
}
END_TEST

START_TEST(test_two_connections)
{
	struct svab_bond_info info;
	struct svab_unbind u;
	struct raw a, b;
	struct raw_bond x, y, z;
	int cause;

	sys_start("");
	raw_open(&a);
	raw_open(&b);
	raw_bind(&a, "sim0", &x);
	raw_bind(&b, "sim0", &y);
	ck_assert_uint_eq(x.id, y.id);
	ck_assert_uint_eq(x.pasid, y.pasid);
	/* once for each context, and one bond */
	sys_event(SVAD__V1__EVENT_KIND__EVENT_BOUND, x.id);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_BOUND, x.id);
	ck_assert_uint_eq(sys_bonds()->list_bonds->n_bonds, 1);
	ck_assert_uint_eq(sys_bonds()->list_bonds->bonds[0]->references, 2);
	ck_assert_int_eq(raw_info(&x, &info), 0);
	ck_assert_uint_eq(info.refs, 2);
	/* another device: another bond, the same address space, the same PASID */
	raw_bind(&a, "sim1", &z);
	ck_assert_uint_ne(z.id, x.id);
	ck_assert_uint_eq(z.pasid, x.pasid);

	ck_assert_int_eq(raw_unbind(&x, SVAB_PASID_NONE, &u), 0);
	ck_assert_uint_eq(u.state, SVAB_PASID_BOUND);
	ck_assert_uint_eq(sys_bonds()->list_bonds->bonds[0]->references, 1);
	ck_assert_uint_eq(raw_run(&y, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);
	/* the other one's end is the bond's: its context was closed, its connection too, and either may be heard of first */
	raw_close(&b);
	cause = (int)sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, y.id)->cause;
	ck_assert(cause == SVAB_CAUSE_LAST_CLOSE || cause == SVAB_CAUSE_CLIENT_GONE);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, y.id);
	ck_assert_int_eq(raw_info(&z, &info), 0);
	ck_assert_uint_eq(info.state, SVAB_PASID_BOUND);
	ck_assert_int_eq(raw_unbind(&z, SVAB_PASID_NONE, NULL), 0);
	raw_close(&a);
	raw_bond_close(&x);
	raw_bond_close(&y);
	raw_bond_close(&z);
	sys_stop();
}
END_TEST

START_TEST(test_while_draining)
{
	struct raw a, b;
	struct raw_bond x, y;
	struct svab_unbind u = { .size = sizeof(u) };
	uint32_t device;

	sys_start("[device \"sim0\"]\ndrain_deadline = 10min\n");
	raw_open(&a);
	raw_open(&b);
	raw_bind(&a, "sim0", &x);
	sys_fault_ok("stop sim0 ignore forever");
	ck_assert_int_eq(raw_send(x.fd, SVAB_UNBIND, 1, &u, sizeof(u), NULL, 0), 0);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, x.id);
	ck_assert_uint_eq(raw_grant(&a, "sim0", &device), SVAD_ABORTED);
	ck_assert_uint_eq(raw_grant(&b, "sim0", &device), SVAD_OK);
	ck_assert_int_eq(raw_bind_own(&b, device, &y), -EBUSY);
	sys_fault_ok("stop sim0 obey");
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, x.id);
	ck_assert_int_eq(raw_bind_own(&b, device, &y), 0);
	ck_assert_uint_ne(x.id, y.id);
	ck_assert_int_eq(raw_unbind(&y, SVAB_PASID_NONE, NULL), 0);
	raw_close(&a);
	raw_close(&b);
	raw_bond_close(&x);
	raw_bond_close(&y);
	sys_stop();
}
END_TEST

/* ---- limits ------------------------------------------------------------------------------------------ */

/* A Bind that must hit this limit, with this figure. */
static void limited(struct raw *raw, const char *device, const char *limit, uint64_t value)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Bind bind = SVAD__V1__BIND__INIT;
	Svad__V1__Reply *reply;
	char figure[32];

	bind.device = (char *)(uintptr_t)device;
	bind.context = raw->cookie;
	request.body_case = SVAD__V1__REQUEST__BODY_BIND;
	request.bind = &bind;
	reply = sys_call(raw->conn, &request, NULL);
	MUST_EQ(sys_code(reply), SVAD_RESOURCE_EXHAUSTED);
	if (strcmp(reply->status->limit_name, limit) != 0)
		sys_fail(__FILE__, __LINE__, "%s", reply->status->limit_name);
	MUST_EQ(reply->status->limit_value, value);
	snprintf(figure, sizeof(figure), "%llu", (unsigned long long)value);
	MUST(strstr(reply->status->message, figure) && strstr(reply->status->message, limit));
}

static void unbind_and_close(struct raw_bond *bond)
{
	MUST_EQ(raw_unbind(bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(bond);
}

START_TEST(test_limit_per_client)
{
	struct raw raw, other;
	struct raw_bond x, y, z;

	sys_start("[limits]\nbonds_per_client = 2\n[device \"sim0\"]\n[device \"sim1\"]\n[device \"sim2\"]\n");
	raw_open(&raw);
	raw_bind(&raw, "sim0", &x);
	raw_bind(&raw, "sim1", &y);
	limited(&raw, "sim2", "bonds_per_client", 2);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", NULL), SVAD_OK); /* what it has is no more */
	raw_open(&other); /* another client has its own */
	raw_bind(&other, "sim2", &z);
	unbind_and_close(&x);
	raw_close(&other);
	raw_bond_close(&z);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, z.id);
	raw_bind(&raw, "sim2", &x); /* the charge was given back by the time that unbind returned */
	unbind_and_close(&x);
	unbind_and_close(&y);
	raw_close(&raw);
	sys_stop();
}
END_TEST

START_TEST(test_limit_grants_count)
{
	struct raw raw;

	/* a grant that is not used yet may become a bond: it is charged from the start, once */
	sys_start("[limits]\nbonds_per_client = 1\n");
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", NULL), SVAD_OK);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", NULL), SVAD_OK);
	limited(&raw, "sim1", "bonds_per_client", 1);
	raw_close(&raw);
	sys_stop();
}
END_TEST

START_TEST(test_limit_per_uid)
{
	struct raw a, b;
	struct raw_bond x, y, z;

	sys_start("[limits]\nbonds_per_uid = 2\n[device \"sim0\"]\n[device \"sim1\"]\n[device \"sim2\"]\n");
	raw_open(&a);
	raw_open(&b);
	raw_bind(&a, "sim0", &x);
	raw_bind(&b, "sim1", &y);
	limited(&a, "sim2", "bonds_per_uid", 2);
	limited(&b, "sim2", "bonds_per_uid", 2);
	unbind_and_close(&x);
	raw_bind(&b, "sim2", &z);
	unbind_and_close(&y);
	unbind_and_close(&z);
	raw_close(&a);
	raw_close(&b);
	sys_stop();
}
END_TEST

START_TEST(test_limit_of_device)
{
	struct raw a, b;
	struct raw_bond x;

	sys_start("[device \"sim0\"]\nmax_bonds = 1\n[device \"sim1\"]\n");
	raw_open(&a);
	raw_open(&b);
	raw_bind(&a, "sim0", &x);
	limited(&b, "sim0", "max_bonds", 1);
	unbind_and_close(&x);
	raw_bind(&b, "sim0", &x);
	unbind_and_close(&x);
	raw_close(&a);
	raw_close(&b);
	sys_stop();
}
END_TEST

START_TEST(test_reload_reaches_the_device)
{
	struct sys_options options = {
		.config = "[device \"sim0\"]\nmax_bonds = 2\ndrain_deadline = 700ms\n[device \"sim1\"]\n",
	};
	struct raw a, b;
	struct raw_bond x;
	uint32_t device;

	sys_start("[device \"sim0\"]\nmax_bonds = 1\n[device \"sim1\"]\n");
	raw_open(&a);
	raw_open(&b);
	raw_bind(&a, "sim0", &x);
	limited(&b, "sim0", "max_bonds", 1);
	sys_configure(&options);
	ck_assert_uint_eq(sys_code(sys_reload()), SVAD_OK);
	ck_assert_uint_eq(raw_grant(&b, "sim0", &device), SVAD_OK);
	ck_assert_uint_eq(sys_device("sim0")->max_bonds, 2);
	ck_assert_uint_eq(sys_device("sim0")->drain_deadline_ms, 700);
	unbind_and_close(&x);
	raw_close(&a);
	raw_close(&b);
	sys_stop();
}
END_TEST

static void hold_one(void *arg)
{
	struct raw raw;
	struct raw_bond bond;
	uint32_t device;
	int r;

	raw_open(&raw);
	MUST_EQ(raw_grant(&raw, arg, &device), SVAD_OK);
	r = raw_bind_own(&raw, device, &bond);
	say("bind %d pasid %u", r, r ? 0 : bond.pasid);
	hear_this("end");
}

START_TEST(test_out_of_pasids)
{
	struct child children[4];
	unsigned used = 0, refused = 0;

	/* one bit: PASID 1 alone (0 is none) */
	sys_start("[device \"sim0\"]\npasid_bits = 1\n[device \"sim1\"]\n");
	for (unsigned i = 0; i < 4; i++) {
		sys_child(&children[i], hold_one, (void *)(uintptr_t)"sim0");
		if (strstr(sys_expect(&children[i], "bind "), "bind 0 "))
			used++;
		else
			refused++;
	}
	ck_assert_uint_eq(used, 1);
	ck_assert_uint_eq(refused, 3);
	for (unsigned i = 0; i < 4; i++)
		sys_end(&children[i]);
	sys_stop();
}
END_TEST

/* ---- policy ------------------------------------------------------------------------------------------ */

struct who {
	uid_t uid;
	gid_t gid, group; /* group: supplementary, 0: none */
	const char *device;
	unsigned expected; /* code */
};

static void bind_as(void *arg)
{
	const struct who *who = arg;
	struct raw raw;
	unsigned code;

	MUST_EQ(setgroups(who->group ? 1 : 0, &who->group), 0);
	MUST_EQ(setresgid(who->gid, who->gid, who->gid), 0);
	MUST_EQ(setresuid(who->uid, who->uid, who->uid), 0);
	MUST_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
	raw_open(&raw);
	code = raw_grant(&raw, who->device, NULL);
	if (code != who->expected)
		sys_fail(__FILE__, __LINE__, "uid %u gid %u group %u on %s: code %u", (unsigned)who->uid, (unsigned)who->gid,
			 (unsigned)who->group, who->device, code);
	if (code == SVAD_OK) {
		struct raw_bond bond;

		raw_bind(&raw, who->device, &bond);
		MUST_EQ(raw_run(&bond, raw_fill(pages(4096), 3, 4096), NULL), SVA_DEMO_OK);
		MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	}
}

START_TEST(test_policy)
{
	static const struct who clients[] = {
		{ 2000, 2000, 0, "sim0", SVAD_OK }, /* by uid */
		{ 2001, 2001, 0, "sim0", SVAD_OK }, /* by range of uids */
		{ 2003, 2003, 0, "sim0", SVAD_PERMISSION_DENIED },
		{ 2000, 2000, 0, "sim1", SVAD_PERMISSION_DENIED }, /* another device */
		{ 3000, 4000, 0, "sim1", SVAD_OK }, /* by gid */
		{ 3000, 3000, 4000, "sim1", SVAD_OK }, /* by supplementary group */
		{ 3000, 3000, 4001, "sim1", SVAD_PERMISSION_DENIED },
		{ 2001, 4000, 0, "sim1", SVAD_PERMISSION_DENIED }, /* denied to one who is of the group too */
		{ 0, 0, 0, "sim0", SVAD_PERMISSION_DENIED }, /* with policies configured, root is as anybody */
	};
	struct child child;

	if (geteuid() != 0)
		tap_skip("run as root: other uids are needed");
	sys_start("[device \"sim0\"]\n[device \"sim1\"]\n"
		  "[policy \"some\"]\nuid = 2000-2002\ndevices = sim0\n"
		  "[policy \"group\"]\ngid = 4000\ndevices = sim1\n"
		  "[policy \"not-him\"]\nuid = 2001\ndevices = sim1\nallow = no\n");
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		sys_child(&child, bind_as, (void *)(uintptr_t)&clients[i]);
		ck_assert_int_eq(sys_reap(&child), 0);
	}
	sys_stop();
}
END_TEST

START_TEST(test_policy_limits)
{
	struct raw raw;
	struct raw_bond x;
	char config[256];

	snprintf(config, sizeof(config),
		 "[device \"sim0\"]\n[device \"sim1\"]\n[policy \"me\"]\nuid = %u\ndevices = sim*\nbonds_per_client = 1\n",
		 (unsigned)getuid());
	sys_start(config);
	raw_open(&raw);
	raw_bind(&raw, "sim0", &x);
	limited(&raw, "sim1", "bonds_per_client", 1);
	unbind_and_close(&x);
	raw_close(&raw);
	sys_stop();
}
END_TEST

#define DEVICES "[device \"sim0\"]\n[device \"sim1\"]\n"

START_TEST(test_reload_ends_bonds)
{
	struct sys_options options = { .config = NULL };
	char with[256], without[256];
	struct raw raw;
	struct raw_bond x, y;
	Svad__V1__Reply *reply;

	snprintf(with, sizeof(with), DEVICES "[policy \"me\"]\nuid = %u\ndevices = *\n", (unsigned)getuid());
	snprintf(without, sizeof(without), DEVICES "[policy \"me\"]\nuid = %u\ndevices = sim1\n", (unsigned)getuid());
	sys_start(with);
	raw_open(&raw);
	raw_bind(&raw, "sim0", &x);
	raw_bind(&raw, "sim1", &y);

	/* a mistake: named with file and line, and nothing changes */
	options.config = DEVICES "[policy \"me\"]\nuid = no-such-user-here\n";
	sys_configure(&options);
	reply = sys_reload();
	ck_assert_uint_eq(sys_code(reply), SVAD_FAILED_PRECONDITION);
	ck_assert_ptr_nonnull(strstr(reply->status->message, "svad.conf:"));
	ck_assert_uint_eq(sys_counter("svad_bonds"), 2);
	ck_assert_uint_eq(raw_run(&x, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);

	options.config = without;
	sys_configure(&options);
	ck_assert_uint_eq(sys_code(sys_reload()), SVAD_OK);
	ck_assert_int_eq((int)sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, x.id)->cause, (int)SVAB_CAUSE_POLICY);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, x.id);
	ck_assert(raw_hup(x.fd, sys_ms(5000)));
	ck_assert_uint_eq(raw_grant(&raw, "sim0", NULL), SVAD_PERMISSION_DENIED);
	ck_assert_uint_eq(raw_run(&y, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);

	/* and by SIGHUP back again */
	options.config = with;
	sys_configure(&options);
	ck_assert_int_eq(kill(sys.pid, SIGHUP), 0);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_RELOADED, 0);
	raw_bond_close(&x);
	raw_bind(&raw, "sim0", &x);
	unbind_and_close(&x);
	unbind_and_close(&y);
	raw_close(&raw);
	sys_stop();
}
END_TEST

START_TEST(test_reload_ends_grants)
{
	struct sys_options options = { .config = NULL };
	char with[256];
	struct raw raw;
	struct raw_bond x;
	uint32_t device;

	/* a grant that was not used yet is worth nothing any more */
	snprintf(with, sizeof(with), DEVICES "[policy \"me\"]\nuid = %u\ndevices = *\n", (unsigned)getuid());
	sys_start(with);
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	options.config = DEVICES "[policy \"nobody\"]\nuid = 64999\ndevices = *\n";
	sys_configure(&options);
	ck_assert_uint_eq(sys_code(sys_reload()), SVAD_OK);
	(void)sys_counter("svad_bonds"); /* a round trip to the device */
	ck_assert_int_eq(raw_bind_own(&raw, device, &x), -EACCES);
	raw_close(&raw);
	sys_stop();
}
END_TEST

/* ---- choice ------------------------------------------------------------------------------------------ */

/* Binds by a selector; the device's name, good until the next. */
static const char *choose(struct raw *raw, uint64_t operations, int numa, struct raw_bond *bond)
{
	static char name[64];
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Bind bind = SVAD__V1__BIND__INIT;
	Svad__V1__Selector selector = SVAD__V1__SELECTOR__INIT;
	Svad__V1__Reply *reply;
	uint32_t device;
	int fd = -1;

	selector.operations = operations;
	selector.has_numa_node = numa >= 0;
	selector.numa_node = numa;
	bind.selector = &selector;
	bind.context = raw->cookie;
	request.body_case = SVAD__V1__REQUEST__BODY_BIND;
	request.bind = &bind;
	reply = sys_call(raw->conn, &request, &fd);
	if (sys_code(reply) != SVAD_OK)
		return "none";
	if (fd >= 0)
		raw->ctx = fd;
	raw->cookie = reply->bind->context;
	device = reply->bind->device_id;
	snprintf(name, sizeof(name), "%s", reply->bind->device);
	MUST_EQ(raw_bind_own(raw, device, bond), 0);
	return name;
}

START_TEST(test_choice)
{
	struct raw raw[4];
	struct raw_bond bond[4];

	sys_start("[device \"a\"]\noperations = copy fill\nnuma_node = 0\nengines = 1\n"
		  "[device \"b\"]\noperations = copy fill crc32c\nnuma_node = 1\nengines = 1\ndrain_deadline = 100ms\n"
		  "[device \"sim1\"]\noperations = copy fill\nnuma_node = 1\nengines = 2\n");
	for (unsigned i = 0; i < 4; i++)
		raw_open(&raw[i]);
	ck_assert_str_eq(choose(&raw[0], 1u << SVA_DEMO_CRC32C, -1, &bond[0]), "b"); /* the only one that can */
	ck_assert_str_eq(choose(&raw[1], 0, 0, &bond[1]), "a"); /* the nearest */
	ck_assert_str_eq(choose(&raw[2], 0, 1, &bond[2]), "sim1"); /* as near as b, and idle */
	/* b, a and sim1 have a bond each; sim1 has two engines */
	ck_assert_str_eq(choose(&raw[3], 0, -1, &bond[3]), "sim1");
	unbind_and_close(&bond[3]);
	unbind_and_close(&bond[2]);
	ck_assert_str_eq(choose(&raw[3], 1u << SVA_DEMO_COMPARE, -1, &bond[3]), "none");

	/* degraded: b has a bond in quarantine. It is nearest and would be empty, and still is taken last */
	sys_fault_ok("stop b ignore forever");
	{
		struct svab_unbind u;

		ck_assert_int_eq(raw_unbind(&bond[0], SVAB_PASID_NONE, &u), 0);
		ck_assert_uint_eq(u.state, SVAB_PASID_QUARANTINED);
		raw_bond_close(&bond[0]);
	}
	raw_close(&raw[0]);
	sys_fault_ok("stop b obey");
	ck_assert_str_eq(choose(&raw[2], 0, 1, &bond[2]), "sim1");
	unbind_and_close(&bond[2]);
	sys_fault_ok("vanish sim1");
	sys_event(SVAD__V1__EVENT_KIND__EVENT_DEVICE_GONE, 0);
	ck_assert_str_eq(choose(&raw[2], 0, 1, &bond[2]), "a"); /* it holds a bond and is far */
	unbind_and_close(&bond[1]);
	ck_assert_uint_eq(sys_code(sys_reset("b")), SVAD_OK);
	sys_await_counter("svad_bonds_quarantined", 0);
	raw_close(&raw[1]);
	raw_close(&raw[2]);
	raw_close(&raw[3]);
	raw_bond_close(&bond[2]);
	sys_stop();
}
END_TEST

static Suite *bind_suite(void)
{
	Suite *s = suite_create("bind");

	sys_test(s, "threads", test_threads);
	sys_test(s, "two-connections", test_two_connections);
	sys_test(s, "while-draining", test_while_draining);
	sys_test(s, "limit-per-client", test_limit_per_client);
	sys_test(s, "limit-grants-count", test_limit_grants_count);
	sys_test(s, "limit-per-uid", test_limit_per_uid);
	sys_test(s, "limit-of-device", test_limit_of_device);
	sys_test(s, "reload-reaches-the-device", test_reload_reaches_the_device);
	sys_test(s, "out-of-pasids", test_out_of_pasids);
	sys_test(s, "policy", test_policy);
	sys_test(s, "policy-limits", test_policy_limits);
	sys_test(s, "reload-ends-bonds", test_reload_ends_bonds);
	sys_test(s, "reload-ends-grants", test_reload_ends_grants);
	sys_test(s, "choice", test_choice);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, bind_suite, NULL);
}
