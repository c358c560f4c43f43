/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CNI plugin's side towards svad, which is a fake here: what it registers and removes, and what it says
 * when svad does not. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../cni/removal_note.h"
#include "../../proto/status.h"
#include "cni-run.h"
#include "fake-admin.h"
#include "tap.h"

static struct fake_admin fake;
static char netns[64];
static pid_t inside;

static const struct cni_env del = { "DEL", "c1", "", "eth0", "" };
static const struct cni_env gc = { .command = "GC" };
static const struct cni_env status = { .command = "STATUS" };

static void setup(void)
{
	fake_admin_start(&fake);
}

static void teardown(void)
{
	char removed[200];

	(void)snprintf(removed, sizeof(removed), "%s/removed", fake.state_dir);
	(void)rmdir(removed);
	fake_admin_stop(&fake);
	ck_assert_int_eq(access(fake.directory, F_OK), -1); /* no note was left */
}

static void setup_netns(void)
{
	inside = cni_netns(netns); /* which may skip the test */
	setup();
}

static void teardown_netns(void)
{
	cni_netns_end(inside);
	teardown();
}

/* The configuration, with time for a machine that stands still; more has the rest. Lent until the next call.
 */
static const char *conf(const char *version, const char *more)
{
	static char text[8192];

	(void)snprintf(text, sizeof(text),
		       "{\"cniVersion\":\"%s\",\"name\":\"net\",\"type\":\"sva\",\"adminSocket\":\"%s\","
		       "\"timeout\":\"5min\","
		       "\"delTimeout\":\"5min\"%s%s}",
		       version, fake.path, *more ? "," : "", more);
	return text;
}

/* The same in little time, for what is never answered. */
static const char *hasty(const char *version, const char *more)
{
	static char text[8192];

	(void)snprintf(text, sizeof(text),
		       "{\"cniVersion\":\"%s\",\"name\":\"net\",\"adminSocket\":\"%s\",\"timeout\":\"400ms\","
		       "\"delTimeout\":\"400ms\"%s%s}",
		       version, fake.path, *more ? "," : "", more);
	return text;
}

static struct cni_env here(const char *command)
{
	return (struct cni_env){ command, "c1", netns, "eth0", "" };
}

static bool noted(void)
{
	char command[300];

	(void)snprintf(command, sizeof(command),
		       "test \"$(cat %s/removed/* 2>/dev/null)\" = \"$(printf 'net\\nc1\\neth0')\"",
		       fake.state_dir);
	return system(command) == 0;
}

/* ---- ADD ---- */

START_TEST(test_add)
{
	struct cni_env env = here("ADD");
	struct admin_attachment a;
	struct stat st;

	env.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=space;K8S_POD_NAME=pod;K8S_POD_INFRA_CONTAINER_ID=x;"
		   "K8S_POD_UID=u-1;";
	json_decref(cni_good(
		&env, conf("1.0.0", "\"devices\":[\"sim*\",\"a0\"],\"limits\":{\"bonds\":1,\"connections\":2,"
				    "\"requestsPerSecond\":3,\"drainDeadline\":\"4ms\"}")));
	cni_logged("registered as 1");
	cni_logged("sim0 sim1");
	ck_assert(fake_admin_find(&fake, "net", "c1", "eth0", &a));
	ck_assert_int_eq(stat(netns, &st), 0);
	ck_assert_uint_eq(a.dev, st.st_dev);
	ck_assert_uint_eq(a.inode, st.st_ino);
	ck_assert_uint_ne(a.cookie, 0);
	ck_assert_str_eq(a.netns_path, netns);
	ck_assert_str_eq(a.pod_namespace, "space");
	ck_assert_str_eq(a.pod_name, "pod");
	ck_assert_str_eq(a.pod_uid, "u-1");
	ck_assert_str_eq(a.by, "cni");
	ck_assert_str_eq(a.devices, "sim* a0");
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(a.limits[i], i + 1);
	env.args = "";
	json_decref(cni_good(&env, conf("1.0.0", "")));
	cni_logged("registered again");
}
END_TEST

