/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "../kmod/svabroker.h"
#include "config_private.h"
#include "tap.h"

static char D[64], path[96];
static struct config *C;
static struct config_errors E;

static void setup(void)
{
	strcpy(D, "/tmp/svad-conf-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(D));
	snprintf(path, sizeof(path), "%s/svad.conf", D);
	setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
}

static void teardown(void)
{
	char command[96];

	config_free(C);
	C = NULL;
	config_errors_clear(&E);
	snprintf(command, sizeof(command), "rm -rf '%s'", D);
	ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *text, size_t len)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", D, name);
	f = fopen(full, "we");
	ck_assert_ptr_nonnull(f);
	fwrite(text, 1, len, f);
	fclose(f);
}

static int load(const char *text)
{
	config_free(C);
	C = NULL;
	config_errors_clear(&E);
	put("svad.conf", text, strlen(text));
	return config_load(path, &C, &E);
}

static bool said(const char *what)
{
	for (size_t i = 0; i < E.n; i++) {
		if (strstr(E.lines[i], what))
			return true;
	}
	return false;
}

/* text has a mistake that is told as want, behind "FILE:". */
static void refuses(const char *text, const char *want)
{
	char full[512];

	ck_assert_msg(load(text) == -EINVAL, "accepted: %s", text);
	ck_assert_ptr_null(C);
	snprintf(full, sizeof(full), "%s:%s", path, want);
	ck_assert_msg(said(full), "wanted: %s\ngot: %s", full, E.n ? E.lines[0] : "nothing");
}

START_TEST(test_defaults)
{
	ck_assert_int_eq(load(""), 0);
	ck_assert_int_eq(C->backend, BACKEND_SIM);
	ck_assert_str_eq(C->user, "svad");
	ck_assert_str_eq(C->runtime_dir, geteuid() == 0 ? "/run/svad" : "/run/user/1/svad");
	ck_assert_uint_eq(C->socket_mode, 0666);
	ck_assert_uint_eq(C->admin_socket_mode, 0600);
	ck_assert_int_eq(C->log_level, LOG_INFO);
	ck_assert_uint_eq(C->child_timeout_ms, 10000);
	ck_assert_uint_eq(C->connections, 16384);
	ck_assert_uint_eq(C->event_backlog, 4096);
	ck_assert_uint_eq(C->drain_deadline_ms, 2000);
	ck_assert_uint_eq(C->shutdown_deadline_ms, 10000);
	ck_assert(C->procmap_query);
	ck_assert_str_eq(C->fault_socket, "");
	ck_assert_uint_eq(C->n_devices, 2);
	ck_assert_str_eq(C->devices[0].name, "sim0");
	ck_assert_int_eq(C->devices[0].stop, STOP_FLUSHED);
	ck_assert_int_eq(C->devices[1].stop, STOP_CLEAN);
	ck_assert_uint_eq(C->devices[1].capabilities, SVAB_DEV_CAP_STALL);
	ck_assert_int_eq(C->devices[0].numa_node, -1);
	ck_assert_ptr_eq(config_device(C, "sim1"), &C->devices[1]);
	ck_assert_ptr_null(config_device(C, "sim2"));
}
END_TEST

