/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "policy.h"
#include "tap.h"

static struct config *C;
static struct policy_verdict v;

static void configure(const char *text)
{
	struct config_errors errors = { 0 };

	config_free(C);
	C = NULL;
	ck_assert_msg(config_from_text(text, strlen(text), &C, &errors) == 0, "%s",
		      errors.n ? errors.lines[0] : "?");
}

static void teardown(void)
{
	config_free(C);
	C = NULL;
}

static bool check(uid_t uid, gid_t gid, const gid_t *groups, size_t n, const char *device)
{
	policy_check(C,
		     &(struct policy_subject){
			     .uid = uid, .gid = gid, .groups = groups, .n_groups = n, .daemon_uid = 500 },
		     device, &v);
	return v.allowed;
}

START_TEST(test_none)
{
	configure("[daemon]\nruntime_dir = /r\n");
	ck_assert(check(0, 0, NULL, 0, "sim0"));
	ck_assert(check(500, 500, NULL, 0, "sim0"));
	ck_assert(!check(1000, 0, NULL, 0, "sim0"));
	ck_assert_ptr_null(v.policy);
	check(0, 0, NULL, 0, "sim0");
	ck_assert_uint_eq(v.bonds_per_client, 64);
	ck_assert_uint_eq(v.bonds_per_uid, 16384);
}
END_TEST

/* What root and svad's user may without a policy they may not from a network namespace of no container; with one they may all the same. */
START_TEST(test_foreign)
{
	struct policy_subject who = { .uid = 0, .daemon_uid = 500, .foreign = true };

	configure("[daemon]\nruntime_dir = /r\n[policy \"c\"]\ncontainer = *\ndevices = *\n");
	policy_check(C, &who, "sim0", &v);
	ck_assert(!v.allowed);
	ck_assert_int_eq(v.why, POLICY_FOREIGN);
	who.uid = 500;
	policy_check(C, &who, "sim0", &v);
	ck_assert(!v.allowed);
	who.uid = 1000;
	policy_check(C, &who, "sim0", &v);
	ck_assert_int_eq(v.why, POLICY_NONE_ALLOWS);
	who = (struct policy_subject){ .uid = 0, .daemon_uid = 500 };
	policy_check(C, &who, "sim0", &v);
	ck_assert(v.allowed);
	ck_assert_int_eq(v.why, POLICY_ALLOWS);
	teardown();

	configure("[daemon]\nruntime_dir = /r\n[policy \"a\"]\nuid = 0\ndevices = sim0\n");
	who.foreign = true;
	policy_check(C, &who, "sim0", &v);
	ck_assert(v.allowed);
	policy_check(C, &who, "sim1", &v);
	ck_assert_int_eq(v.why, POLICY_NONE_ALLOWS);
}
END_TEST

START_TEST(test_who)
{
	gid_t groups[] = { 7, 30 };

	configure("[daemon]\nruntime_dir = /r\n[policy \"a\"]\nuid = 1000-1005\ngid = 30\ndevices = sim*\n");
	ck_assert(check(1000, 1, NULL, 0, "sim0"));
	ck_assert_str_eq(v.policy, "a");
	ck_assert(check(1005, 1, NULL, 0, "sim0"));
	ck_assert(!check(1006, 1, NULL, 0, "sim0"));
	ck_assert(!check(999, 1, NULL, 0, "sim0"));
	ck_assert(check(999, 30, NULL, 0, "sim0"));
	ck_assert(check(999, 1, groups, 2, "sim0"));
	ck_assert(!check(999, 1, groups, 1, "sim0"));
	ck_assert(!check(1000, 1, NULL, 0, "hw0"));
	ck_assert(!check(0, 0, NULL, 0, "sim0")); /* with policies, root has none of its own */
}
END_TEST

START_TEST(test_combine)
{
	configure("[daemon]\nruntime_dir = /r\n"
		  "[policy \"all\"]\nuid = *\ndevices = *\nbonds_per_client = 2\n"
		  "[policy \"staff\"]\nuid = 1000\ndevices = sim?\nbonds_per_client = 9\nbonds_per_uid = 11\n"
		  "[policy \"not\"]\nuid = 2000\ndevices = sim1\nallow = no\n");
	ck_assert(check(1, 1, NULL, 0, "sim0"));
	ck_assert_uint_eq(v.bonds_per_client, 2);
	ck_assert_uint_eq(v.bonds_per_uid, 16384);
	ck_assert(check(1000, 1, NULL, 0, "sim0"));
	ck_assert_uint_eq(v.bonds_per_client, 9);
	ck_assert_uint_eq(v.bonds_per_uid, 11);
	ck_assert(check(2000, 1, NULL, 0, "sim0"));
	ck_assert(!check(2000, 1, NULL, 0, "sim1"));
	ck_assert_str_eq(v.policy, "not");
	ck_assert_uint_eq(v.bonds_per_client, 0);
}
END_TEST

/* ---- containers ---- */

#define R "[daemon]\nruntime_dir = /r\n"

static char *devices_a[] = { (char *)(uintptr_t)"sim0", (char *)(uintptr_t)"hw*" };
static struct policy_attachment attachments[2];
static struct policy_container web;
static struct policy_subject user;