START_TEST(test_add_narrowed)
{
	static const struct {
		const char *runtime, *devices;
		unsigned bonds;
	} good[] = {
		{ "{\"devices\":[\"sim0\"]}", "sim0", 8 },
		{ "{\"devices\":[\"sim*\"],\"limits\":{\"bonds\":3}}", "sim*", 3 },
		{ "{\"devices\":[\"sim1*\",\"a0\"],\"limits\":{\"bonds\":9}}", "sim1* a0", 8 },
		{ "{}", "sim* a?", 8 },
	};
	static const char *const bad[] = { "gpu0", "*", "s*", "a*", "a10", "[s]im0" };
	struct cni_env env = here("ADD");
	struct admin_attachment a;
	char more[400];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(more, sizeof(more),
			       "\"devices\":[\"sim*\",\"a?\"],\"limits\":{\"bonds\":8},\"runtimeConfig\":{"
			       "\"sva\":%s}",
			       good[i].runtime);
		json_decref(cni_good(&env, conf("1.0.0", more)));
		ck_assert(fake_admin_find(&fake, "net", "c1", "eth0", &a));
		ck_assert_str_eq(a.devices, good[i].devices);
		ck_assert_uint_eq(a.limits[0], good[i].bonds);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned before = atomic_load(&fake.n_register);

		(void)snprintf(
			more, sizeof(more),
			"\"devices\":[\"sim*\",\"a?\"],\"runtimeConfig\":{\"sva\":{\"devices\":[\"%s\"]}}",
			bad[i]);
		cni_bad(&env, conf("1.0.0", more), "1.0.0", 7, bad[i]);
		ck_assert_uint_eq(atomic_load(&fake.n_register), before);
	}
	/* Where the configuration names none, the runtime may. */
	json_decref(cni_good(&env, conf("1.0.0", "\"runtimeConfig\":{\"sva\":{\"devices\":[\"x*\"]}}")));
	ck_assert(fake_admin_find(&fake, "net", "c1", "eth0", &a));
	ck_assert_str_eq(a.devices, "x*");
}
END_TEST

/* ---- its result, in every version ---- */

#define OLD                                                                                                  \
	"{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.2/"                                              \
	"24\",\"gateway\":\"10.0.0.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]},"                               \
	"\"ip6\":{\"ip\":\"fd00::2/64\"},\"dns\":{\"nameservers\":[\"10.0.0.1\"]}}"
#define MIDDLE                                                                                               \
	"\"interfaces\":[{\"name\":\"eth0\",\"mac\":\"00:11:22:33:44:55\",\"sandbox\":\"/x\"}],"             \
	"\"ips\":[{\"version\":\"4\",\"interface\":0,\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\"}," \
	"{\"version\":\"6\",\"address\":\"fd00::2/64\"}],\"routes\":[{\"dst\":\"0.0.0.0/"                    \
	"0\"}],\"dns\":{},\"extra\":[1.5]}"
#define NEW                                                                                                  \
	"\"interfaces\":[{\"name\":\"eth0\",\"mac\":\"00:11:22:33:44:55\",\"sandbox\":\"/x\"}],"             \
	"\"ips\":[{\"interface\":0,\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\"},"                   \
	"{\"address\":\"fd00::2/64\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"}],\"dns\":{},\"extra\":[1.5]}"
#define NEWEST                                                                                               \
	"{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"eth0\",\"mtu\":1500,\"socketPath\":\"/"       \
	"s\",\"pciID\":\"p\"}],"                                                                             \
	"\"ips\":[],\"routes\":[{\"dst\":\"0.0.0.0/"                                                         \
	"0\",\"mtu\":1,\"advmss\":2,\"priority\":3,\"table\":4,\"scope\":5}]}"

