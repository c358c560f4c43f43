/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which network namespace a path names: sva_netns_identify(). And the notes that are left for svad's next
 * start. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/admin.h>

#include "../../cni/removal_note.h"
#include "child.h"
#include "tap.h"

static char directory[] = "/tmp/svad-netns.XXXXXX";

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
	(void)rmdir(directory);
}

START_TEST(test_netns_own)
{
	struct sva_netns a = { .size = sizeof(a) }, b = { .size = sizeof(b) }, none = { .size = 0 };
	struct stat st;
	int fd;

	ck_assert_int_eq(sva_netns_identify(NULL, &a), 0);
	ck_assert_int_eq(sva_netns_identify("/proc/self/ns/net", &b), 0);
	ck_assert_uint_eq(a.own, 1);
	ck_assert_uint_ne(a.cookie, 0);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert_int_eq(stat("/proc/self/ns/net", &st), 0);
	ck_assert_uint_eq(a.inode, st.st_ino);
	ck_assert_uint_eq(a.dev, st.st_dev);
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(sva_netns_identify_fd(fd, &b), 0);
	ck_assert_uint_eq(a.cookie, b.cookie);
	close(fd);
	ck_assert_int_eq(sva_netns_identify(NULL, &none), -EINVAL);
	ck_assert_int_eq(sva_netns_identify(NULL, NULL), -EINVAL);
	ck_assert_int_eq(sva_netns_identify_fd(-1, &a), -EBADF);
}
END_TEST

START_TEST(test_netns_no)
{
	struct sva_netns a = { .size = sizeof(a) };
	char fifo[200];
	int fd;

	ck_assert_int_eq(sva_netns_identify("/nonexistent", &a), -ENOENT);
	ck_assert_int_eq(sva_netns_identify("/etc/passwd", &a), -ENOTTY);
	ck_assert_int_eq(sva_netns_identify("/proc", &a), -ENOTTY);
	ck_assert_int_eq(sva_netns_identify("/proc/self/ns/mnt", &a), -ENOTTY);
	(void)snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_int_eq(sva_netns_identify(fifo, &a), -ENOTTY); /* and it does not wait for a writer */
	unlink(fifo);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(sva_netns_identify_fd(fd, &a), -ENOTTY);
	close(fd);
}
END_TEST

