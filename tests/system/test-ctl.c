// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl against a stand-in for the daemon, good and bad: output, exit codes, and that nothing a daemon says
 * can command the terminal or keep svadctl waiting for ever.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl-run.h"
#include "tap.h"

/* ---- arguments ---- */

START_TEST(usage)
{
	static const char *const bad[] = { "",
					   "bogus",
					   "device",
					   "device bogus",
					   "device show",
					   "bond show x",
					   "bond show 0",
					   "bond show -1",
					   "bond revoke 1 2",
					   "status extra",
					   "status --bogus",
					   "drain",
					   "drain --all --uid 3",
					   "drain --uid x",
					   "drain --client 0",
					   "quarantine release",
					   "watch -n 0",
					   "quarantine release 3 --device sim0",
					   "top",
					   "top -n 3",
					   "top --batch -n x",
					   "top -d 1ms --batch",
					   "status --timeout 0",
					   "status --timeout forever",
					   "status --json=yes",
					   "status --socket",
					   "bond show 18446744073709551616",
					   "config check a b" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect(2, "%s", bad[i]);
		ck_assert_str_eq(text_out, "");
		ck_assert_str_ne(text_err, "");
	}
}
END_TEST

START_TEST(help)
{
	static const char *const verbs[] = { "status",
					     "device list",
					     "device show",
					     "device reset",
					     "client list",
					     "bond list",
					     "bond show",
					     "bond revoke",
					     "drain",
					     "quarantine list",
					     "quarantine release",
					     "watch",
					     "top",
					     "metrics",
					     "doctor",
					     "config check",
					     "version" };

	expect(0, "--help");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		has(text_out, verbs[i]);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		expect(0, "%s --help", verbs[i]);
		has(text_out, verbs[i]);
		has(text_out, "--json");
		has(text_out, "Exit codes");
	}
	expect(0, "version");
	has(text_out, "protocol 1.0");
	expect(0, "--version");
	has(text_out, "protocol 1.0");
}
END_TEST

START_TEST(no_daemon)
{
	static const char *const verbs[] = { "status",	      "device list", "client list",	"bond list",
					     "bond revoke 1", "drain --all", "quarantine list", "watch",
					     "metrics",	      "top --batch" };
	char link_path[160];

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		expect(3, "%s", verbs[i]);
		has(text_err, "systemctl start svad");
	}
	start(FAKE_GOOD);
	stop_server(); /* leaves its socket behind */
	expect(3, "status");
	has(text_err, "nobody listens");
	expect(3, "--socket %s status", dir);
	snprintf(link_path, sizeof(link_path), "%0150d", 1);
	expect(3, "status --socket /%s", link_path);
	has(text_err, "longer than");
}
END_TEST

/* ---- good answers ---- */

START_TEST(status_text)
{
	start(FAKE_GOOD);
	expect(0, "status");
	has(text_out, "svad 0.1.0");
	has(text_out, "2 h 3 min");
	has(text_out, "1 quarantined");
	has(text_out, "sim1 is degraded: 1 PASID is quarantined");
	has(text_out, "0 violations");
	lacks(text_out, "\033");
	expect(0, "--socket %s status", sock_path);
}
END_TEST

START_TEST(lists_and_pages)
{
	json_t *j;

	start(FAKE_GOOD);
	expect(0, "bond list --json");
	j = parsed();
	ck_assert_uint_eq(json_array_size(j), FAKE_BONDS);
	for (unsigned i = 0; i < FAKE_BONDS; i++)
		ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(j, i), "id")), i + 1);
	json_decref(j);
	expect(0, "bond list");
	has(text_out, "w\303\266rker");
	has(text_out, "QUARANTINED");
	expect(0, "bond list --device sim1 --client 2 --json");
	j = parsed();
	ck_assert_uint_gt(json_array_size(j), 10);
	json_decref(j);
	expect(0, "client list --json");
	j = parsed();
	ck_assert_uint_eq(json_array_size(j), 3);
	/* 2^64 - 1 does not fit JSON's integers here: as a string, not as -1. */
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(j, 0), "netns_cookie")),
			 "18446744073709551615");
	json_decref(j);
	expect(0, "client list");
	expect(0, "device list");
	has(text_out, "degraded");
	expect(0, "device list --json");
	json_decref(parsed());
	expect(0, "quarantine list --json");
	j = parsed();
	ck_assert_uint_eq(json_array_size(j), 1);
	json_decref(j);
}
END_TEST