START_TEST(test_result)
{
	static const struct {
		const char *version, *prev, *result;
	} cases[] = {
		/* as it came */
		{ "0.2.0", OLD, OLD },
		{ "0.3.0", "{\"cniVersion\":\"0.3.0\"," MIDDLE, "{\"cniVersion\":\"0.3.0\"," MIDDLE },
		{ "0.4.0", "{\"cniVersion\":\"0.4.0\"," MIDDLE, "{\"cniVersion\":\"0.4.0\"," MIDDLE },
		{ "1.0.0", "{\"cniVersion\":\"1.0.0\"," NEW, "{\"cniVersion\":\"1.0.0\"," NEW },
		{ "1.1.0", NEWEST, NEWEST },
		{ "1.0.0", "{" NEW, "{\"cniVersion\":\"1.0.0\"," NEW },
		/* in another version */
		{ "0.1.0", OLD,
		  "{\"cniVersion\":\"0.1.0\",\"ip4\":{\"ip\":\"10.0.0.2/"
		  "24\",\"gateway\":\"10.0.0.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]},"
		  "\"ip6\":{\"ip\":\"fd00::2/64\"},\"dns\":{\"nameservers\":[\"10.0.0.1\"]}}" },
		{ "0.3.1", "{\"cniVersion\":\"0.4.0\"," MIDDLE, "{\"cniVersion\":\"0.3.1\"," MIDDLE },
		{ "1.0.0", "{\"cniVersion\":\"0.4.0\"," MIDDLE, "{\"cniVersion\":\"1.0.0\"," NEW },
		{ "0.4.0", "{\"cniVersion\":\"1.0.0\"," NEW, "{\"cniVersion\":\"0.4.0\"," MIDDLE },
		{ "0.3.1", "{\"cniVersion\":\"1.1.0\"," NEW, "{\"cniVersion\":\"0.3.1\"," MIDDLE },
		{ "1.1.0", "{\"cniVersion\":\"1.0.0\"," NEW, "{\"cniVersion\":\"1.1.0\"," NEW },
		{ "1.0.0", NEWEST,
		  "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\"}],\"ips\":[],\"routes\":[{"
		  "\"dst\":\"0.0.0.0/0\"}]}" },
		{ "0.4.0", OLD,
		  "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.2/"
		  "24\",\"gateway\":\"10.0.0.1\"},"
		  "{\"version\":\"6\",\"address\":\"fd00::2/64\"}],\"routes\":[{\"dst\":\"0.0.0.0/"
		  "0\"}],\"dns\":{\"nameservers\":[\"10.0.0.1\"]}}" },
		{ "1.1.0", OLD,
		  "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.2/"
		  "24\",\"gateway\":\"10.0.0.1\"},{\"address\":\"fd00::2/64\"}],"
		  "\"routes\":[{\"dst\":\"0.0.0.0/0\"}],\"dns\":{\"nameservers\":[\"10.0.0.1\"]}}" },
		{ "0.2.0", "{\"cniVersion\":\"1.0.0\"," NEW,
		  "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.2/"
		  "24\",\"gateway\":\"10.0.0.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]},"
		  "\"ip6\":{\"ip\":\"fd00::2/64\"},\"dns\":{}}" },
		/* nobody before us */
		{ "0.1.0", "null", "{\"cniVersion\":\"0.1.0\",\"dns\":{}}" },
		{ "0.2.0", "null", "{\"cniVersion\":\"0.2.0\",\"dns\":{}}" },
		{ "0.3.0", "null", "{\"cniVersion\":\"0.3.0\",\"interfaces\":[],\"ips\":[],\"dns\":{}}" },
		{ "0.3.1", "null", "{\"cniVersion\":\"0.3.1\",\"interfaces\":[],\"ips\":[],\"dns\":{}}" },
		{ "0.4.0", "null", "{\"cniVersion\":\"0.4.0\",\"interfaces\":[],\"ips\":[],\"dns\":{}}" },
		{ "1.0.0", "null", "{\"cniVersion\":\"1.0.0\",\"interfaces\":[],\"ips\":[],\"dns\":{}}" },
		{ "1.1.0", "null", "{\"cniVersion\":\"1.1.0\",\"interfaces\":[],\"ips\":[],\"dns\":{}}" },
	};
	struct cni_env env = here("ADD");
	char more[2048];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *result, *want = json_loads(cases[i].result, 0, NULL);

		(void)snprintf(more, sizeof(more), "\"prevResult\":%s", cases[i].prev);
		result = cni_good(&env, conf(cases[i].version, more));
		if (!json_equal(result, want))
			ck_abort_msg("%s of %s is %s", cases[i].version, cases[i].prev,
				     json_dumps(result, 0));
		json_decref(result);
		json_decref(want);
	}
	cni_bad(&env, conf("1.0.0", "\"prevResult\":{\"cniVersion\":\"7.0.0\"}"), "1.0.0", 7,
		"prevResult.cniVersion");
	cni_bad(&env, conf("1.0.0", "\"prevResult\":{\"cniVersion\":1}"), "1.0.0", 7,
		"prevResult.cniVersion");
	/* What other plugins got wrong is theirs: nothing of it makes ours fall over. */
	json_decref(cni_good(
		&env, conf("0.2.0",
			   "\"prevResult\":{\"cniVersion\":\"1.1.0\",\"ips\":[1,{}],\"routes\":{\"a\":1}}")));
	json_decref(cni_good(
		&env, conf("1.0.0",
			   "\"prevResult\":{\"cniVersion\":\"1.1.0\",\"interfaces\":[1],\"routes\":[[]]}")));
	json_decref(cni_good(
		&env, conf("0.4.0",
			   "\"prevResult\":{\"cniVersion\":\"0.2.0\",\"ip4\":[],\"ip6\":{\"routes\":1}}")));
}
END_TEST