START_TEST(test_values)
{
	ck_assert_int_eq(
		load("; comment\n# comment\n\n[daemon]\n  user = root ; comment\n  log_level = debug\n"
		     "runtime_dir = /x\nrestart_backoff_max = 1 min\nrestart_backoff_min_ms = 500ms\nsocket_mode "
		     "= 660\n"
		     "[drain]\ndeadline = 3s\n"
		     "[sim]\nprocmap_query = off\n"
		     "[device \"a:b.c-1\"]\nengines=64\nstop = none\nreset = no\nnuma_node = 3\noperations = "
		     "copy,nop\n"
		     "capabilities = pri ats\ndrain_deadline_ms = 7\nmax_bonds = 5\npasid_bits = 20\nportal = no\n"
		     "[policy \"p\"]\nuid = root 5-6,\n   7 ; more\n\t8\ngid = 0\ndevices = a* "
		     "[bc]?\n\td\nallow = no\n"),
		0);
	ck_assert_str_eq(C->user, "root");
	ck_assert_str_eq(C->socket, "/x/svad.sock");
	ck_assert_int_eq(C->log_level, LOG_DEBUG);
	ck_assert_uint_eq(C->restart_backoff_max_ms, 60000);
	ck_assert_uint_eq(C->restart_backoff_min_ms, 500);
	ck_assert_uint_eq(C->socket_mode, 0660);
	ck_assert_uint_eq(C->drain_deadline_ms, 3000);
	ck_assert(!C->procmap_query);
	ck_assert_uint_eq(C->n_devices, 1);
	ck_assert_str_eq(C->devices[0].name, "a:b.c-1");
	ck_assert_uint_eq(C->devices[0].engines, 64);
	ck_assert_int_eq(C->devices[0].stop, STOP_NONE);
	ck_assert(!C->devices[0].reset);
	ck_assert_uint_eq(C->devices[0].capabilities, SVAB_DEV_CAP_PRI | SVAB_DEV_CAP_ATS);
	ck_assert_uint_eq(C->devices[0].operations, 3);
	ck_assert(!C->devices[0].portal);
	ck_assert_uint_eq(C->devices[0].drain_deadline_ms, 7);
	ck_assert_uint_eq(C->policies[0].n_uids, 4);
	ck_assert_uint_eq(C->policies[0].uids[1].last, 6);
	ck_assert_uint_eq(C->policies[0].uids[3].first, 8);
	ck_assert_uint_eq(C->policies[0].devices.n, 3);
	ck_assert_str_eq(C->policies[0].devices.items[2], "d");
	ck_assert(C->policies[0].deny);
}
END_TEST

