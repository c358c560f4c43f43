/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor as a process, with fake children (fake-child.c) that report what it does to them. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor-world.h"
#include "tap.h"

/* ---- start and end -------------------------------------------------------------------------- */

START_TEST(test_life)
{
	const char *line;
	struct stat st;

	umask(077);
	start();
	line = expect("svad-simdev", " start ");
	ck_assert_msg(strstr(line, " fds 0 1 2 3 ") != NULL, "%s", line);
	ck_assert_msg(strstr(line, "NoNewPrivs: 1") != NULL, "%s", line);
	ck_assert_msg(strstr(line, "CapEff: 0000000000000000") != NULL, "%s", line);
	ck_assert_msg(strstr(line, "SigBlk: 0000000000000000") != NULL, "%s", line);
	ck_assert_msg(strstr(line, "NOTIFY_SOCKET") == NULL, "%s", line);
	if (geteuid() == 0) {
		ck_assert_msg(strstr(line, " uid 65534 gid 65534 ") != NULL, "%s", line);
		ck_assert_msg(strstr(line, "CapBnd: 0000000000000000") != NULL, "%s", line);
	}
	W.report.at = 0; /* two processes have no order */
	expect_both("svad-simdev", "config 1 level 6", "svad-broker", "config 1 level 6 bonds 64 writable 0");
	W.report.at = 0;
	expect("svad-broker", "info restarts 0");
	expect("svad-broker", "listen fds 2");
	expect("svad-broker", "backend 1 fds 1");
	expect_notify("READY=1");
	expect_log("ready: clients at");
	expect_log("svad-broker: <info> fake svad-broker says hello");

	ck_assert_int_eq(stat(in_dir("run"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
	ck_assert_int_eq(stat(in_dir("run/svad.sock"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0666);
	ck_assert_int_eq(stat(in_dir("run/admin.sock"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(connects(in_dir("run/svad.sock")), 0);

	kill(W.pid, SIGTERM);
	expect_notify("STOPPING=1");
	expect("svad-broker", "shutdown 10000");
	expect("svad-simdev", "shutdown "); /* after the broker is gone */
	ck_assert_int_eq(wait_exit(), 0);
	ck_assert_int_eq(access(in_dir("run/svad.sock"), F_OK), -1);
	ck_assert_int_eq(access(in_dir("run/admin.sock"), F_OK), -1);
}
END_TEST

START_TEST(test_not_ready_before_both)
{
	setenv("SVAD_FAKE_SIMDEV", "unready", 1);
	start();
	expect("svad-broker", "backend 1");
	expect_log("fake svad-broker says hello");
	kill(W.pid, SIGTERM);
	expect_notify("STOPPING=1");
	for (size_t i = 0; i < W.notify.n; i++)
		ck_assert_ptr_null(strstr(W.notify.lines[i], "READY=1"));
	ck_assert_int_eq(wait_exit(), 0);
}
END_TEST

START_TEST(test_signals_to_all)
{
	pid_t broker, device;

	/* what a Ctrl-C or a service manager may do: the children drain all the same */
	start_ready(&broker, &device);
	kill(broker, SIGTERM);
	kill(broker, SIGINT);
	kill(device, SIGTERM);
	kill(device, SIGHUP);
	ck_assert_int_eq(getpgid(broker), broker);
	kill(W.pid, SIGINT);
	expect("svad-broker", "shutdown ");
	expect("svad-simdev", "shutdown ");
	ck_assert_int_eq(wait_exit(), 0);
}
END_TEST

START_TEST(test_undrained)
{
	setenv("SVAD_FAKE_BROKER", "undrained", 1);
	start_ready(NULL, NULL);
	stop(4);
	expect_log("2 bonds would not drain");
	expect_log("would not drain: bond 7 on sim0");
	expect_log("would not drain: bond 9 on sim1");
	expect_log("stopped; not everything was drained");
}
END_TEST

START_TEST(test_stubborn)
{
	configure("[drain]\nshutdown_deadline = 100ms\n");
	setenv("SVAD_FAKE_BROKER", "stubborn", 1);
	setenv("SVAD_FAKE_SIMDEV", "stubborn", 1);
	start_ready(NULL, NULL);
	kill(W.pid, SIGTERM);
	expect("svad-broker", "shutdown 100");
	kill(W.pid, SIGTERM); /* does not shorten it */
	expect_log("already stopping");
	ck_assert_int_eq(wait_exit(), 4);
	expect_log("did not finish by its deadline");
	expect_log("before it could say whether all was drained");
}
END_TEST

START_TEST(test_supervisor_killed)
{
	start_ready(NULL, NULL);
	kill(W.pid, SIGKILL);
	expect("svad-broker", "eof");
	waitpid(W.pid, NULL, 0);
	/* and its sockets are stale for the next one */
	start_ready(NULL, NULL);
	stop(0);
}
END_TEST

START_TEST(test_stderr_full)
{
	W.stderr_path = "/dev/full";
	start_ready(NULL, NULL);
	stop(0);
}
END_TEST

START_TEST(test_stderr_stuck)
{
	pid_t broker;

#ifdef SVAD_COVERAGE
	tap_skip("built for coverage: libgcov itself writes to the stderr that nobody reads, and waits for ever");
#endif
	/* nobody reads svad's stderr: far more than a pipe holds is logged */
	configure("log_level = debug\nrestart_backoff_max_ms = 1\nrestart_backoff_min_ms = 1\n");
	setenv("SVAD_FAKE_BROKER", "rude", 1);
	W.log_unread = true;
	start_ready(&broker, NULL);
	ck_assert_int_ge(fcntl(W.log, F_SETPIPE_SZ, 4096), 0);
	for (unsigned i = 0; i < tap_scale(60); i++) {
		kill(broker, SIGKILL);
		broker = expect_start("svad-broker");
	}
	stop(0);
}
END_TEST

/* ---- children ------------------------------------------------------------------------------- */

START_TEST(test_restart_broker)
{
	pid_t broker, again;
	size_t mark;

	start_ready(&broker, NULL);
	W.report.at = 0;
	expect_both("svad-simdev", "backend 1", "svad-broker", "backend 1");
	mark = W.report.at;
	kill(broker, SIGKILL);
	again = expect_start("svad-broker");
	ck_assert_int_ne(again, broker);
	expect("svad-broker", "info restarts 1");
	expect("svad-broker", "listen fds 2");
	expect("svad-broker", "backend 1");
	W.report.at = mark; /* before or after: two processes have no order */
	expect("svad-simdev", "backend 1");
	expect_log("was killed by signal 9");
	expect_notify("svad-broker runs again");
	ck_assert_int_eq(connects(in_dir("run/svad.sock")), 0);
	stop(0);
}
END_TEST

START_TEST(test_restart_device)
{
	pid_t device;
	size_t mark;

	start_ready(NULL, &device);
	mark = W.report.at;
	kill(device, SIGSEGV);
	expect_start("svad-simdev");
	expect("svad-simdev", "backend 2");
	W.report.at = mark;
	expect("svad-broker", "backend 2");
	stop(0);
	expect_log("svad-simdev (pid");
}
END_TEST

START_TEST(test_backoff)
{
	static const char *const delays[] = { "again in 20 ms", "again in 40 ms", "again in 80 ms",
					      "again in 100 ms", "again in 100 ms" };
	pid_t broker;

	configure("restart_backoff_min_ms = 20\nrestart_backoff_max_ms = 100\n");
	start_ready(&broker, NULL);
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		forget_log();
		kill(broker, SIGKILL);
		expect_log(delays[i]);
		broker = expect_start("svad-broker");
	}
	stop(0);
}
END_TEST

START_TEST(test_gives_up)
{
	configure("restart_backoff_min_ms = 1\nrestart_backoff_max_ms = 2\n");
	setenv("SVAD_FAKE_SIMDEV", "die", 1);
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("exited with status 3");
	expect_log("never ready: giving up");
	ck_assert_int_eq(access(in_dir("run/svad.sock"), F_OK), -1);
}
END_TEST

START_TEST(test_silent_child)
{
	pid_t broker;

	configure("child_timeout_ms = 2s\n");
	start_ready(&broker, NULL);
	kill(broker, SIGUSR2);
	expect_log("no sign of life");
	expect_start("svad-broker");
	stop(0);
}
END_TEST

START_TEST(test_rude_child)
{
	char line[4096];

	setenv("SVAD_FAKE_BROKER", "rude", 1);
	start();
	expect_log("malformed message");
	expect_log("unknown type 999");
	expect_log("refuses its settings");
	snprintf(line, sizeof(line), "%s", expect_notify("STATUS=rude"));
	ck_assert_ptr_null(strchr(line, '\n'));
	stop(0);
}
END_TEST

START_TEST(test_watchdog)
{
	pid_t broker;

	setenv("WATCHDOG_USEC", "200000", 1);
	start_ready(&broker, NULL);
	expect_notify("WATCHDOG=1");
	expect_notify("WATCHDOG=1");
	stop(0);
}
END_TEST

START_TEST(test_no_children)
{
	W.libexec = "/nonexistent";
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("/nonexistent/svad-simdev: cannot execute it: No such file or directory; install it, or "
		   "name its directory with "
		   "--libexec-dir");
	ck_assert_int_eq(access(in_dir("run/svad.sock"), F_OK), -1);
}
END_TEST

START_TEST(test_no_user)
{
	char text[512];

	if (geteuid() != 0)
		tap_skip("only root changes the user; run as root");
	snprintf(text, sizeof(text), "[daemon]\nuser = nosuchuser\nruntime_dir = %s/run\n", W.dir);
	write_file(W.config, text);
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("useradd --system nosuchuser");
}
END_TEST

START_TEST(test_kmod)
{
	char text[512];

	if (access("/dev/svabroker", F_OK) == 0)
		tap_skip("the kernel module is loaded here; tests/vm is where it is tried");
	snprintf(text, sizeof(text), "[daemon]\nbackend = kmod\nruntime_dir = %s/run\n", W.dir);
	write_file(W.config, text);
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("the kernel module is not loaded; 'modprobe svabroker' loads it");
}
END_TEST

/* ---- reload --------------------------------------------------------------------------------- */

START_TEST(test_reload)
{
	start_ready(NULL, NULL);
	configure("log_level = debug\n[limits]\nbonds_per_client = 5\n");
	kill(W.pid, SIGHUP);
	expect_notify("RELOADING=1");
	expect_both("svad-broker", "config 2 level 7 bonds 5", "svad-simdev", "config 2 level 7 bonds 5");
	expect_notify("READY=1");
	expect_log("settings reloaded from");
	stop(0);
}
END_TEST

START_TEST(test_reload_mistakes)
{
	pid_t broker;
	char want[256];

	start_ready(&broker, NULL);
	configure("log_level = loud\n\n[limit]\n");
	kill(W.pid, SIGHUP);
	snprintf(want, sizeof(want), "%s:5: log_level: 'loud' is not known", W.config);
	expect_log(want);
	snprintf(want, sizeof(want), "%s:7: there is no section [limit]; did you mean [limits]?", W.config);
	expect_log(want);
	expect_log("reload refused, the old settings stay in force: 2 mistakes");
	expect_notify("READY=1");

	kill(broker, SIGUSR1); /* an administrator asks over the broker: the answer names them too */
	snprintf(want, sizeof(want), "%s:5: log_level", W.config);
	expect("svad-broker", "reload-result 22");

	unlink(W.config);
	forget_log();
	kill(W.pid, SIGHUP);
	expect_log("cannot read it: No such file or directory");

	/* a broker that is started now gets the old settings */
	kill(broker, SIGKILL);
	expect_start("svad-broker");
	expect("svad-broker", "config 1 level 6");
	stop(0);
}
END_TEST

START_TEST(test_reload_fixed)
{
	start_ready(NULL, NULL);
	configure("socket_mode = 0600\n[device \"other\"]\n");
	kill(W.pid, SIGHUP);
	expect_log("socket_mode in [daemon]");
	expect_log("[device \"other\"] is new");
	expect_log("cannot change while svad runs");
	stop(0);
}
END_TEST

START_TEST(test_reload_refused_by_broker)
{
	pid_t broker;

	setenv("SVAD_FAKE_BROKER", "refuse", 1);
	start_ready(&broker, NULL);
	configure("log_level = debug\n");
	kill(broker, SIGUSR1);
	expect("svad-broker", "config 2 level 7");
	expect("svad-broker", "reload-result 22 no debugging here");
	expect_log("the old settings stay in force: no debugging here");
	configure("log_level = warning\n");
	kill(broker, SIGUSR1);
	expect_both("svad-simdev", "config 3 level 4", "svad-broker", "reload-result 0");
	stop(0);
}
END_TEST

START_TEST(test_reload_unanswered)
{
	pid_t broker;

	configure("child_timeout_ms = 2000\n");
	setenv("SVAD_FAKE_BROKER", "deaf", 1);
	start_ready(&broker, NULL);
	kill(broker, SIGUSR1);
	expect("svad-broker", "config 2");
	kill(broker, SIGUSR1); /* is done after the first */
	expect("svad-broker", "reload-result 110");
	expect("svad-broker", "config 3");
	/* the broker dies in the middle of the second */
	kill(broker, SIGKILL);
	expect_log("the old settings stay in force: the broker died");
	expect_start("svad-broker");
	stop(0);
}
END_TEST

/* ---- sockets -------------------------------------------------------------------------------- */

START_TEST(test_stale_socket)
{
	ck_assert_int_eq(mkdir(in_dir("run"), 0755), 0);
	close(bound(in_dir("run/svad.sock"), SOCK_SEQPACKET));
	close(bound(in_dir("run/admin.sock"), SOCK_SEQPACKET));
	start_ready(NULL, NULL);
	ck_assert_int_eq(connects(in_dir("run/svad.sock")), 0);
	stop(0);
}
END_TEST

START_TEST(test_live_socket)
{
	int fd;

	ck_assert_int_eq(mkdir(in_dir("run"), 0755), 0);
	fd = bound(in_dir("run/svad.sock"), SOCK_SEQPACKET);
	ck_assert_int_eq(listen(fd, 1), 0);
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("/run/svad.sock: another process serves this socket");
	ck_assert_int_eq(connects(in_dir("run/svad.sock")), 0);
	close(fd);
}
END_TEST

START_TEST(test_file_in_the_way)
{
	ck_assert_int_eq(mkdir(in_dir("run"), 0755), 0);
	write_file(in_dir("run/admin.sock"), "precious");
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("/run/admin.sock: something that is not a socket is in the way (a file)");
	ck_assert_int_eq(access(in_dir("run/admin.sock"), F_OK), 0);
	ck_assert_int_eq(access(in_dir("run/svad.sock"), F_OK), -1);
}
END_TEST

START_TEST(test_runtime_dir_is_file)
{
	write_file(in_dir("run"), "");
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("taken by something that is not a directory");
}
END_TEST

START_TEST(test_unwritable_directory)
{
	/* run/ cannot be created in a directory of root's, or in one without the w bit */
	if (geteuid() == 0)
		W.as_nobody = true;
	else
		ck_assert_int_eq(chmod(W.dir, 0555), 0);
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log(
		"/run: cannot create the runtime directory: Permission denied; make the directory writable");
	if (geteuid() != 0)
		ck_assert_int_eq(chmod(W.dir, 0755), 0);
}
END_TEST

START_TEST(test_second_daemon)
{
	pid_t first;
	int log;

	start_ready(NULL, NULL);
	first = W.pid;
	log = W.log;
	W.log = -1;
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("another svad (pid ");
	close(W.log);
	W.log = log;
	W.pid = first;
	ck_assert_int_eq(connects(in_dir("run/svad.sock")), 0);
	stop(0);
}
END_TEST

static int listening(const char *name, int type)
{
	int fd = bound(in_dir("%s", name), type);

	ck_assert_int_eq(listen(fd, 5), 0);
	return fcntl(fd, F_DUPFD_CLOEXEC, 10);
}

START_TEST(test_activation)
{
	W.activate[0] = listening("a.sock", SOCK_SEQPACKET);
	W.activate[1] = listening("c.sock", SOCK_SEQPACKET);
	W.n_activate = 2;
	W.names = "admin:client";
	start();
	ck_assert_msg(strstr(expect("svad-simdev", " start "), " fds 0 1 2 3 ") != NULL, "fds leaked");
	W.report.at = 0;
	expect("svad-broker", "listen fds 2");
	expect_notify("READY=1");
	ck_assert_int_eq(access(in_dir("run/svad.sock"), F_OK), -1);
	stop(0);
	ck_assert_int_eq(access(in_dir("a.sock"), F_OK), 0);
	ck_assert_int_eq(access(in_dir("c.sock"), F_OK), 0);
}
END_TEST

START_TEST(test_activation_by_address)
{
	ck_assert_int_eq(mkdir(in_dir("run"), 0755), 0);
	W.activate[0] = listening("run/svad.sock", SOCK_SEQPACKET);
	W.n_activate = 1;
	W.names = "svad.socket";
	start_ready(NULL, NULL);
	ck_assert_int_eq(access(in_dir("run/admin.sock"), F_OK), 0); /* made by itself */
	stop(0);
	ck_assert_int_eq(access(in_dir("run/svad.sock"), F_OK), 0);
	ck_assert_int_eq(access(in_dir("run/admin.sock"), F_OK), -1);
}
END_TEST

START_TEST(test_activation_wrong)
{
	W.activate[0] = listening("c.sock", SOCK_STREAM);
	W.n_activate = 1;
	W.names = "client";
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("ListenSequentialPacket=");
	W.names = "other";
	start();
	ck_assert_int_eq(wait_exit(), 1);
	expect_log("neither 'client' nor 'admin'");
}
END_TEST

/* ---- command line --------------------------------------------------------------------------- */

static int run(char *buf, size_t size, const char *arguments)
{
	char command[1024];
	size_t n;
	FILE *f;
	int status;

	snprintf(command, sizeof(command), "%s/svad %s 2>&1", tap_builddir(), arguments);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(test_command_line)
{
	char out[8192], args[256];

	ck_assert_int_eq(run(out, sizeof(out), "--help"), 0);
	ck_assert_ptr_nonnull(strstr(out, "--libexec-dir"));
	ck_assert_int_eq(run(out, sizeof(out), "--version"), 0);
	ck_assert_int_eq(strncmp(out, "svad ", 5), 0);
	ck_assert_int_eq(run(out, sizeof(out), "--nonsense"), 2);
	ck_assert_int_eq(run(out, sizeof(out), "leftover"), 2);
	snprintf(args, sizeof(args), "--check --config %s", W.config);
	ck_assert_int_eq(run(out, sizeof(out), args), 0);
	ck_assert_ptr_nonnull(strstr(out, "no mistakes"));
	configure("usr = x\n");
	ck_assert_int_eq(run(out, sizeof(out), args), 5);
	ck_assert_ptr_nonnull(
		strstr(out, "svad.conf:5: there is no key 'usr' in [daemon]; did you mean 'user'?"));
	ck_assert_int_eq(run(out, sizeof(out), "--check --config /nonexistent.conf"), 5);
	ck_assert_ptr_nonnull(strstr(out, "/nonexistent.conf: cannot read it"));
}
END_TEST

static Suite *supervisor_suite(void)
{
	static const struct {
		const char *name;
		const TTest *const *tests[20];
	} cases[] = {
		{ "life",
		  { &test_life, &test_not_ready_before_both, &test_signals_to_all, &test_undrained,
		    &test_stubborn, &test_supervisor_killed, &test_stderr_full, &test_stderr_stuck } },
		{ "children",
		  { &test_restart_broker, &test_restart_device, &test_backoff, &test_gives_up,
		    &test_silent_child, &test_rude_child, &test_watchdog, &test_no_children, &test_no_user,
		    &test_kmod } },
		{ "reload",
		  { &test_reload, &test_reload_mistakes, &test_reload_fixed, &test_reload_refused_by_broker,
		    &test_reload_unanswered } },
		{ "sockets",
		  { &test_stale_socket, &test_live_socket, &test_file_in_the_way, &test_runtime_dir_is_file,
		    &test_unwritable_directory, &test_second_daemon, &test_activation,
		    &test_activation_by_address, &test_activation_wrong } },
		{ "command-line", { &test_command_line } },
	};
	Suite *s = suite_create("supervisor");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tc = tcase_create(cases[i].name);

		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_set_timeout(tc, 200);
		for (size_t j = 0; cases[i].tests[j]; j++)
			tcase_add_test(tc, *cases[i].tests[j]);
		suite_add_tcase(s, tc);
	}
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, supervisor_suite, NULL);
}