/* ---- what svad says no to ---- */

START_TEST(test_add_refused)
{
	static const struct {
		uint32_t status;
		int code;
	} cases[] = {
		{ SVAD_INVALID_ARGUMENT, 7 },
		{ SVAD_PERMISSION_DENIED, 100 },
		{ SVAD_FAILED_PRECONDITION, 100 },
		{ SVAD_UNAVAILABLE, 11 },
		{ SVAD_RESOURCE_EXHAUSTED, 11 },
		{ SVAD_UNIMPLEMENTED, 102 },
		{ SVAD_INTERNAL, 100 },
		{ SVAD_DEADLINE_EXCEEDED, 11 },
	};
	static const struct {
		int how, code;
		const char *words;
	} broken[] = {
		{ ADMIN_EOF, 11, "closed the connection" },
		{ ADMIN_GARBAGE, 102, "makes no sense" },
		{ ADMIN_WRONG, 102, "makes no sense" },
		{ ADMIN_WRONG_ID, 102, "makes no sense" },
	};
	struct cni_env env = here("ADD");

	atomic_store(&fake.reg, ADMIN_STATUS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		atomic_store(&fake.status, (int)cases[i].status);
		cni_bad(&env, conf("1.1.0", ""), "1.1.0", cases[i].code, "the fake refuses");
	}
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		atomic_store(&fake.reg, broken[i].how);
		cni_bad(&env, conf("1.1.0", ""), "1.1.0", broken[i].code, broken[i].words);
	}
	atomic_store(&fake.reg, ADMIN_SILENT);
	cni_bad(&env, hasty("1.1.0", ""), "1.1.0", 11, "did not answer");
	atomic_store(&fake.reg, ADMIN_GOOD);
	atomic_store(&fake.hello, ADMIN_VERSION);
	cni_bad(&env, conf("1.1.0", ""), "1.1.0", 102, "protocol 2.0");
	fake_admin_down(&fake);
	cni_bad(&env, conf("0.4.0", ""), "0.4.0", 11, "is it running");
	fake_admin_up(&fake);
}
END_TEST

/* ---- CHECK ---- */

START_TEST(test_check)
{
	struct cni_env add = here("ADD"), check = here("CHECK");
	char other[64];
	pid_t pid;

	cni_bad(&check, conf("1.0.0", ""), "1.0.0", 103, "does not know");
	json_decref(cni_good(&add, conf("1.0.0", "")));
	ck_assert_ptr_null(cni_good(&check, conf("1.0.0", "\"prevResult\":{\"cniVersion\":\"1.0.0\"}")));
	ck_assert_ptr_null(cni_good(&check, conf("0.4.0", "")));

	fake_admin_set(&fake, "c1", SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE, 2);
	cni_bad(&check, conf("1.0.0", ""), "1.0.0", 104, "2 of this container's bonds");
	fake_admin_set(&fake, "c1", SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVING, 0);
	cni_bad(&check, conf("1.0.0", ""), "1.0.0", 103, "is removing");
	fake_admin_set(&fake, "c1", SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED, 0);
	cni_bad(&check, conf("1.0.0", ""), "1.0.0", 103, "has removed");
	atomic_store(&fake.status, SVAD_PERMISSION_DENIED);
	atomic_store(&fake.list, ADMIN_STATUS);
	cni_bad(&check, conf("1.0.0", ""), "1.0.0", 100, "svad refuses");
	atomic_store(&fake.list, ADMIN_GOOD);
	fake_admin_set(&fake, "c1", SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE, 0);

	pid = cni_netns(other); /* the names are the same, the container is another */
	check.netns = other;
	cni_bad(&check, conf("1.0.0", ""), "1.0.0", 103, "another network namespace");
	cni_netns_end(pid);
	cni_bad(&check, conf("1.0.0", ""), "1.0.0", 4, "CNI_NETNS");
	check.netns = netns;
	atomic_store(&fake.list, ADMIN_SILENT);
	cni_bad(&check, hasty("1.0.0", ""), "1.0.0", 11, "did not answer");
	fake_admin_down(&fake);
	cni_bad(&check, conf("1.0.0", ""), "1.0.0", 11, "is it running");
	fake_admin_up(&fake);
}
END_TEST