START_TEST(test_mistakes)
{
	static const struct {
		const char *text, *want;
	} m[] = {
		{ "x = 1\n", "1: 'x' stands before any section" },
		{ "\n[deamon]\nx = 1\n", "2: there is no section [deamon]; did you mean [daemon]?" },
		{ "[zzzzzzzzzzzz]\n", "1: there is no section [zzzzzzzzzzzz]; there are" },
		{ "[daemon\n", "1: the section is not closed; write [daemon]" },
		{ "[daemon] x\n", "1: 'x' follows the section's ]" },
		{ "[daemon \"a\"]\n", "1: [daemon] takes no name" },
		{ "[device]\n", "1: [device] needs a name" },
		{ "[device x]\n", "1: the name in [device x] is not quoted" },
		{ "[device \"a b\"]\n", "1: [device] needs a name" },
		{ "[daemon]\nbackend\n", "2: 'backend' is neither a section nor a key" },
		{ "[daemon]\nusr = x\n", "2: there is no key 'usr' in [daemon]; did you mean 'user'?" },
		{ "[daemon]\nqqqqqqqqqqqq = x\n",
		  "2: there is no key 'qqqqqqqqqqqq' in [daemon]; see svad.conf(5)" },
		{ "[daemon]\na:b = x\n", "2: 'a:b' is not a key" },
		{ "[daemon]\nuser = a\nlog_level = info\nuser = b\n",
		  "4: 'user' is set twice in this section, first in line 2" },
		{ "[daemon]\nuser = a\n  b\n", "3: the line begins with a blank and so continues 'user'" },
		{ "[daemon]\nbackend = simulated\n",
		  "2: backend: 'simulated' is not known; write sim or kmod" },
		{ "[daemon]\nlog_level = info # why\n",
		  "2: log_level: 'info # why' is not known; write err, warning, notice, info or debug "
		  "(a comment behind a value begins with ' ;')" },
		{ "[daemon]\nsocket_mode = 888\n", "2: socket_mode: '888' is not a file mode" },
		{ "[daemon]\nuser =\n", "2: user: it is empty" },
		{ "[daemon]\nsocket = relative\n", "2: socket: 'relative' is not an absolute path" },
		{ "[daemon]\nsocket = /a\nadmin_socket = /a\n",
		  "3: admin_socket: clients' and administrators' sockets are the same" },
		{ "[daemon]\nsocket_group = nosuchgroup\n",
		  "2: socket_group: there is no group 'nosuchgroup'" },
		{ "[daemon]\nrestart_backoff_min_ms = 9s\n",
		  "2: restart_backoff_min_ms: 9000 ms is more than" },
		{ "[limits]\nconnections = 0\n", "2: connections: 0 is out of range" },
		{ "[limits]\nconnections = 99999999999999999999\n",
		  "2: connections: 99999999999999999999 is out of range" },
		{ "[limits]\nconnections = -1\n", "2: connections: '-1' is not a number" },
		{ "[drain]\ndeadline = 2 hours\n", "2: deadline: '2 hours' is not a duration" },
		{ "[drain]\ndeadline = 200h\n", "2: deadline: 200h is out of range" },
		{ "[sim]\nprocmap_query = maybe\n", "2: procmap_query: 'maybe' is neither; write yes or no" },
		{ "[device \"a\"]\nengines = 65\n",
		  "2: engines: 65 is out of range; write a number from 1 to 64" },
		{ "[device \"a\"]\nnuma_node = -2\n", "2: numa_node: '-2' is none" },
		{ "[device \"a\"]\noperations = copy xor\n",
		  "2: operations: 'xor' is not known; write any of" },
		{ "[device \"a\"]\noperations = ,\n", "2: operations: it is empty" },
		{ "[policy \"a\"]\nuid = nosuchuser\ndevices = *\n",
		  "2: uid: there is no user 'nosuchuser'" },
		{ "[policy \"a\"]\ngid = nosuchgroup\ndevices = *\n",
		  "2: gid: there is no group 'nosuchgroup'" },
		{ "[policy \"a\"]\nuid = 9-5\ndevices = *\n", "2: uid: '9-5' ends before it begins" },
		{ "[policy \"a\"]\nuid = 5x\ndevices = *\n", "2: uid: '5x' is neither" },
		{ "[policy \"a\"]\nuid = 4294967295\ndevices = *\n", "2: uid: '4294967295' is neither" },
		{ "[policy \"a\"]\nuid =\ndevices = *\n", "2: uid: it is empty" },
		{ "[policy \"a\"]\nuid = *\ndevices = sim[0\n", "3: devices: the pattern 'sim[0' opens a [" },
		{ "[policy \"a\"]\nuid = *\n", "1: [policy \"a\"] names no device" },
		{ "[policy \"a\"]\ndevices = *\n", "1: [policy \"a\"] applies to nobody" },
		{ "[policy \"a\"]\ncontainer = web*\n", "1: [policy \"a\"] names no device" },
		{ "[policy \"a\"]\npod =\ndevices = *\n", "2: pod: it is empty" },
		{ "[policy \"a\"]\nnetwork = [x\ndevices = *\n", "2: network: the pattern '[x' opens a [" },
		{ "[policy \"a\"]\nuid = *\ndevices = *\nbonds_per_container = 3\n",
		  "1: [policy \"a\"] has bonds_per_container and is for clients of the host" },
		{ "[policy \"a\"]\nuid = *\ndevices = *\nconnections_per_container = 3\n",
		  "1: [policy \"a\"] has connections_per_container and is" },
		{ "[policy \"a\"]\nuid = *\ndevices = *\nrequests_per_second_per_container = 3\n",
		  "1: [policy \"a\"] has requests_per_second_per_container and is" },
		{ "[policy \"a\"]\nuid = *\ndevices = *\ndrain_deadline = 3\n",
		  "1: [policy \"a\"] has drain_deadline and is" },
		{ "[policy \"a\"]\ncontainer = *\ndevices = *\nbonds_per_uid = 3\n",
		  "1: [policy \"a\"] has bonds_per_uid and is for containers" },
		{ "[containers]\nunregistered = maybe\n",
		  "2: unregistered: 'maybe' is not known; write host or refuse" },
		{ "[containers]\nstate_dir = x\n", "2: state_dir: 'x' is not an absolute path" },
		{ "[containers]\nsocket_dir = x\n", "2: socket_dir: 'x' is not an absolute path" },
		{ "[containers]\nreconcile = 25h\n", "2: reconcile: 25h is out of range" },
		{ "[containers]\nadmin_from_containers = yes\n", "2: there is no key 'admin_from_containers'" },
		{ "[daemon]\nruntime_dir = /x\n[containers]\nsocket_dir = /x/\n",
		  "4: socket_dir: /x/ is mounted into containers, and admin_socket is in it" },
		{ "[daemon]\nruntime_dir = /x\n[containers]\nsocket_dir = /c\nstate_dir = /c/s\n",
		  "4: socket_dir: /c is mounted into containers, and state_dir is in it" },
		{ "[limits]\nbonds_per_container = 0\n", "2: bonds_per_container: 0 is out of range" },
	};

	for (size_t i = 0; i < sizeof(m) / sizeof(m[0]); i++)
		refuses(m[i].text, m[i].want);
}
END_TEST

