// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl's container commands against a stand-in for the daemon: output, exit codes, arguments, what OCI
 * runtimes send, and the CDI file by the rules that are published for it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cdi-check.h"
#include "ctl-run.h"
#include "tap.h"

#define WEB "web0a1b2c3d4e5f60718293a4b5c6d7e8f9"

START_TEST(usage)
{
	static const char *const bad[] = {
		"container",
		"container bogus",
		"container list extra",
		"container list --network=",
		"container show",
		"container show a b",
		"container remove",
		"container remove web --oci",
		"container remove web --attachment a/b/c",
		"container remove --attachment web",
		"container remove --attachment /web/eth0",
		"container remove --attachment net//eth0",
		"container remove --attachment net/web/an-interface-too-long",
		"container remove web --network oci",
		"container remove web --state-dir /x",
		"container remove --oci --network a/b",
		"container register --oci --ifname eth0",
		"container register",
		"container register --id web",
		"container register --id web --pid 1 --netns /proc/1/ns/net",
		"container register --id -web --pid 1",
		"container register --id web --pid x",
		"container register --id web --pid 0",
		"container register --id web --pid 1 --oci",
		"container register --id web --pid 1 --devices ,",
		"container register --id web --pid 1 --limits",
		"container register --id web --pid 1 --limits bonds",
		"container register --id web --pid 1 --limits bonds=0",
		"container register --id web --pid 1 --limits nonsense=4",
		"container register --id web --pid 1 --limits deadline=soon",
		"container register --id web --pid 1 --pod web-1",
		"container register --id web --pid 1 --pod a/b/c",
		"container register --id web --pid 1 --pod-uid 7",
		"container register --id web --pid 1 --ifname an-interface-too-long",
		"container reconcile now",
		"drain --container web --all",
		"drain --container=",
		"watch --container=",
		"cdi",
		"cdi generate now",
		"cdi generate --socket-dir relative",
		"cdi generate --output="
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect(2, "%s", bad[i]);
		ck_assert_str_eq(text_out, "");
		ck_assert_str_ne(text_err, "");
	}
}
END_TEST

START_TEST(help)
{
	static const char *const verbs[] = { "container list",	 "container show",	"container register",
					     "container remove", "container reconcile", "cdi generate",
					     "cdi list" };

	expect(0, "--help");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		has(text_out, verbs[i]);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		expect(0, "%s --help", verbs[i]);
		has(text_out, verbs[i]);
		has(text_out, "Exit codes");
	}
}
END_TEST

START_TEST(no_daemon)
{
	expect(3, "container list");
	has(text_err, "systemctl start svad");
	expect(3, "container show web");
	expect(3, "container remove web");
	expect(3, "container remove --attachment a/b/c");
	expect(3, "container reconcile");
	expect(3, "container register --id web --netns /proc/self/ns/net");
}
END_TEST

/* ---- looking ---- */

START_TEST(list)
{
	json_t *j, *c;

	start(FAKE_GOOD);
	expect(0, "container list");
	has(text_out, WEB);
	has(text_out, "shop/web-1");
	has(text_out, "podman:eth0");
	has(text_out, "3/64");
	has(text_out, "removing");
	lacks(text_out, "web-old");
	expect(0, "container list --removed");
	has(text_out, "web-old");
	has(text_out, "removed");
	expect(0, "container list --network elsewhere");
	has(text_out, "No containers on this network");
	expect(0, "container list --json --removed");
	j = parsed();
	ck_assert_uint_eq(json_array_size(j), 3);
	c = json_array_get(j, 0);
	ck_assert_str_eq(json_string_value(json_object_get(c, "name")), WEB);
	ck_assert_str_eq(json_string_value(json_object_get(c, "state")), "active");
	ck_assert_str_eq(json_string_value(json_object_get(c, "netns_cookie")), "18446744073709551615");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(c, "limits"), "bonds")), 64);
	json_decref(j);
	start(FAKE_EMPTY);
	expect(0, "container list");
	has(text_out, "No containers.");
	expect(0, "container list --json");
	ck_assert_str_eq(text_out, "[]\n");
}
END_TEST