START_TEST(empty_lists)
{
	start(FAKE_EMPTY);
	expect(0, "bond list");
	has(text_out, "No bonds");
	expect(0, "client list");
	has(text_out, "No clients");
	expect(0, "quarantine list");
	has(text_out, "Nothing is quarantined");
	expect(0, "device list");
	expect(0, "bond list --json");
	ck_assert_str_eq(text_out, "[]\n");
	expect(0, "metrics");
	expect(0, "drain --all");
	has(text_out, "nothing to end");
	expect(0, "quarantine release --device sim0");
	expect(1, "bond show 3");
	expect(1, "device show sim0");
}
END_TEST

START_TEST(show)
{
	start(FAKE_GOOD);
	expect(0, "device show sim1");
	has(text_out, "1 PASID is quarantined");
	has(text_out, "svadctl device reset sim1");
	has(text_out, "copy fill crc32c compare nop");
	expect(0, "device show sim1 --json");
	json_decref(parsed());
	expect(1, "device show nowhere");
	has(text_err, "svadctl device list");
	expect(0, "bond show 17");
	has(text_out, "PASID       17");
	expect(0, "bond show %u", FAKE_BONDS);
	has(text_out, "svadctl quarantine release");
	expect(0, "bond show 17 --json");
	json_decref(parsed());
	expect(1, "bond show 99999");
	start(FAKE_STUCK_FIXED);
	expect(0, "device show sim1");
	has(text_out, "cannot be reset");
}
END_TEST

START_TEST(narrow)
{
	size_t longest = 0;

	start(FAKE_GOOD);
	setenv("COLUMNS", "60", 1);
	expect(0, "quarantine list");
	for (const char *p = text_out; *p;) {
		size_t n = strcspn(p, "\n");

		if (n > longest)
			longest = n;
		p += n + (p[n] == '\n');
	}
	ck_assert_uint_le(longest, 62); /* the one two-byte letter */
	has(text_out, "QUARANTINED");
	unsetenv("COLUMNS");
}
END_TEST

/* ---- ends ---- */

START_TEST(bond_revoke)
{
	json_t *j;

	start(FAKE_GOOD);
	expect(0, "bond revoke 5");
	has(text_out, "1 CLEAN");
	has(text_out, "1.2 ms");
	expect(0, "bond revoke 5 --json --timeout 2min");
	j = parsed();
	ck_assert_int_eq(json_integer_value(json_object_get(j, "clean")), 1);
	json_decref(j);
	start(FAKE_STUCK);
	expect(4, "bond revoke 5");
	has(text_out, "1 QUARANTINED");
	start(FAKE_DEADLINE);
	expect(4, "bond revoke 5");
	has(text_out, "2 not done");
	has(text_err, "DEADLINE_EXCEEDED");
	expect(0, "device reset sim0 --help");
	start(FAKE_GOOD);
	expect(0, "device reset sim0");
	has(text_out, "2 bonds CLEAN");
	start(FAKE_STUCK);
	expect(4, "device reset sim0 --json");
	json_decref(parsed());
}
END_TEST

START_TEST(drain)
{
	start(FAKE_GOOD);
	expect(0, "drain --all");
	has(text_out, "bond 7 on sim0");
	has(text_out, "3 CLEAN");
	lacks(text_out, "\r");
	expect(0, "drain --uid 0");
	expect(0, "drain --client 3 --timeout 1min");
	expect(0, "drain --device sim0");
	expect(0, "drain --bond 3 --json");
	json_decref(parsed());
	start(FAKE_STUCK);
	expect(4, "drain --all");
	has(text_out, "bond 8 on sim0, PASID 8, pid 1234: QUARANTINED after 1.2 ms");
	start(FAKE_DEADLINE);
	expect(4, "drain --all");
}
END_TEST