/* ---- DEL ---- */

START_TEST(test_del)
{
	fake_admin_add(&fake, "net", "c1", "eth0");
	fake_admin_add(&fake, "net", "c1", "eth1");
	fake_admin_add(&fake, "other", "c1", "eth0");
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", "")));
	cni_logged("3 clean");
	ck_assert(!fake_admin_find(&fake, "net", "c1", "eth0", NULL));
	ck_assert_uint_eq(fake_admin_count(&fake), 2);
	ck_assert_str_eq(fake.last_by, "cni");
	ck_assert_uint_gt(atomic_load(&fake.last_timeout_ms), 0);
	ck_assert_uint_lt(atomic_load(&fake.last_timeout_ms),
			  300000);			       /* svad's answer comes before our time is up */
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", ""))); /* twice */
	cni_logged("nothing to remove");
	ck_assert_ptr_null(cni_good(
		&del, conf("0.2.0", "\"strictDel\":true,\"prevResult\":{\"cniVersion\":\"0.2.0\"}")));
	ck_assert(!noted());
}
END_TEST

START_TEST(test_del_not_clean)
{
	static const struct {
		int how;
		const char *words;
	} cases[] = { { ADMIN_PENDING, "1 still drain" }, { ADMIN_QUARANTINED, "1 quarantined" } };

	for (size_t i = 0; i < 2; i++) {
		atomic_store(&fake.remove, cases[i].how);
		fake_admin_add(&fake, "net", "c1", "eth0");
		ck_assert_ptr_null(cni_good(&del, conf("1.0.0", "")));
		cni_logged(cases[i].words);
		fake_admin_add(&fake, "net", "c1", "eth0");
		cni_bad(&del, conf("1.0.0", "\"strictDel\":true"), "1.0.0", 11, "strictDel");
	}
	ck_assert(!noted()); /* svad knows */
}
END_TEST

START_TEST(test_del_down)
{
	fake_admin_down(&fake);
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", "")));
	cni_logged("is it running");
	cni_logged("noted in");
	ck_assert(noted());
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", ""))); /* twice */
	ck_assert(noted());
	cni_bad(&del, conf("1.0.0", "\"strictDel\":true"), "1.0.0", 11, "strictDel");
	ck_assert(noted());
	fake_admin_up(&fake);
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", "")));
	ck_assert(!noted()); /* svad was told now */
	/* Nothing that a note could be left in: it has registered nothing, then. */
	fake_admin_down(&fake);
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", "\"stateDir\":\"/nonexistent\"")));
	cni_logged("registered nothing");
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", "\"stateDir\":\"/dev/null\"")));
	cni_logged("no note can be left");
	fake_admin_up(&fake);
}
END_TEST