START_TEST(show)
{
	json_t *j;

	start(FAKE_STUCK);
	expect(0, "container show web0");
	has(text_out, "container " WEB "  active");
	has(text_out, "Pod         shop/web-1");
	has(text_out, "Attachments network podman, interface eth0");
	has(text_out, "cookie 18446744073709551615, inode 4026532000, /run/netns/w");
	has(text_out, "id 18446744073709551615, gone"); /* no cgroup has that id */
	has(text_out, "Devices     sim*");
	has(text_out, "Bonds       3 of 64");
	has(text_out, "1.5 s, or the device's");
	has(text_out, "svadctl quarantine list --container " WEB);
	has(text_out, "\nClients\n");
	has(text_out, "\nBonds\n");
	/* The moment that the removal was asked for is 0; what came before has a minus. */
	has(text_out, "-2.0 ms  registered");
	has(text_out, "+0 ns  removal asked by cni");
	has(text_out, "+2.0 ms  bond 7 on sim0, PASID 7, pid 1234: CLEAN after 1.2 ms, container gone");
	has(text_out, "+4.0 ms  bond 8 on sim0, PASID 8, pid 1234: QUARANTINED after 1.2 ms, container gone");
	expect(0, "container show web0 --json");
	j = parsed();
	ck_assert_uint_eq(json_array_size(json_object_get(j, "timeline")), 4);
	ck_assert_uint_eq(json_array_size(json_object_get(j, "cgroups")), 2);
	ck_assert_uint_eq(json_array_size(json_object_get(j, "client_list")), 1);
	ck_assert_uint_gt(json_array_size(json_object_get(j, "bond_list")), 300);
	json_decref(j);
	/* Only a removed one fits. */
	expect(0, "container show web-");
	has(text_out, "container web-old  removed");
	/* Both web0... and worker. */
	expect(1, "container show w");
	has(text_err, "several");
	expect(1, "container show nobody");
	has(text_err, "svadctl container list --removed");
}
END_TEST

START_TEST(elsewhere)
{
	json_t *j;

	start(FAKE_GOOD);
	expect(0, "bond list --container web0 --json");
	j = parsed();
	ck_assert_uint_gt(json_array_size(j), 300);
	for (size_t i = 0; i < json_array_size(j); i++)
		ck_assert_str_eq(json_string_value(json_object_get(json_array_get(j, i), "container")), WEB);
	json_decref(j);
	expect(0, "bond list");
	has(text_out, "CONTAINER");
	expect(1, "bond list --container nobody");
	expect(0, "client list --container web0 --json");
	j = parsed();
	ck_assert_uint_eq(json_array_size(j), 1);
	json_decref(j);
	expect(0, "client list --container worker");
	has(text_out, "No clients.");
	expect(0, "bond show 2500");
	has(text_out, "Container   " WEB);
	expect(0, "quarantine list --container web0");
	has(text_out, "2500");
	expect(0, "quarantine list --container worker");
	has(text_out, "Nothing is quarantined");
	expect(0, "drain --container " WEB);
	has(text_out, "container " WEB ": 2 CLEAN");
	has(text_out, "bond 7 on sim0");
	lacks(text_out, "bond 8 on sim0"); /* another's */
	expect(1, "drain --container nobody");
	expect(0, "drain --container web-old");
	has(text_out, "was removed: nothing to end");
	expect(0, "watch --snapshot --container web0 -n 2");
	has(text_out, "bond 1 PASID 1");
	has(text_out, "bond 3 PASID 3");
	has(text_out, "container " WEB);
	lacks(text_out, "bond 2 ");
	expect(0, "top --batch --containers -n 1");
	has(text_out, "3/64");
	has(text_out, "REFUSED/S");
	expect(0, "top --json --containers -n 1");
	j = parsed();
	ck_assert_uint_eq(json_array_size(json_object_get(j, "containers")), 2);
	json_decref(j);
	expect(0, "status");
	has(text_out, "Containers 1, 1 being removed");
	expect(0, "metrics");
	lacks(text_out, "container=");
	expect(0, "metrics --containers");
	has(text_out, "svad_container_bonds{container=\"" WEB "\"} 3\n");
	has(text_out, "svad_container_refused_total{container=\"" WEB "\"} 12\n");
	has(text_out, "# TYPE svad_container_refused_total counter\n");
}
END_TEST