START_TEST(release)
{
	start(FAKE_GOOD);
	expect(0, "quarantine release %u", FAKE_BONDS);
	has(text_out, "CLEAN, the PASID is free");
	/* A healthy bond must never be ended by this command. */
	expect(1, "quarantine release 5");
	has(text_err, "is not quarantined, it is BOUND");
	expect(1, "quarantine release 99999");
	start(FAKE_STUCK);
	expect(4, "quarantine release --device sim1"); /* more than one window of them */
	has(text_out, "Only a reset helps now: svadctl device reset sim1");
	expect(4, "quarantine release --device sim1 --json");
	json_decref(parsed());
	start(FAKE_STUCK_FIXED);
	expect(4, "quarantine release 3");
	has(text_out, "cannot be reset");
}
END_TEST

START_TEST(watch)
{
	unsigned lines = 0;

	start(FAKE_GOOD);
	expect(0, "watch --snapshot -n 3");
	has(text_out, "BOUND");
	has(text_out, "bond 3 PASID 3");
	expect(0, "watch --snapshot -n 3 --json");
	for (char *save = NULL, *l = strtok_r(text_out, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save), lines++) {
		json_t *j = json_loads(l, 0, NULL);

		ck_assert_ptr_nonnull(j);
		ck_assert_str_eq(json_string_value(json_object_get(j, "event")), "BOUND");
		json_decref(j);
	}
	ck_assert_uint_eq(lines, 3);
	expect(0, "watch --snapshot --client 1 --device sim0 -n 2");
}
END_TEST

START_TEST(metrics)
{
	const char *first, *second, *type;

	start(FAKE_EVIL_METRICS);
	expect(0, "metrics");
	has(text_out, "svad_requests_total{result=\"a\\\"b\\\\c\303\244\"} 10\n");
	has(text_out, "svad_requests_total{result=\"w\303\266rker\"} 13\n");
	has(text_out, "svad_odd_name_x_total 11\n");
	has(text_out, "# TYPE svad_bonds gauge\nsvad_bonds 12\n");
	has(text_out, "svad_device_quarantined{device=\"sim1\"} 1\n");
	has(text_out, "svad_violations_total 0\n");
	/* One family, one HELP and TYPE, its samples together. */
	type = strstr(text_out, "# TYPE svad_requests_total counter\n");
	ck_assert_ptr_nonnull(type);
	ck_assert_ptr_null(strstr(type + 1, "# TYPE svad_requests_total"));
	first = strstr(text_out, "\nsvad_requests_total{");
	second = strstr(first + 1, "\nsvad_requests_total{");
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_eq(strchr(first + 1, '\n'), second);
	expect(0, "metrics --json");
	json_decref(parsed());
}
END_TEST

START_TEST(doctor)
{
	json_t *j;

	start(FAKE_GOOD);
	expect(0, "doctor");
	has(text_out, "simulated, in software");
	has(text_out, "not provable by it");
	has(text_out, "CONFIG_ARM_SMMU_V3_SVA");
	has(text_out, "/dev/svabroker");
	has(text_out, "SO_PEERPIDFD");
	expect(0, "doctor --json");
	j = parsed();
	ck_assert(json_is_true(json_object_get(j, "sim_serves")));
	json_decref(j);
	stop_server();
	unlink(sock_path);
	expect(1, "doctor");
	has(text_out, "no svad at");
	start(FAKE_SILENT);
	expect(1, "doctor --timeout 200ms");
	stop_server();
	/* With the module it is the devices that count, not what this machine (an SMMUv3, say) lacks beside
	 * them. */
	start(FAKE_KMOD);
	expect(0, "doctor");
	has(text_out, "Hardware (backend = kmod) serves here");
	stop_server();
	start(FAKE_KMOD_GONE);
	expect(1, "doctor");
	has(text_out, "no device can be bound now");
	has(text_out, "Hardware (backend = kmod) does not serve here");
	expect(1, "doctor --json");
	j = parsed();
	ck_assert(json_is_false(json_object_get(j, "serves")));
	json_decref(j);
}
END_TEST