/* One attachment of the container web-1 to net1, of the pod shop/web; a client with uid 1000 and gid 30. */
static void web_setup(void)
{
	attachments[0] = (struct policy_attachment){ .network = "net1", .container_id = "web-1" };
	web = (struct policy_container){ .attachments = attachments, .n_attachments = 1, .pod = "shop/web" };
	user = (struct policy_subject){ .uid = 1000, .gid = 30, .daemon_uid = 500 };
}

static bool may(const char *device)
{
	struct policy_set set;

	ck_assert_int_eq(policy_set_make(C, &web, &set), 0);
	policy_check_container(C, &set, &web, &user, device, &v);
	policy_set_free(&set);
	ck_assert_int_eq(v.allowed, v.why == POLICY_ALLOWS);
	return v.allowed;
}

static struct policy_limits limits(const struct policy_subject *who, const char **ret_first)
{
	struct policy_limits l;
	struct policy_set set;

	ck_assert_int_eq(policy_set_make(C, &web, &set), 0);
	policy_container_limits(C, &set, &web.registered, who, &l, ret_first);
	policy_set_free(&set);
	return l;
}

/* Every choice of who-keys, and of each whether it matches: all that are named must. */
START_TEST(test_container_who)
{
	static const char *const keys[4][2] = {
		{ "container = db web-?\n", "container = db web\n" },
		{ "pod = shop/*\n", "pod = shop\n" },
		{ "network = net[12]\n", "network = net\n" },
		{ "uid = 7 1000\n", "uid = 7\ngid = 8\n" },
	};

	for (unsigned named = 1; named < 16; named++) {
		for (unsigned wrong = 0; wrong < 16; wrong++) {
			char text[512] = R "[policy \"p\"]\ndevices = sim0\n";

			if ((wrong & named) != wrong || !(named & 7))
				continue;
			for (unsigned k = 0; k < 4; k++) {
				if (named & (1u << k))
					strcat(text, keys[k][wrong >> k & 1]);
			}
			configure(text);
			web_setup();
			ck_assert_msg(may("sim0") == !wrong, "%s", text);
			ck_assert(!may("sim1"));
			ck_assert_int_eq(v.why, POLICY_NONE_ALLOWS);
			/* and never to a client of the host, who has the rule that holds without policies */
			ck_assert(check(0, 0, NULL, 0, "sim1"));
			ck_assert(!check(1000, 30, NULL, 0, "sim0"));
		}
	}
}
END_TEST

START_TEST(test_container_groups)
{
	gid_t groups[] = { 7, 8 };

	configure(R "[policy \"p\"]\ncontainer = *\ngid = 8\ndevices = *\n");
	web_setup();
	ck_assert(!may("sim0"));
	user.groups = groups;
	user.n_groups = 2;
	ck_assert(may("sim0"));
	user.n_groups = 1;
	ck_assert(!may("sim0"));
	user.gid = 8;
	ck_assert(may("sim0"));
}
END_TEST

START_TEST(test_container_no_policy)
{
	/* of the host only: in a container a uid is not the host's person, and registration is the permission */
	configure(R "[policy \"h\"]\nuid = 5\ndevices = none\nallow = no\n");
	web_setup();
	ck_assert(may("sim0"));
	ck_assert_ptr_null(v.policy);
	ck_assert_uint_eq(v.bonds_per_client, 64);
	ck_assert_uint_eq(v.container.bonds, 4096);
	ck_assert_uint_eq(v.container.drain_deadline_ms, 0);
	/* one for other containers: then this one needs one too */
	configure(R "[policy \"c\"]\ncontainer = db\ndevices = *\n");
	ck_assert(!may("sim0"));
	ck_assert_int_eq(v.why, POLICY_NONE_ALLOWS);
	/* of no pod: no pattern of pods fits */
	configure(R "[policy \"c\"]\npod = *\ndevices = *\n");
	ck_assert(may("sim0"));
	web.pod = NULL;
	ck_assert(!may("sim0"));
}
END_TEST

START_TEST(test_container_deny)
{
	configure(R "[policy \"yes\"]\ncontainer = *\ndevices = *\n"
		    "[policy \"no\"]\npod = shop/*\ndevices = sim1\nallow = no\n"
		    "[policy \"not-7\"]\nnetwork = *\nuid = 7\ndevices = *\nallow = no\n");
	web_setup();
	ck_assert(may("sim0"));
	ck_assert_str_eq(v.policy, "yes");
	ck_assert(!may("sim1"));
	ck_assert_int_eq(v.why, POLICY_DENIES);
	ck_assert_str_eq(v.policy, "no");
	user.uid = 7;
	ck_assert(!may("sim0"));
	ck_assert_str_eq(v.policy, "not-7");
	/* a policy that denies says so before what was registered does */
	web_setup();
	attachments[0].devices = devices_a;
	attachments[0].n_devices = 2;
	ck_assert(!may("sim1"));
	ck_assert_int_eq(v.why, POLICY_DENIES);
	/* only ones that deny: nothing is allowed */
	configure(R "[policy \"no\"]\npod = shop/*\ndevices = sim1\nallow = no\n");
	ck_assert(!may("sim0"));
	ck_assert_int_eq(v.why, POLICY_NONE_ALLOWS);
}
END_TEST