START_TEST(reconcile)
{
	json_t *j;

	start(FAKE_GOOD);
	expect(0, "container reconcile");
	has(text_out, "worker: its network namespace is dead; removed");
	has(text_out, "3 containers looked at, 1 removed");
	expect(0, "container reconcile --json");
	j = parsed();
	ck_assert_int_eq(json_integer_value(json_object_get(j, "looked_at")), 3);
	json_decref(j);
}
END_TEST

/* ---- ending ---- */

START_TEST(removal)
{
	json_t *j;

	start(FAKE_GOOD);
	expect(0, "container remove " WEB);
	has(text_out, "7  sim0        7  1234  CLEAN  1.2 ms  container gone");
	has(text_out, WEB ": 2 CLEAN, 0 QUARANTINED, 0 not done; the slowest took 1.2 ms");
	expect(0, "container remove worker");
	has(text_out, "worker: removed, it had no bonds");
	expect(0, "container remove web-old"); /* twice is no error while svad remembers the first time */
	has(text_out, "it was removed before, 2 CLEAN");
	expect(1, "container remove nobody");
	has(text_err, "knows no container nobody");
	expect(1, "container remove w");
	expect(1, "container remove web0");
	expect(0, "container remove " WEB " --json");
	j = parsed();
	ck_assert_int_eq(json_integer_value(json_object_get(j, "clean")), 2);
	ck_assert_uint_eq(json_array_size(json_object_get(j, "bonds")), 2);
	json_decref(j);
	expect(0, "container remove --attachment second/" WEB "/eth0");
	has(text_out, "it keeps 1 other attachment");
	expect(1, "container remove --attachment podman/nobody/eth0");
	has(text_err, "svad knows no attachment podman/nobody/eth0");
	start(FAKE_STUCK);
	expect(4, "container remove " WEB);
	has(text_out, "1 CLEAN, 1 QUARANTINED");
	has(text_out, "svadctl quarantine list");
	start(FAKE_DEADLINE);
	expect(4, "container remove " WEB " --timeout 1min");
	has(text_out, "1 not done");
	has(text_out, "STOPPING");
	has(text_err, "DEADLINE_EXCEEDED");
}
END_TEST

/* ---- registering ---- */

START_TEST(by_hand)
{
	json_t *j;

	start(FAKE_GOOD);
	expect(0,
	       "container register --id web.1 --netns /proc/self/ns/net --devices sim*,accel0 --network lan "
	       "--ifname eth0 --pod shop/web-1 --pod-uid u-7 --limits "
	       "bonds=4,connections=3,requests=200,deadline=2s");
	has(text_out, "container web.1 registered, netns cookie ");
	has(text_out, "key=lan/web.1/eth0");
	has(text_out, "by=svadctl,pid=0");
	has(text_out, "pod=shop+web-1+u-7");
	has(text_out, "globs=2:sim*:accel0");
	has(text_out, "limits=4,3,200,2000");
	has(text_out, "path=/proc/self/ns/net");
	expect(0, "container register --id web.1 --pid %d --json", (int)getpid());
	j = parsed();
	has(text_out, "key=svadctl/web.1/");
	has(text_out, "globs=0");
	has(text_out, "path=\"");
	ck_assert_int_eq(json_integer_value(json_object_get(j, "container")), 4);
	json_decref(j);
	expect(1, "container register --id web --netns /dev/null");
	has(text_err, "no network namespace");
	expect(1, "container register --id web --netns /nowhere");
	has(text_err, "it does not exist");
	expect(1, "container register --id web --pid 2147483647");
}
END_TEST

START_TEST(terminal_is_safe)
{
	start(FAKE_CONTROL);
	expect(1, "container list"); /* the wire refuses it */
	lacks(text_out, "\033");
	lacks(text_err, "\033");
	start(FAKE_BIDI);
	ctl("container list");
	lacks(text_out, "\342\200\256");
	start(FAKE_ENDLESS);
	expect(1, "container list");
	has(text_err, "does not end");
	start(FAKE_EOF_CALL);
	expect(3, "container show web");
	start(FAKE_WRONG_BODY);
	expect(1, "container show web");
	expect(1, "container remove --attachment a/b/c");
	start(FAKE_SILENT);
	expect(3, "container list --timeout 200ms");
}
END_TEST

/* ---- OCI ---- */