START_TEST(test_netns_other)
{
	struct sva_netns own = { .size = sizeof(own) }, a = { .size = sizeof(a) }, b = { .size = sizeof(b) },
			 after = { .size = sizeof(after) };
	pid_t parent = getpid(), pid;
	char path[64], byte;
	int pipes[2];

	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		die_with_parent(parent, SIGKILL);
		byte = unshare(CLONE_NEWNET) < 0 ? 'n' : 'y';
		(void)!write(pipes[1], &byte, 1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (byte == 'y') {
		ck_assert_int_eq(sva_netns_identify(NULL, &own), 0);
		ck_assert_int_eq(sva_netns_identify(path, &a), 0);
		ck_assert_int_eq(sva_netns_identify(path, &b), 0);
		ck_assert_int_eq(sva_netns_identify(NULL, &after), 0);
		ck_assert_uint_eq(a.own, 0);
		ck_assert_uint_ne(a.cookie, own.cookie);
		ck_assert_uint_ne(a.inode, own.inode);
		ck_assert_mem_eq(&a, &b, sizeof(a));
		ck_assert_mem_eq(&own, &after, sizeof(own)); /* the caller has not moved */
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (byte != 'y') {
		teardown(); /* which a test that is skipped does not come to */
		tap_skip("making a network namespace takes root");
	}
}
END_TEST

/* ---- notes ---- */

/* sha256sum's word on "net\nabc\neth0\n". */
#define NOTE "445181d3e57dd9621f61e4de2424f10dd1774e1b242a4658274e7cea83a15430"

START_TEST(test_note)
{
	char removed[100], path[200], text[100];
	struct stat st;
	ssize_t n;
	int fd;

	(void)snprintf(removed, sizeof(removed), "%s/removed", directory);
	(void)snprintf(path, sizeof(path), "%s/" NOTE, removed);
	ck_assert_int_eq(removal_note_drop(directory, "net", "abc", "eth0"), 0);
	for (int i = 0; i < 2; i++) /* again is the same */
		ck_assert_int_eq(removal_note_write(directory, "net", "abc", "eth0"), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	n = read(fd, text, sizeof(text));
	close(fd);
	ck_assert_int_eq(n, 13);
	ck_assert_mem_eq(text, "net\nabc\neth0\n", 13);
	ck_assert_int_eq(stat(removed, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(removal_note_drop(directory, "net", "abc", "eth1"), 0);
	ck_assert_int_eq(access(path, F_OK), 0); /* another's */
	ck_assert_int_eq(removal_note_drop(directory, "net", "abc", "eth0"), 0);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(rmdir(removed), 0); /* no temporary file is left */
}
END_TEST

START_TEST(test_note_lengths)
{
	/* Around the hash's blocks, and beyond what a note may be. Each has a name of its own. */
	char id[2000], removed[100], command[200];

	for (size_t len = 1; len <= 200; len++) {
		memset(id, 'x', len);
		id[len] = '\0';
		ck_assert_int_eq(removal_note_write(directory, "n", id, ""), 0);
	}
	(void)snprintf(command, sizeof(command),
		       "cd %s/removed && test $(ls | wc -l) = 200 && "
		       "sha256sum * | awk '$1 != $2 { exit 1 }'",
		       directory);
	ck_assert_int_eq(system(command), 0);
	for (size_t len = 1; len <= 200; len++) {
		id[len] = '\0';
		ck_assert_int_eq(removal_note_drop(directory, "n", id, ""), 0);
		id[len] = 'x';
	}
	memset(id, 'x', sizeof(id));
	id[sizeof(id) - 1] = '\0';
	ck_assert_int_eq(removal_note_write(directory, "n", id, ""), -EINVAL);
	(void)snprintf(removed, sizeof(removed), "%s/removed", directory);
	ck_assert_int_eq(rmdir(removed), 0);
}
END_TEST

START_TEST(test_note_errors)
{
	char removed[100];

	(void)snprintf(removed, sizeof(removed), "%s/removed", directory);
	ck_assert_int_eq(removal_note_write("/nonexistent", "net", "abc", "eth0"), -ENOENT);
	ck_assert_int_eq(removal_note_drop("/nonexistent", "net", "abc", "eth0"), 0);
	ck_assert_int_eq(removal_note_write(NULL, "net", "abc", "eth0"), -EINVAL);
	ck_assert_int_eq(removal_note_write(directory, NULL, "abc", "eth0"), -EINVAL);
	ck_assert_int_eq(removal_note_write(directory, "net", "a\nb", "eth0"), -EINVAL);
	ck_assert_int_eq(removal_note_write(directory, "net", "abc", "e\x7f"), -EINVAL);
	ck_assert_int_eq(access(removed, F_OK), -1);
	/* Where somebody put a link, nothing is followed. */
	ck_assert_int_eq(symlink("/tmp", removed), 0);
	ck_assert_int_lt(removal_note_write(directory, "net", "abc", "eth0"), 0);
	ck_assert_int_eq(unlink(removed), 0);
}
END_TEST

static Suite *netns_suite(void)
{
	Suite *s = suite_create("netns");
	TCase *tc = tcase_create("netns");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_netns_own);
	tcase_add_test(tc, test_netns_no);
	tcase_add_test(tc, test_netns_other);
	suite_add_tcase(s, tc);
	tc = tcase_create("note");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_note);
	tcase_add_test(tc, test_note_lengths);
	tcase_add_test(tc, test_note_errors);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, netns_suite, NULL);
}