START_TEST(test_containers)
{
	struct config *back = NULL;
	char *text;

	ck_assert_int_eq(load("[daemon]\nruntime_dir = /x\n"), 0);
	ck_assert_int_eq(C->unregistered, UNREGISTERED_HOST);
	ck_assert_str_eq(C->containers_state_dir, "/x/state");
	ck_assert_str_eq(C->containers_socket_dir, "/x/containers");
	ck_assert_uint_eq(C->reconcile_ms, 10000);
	ck_assert_uint_eq(C->bonds_per_container, 4096);
	ck_assert_uint_eq(C->connections_per_container, 1024);
	ck_assert_uint_eq(C->requests_per_second_per_container, 20000);
	ck_assert_uint_eq(C->n_container_policies, 0);

	ck_assert_int_eq(load("[daemon]\nruntime_dir = /x\n[containers]\nunregistered = refuse\nstate_dir = /s\n"
			      "socket_dir = /d\nreconcile = 0\n[limits]\nbonds_per_container = 5\n"
			      "[policy \"h\"]\nuid = *\ndevices = *\n"
			      "[policy \"c\"]\ncontainer = web* db-?\npod = shop/*\nnetwork = net[12]\nuid = 7\n"
			      "devices = sim0\nbonds_per_client = 2\nbonds_per_container = 3\n"
			      "connections_per_container = 4\nrequests_per_second_per_container = 6\n"
			      "drain_deadline = 1s\n"),
			 0);
	text = config_to_text(C);
	ck_assert_msg(config_from_text(text, strlen(text), &back, &E) == 0, "%s", E.n ? E.lines[0] : "");
	free(text);
	config_free(C);
	C = back; /* what the broker sees */
	ck_assert_int_eq(C->unregistered, UNREGISTERED_REFUSE);
	ck_assert_str_eq(C->containers_state_dir, "/s");
	ck_assert_str_eq(C->containers_socket_dir, "/d");
	ck_assert_uint_eq(C->reconcile_ms, 0);
	ck_assert_uint_eq(C->bonds_per_container, 5);
	ck_assert_uint_eq(C->n_policies, 2);
	ck_assert_uint_eq(C->n_container_policies, 1);
	ck_assert(!C->policies[0].of_containers);
	ck_assert(C->policies[1].of_containers);
	ck_assert_uint_eq(C->policies[1].containers.n, 2);
	ck_assert_str_eq(C->policies[1].containers.items[1], "db-?");
	ck_assert_str_eq(C->policies[1].pods.items[0], "shop/*");
	ck_assert_str_eq(C->policies[1].networks.items[0], "net[12]");
	ck_assert_uint_eq(C->policies[1].n_uids, 1);
	ck_assert_uint_eq(C->policies[1].bonds_per_container, 3);
	ck_assert_uint_eq(C->policies[1].connections_per_container, 4);
	ck_assert_uint_eq(C->policies[1].requests_per_second_per_container, 6);
	ck_assert_uint_eq(C->policies[1].drain_deadline_ms, 1000);
}
END_TEST