static void expect_state(int code, const char *verb, const char *state)
{
	ctl_input = state;
	expect(code, "container %s --oci", verb);
	ctl_input = NULL;
}

static void path_in(const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%s", dir, name);
}

START_TEST(oci_create)
{
	static const char *const bad[] = { "",
					   "x",
					   "[]",
					   "{}",
					   "{\"id\": 4, \"pid\": 1}",
					   "{\"id\": \"../../etc\", \"pid\": 1}",
					   "{\"id\": \"web\"}",
					   "{\"id\": \"web\", \"pid\": 0, \"status\": \"stopped\"}",
					   "{\"id\": \"web\", \"pid\": -1}",
					   "{\"id\": \"web\", \"pid\": \"1\"}",
					   "{\"id\": \"web\", \"pid\": 99999999999}",
					   "{\"id\": \"web\", \"id\": \"web2\", \"pid\": 1}" };
	char state[256];

	start(FAKE_GOOD);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_state(1, "register", bad[i]);
		ck_assert_str_ne(text_err, "");
	}
	/* This process is of the host's network, as a container may be: no reason not to start it. */
	snprintf(state, sizeof(state),
		 "{\"ociVersion\": \"1.0.2\", \"id\": \"web\", \"status\": \"creating\", \"pid\": %d, "
		 "\"bundle\": "
		 "\"/b\", "
		 "\"annotations\": {\"a\": \"b\"}}",
		 (int)getpid());
	expect_state(0, "register", state);
	has(text_err, "uses the host's network");
	ck_assert_str_eq(text_out, "");
}
END_TEST

/* With a network namespace of its own; needs root. */
START_TEST(oci_create_in_netns)
{
	char state[256];
	int p[2], status;
	pid_t pid;
	char c;

	ck_assert(!pipe2(p, O_CLOEXEC));
	pid = fork();
	if (!pid) {
		c = unshare(CLONE_NEWNET) ? 'n' : 'y';
		if (write(p[1], &c, 1) == 1 && c == 'y')
			pause();
		_exit(1);
	}
	close(p[1]);
	ck_assert_int_eq(read(p[0], &c, 1), 1);
	if (c != 'y') {
		teardown(); /* which a test that is skipped does not come to */
		tap_skip("a network namespace takes CAP_SYS_ADMIN");
	}
	start(FAKE_GOOD);
	snprintf(state, sizeof(state), "{\"id\": \"web\", \"status\": \"created\", \"pid\": %d}", (int)pid);
	expect_state(0, "register", state);
	has(text_out, "key=oci/web/");
	snprintf(state, sizeof(state), "by=oci,pid=%d", (int)pid);
	has(text_out, state);
	stop_server();
	snprintf(state, sizeof(state), "{\"id\": \"web\", \"pid\": %d}", (int)pid);
	expect_state(3, "register", state);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(p[0]);
}
END_TEST

START_TEST(oci_stop)
{
	char state_dir[128], removed[160], sub[512];
	struct dirent **names;
	FILE *f;
	int n;

	start(FAKE_GOOD);
	expect_state(0, "remove", "{\"id\": \"" WEB "\", \"status\": \"stopped\"}");
	has(text_out, "2 CLEAN");
	expect_state(0, "remove", "{\"id\": \"nobody\", \"status\": \"stopped\", \"pid\": 0}");
	/* Whatever comes, the runtime's clean-up goes on. */
	expect_state(0, "remove", "");
	has(text_err, "cannot be used");
	expect_state(0, "remove", "{\"id\": 7}");
	start(FAKE_STUCK);
	expect_state(0, "remove", "{\"id\": \"" WEB "\"}");
	has(text_out, "1 QUARANTINED");
	start(FAKE_REFUSE);
	expect_state(0, "remove", "{\"id\": \"" WEB "\"}");
	has(text_err, "RESOURCE_EXHAUSTED");
	stop_server();
	/* No svad, and none has run. */
	expect_state(0, "remove", "{\"id\": \"web\"}");
	has(text_err, "no note");
	/* svad is down: a note for when it is back, beside the socket. */
	path_in("state", state_dir, sizeof(state_dir));
	path_in("state/removed", removed, sizeof(removed));
	ck_assert_int_eq(mkdir(state_dir, 0700), 0);
	expect_state(0, "remove", "{\"id\": \"web\"}");
	has(text_err, "svad will remove it when it starts");
	n = scandir(removed, &names, NULL, alphasort);
	ck_assert_int_eq(n, 3); /* with . and .. */
	snprintf(sub, sizeof(sub), "%s/%s", removed, names[2]->d_name);
	f = fopen(sub, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(text_out, 1, 100, f), strlen("oci\nweb\n\n"));
	ck_assert_int_eq(memcmp(text_out, "oci\nweb\n\n", 9), 0);
	fclose(f);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	/* A new one of that name must not be ended by the old one's note. */
	start(FAKE_GOOD);
	expect(0, "container register --id web --network oci --netns /proc/self/ns/net");
	ck_assert_int_ne(access(sub, F_OK), 0);
	ck_assert_int_eq(rmdir(removed), 0);
	ck_assert_int_eq(rmdir(state_dir), 0);
}
END_TEST