/* svad is there, and does not answer, or nonsense: DEL ends by itself, and successfully. */
START_TEST(test_del_frozen)
{
	static const int hows[] = { ADMIN_SILENT, ADMIN_EOF, ADMIN_GARBAGE, ADMIN_WRONG };

	for (size_t i = 0; i < 8; i++) {
		atomic_store(i % 2 ? &fake.hello : &fake.remove, hows[i / 2]);
		ck_assert_ptr_null(cni_good(&del, hasty("1.0.0", "")));
		cni_logged("could not be told");
		ck_assert(noted());
		cni_bad(&del, hasty("1.0.0", "\"strictDel\":true"), "1.0.0", 11, "strictDel");
		atomic_store(&fake.hello, ADMIN_GOOD);
		atomic_store(&fake.remove, ADMIN_GOOD);
		ck_assert_int_eq(removal_note_drop(fake.state_dir, "net", "c1", "eth0"), 0);
	}
	atomic_store(&fake.remove, ADMIN_STATUS);
	atomic_store(&fake.status, SVAD_UNAVAILABLE);
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", "")));
	ck_assert(noted());
	ck_assert_int_eq(removal_note_drop(fake.state_dir, "net", "c1", "eth0"), 0);
	atomic_store(&fake.status, SVAD_INVALID_ARGUMENT); /* then there is none of that name */
	ck_assert_ptr_null(cni_good(&del, conf("1.0.0", "")));
	ck_assert(!noted());
}
END_TEST

/* The next container of the same names is not the one that the note is about. */
START_TEST(test_add_drops_note)
{
	struct cni_env env = here("ADD");

	ck_assert_int_eq(removal_note_write(fake.state_dir, "net", "c1", "eth0"), 0);
	ck_assert(noted());
	json_decref(cni_good(&env, conf("1.0.0", "")));
	ck_assert(!noted());
}
END_TEST

/* ---- GC ---- */

static const char *valid(const char *more)
{
	return conf("1.1.0", more);
}

START_TEST(test_gc)
{
	static const char *const none[] = {
		"", "\"cni.dev/valid-attachments\":null", "\"cni.dev/attachments\":null",
		"\"cni.dev/valid-attachments\":null,\"cni.dev/attachments\":null"
	};

	for (unsigned i = 0; i < 3; i++) {
		char id[8];

		(void)snprintf(id, sizeof(id), "c%u", i);
		fake_admin_add(&fake, "net", id, "eth0");
		fake_admin_add(&fake, "other", id, "eth0");
	}
	/* The runtime did not say: nothing that lives is touched. */
	for (size_t i = 0; i < 4; i++)
		ck_assert_ptr_null(cni_good(&gc, valid(none[i])));
	ck_assert_uint_eq(atomic_load(&fake.n_reconcile), 4);
	ck_assert_uint_eq(atomic_load(&fake.n_remove), 0);
	cni_logged("5 containers looked at, 2");

	ck_assert_ptr_null(cni_good(
		&gc, valid("\"cni.dev/valid-attachments\":[{\"containerID\":\"c1\",\"ifname\":\"eth0\"},"
			   "{\"containerID\":\"c2\",\"ifname\":\"eth1\"},{\"containerID\":\"c9\",\"ifname\":"
			   "\"eth0\"}]")));
	cni_logged("2 of 2 stale attachments removed, 1 valid");
	ck_assert(fake_admin_find(&fake, "net", "c1", "eth0", NULL));
	ck_assert(!fake_admin_find(&fake, "net", "c2", "eth0", NULL));
	ck_assert_uint_eq(fake_admin_count(&fake), 4); /* the other network's are not ours */
	ck_assert_str_eq(fake.last_by, "gc");
	/* By its older name; and what either list has is valid. */
	ck_assert_ptr_null(cni_good(
		&gc, valid("\"cni.dev/attachments\":[{\"containerID\":\"c1\",\"ifname\":\"eth0\"}]")));
	ck_assert_ptr_null(cni_good(
		&gc,
		valid("\"cni.dev/valid-attachments\":[],\"cni.dev/attachments\":[{\"containerID\":\"c1\","
		      "\"ifname\":\"eth0\"}]")));
	ck_assert(fake_admin_find(&fake, "net", "c1", "eth0", NULL));
	ck_assert_ptr_null(
		cni_good(&gc, valid("\"cni.dev/valid-attachments\":[],\"cni.dev/attachments\":null")));
	ck_assert(!fake_admin_find(&fake, "net", "c1", "eth0", NULL));
	ck_assert_uint_eq(fake_admin_count(&fake), 3);
	ck_assert_uint_eq(atomic_load(&fake.n_reconcile), 4);
}
END_TEST

