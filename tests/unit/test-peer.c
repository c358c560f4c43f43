/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is at the other end, both ways in which the kernel tells: SO_PEERPIDFD, and what is done without it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/peer.h"
#include "tap.h"

static int listener;
static char path[64];
static pid_t child;
static int child_pipe; /* the child lives until it is closed */

static void setup(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(path, sizeof(path), "/tmp/svad-peer.%d", (int)getpid());
	unlink(path);
	memcpy(addr.sun_path, path, strlen(path));
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	ck_assert_int_eq(chmod(path, 0666), 0);
}

static void teardown(void)
{
	unlink(path);
	close(listener);
}

/* Forks a process that connects, says so, and lives until told otherwise; returns the accepted socket. leave: it gives its end of
 * the connection to a second process, which outlives it. */
static int connected(uid_t uid, gid_t group, bool leave)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int pipes[2], fd;

	memcpy(addr.sun_path, path, strlen(path));
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	child = fork();
	if (!child) {
		char c;

		close(pipes[1]);
		if (uid && (setgroups(1, &group) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
			_exit(1);
		prctl(PR_SET_NAME, "na\nme\x01");
		fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
			_exit(2);
		if (leave && fork() == 0) {
			(void)!read(pipes[0], &c, 1);
			_exit(0);
		}
		if (leave)
			_exit(0);
		(void)!read(pipes[0], &c, 1);
		_exit(0);
	}
	close(pipes[0]);
	child_pipe = pipes[1];
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void let_go(void)
{
	close(child_pipe);
	waitpid(child, NULL, 0);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

START_TEST(test_alive)
{
	struct peer peer;
	char text[64], line[64] = "";
	FILE *f;
	int sock;

	sock = connected(0, 0, false);
	ck_assert_int_eq(peer_identify(sock, _i, &peer), 0);
	ck_assert_int_eq(peer.pid, child);
	ck_assert_uint_eq(peer.uid, geteuid());
	ck_assert_uint_eq(peer.gid, getegid());
	ck_assert(peer.netns_cookie != 0);
	ck_assert_int_eq(fcntl(peer.pidfd, F_GETFD), FD_CLOEXEC);
	/* it is the child's pidfd and no other's */
	snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", peer.pidfd);
	f = fopen(text, "re");
	ck_assert_ptr_nonnull(f);
	snprintf(text, sizeof(text), "Pid:\t%d\n", (int)child);
	while (fgets(line, sizeof(line), f) && strcmp(line, text) != 0)
		;
	fclose(f);
	ck_assert_str_eq(line, text);
	ck_assert(!readable(peer.pidfd, 0));
	let_go();
	ck_assert(readable(peer.pidfd, 60000));
	close(peer.pidfd);
	close(sock);
}
END_TEST

START_TEST(test_dead)
{
	struct peer peer;
	int sock, r;

	/* dead and reaped before anybody asked: said so, or known by its pidfd (kernels differ), and never taken for somebody else */
	sock = connected(0, 0, false);
	let_go();
	r = peer_identify(sock, _i, &peer);
	ck_assert_msg(r == 0 || r == -ESRCH, "%d", r);
	if (_i)
		ck_assert_int_eq(r, -ESRCH);
	if (r == 0) {
		ck_assert(readable(peer.pidfd, 0));
		close(peer.pidfd);
	}
	close(sock);
}
END_TEST

START_TEST(test_zombie)
{
	siginfo_t info;
	struct peer peer;
	int sock, r;

	sock = connected(0, 0, false);
	close(child_pipe);
	ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0); /* dead, not reaped */
	r = peer_identify(sock, _i, &peer);
	ck_assert_msg(r == 0 || r == -ESRCH, "%d", r);
	if (r == 0) {
		ck_assert(readable(peer.pidfd, 0));
		close(peer.pidfd);
	}
	waitpid(child, NULL, 0);
	close(sock);
}
END_TEST

START_TEST(test_gave_its_socket_away)
{
	struct peer peer;
	int sock, r;

	/* the connection lives on in another process, whose pid was never told: the one that connected is dead */
	sock = connected(0, 0, true);
	waitpid(child, NULL, 0);
	r = peer_identify(sock, _i, &peer);
	ck_assert_msg(r == 0 || r == -ESRCH, "%d", r);
	if (r == 0) {
		ck_assert_int_eq(_i, 0);
		ck_assert(readable(peer.pidfd, 0));
		close(peer.pidfd);
	}
	close(child_pipe);
	close(sock);
}
END_TEST

START_TEST(test_other_user)
{
	struct peer peer;
	gid_t *groups;
	size_t n;
	int sock;

	if (geteuid() != 0)
		tap_skip("run as root: another uid is needed");
	sock = connected(4321, 8765, false);
	ck_assert_int_eq(peer_identify(sock, _i, &peer), 0);
	ck_assert_uint_eq(peer.uid, 4321);
	ck_assert_uint_eq(peer.gid, 4321);
	ck_assert_int_eq(peer_groups(sock, &groups, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(groups[0], 8765);
	free(groups);
	close(peer.pidfd);
	let_go();
	close(sock);
}
END_TEST

START_TEST(test_not_a_socket)
{
	struct peer peer;
	int pipes[2];

	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	ck_assert_int_eq(peer_identify(pipes[0], _i, &peer), -ENOTSOCK);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(test_namespace)
{
	uint64_t cookie, cgroup;
	struct peer peer;
	int sock;

	sock = connected(0, 0, false);
	ck_assert_int_eq(peer_identify(sock, 0, &peer), 0);
	cookie = peer_netns_cookie(listener);
	ck_assert_uint_eq(peer.netns_cookie, cookie); /* the same netns, whoever made the socket */
	cgroup = peer_cgroup_id(peer.pidfd);
	close(peer.pidfd);
	/* as on kernels that do not tell */
	ck_assert_int_eq(setenv("SVAD_TEST_LACKS", "peerpidfd,netns-cookie pidfd-info", 1), 0);
	ck_assert_int_eq(peer_identify(sock, 0, &peer), 0);
	ck_assert_int_eq(peer.pid, child);
	ck_assert_uint_eq(peer.netns_cookie, 0);
	ck_assert_uint_eq(peer_netns_cookie(listener), 0);
	ck_assert_uint_eq(peer_cgroup_id(peer.pidfd), 0);
	ck_assert_int_eq(unsetenv("SVAD_TEST_LACKS"), 0);
	ck_assert_uint_eq(peer_cgroup_id(peer.pidfd), cgroup);
	close(peer.pidfd);
	let_go();
	close(sock);
}
END_TEST

START_TEST(test_name)
{
	struct peer peer;
	char name[32];
	int sock;

	/* a name is its owner's to choose, and reaches terminals */
	sock = connected(0, 0, false);
	ck_assert_int_eq(peer_identify(sock, 0, &peer), 0);
	peer_comm(peer.pid, name, sizeof(name));
	ck_assert_str_eq(name, "na?me?");
	close(peer.pidfd);
	let_go();
	peer_comm(peer.pid, name, sizeof(name));
	ck_assert_str_eq(name, "");
	close(sock);
}
END_TEST

static Suite *peer_suite(void)
{
	Suite *s = suite_create("peer");
	TCase *c = tcase_create("peer");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, test_alive, 0, 2); /* 1: as on a kernel without SO_PEERPIDFD */
	tcase_add_loop_test(c, test_dead, 0, 2);
	tcase_add_loop_test(c, test_zombie, 0, 2);
	tcase_add_loop_test(c, test_gave_its_socket_away, 0, 2);
	tcase_add_loop_test(c, test_other_user, 0, 2);
	tcase_add_loop_test(c, test_not_a_socket, 0, 2);
	tcase_add_test(c, test_namespace);
	tcase_add_test(c, test_name);
	suite_add_tcase(s, c);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, peer_suite, NULL);
}