START_TEST(test_container_devices)
{
	configure(R);
	web_setup();
	attachments[0].devices = devices_a;
	attachments[0].n_devices = 2;
	ck_assert(may("sim0"));
	ck_assert(may("hw7"));
	ck_assert(!may("sim1"));
	ck_assert_int_eq(v.why, POLICY_UNNAMED);
	/* a second attachment that names none takes nothing back; one that does adds its own */
	attachments[1] = (struct policy_attachment){ .network = "net2", .container_id = "web-1" };
	web.n_attachments = 2;
	ck_assert(!may("sim1"));
	attachments[1].devices = devices_a + 1;
	attachments[1].n_devices = 1;
	attachments[0].n_devices = 1;
	ck_assert(may("sim0"));
	ck_assert(may("hw0"));
	ck_assert(!may("sim1"));
	/* what is registered widens no policy */
	configure(R "[policy \"p\"]\nnetwork = net2\ndevices = sim1\n");
	ck_assert(!may("sim0"));
	ck_assert_int_eq(v.why, POLICY_NONE_ALLOWS);
	ck_assert(!may("sim1"));
	ck_assert_int_eq(v.why, POLICY_UNNAMED);
}
END_TEST

START_TEST(test_container_limits)
{
	struct policy_limits l;
	const char *first;

	configure(R "[limits]\nbonds_per_container = 10\nconnections_per_container = 20\n"
		    "requests_per_second_per_container = 30\nbonds_per_client = 5\n"
		    "[policy \"a\"]\ncontainer = *\ndevices = sim*\nbonds_per_container = 40\ndrain_deadline = 500\n"
		    "[policy \"b\"]\npod = shop/web\ndevices = hw*\nbonds_per_container = 30\nbonds_per_client = 2\n"
		    "connections_per_container = 7\ndrain_deadline = 700\n"
		    "[policy \"u\"]\nnetwork = net1\nuid = 1000\ndevices = sim1\nbonds_per_container = 90\n"
		    "requests_per_second_per_container = 3\nbonds_per_client = 9\n"
		    "[policy \"d\"]\nnetwork = *\ndevices = none\nallow = no\nbonds_per_container = 1000\n");
	web_setup();
	l = limits(NULL, &first);
	ck_assert_str_eq(first, "a");
	ck_assert_uint_eq(l.bonds, 40);
	ck_assert_uint_eq(l.connections, 7);
	ck_assert_uint_eq(l.requests_per_second, 30);
	ck_assert_uint_eq(l.drain_deadline_ms, 700);
	l = limits(&user, &first);
	ck_assert_uint_eq(l.bonds, 90);
	ck_assert_uint_eq(l.requests_per_second, 3);
	/* of a client: those that name the device */
	ck_assert(may("sim0"));
	ck_assert_uint_eq(v.bonds_per_client, 5);
	ck_assert(may("sim1"));
	ck_assert_uint_eq(v.bonds_per_client, 9);
	ck_assert_uint_eq(v.container.bonds, 90);
	ck_assert(may("hw0"));
	ck_assert_uint_eq(v.bonds_per_client, 2);
	/* what was registered only makes them smaller */
	web.registered = (struct policy_limits){ 12, 100, 29, 900 };
	l = limits(NULL, &first);
	ck_assert_uint_eq(l.bonds, 12);
	ck_assert_uint_eq(l.connections, 7);
	ck_assert_uint_eq(l.requests_per_second, 29);
	ck_assert_uint_eq(l.drain_deadline_ms, 700);
	web.registered.drain_deadline_ms = 100;
	ck_assert_uint_eq(limits(NULL, &first).drain_deadline_ms, 100);
	/* none applies: [limits] */
	configure(R "[limits]\nbonds_per_container = 10\n[policy \"x\"]\ncontainer = db\ndevices = *\nbonds_per_container = 3\n");
	web.registered = (struct policy_limits){ 0 };
	l = limits(&user, &first);
	ck_assert_ptr_null(first);
	ck_assert_uint_eq(l.bonds, 10);
	ck_assert_uint_eq(l.connections, 1024);
	ck_assert_uint_eq(l.drain_deadline_ms, 0);
	web.registered.drain_deadline_ms = 44;
	ck_assert_uint_eq(limits(NULL, &first).drain_deadline_ms, 44);
}
END_TEST

static Suite *policy_suite(void)
{
	Suite *s = suite_create("policy");
	TCase *tc = tcase_create("policy");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, test_none);
	tcase_add_test(tc, test_foreign);
	tcase_add_test(tc, test_who);
	tcase_add_test(tc, test_combine);
	tcase_add_test(tc, test_container_who);
	tcase_add_test(tc, test_container_groups);
	tcase_add_test(tc, test_container_no_policy);
	tcase_add_test(tc, test_container_deny);
	tcase_add_test(tc, test_container_devices);
	tcase_add_test(tc, test_container_limits);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, policy_suite, NULL);
}