START_TEST(test_gc_wrong)
{
	static const char *const bad[] = { "{}",
					   "7",
					   "[7]",
					   "[{}]",
					   "[{\"containerID\":\"c0\"}]",
					   "[{\"containerID\":1,\"ifname\":\"eth0\"}]" };
	char more[200];

	fake_admin_add(&fake, "net", "c0", "eth0");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(more, sizeof(more), "\"cni.dev/valid-attachments\":%s", bad[i]);
		cni_bad(&gc, valid(more), "1.1.0", 7, "cni.dev/valid-attachments");
	}
	ck_assert_uint_eq(fake_admin_count(&fake), 1);
	atomic_store(&fake.remove, ADMIN_STATUS);
	atomic_store(&fake.status, SVAD_INTERNAL);
	cni_bad(&gc, valid("\"cni.dev/valid-attachments\":[]"), "1.1.0", 11, "1 of 1");
	atomic_store(&fake.remove, ADMIN_EOF);
	cni_bad(&gc, valid("\"cni.dev/valid-attachments\":[]"), "1.1.0", 11, "not every");
	atomic_store(&fake.list, ADMIN_GARBAGE);
	cni_bad(&gc, valid("\"cni.dev/valid-attachments\":[]"), "1.1.0", 102, "listed");
	fake_admin_down(&fake);
	cni_bad(&gc, valid(""), "1.1.0", 11, "nothing was collected");
	fake_admin_up(&fake);
}
END_TEST

/* A thousand, with their requests under way together: svad answers only once 16 are there. */
START_TEST(test_gc_many)
{
	for (unsigned i = 0; i < 1008; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "c%u", i);
		fake_admin_add(&fake, "net", id, "eth0");
	}
	atomic_store(&fake.remove, ADMIN_REVERSED);
	atomic_store(&fake.reverse, 16);
	ck_assert_ptr_null(cni_good(&gc, valid("\"cni.dev/valid-attachments\":[]")));
	cni_logged("1008 of 1008 stale attachments removed");
	cni_logged("3024 bonds ended: 3024 clean");
	ck_assert_uint_eq(fake_admin_count(&fake), 0);
}
END_TEST

/* ---- STATUS ---- */

START_TEST(test_status)
{
	ck_assert_ptr_null(cni_good(&status, conf("1.1.0", "")));
	cni_logged("serves 2 devices");
	atomic_store(&fake.backend_down, true);
	cni_bad(&status, conf("1.1.0", ""), "1.1.0", 51, "cannot be reached");
	atomic_store(&fake.shutting_down, true);
	cni_bad(&status, conf("1.1.0", ""), "1.1.0", 51, "being stopped");
	atomic_store(&fake.status_rpc, ADMIN_SILENT);
	cni_bad(&status, hasty("1.1.0", ""), "1.1.0", 50, "did not answer");
	atomic_store(&fake.status_rpc, ADMIN_GARBAGE);
	cni_bad(&status, conf("1.1.0", ""), "1.1.0", 50, "makes no sense");
	fake_admin_down(&fake);
	cni_bad(&status, conf("1.1.0", ""), "1.1.0", 50, "is it running");
	fake_admin_up(&fake);
}
END_TEST

static Suite *cni_svad_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
		bool netns;
	} cases[] = {
		{ "add", test_add, true },	   { "add", test_add_narrowed, true },
		{ "add", test_add_refused, true }, { "add", test_add_drops_note, true },
		{ "result", test_result, true },   { "check", test_check, true },
		{ "del", test_del, false },	   { "del", test_del_not_clean, false },
		{ "del", test_del_down, false },   { "del", test_del_frozen, false },
		{ "gc", test_gc, false },	   { "gc", test_gc_wrong, false },
		{ "gc", test_gc_many, false },	   { "status", test_status, false },
	};
	Suite *s = suite_create("cni-svad");
	TCase *tc = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (i == 0 || strcmp(cases[i].name, cases[i - 1].name) != 0) {
			tc = tcase_create(cases[i].name);
			tcase_add_checked_fixture(tc, cases[i].netns ? setup_netns : setup,
						  cases[i].netns ? teardown_netns : teardown);
			tcase_set_timeout(tc, 240);
			suite_add_tcase(s, tc);
		}
		tcase_add_test(tc, cases[i].test);
	}
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, cni_svad_suite, NULL);
}