START_TEST(config)
{
	char file[128];
	FILE *f;

	snprintf(file, sizeof(file), "%s/svad.conf", dir);
	expect(5, "config check %s", file); /* absent */
	f = fopen(file, "w");
	fputs("[daemon]\nbackend = sim\n", f);
	fclose(f);
	expect(0, "config check %s", file);
	has(text_out, "is valid");
	f = fopen(file, "w");
	fputs("[daemon]\nbackend = sim\nnonsense = 3\n[limits]\nconnections = many\n", f);
	fclose(f);
	expect(5, "config check %s", file);
	has(text_out, "svad.conf:3:");
	has(text_out, "svad.conf:5:");
	expect(5, "config check --json %s", file);
	json_decref(parsed());
	unlink(file);
}
END_TEST

/* ---- bad answers ---- */

START_TEST(terminal_is_safe)
{
	start(FAKE_CONTROL);
	expect(1, "bond list"); /* the wire refuses it */
	lacks(text_out, "\033");
	lacks(text_err, "\033");
	has(text_err, "malformed");
	expect(1, "watch --snapshot");
	lacks(text_out, "\033");
	start(FAKE_BIDI);
	ctl("device list");
	lacks(text_out, "\342\200\256");
	ctl("watch --snapshot -n 1");
	lacks(text_out, "\342\200\256");
	/* What comes from the command line. */
	start(FAKE_GOOD);
	expect(2, "device show \033[2J");
	lacks(text_err, "\033");
	expect(2, "\033[2J");
	lacks(text_err, "\033");
}
END_TEST

START_TEST(bad_daemon)
{
	static const struct {
		enum fake_mode mode;
		int code;
		const char *args, *says;
	} cases[] = { { FAKE_ENDLESS, 1, "bond list", "does not end" },
		      { FAKE_BACKWARDS, 1, "bond list", "does not end" },
		      { FAKE_ENDLESS, 1, "quarantine release --device sim0", "does not end" },
		      { FAKE_WRONG_ID, 1, "status", "was not asked" },
		      { FAKE_WRONG_ID, 1, "quarantine release 3", "was not asked" },
		      { FAKE_WRONG_BODY, 1, "status", "another kind" },
		      { FAKE_WRONG_BODY, 1, "bond revoke 3", "another kind" },
		      { FAKE_WRONG_BODY, 1, "drain --uid 3", "another kind" },
		      { FAKE_GARBAGE, 1, "device list", "malformed" },
		      { FAKE_GARBAGE, 1, "drain --all", "malformed" },
		      { FAKE_FDS, 1, "metrics", "file descriptors" },
		      { FAKE_EOF_HELLO, 3, "status", "closed the connection" },
		      { FAKE_STRANGER, 1, "status", "administrators are of the host [PERMISSION_DENIED]" },
		      { FAKE_EOF_CALL, 3, "status", "closed the connection" },
		      { FAKE_EOF_CALL, 3, "drain --all", "closed the connection" },
		      { FAKE_EOF_CALL, 3, "watch", "closed the connection" },
		      { FAKE_EOF_CALL, 3, "top --batch", "closed the connection" },
		      { FAKE_EOF_PAGE, 3, "bond list", "closed the connection" },
		      { FAKE_SILENT, 3, "status --timeout 200ms", "did not answer" },
		      { FAKE_SILENT, 3, "device reset sim0 --timeout 200ms", "did not answer" },
		      { FAKE_CHATTY, 3, "status --timeout 300ms", "did not answer" },
		      { FAKE_REFUSE, 1, "status", "requests_per_second = 42" },
		      { FAKE_REFUSE, 1, "drain --all", "RESOURCE_EXHAUSTED" },
		      { FAKE_VERSION, 1, "status", "protocol 9.0" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(cases[i].mode);
		expect(cases[i].code, "%s", cases[i].args);
		has(text_err, cases[i].says);
	}
}
END_TEST

START_TEST(full_disk)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), status;
	pid_t pid;

	start(FAKE_GOOD);
	pid = fork();
	if (!pid) {
		setenv("SVAD_ADMIN_SOCKET", sock_path, 1);
		dup2(fd, 1);
		execl(ctl_path, ctl_path, "status", (char *)NULL);
		_exit(126);
	}
	close(fd);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}
