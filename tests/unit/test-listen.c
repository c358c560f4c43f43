/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listen.h"
#include "tap.h"

static char D[64], path[128];
static struct listener L = { .fd = -1 };
static char *why;

static void setup(void)
{
	strcpy(D, "/tmp/svad-listen-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(D));
	snprintf(path, sizeof(path), "%s/s", D);
}

static void teardown(void)
{
	char command[96];

	listener_close(&L);
	free(why);
	why = NULL;
	snprintf(command, sizeof(command), "rm -rf '%s'", D);
	ck_assert_int_eq(system(command), 0);
}

static int connects(const char *to)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

	memcpy(sa.sun_path, to, strlen(to) + 1);
	r = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int raw(int type, bool listening)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, path, strlen(path) + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (listening)
		ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

START_TEST(test_mode)
{
	struct stat st;

	umask(0);
	ck_assert_int_eq(listener_make(&L, path, 0640, "", &why), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(umask(022), 0); /* as it was */
	ck_assert(fcntl(L.fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(L.fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_int_eq(connects(path), 0);
	listener_close(&L);
	ck_assert_int_eq(access(path, F_OK), -1);
	listener_close(&L);
}
END_TEST

START_TEST(test_group)
{
	char group[32];
	struct stat st;

	snprintf(group, sizeof(group), "%u", getegid());
	ck_assert_int_eq(listener_make(&L, path, 0660, group, &why), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_gid, getegid());
	listener_close(&L);
	ck_assert_int_eq(listener_make(&L, path, 0660, "nosuchgroup", &why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "groupadd --system nosuchgroup"));
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(test_stale)
{
	char leftover[160];

	close(raw(SOCK_SEQPACKET, true));
	ck_assert_int_eq(rename(path, strcat(strcpy(leftover, path), ".new")), 0);
	close(raw(SOCK_STREAM, true));
	ck_assert_int_eq(listener_make(&L, path, 0600, NULL, &why), 0);
	ck_assert_int_eq(connects(path), 0);
	ck_assert_int_eq(access(leftover, F_OK), -1);
}
END_TEST

START_TEST(test_live)
{
	int fd = raw(SOCK_SEQPACKET, true);

	ck_assert_int_eq(listener_make(&L, path, 0600, "", &why), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(why, path));
	ck_assert_int_eq(connects(path),
			 0); /* its queue of 1 has room for one more; then it is full, and still live */
	free(why);
	ck_assert_int_eq(listener_make(&L, path, 0600, "", &why), -EADDRINUSE);
	close(fd);
	ck_assert_int_eq(unlink(path), 0);
	fd = raw(SOCK_STREAM, true);
	free(why);
	ck_assert_int_eq(listener_make(&L, path, 0600, "", &why), -EADDRINUSE);
	close(fd);
}
END_TEST

START_TEST(test_in_the_way)
{
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(listener_make(&L, path, 0600, "", &why), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(why, "(a directory)"));
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	free(why);
	ck_assert_int_eq(listener_make(&L, path, 0600, "", &why), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(why, "(a symbolic link)"));
}
END_TEST

START_TEST(test_bad_path)
{
	char deep[256];

	snprintf(deep, sizeof(deep), "%s/none/s", D);
	ck_assert_int_eq(listener_make(&L, deep, 0600, "", &why), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "create the directory"));
	memset(deep, 'x', 200);
	deep[0] = '/';
	deep[200] = '\0';
	free(why);
	ck_assert_int_eq(listener_make(&L, deep, 0600, "", &why), -ENAMETOOLONG);
}
END_TEST

START_TEST(test_not_ours_any_more)
{
	int fd;

	ck_assert_int_eq(listener_make(&L, path, 0600, "", &why), 0);
	ck_assert_int_eq(unlink(path), 0);
	fd = raw(SOCK_SEQPACKET, true); /* somebody else's now */
	listener_close(&L);
	ck_assert_int_eq(connects(path), 0);
	close(fd);
}
END_TEST

/* The clients' socket in a directory that can be mounted into containers. */
START_TEST(test_share)
{
	struct listener shared = { .fd = -1 };
	char dir[160], sock[192], other[192];
	struct stat a, b;

	snprintf(dir, sizeof(dir), "%s/containers", D);
	snprintf(sock, sizeof(sock), "%s/svad.sock", dir);
	snprintf(other, sizeof(other), "%s/other", D);
	ck_assert_int_eq(listener_make(&L, path, 0666, "", &why), 0);
	umask(077);
	ck_assert_int_eq(listener_share(&shared, path, dir, &why), 0);
	umask(022);
	ck_assert_int_eq(stat(dir, &a), 0);
	ck_assert_uint_eq(a.st_mode & 07777, 0755);
	ck_assert_int_eq(connects(sock), 0);
	ck_assert_int_eq(stat(sock, &a), 0);
	ck_assert_uint_eq(a.st_mode & 07777, 0666);

	/* once more: as it is */
	free(shared.path);
	ck_assert_int_eq(listener_share(&shared, path, dir, &why), 0);
	ck_assert_int_eq(stat(sock, &b), 0);
	ck_assert_uint_eq(a.st_ino, b.st_ino);

	/* the socket is new: so is its link; the directory, which is mounted somewhere, is the same */
	free(shared.path);
	ck_assert_int_eq(rename(path, other), 0);
	L.path[0] = '\0';
	listener_close(&L);
	ck_assert_int_eq(connects(sock), -ECONNREFUSED);
	ck_assert_int_eq(listener_make(&L, path, 0666, "", &why), 0);
	ck_assert_int_eq(listener_share(&shared, path, dir, &why), 0);
	ck_assert_int_eq(connects(sock), 0);
	ck_assert_int_eq(stat(sock, &b), 0);
	ck_assert_uint_ne(a.st_ino, b.st_ino);
	snprintf(other, sizeof(other), "%s/.svad.sock.new", dir);
	ck_assert_int_eq(access(other, F_OK), -1);

	listener_close(&shared);
	ck_assert_int_eq(access(sock, F_OK), -1);
	ck_assert_int_eq(connects(path), 0);
}
END_TEST

START_TEST(test_share_cannot)
{
	struct listener shared = { .fd = -1 };
	char dir[160], deep[192];

	snprintf(dir, sizeof(dir), "%s/c", D);
	ck_assert_int_eq(listener_share(&shared, path, dir, &why), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "is not there any more"));
	ck_assert_int_eq(listener_make(&L, path, 0666, "", &why), 0);
	free(why);
	snprintf(deep, sizeof(deep), "%s/none/c", D);
	ck_assert_int_eq(listener_share(&shared, path, deep, &why), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "cannot create socket_dir"));
	free(why);
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_int_eq(symlink("/", dir), 0);
	ck_assert_int_eq(listener_share(&shared, path, dir, &why), -ENOTDIR);
	ck_assert_ptr_nonnull(strstr(why, "move it away"));
	ck_assert_ptr_null(shared.path);
}
END_TEST

static Suite *listen_suite(void)
{
	Suite *s = suite_create("listen");
	TCase *tc = tcase_create("listen");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_mode);
	tcase_add_test(tc, test_group);
	tcase_add_test(tc, test_stale);
	tcase_add_test(tc, test_live);
	tcase_add_test(tc, test_in_the_way);
	tcase_add_test(tc, test_bad_path);
	tcase_add_test(tc, test_not_ours_any_more);
	tcase_add_test(tc, test_share);
	tcase_add_test(tc, test_share_cannot);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, listen_suite, NULL);
}
