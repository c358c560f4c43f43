/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of svad-simdev that stand alone: the checker, CRC-32C, what is mapped where. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/log.h"
#include "../../daemon/sim_checker.h"
#include "../../daemon/sim_crc32c.h"
#include "../../daemon/sim_procmap.h"
#include "tap.h"

static uint64_t violations(void)
{
	struct checker_counts n;

	checker_counts(&n);
	return n.violations;
}

/* A clean life of bond 1: mm 10, PASID 5. */
static void live(uint64_t bond, uint32_t pasid, uint64_t mm)
{
	checker_assign(pasid, mm);
	checker_bind(bond, 1, pasid, mm);
	checker_access_begin(bond, pasid, mm);
	checker_access_end(bond);
	checker_page_request(bond, pasid, mm);
}

static void die(uint64_t bond)
{
	checker_stopping(bond, 0);
	checker_stopped(bond);
	checker_clean(bond);
}

START_TEST(checker_silent)
{
	char text[CHECKER_TEXT_MAX];

	ck_assert_int_eq(checker_init(), 0);
	for (uint64_t i = 1; i < 100; i++) {
		live(i, 5, i * 10);
		die(i);
	}
	/* An access that began before the cut may end after it. */
	live(200, 6, 7);
	checker_access_begin(200, 6, 7);
	checker_stopping(200, 0);
	checker_cut(200);
	checker_access_end(200);
	checker_stopped(200);
	checker_clean(200);
	ck_assert_uint_eq(violations(), 0);
	ck_assert_ptr_null(checker_text(0, text));
	checker_deinit();
}
END_TEST

START_TEST(checker_speaks)
{
	char text[CHECKER_TEXT_MAX];
	uint64_t n = 0;

	ck_assert_int_eq(checker_init(), 0);
	live(1, 5, 10);
	checker_assign(5, 11); /* PASID of a bond that lives */
	ck_assert_uint_eq(violations(), ++n);
	checker_assign(5, 10);
	ck_assert_uint_eq(violations(), ++n);
	checker_access_begin(1, 5, 11); /* a stranger's memory */
	checker_access_end(1);
	ck_assert_uint_eq(violations(), ++n);
	checker_access_begin(1, 6, 10); /* by a PASID that is not its own */
	checker_access_end(1);
	ck_assert_uint_eq(violations(), ++n);
	checker_page_request(1, 5, 12);
	ck_assert_uint_eq(violations(), ++n);
	checker_stopping(1, 4096); /* a portal that can still be written */
	ck_assert_uint_eq(violations(), ++n);
	checker_access_begin(1, 5, 10);
	checker_stopped(1); /* acknowledged while it works */
	checker_access_end(1);
	ck_assert_uint_eq(violations(), ++n);
	checker_access_begin(1, 5, 10); /* after its stop */
	checker_access_end(1);
	ck_assert_uint_eq(violations(), ++n);
	checker_clean(1);
	ck_assert_uint_eq(violations(), n);
	checker_access_begin(1, 5, 10); /* after CLEAN */
	ck_assert_uint_eq(violations(), ++n);
	checker_page_request(1, 5, 10);
	ck_assert_uint_eq(violations(), ++n);
	checker_clean(1); /* twice */
	ck_assert_uint_eq(violations(), ++n);
	checker_stopped(1);
	ck_assert_uint_eq(violations(), ++n);
	live(2, 5, 10);
	checker_cut(2);
	checker_access_begin(2, 5, 10); /* in quarantine */
	checker_access_end(2);
	ck_assert_uint_eq(violations(), ++n);
	ck_assert_ptr_nonnull(strstr(checker_text((unsigned)n - 1, text), "quarantine"));
	for (int i = 0; i < 50; i++)
		checker_cut(99);
	ck_assert_ptr_nonnull(checker_text(CHECKER_TEXTS - 1, text));
	ck_assert_ptr_null(checker_text(CHECKER_TEXTS, text));
	checker_deinit();
}
END_TEST

START_TEST(crc)
{
	unsigned char buf[1031];
	uint32_t part;

	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283u);
	ck_assert_uint_eq(crc32c_table(0, "123456789", 9), 0xe3069283u);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (unsigned char)(i * 31 + (i >> 3));
	for (size_t len = 0; len < sizeof(buf); len += 13)
		ck_assert_uint_eq(crc32c(5, buf + 1, len), crc32c_table(5, buf + 1, len));
	part = crc32c(0, buf, 500);
	ck_assert_uint_eq(crc32c(part, buf + 500, sizeof(buf) - 500), crc32c(0, buf, sizeof(buf)));
	ck_assert_uint_eq(crc32c(77, buf, 0), 77);
}
END_TEST

START_TEST(mapped)
{
	unsigned char *p = mmap(NULL, 3 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), pipefd[2];
	struct procmap_vma a, b;
	pid_t pid;
	char byte, path[64];

	munmap(p + 8192, 4096);
	ck_assert_int_eq(procmap_parse(fd, (uintptr_t)p + 4096, &a), 0);
	ck_assert(a.readable && !a.writable && a.end == (uintptr_t)p + 8192);
	ck_assert_int_eq(procmap_parse(fd, (uintptr_t)p + 8192, &a), -ENOENT);
	ck_assert_int_eq(procmap_parse(fd, 0, &a), -ENOENT);
	ck_assert_int_eq(procmap_parse(fd, (uintptr_t)&a, &a), 0);
	ck_assert(a.readable && a.writable);
	if (procmap_query(fd, (uintptr_t)&b, &b) != -ENOTTY) {
		ck_assert(a.start == b.start && b.readable && b.writable);
		ck_assert_int_eq(procmap_query(fd, (uintptr_t)p + 8192, &b), -ENOENT);
	}

	/* An mm that has ended. */
	ck_assert_int_eq(pipe(pipefd), 0);
	pid = fork();
	if (!pid) {
		close(pipefd[1]);
		_exit((int)read(pipefd[0], &byte, 1));
	}
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(procmap_parse(fd, (uintptr_t)&a, &a), 0);
	close(pipefd[1]);
	waitpid(pid, NULL, 0);
	ck_assert_int_eq(procmap_parse(fd, (uintptr_t)&a, &a), -ESRCH);
	if (procmap_query(fd, 0, &a) != -ENOTTY)
		ck_assert_int_eq(procmap_query(fd, 0, &a), -ESRCH);

	ck_assert_int_eq(procmap_parse_line("1000-2000 rw-p 0 0 0 /x", &a), 0);
	ck_assert_int_eq(procmap_parse_line("2000-1000 rw-p", &a), -EINVAL);
	ck_assert_int_eq(procmap_parse_line("what", &a), -EINVAL);
}
END_TEST

static Suite *sim_suite(void)
{
	Suite *s = suite_create("sim");
	TCase *t = tcase_create("checker");

	tcase_add_test(t, checker_silent);
	tcase_add_test(t, checker_speaks);
	suite_add_tcase(s, t);
	t = tcase_create("crc32c");
	tcase_add_test(t, crc);
	suite_add_tcase(s, t);
	t = tcase_create("procmap");
	tcase_add_test(t, mapped);
	suite_add_tcase(s, t);
	return s;
}

int main(int argc, char **argv)
{
	log_set_level(LOG_EMERG); /* the violations here are meant */
	return tap_main(argc, argv, sim_suite, NULL);
}