START_TEST(test_all_at_once)
{
	ck_assert_int_eq(load("[daemon]\nusr = 1\n[limits]\nconnections = 0\n[foo]\n"), -EINVAL);
	ck_assert_uint_eq(E.n, 3);
	/* and not without end */
	config_errors_clear(&E);
	{
		char *text = calloc(1, 100000), *at = text;

		for (int i = 0; i < 5000; i++)
			at += sprintf(at, "garbage%d\n", i);
		ck_assert_int_eq(load(text), -EINVAL);
		ck_assert_uint_le(E.n, 100);
		ck_assert(said("more mistakes follow"));
		free(text);
	}
}
END_TEST

START_TEST(test_long_lines)
{
	char text[1024], dots[400];

	memset(dots, 'x', sizeof(dots) - 1);
	dots[sizeof(dots) - 1] = '\0';
	snprintf(text, sizeof(text), "[daemon]\n# %s\nuser = %s\n", dots, dots);
	refuses(text, "3: the line is longer than");
	snprintf(text, sizeof(text), "[daemon]\nsocket = /%.150s\n", dots);
	refuses(text, "2: socket: it is 151 bytes long; at most 103 fit");
	put("svad.conf", "[daemon]\n\0\n", 11);
	config_errors_clear(&E);
	ck_assert_int_eq(config_load(path, &C, &E), -EINVAL);
	ck_assert(said("NUL byte"));
}
END_TEST

START_TEST(test_drop_ins)
{
	char want[256];

	ck_assert_int_eq(mkdir(strcat(strcpy(want, path), ".d"), 0755), 0);
	put("svad.conf.d/10-a.conf", "[limits]\nconnections = 10\n[device \"d\"]\nengines = 3\n", 51);
	put("svad.conf.d/20-b.conf", "[limits]\nconnections = 20\n[device \"d\"]\nstop = clean\n", 52);
	put("svad.conf.d/30-c.txt", "nonsense", 8);
	ck_assert_int_eq(load("[limits]\nconnections = 5\nevent_backlog = 9\n"), 0);
	ck_assert_uint_eq(C->connections, 20);
	ck_assert_uint_eq(C->event_backlog, 9);
	ck_assert_uint_eq(C->n_devices, 1);
	ck_assert_uint_eq(C->devices[0].engines, 3);
	ck_assert_int_eq(C->devices[0].stop, STOP_CLEAN);
	ck_assert_str_eq(C->origin, path);

	put("svad.conf.d/20-b.conf", "[limits]\nconnections = x\n", 25);
	snprintf(want, sizeof(want), "%s.d/20-b.conf:2: connections", path);
	ck_assert_int_eq(load("[limits]\n"), -EINVAL);
	ck_assert(said(want));
}
END_TEST

START_TEST(test_missing)
{
	ck_assert_int_eq(config_load("/nonexistent/svad.conf", &C, &E), -ENOENT);
	ck_assert(said("/nonexistent/svad.conf: cannot read it: No such file"));
	config_errors_clear(&E);
	ck_assert_int_eq(config_load(D, &C, &E), -EISDIR);
	ck_assert_ptr_null(C);
}
END_TEST

START_TEST(test_text)
{
	struct config *back = NULL;
	char *a, *b, *many = calloc(1, 200000), *at = many;

	at += sprintf(at, "[daemon]\nuser = root\nruntime_dir = /x\n[policy \"p\"]\nuid = *\ndevices = "
			  "a*\n[policy \"q\"]\ngid = 1");
	for (unsigned i = 0; i < 2000; i++)
		at += sprintf(at, "%s%u-%u", i % 8 ? " " : "\n ", 10 * i, 10 * i + 5);
	sprintf(at, "\ndevices = x\n[device \"dev\"]\nengines = 7\n");
	ck_assert_msg(load(many) == 0, "%s", E.n ? E.lines[0] : "");
	ck_assert_uint_eq(C->policies[1].n_gids, 2001);
	a = config_to_text(C);
	ck_assert_ptr_nonnull(a);
	ck_assert_msg(config_from_text(a, strlen(a), &back, &E) == 0, "%s", E.n ? E.lines[0] : "");
	b = config_to_text(back);
	ck_assert_str_eq(a, b);
	ck_assert_str_eq(back->origin, path);
	ck_assert(back->policies[0].any_uid);
	ck_assert_uint_eq(back->policies[1].n_gids, 2001);
	ck_assert_uint_eq(back->devices[0].engines, 7);
	config_free(back);
	back = NULL;
	ck_assert_int_eq(config_from_text("[daemon]\nx", 10, &back, &E), -EINVAL);
	ck_assert_ptr_null(back);
	free(a);
	free(b);
	free(many);
}
END_TEST

