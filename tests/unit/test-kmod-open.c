/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening the kernel module's control device: what is said when it is not there, not ours to open, not what it should be, or of another version. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../daemon/supervisor_kmod.h"
#include "../../kmod/svabroker.h"
#include "tap.h"

static bool played; /* SVAB_INFO is answered here, before libc's ioctl() */
static int info_error;
static uint32_t abi;

int ioctl(int fd, unsigned long request, ...)
{
	void *arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (!played || request != SVAB_INFO)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (info_error) {
		errno = info_error;
		return -1;
	}
	ck_assert_uint_eq(((struct svab_info *)arg)->size, sizeof(struct svab_info));
	((struct svab_info *)arg)->abi = abi;
	return 0;
}

static void refused(const char *path, int error, const char *words)
{
	int before = open("/dev/null", O_RDONLY), after;
	char *why = NULL;

	ck_assert_int_eq(kmod_control_open(path, &why), -error);
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, words) && strstr(why, path), "\"%s\" says nothing of \"%s\"", why, words);
	free(why);
	close(before);
	after = open("/dev/null", O_RDONLY); /* no fd was kept */
	ck_assert_int_eq(after, before);
	close(after);
}

START_TEST(test_refused)
{
	char path[] = "/tmp/svad-kmod-XXXXXX";
	int fd;

	refused("/nonexistent/svabroker", ENOENT, "modprobe svabroker");
	refused("/tmp", EISDIR, "see dmesg");
	refused("/dev/null", ENOTTY, "no svabroker");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	if (geteuid() != 0) {
		chmod(path, 0);
		refused(path, EACCES, "start svad as root");
	}
	unlink(path);
	played = true;
	info_error = EPERM;
	refused("/dev/null", EPERM, "see dmesg");
	info_error = EINVAL;
	refused("/dev/null", EINVAL, "no svabroker");
	info_error = 0;
	abi = SVAB_ABI_VERSION + 1;
	refused("/dev/null", EPROTO, "version 2 of its interface, this svad 1");
}
END_TEST

START_TEST(test_open)
{
	char *why = NULL;
	int fd;

	played = true;
	abi = SVAB_ABI_VERSION;
	fd = kmod_control_open("/dev/null", &why);
	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_null(why);
	/* The broker's loop waits for nothing but its loop, and no child of anybody's inherits the permission. */
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	close(fd);
}
END_TEST

static Suite *open_suite(void)
{
	Suite *s = suite_create("kmod-open");
	TCase *c = tcase_create("kmod-open");

	tcase_add_test(c, test_refused);
	tcase_add_test(c, test_open);
	suite_add_tcase(s, c);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, open_suite, NULL);
}