/* ---- CDI ---- */

static bool is_valid(const char *text, char *why, size_t size)
{
	json_error_t error;
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	bool good;

	ck_assert_msg(j != NULL, "%s: %s", error.text, text);
	good = cdi_check(j, why, size);
	json_decref(j);
	return good;
}

/* The check itself must be able to fail, at each of its rules. */
START_TEST(cdi_rules)
{
	static const struct {
		const char *spec, *says;
	} bad[] = {
		{ "[]", "no object" },
		{ "{\"kind\": \"a/b\", \"devices\": []}", "no cdiVersion" },
		{ "{\"cdiVersion\": \"0.5.0\", \"devices\": []}", "no kind" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\"}", "no devices" },
		{ "{\"cdiVersion\": 5, \"kind\": \"a/b\", \"devices\": []}", "no string" },
		{ "{\"cdiVersion\": \"0.7.0\", \"kind\": \"a/b\", \"devices\": []}", "not 0.5.0" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"ab\", \"devices\": []}", "VENDOR/CLASS" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b.c\", \"devices\": []}", "VENDOR/CLASS" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"-a/b\", \"devices\": []}", "VENDOR/CLASS" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": []}", "no device" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": {}}", "no array" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [], \"more\": 1}",
		  "unknown member" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\"}]}",
		  "no containerEdits" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"containerEdits\": {}}]}",
		  "edits nothing" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"containerEdits\": []}]}",
		  "no object" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x=y\", "
		  "\"containerEdits\": "
		  "{\"env\": [\"A=b\"]}}]}",
		  "no name" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"containerEdits\": "
		  "{\"env\": [\"A\"]}}]}",
		  "NAME=VALUE" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"containerEdits\": "
		  "{\"env\": [4]}}]}",
		  "no string" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"containerEdits\": "
		  "{\"mounts\": [{\"hostPath\": \"/a\"}]}}]}",
		  "no containerPath" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"containerEdits\": "
		  "{\"mounts\": [{\"hostPath\": \"a\", \"containerPath\": \"/b\"}]}}]}",
		  "relative" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"containerEdits\": "
		  "{\"mounts\": [{\"hostPath\": \"/a\", \"containerPath\": \"/b\", \"options\": \"ro\"}]}}]}",
		  "no array" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"containerEdits\": "
		  "{\"env\": [\"A=b\"]}}, {\"name\": \"x\", \"containerEdits\": {\"env\": [\"A=b\"]}}]}",
		  "two devices" },
		{ "{\"cdiVersion\": \"0.5.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x\", "
		  "\"annotations\": {}, "
		  "\"containerEdits\": {\"env\": [\"A=b\"]}}]}",
		  "unknown member" }, /* of 0.6.0 */
	};
	char why[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!is_valid(bad[i].spec, why, sizeof(why)), "taken: %s", bad[i].spec);
		has(why, bad[i].says);
	}
}
END_TEST