START_TEST(test_reloadable)
{
	static const struct {
		const char *text, *why;
	} m[] = {
		{ "[daemon]\nuser = nobody\nruntime_dir = /x\n", "user in [daemon]" },
		{ "[daemon]\nuser = root\nruntime_dir = /y\n", "runtime_dir in [daemon]" },
		{ "[daemon]\nuser = root\nruntime_dir = /x\nbackend = kmod\n", "backend in [daemon]" },
		{ "[daemon]\nuser = root\nruntime_dir = /x\n[containers]\nstate_dir = /f\n",
		  "state_dir in [containers]" },
		{ "[daemon]\nuser = root\nruntime_dir = /x\n[containers]\nsocket_dir = /f\n",
		  "socket_dir in [containers]" },
		{ "[daemon]\nuser = root\nruntime_dir = /x\n[containers]\nunregistered = refuse\nreconcile = 0\n",
		  NULL },
		{ "[daemon]\nuser = root\nruntime_dir = /x\n[sim]\nfault_socket = /f\n",
		  "fault_socket in [sim]" },
		{ "[daemon]\nuser = root\nruntime_dir = /x\n[device \"sim0\"]\n",
		  "[device \"sim1\"] is gone" },
		{ "[daemon]\nuser = root\nruntime_dir = /x\n[device \"sim0\"]\n[device \"sim1\"]\n",
		  "stop in [device \"sim1\"]" },
		{ "[daemon]\nuser = root\nruntime_dir = /x\n[device \"sim0\"]\nmax_bonds = 3\n[device "
		  "\"sim1\"]\nstop = clean\n",
		  NULL },
		{ "[daemon]\nuser = root\nruntime_dir = /x\nlog_level = debug\n[limits]\nconnections = "
		  "3\n[drain]\ndeadline = 9\n"
		  "[policy \"a\"]\nuid = *\ndevices = *\n",
		  NULL },
	};
	struct config *now;

	ck_assert_int_eq(load("[daemon]\nuser = root\nruntime_dir = /x\n"), 0);
	now = C;
	C = NULL;
	for (size_t i = 0; i < sizeof(m) / sizeof(m[0]); i++) {
		char *why = NULL;
		int r;

		ck_assert_int_eq(load(m[i].text), 0);
		r = config_reloadable(now, C, &why);
		if (m[i].why) {
			ck_assert_int_eq(r, -EBUSY);
			ck_assert_msg(strstr(why, m[i].why) != NULL, "%s", why);
		} else {
			ck_assert_msg(r == 0, "%s", why);
		}
		free(why);
	}
	config_free(now);
}
END_TEST

START_TEST(test_no_runtime_dir)
{
	if (geteuid() == 0 && seteuid(65534) < 0)
		tap_skip("cannot become an ordinary user here");
	unsetenv("XDG_RUNTIME_DIR");
	ck_assert_int_eq(config_from_text("[daemon]\n", 9, &C, &E), -EINVAL);
	ck_assert(said("XDG_RUNTIME_DIR is not set"));
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

static Suite *config_suite(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_defaults);
	tcase_add_test(tc, test_values);
	tcase_add_test(tc, test_mistakes);
	tcase_add_test(tc, test_containers);
	tcase_add_test(tc, test_all_at_once);
	tcase_add_test(tc, test_long_lines);
	tcase_add_test(tc, test_drop_ins);
	tcase_add_test(tc, test_missing);
	tcase_add_test(tc, test_text);
	tcase_add_test(tc, test_reloadable);
	tcase_add_test(tc, test_no_runtime_dir);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, config_suite, NULL);
}