END_TEST

/* ---- terminals ---- */

START_TEST(top_batch)
{
	double rate;
	json_t *j;

	start(FAKE_GOOD);
	expect(0, "top --batch -n 2 -d 100ms");
	has(text_out, "sim0");
	has(text_out, "2500 bonds");
	lacks(text_out, "\033");
	expect(0, "top --json -n 1 -d 1s");
	j = parsed();
	/* The fake's bytes are its clock in ns: 1e9 bytes a second, but its clock and top's are not read at
	 * the same instant. */
	rate = json_real_value(
		json_object_get(json_array_get(json_object_get(j, "devices"), 0), "bytes_per_s"));
	ck_assert_double_gt(rate, 0.1e9);
	ck_assert_double_lt(rate, 10e9);
	json_decref(j);
}
END_TEST

static void check_screen(const char *keys, int signo)
{
	struct termios before, after;

	ck_assert_int_eq(on_terminal("top -d 100ms", "sim1", keys, signo, &before, &after), 0);
	has(text_out, "\033[?1049h");
	has(text_out, "\033[?1049l");
	ck_assert_ptr_null(strstr(strstr(text_out, "\033[?1049l") + 1, "\033[?1049h"));
	has(text_out, "\033[?25h");
	ck_assert_uint_eq(before.c_lflag, after.c_lflag);
}

START_TEST(top_restores_the_terminal)
{
	start(FAKE_GOOD);
	check_screen("q", 0);
	check_screen("  q", 0);
	check_screen(NULL, SIGTERM);
	check_screen(NULL, SIGINT);
	check_screen(NULL, SIGHUP);
}
END_TEST

START_TEST(live_drain_and_colour)
{
	struct termios a;

	start(FAKE_STUCK);
	ck_assert_int_eq(on_terminal("drain --all", "svadctl quarantine list", NULL, 0, &a, &a), 4);
	has(text_out, "\r\033[K");
	has(text_out, "left");
	start(FAKE_GOOD);
	ck_assert_int_eq(on_terminal("device list", "sim1", NULL, 0, &a, &a), 0);
	has(text_out, "\033[31m");
	setenv("NO_COLOR", "1", 1);
	ck_assert_int_eq(on_terminal("device list", "sim1", NULL, 0, &a, &a), 0);
	lacks(text_out, "\033");
	unsetenv("NO_COLOR");
}
END_TEST

static Suite *ctl_suite(void)
{
	Suite *s = suite_create("svadctl");
	const struct {
		const char *name;
		const TTest *test;
	} cases[] = { { "usage", usage },
		      { "help", help },
		      { "no-daemon", no_daemon },
		      { "status", status_text },
		      { "lists", lists_and_pages },
		      { "empty", empty_lists },
		      { "show", show },
		      { "narrow", narrow },
		      { "revoke", bond_revoke },
		      { "drain", drain },
		      { "release", release },
		      { "watch", watch },
		      { "metrics", metrics },
		      { "doctor", doctor },
		      { "config", config },
		      { "terminal-safe", terminal_is_safe },
		      { "bad-daemon", bad_daemon },
		      { "full-disk", full_disk },
		      { "top-batch", top_batch },
		      { "top-screen", top_restores_the_terminal },
		      { "live", live_drain_and_colour } };

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
	return tap_main(argc, argv, ctl_suite, NULL);
}