static int listen_at(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

START_TEST(cdi)
{
	char cdi_dir[80], file[120], socket_dir[80], sock[100], why[256] = "";
	struct stat st;
	json_t *j, *edits;
	int fd;

	expect(0, "cdi generate --socket-dir /run/elsewhere/containers");
	ck_assert_msg(is_valid(text_out, why, sizeof(why)), "%s\n%s", why, text_out);
	j = parsed();
	ck_assert_str_eq(json_string_value(json_object_get(j, "kind")), "svad.dev/sva");
	edits = json_object_get(json_array_get(json_object_get(j, "devices"), 0), "containerEdits");
	ck_assert_ptr_null(json_object_get(edits, "deviceNodes"));
	ck_assert_ptr_null(json_object_get(edits, "hooks"));
	json_decref(j);
	has(text_out, "\"SVAD_SOCKET=/run/svad/svad.sock\"");
	has(text_out, "\"/run/elsewhere/containers\"");
	has(text_out, "\"ro\"");

	path_in("cdi", cdi_dir, sizeof(cdi_dir));
	path_in("socks", socket_dir, sizeof(socket_dir));
	snprintf(file, sizeof(file), "%s/svad.dev-sva.json", cdi_dir);
	snprintf(sock, sizeof(sock), "%s/svad.sock", socket_dir);
	expect(0, "cdi list --dir %s", cdi_dir);
	has(text_out, "svadctl cdi generate");
	/* Twice: it is replaced. */
	for (int i = 0; i < 2; i++) {
		expect(0, "cdi generate --output %s --socket-dir %s", cdi_dir, socket_dir);
		has(text_out, "svad.dev/sva=all");
		ck_assert_int_eq(stat(file, &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777u, 0644);
	}
	/* No socket there: a spec of no use, and said so. */
	expect(1, "cdi list --dir %s", cdi_dir);
	has(text_out, "No such file or directory");
	ck_assert_int_eq(mkdir(socket_dir, 0755), 0);
	fd = listen_at(sock);
	expect(0, "cdi list --dir %s", cdi_dir);
	has(text_out, "svad.dev/sva=all");
	has(text_out, socket_dir);
	expect(0, "cdi list --json --dir %s", cdi_dir);
	j = parsed();
	ck_assert_uint_eq(json_array_size(j), 1);
	json_decref(j);
	close(fd);
	unlink(sock);
	ck_assert_int_eq(rmdir(socket_dir), 0);
	/* Damaged: of no use, and said so. */
	ck_assert_int_eq(truncate(file, 20), 0);
	expect(1, "cdi list --dir %s", cdi_dir);
	has(text_out, "line ");
	unlink(file);
	ck_assert_int_eq(rmdir(cdi_dir), 0); /* no temporary file is left */
	expect(1, "cdi generate --output /proc/nowhere --socket-dir /run/x");
	has(text_err, "/proc/nowhere");
}
END_TEST

START_TEST(doctor)
{
	json_t *j, *f;
	size_t i;
	bool registry = false;

	start(FAKE_GOOD);
	expect(0, "doctor");
	has(text_out, "Containers\n");
	has(text_out, "SO_NETNS_COOKIE");
	has(text_out, "1 container is registered");
	has(text_out, "svadctl quarantine list --container " WEB);
	expect(0, "doctor --json");
	j = parsed();
	json_array_foreach(json_object_get(j, "findings"), i, f)
	{
		if (!strcmp(json_string_value(json_object_get(f, "check")), "registry"))
			registry = !strcmp(json_string_value(json_object_get(f, "section")), "containers");
	}
	ck_assert(registry);
	json_decref(j);
}
END_TEST

static Suite *containers_suite(void)
{
	Suite *s = suite_create("svadctl-containers");
	const struct {
		const char *name;
		const TTest *test;
	} cases[] = { { "usage", usage },
		      { "help", help },
		      { "no-daemon", no_daemon },
		      { "list", list },
		      { "show", show },
		      { "elsewhere", elsewhere },
		      { "reconcile", reconcile },
		      { "remove", removal },
		      { "register", by_hand },
		      { "safe", terminal_is_safe },
		      { "oci-create", oci_create },
		      { "oci-netns", oci_create_in_netns },
		      { "oci-stop", oci_stop },
		      { "cdi-rules", cdi_rules },
		      { "cdi", cdi },
		      { "doctor", doctor } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *c = tcase_create(cases[i].name);

		tcase_add_checked_fixture(c, setup, teardown);
		tcase_set_timeout(c, 200);
		tcase_add_test(c, cases[i].test);
		suite_add_tcase(s, c);
	}
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, containers_suite, NULL);
}
