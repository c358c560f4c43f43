// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl doctor on container runtimes, and cgroups by their ids: on machines made of files. */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../client/ctl/cgroup.h"
#include "../../client/ctl/doctor.h"
#include "tap.h"

static char root[64];
static const struct machine m = { .root = root, .release = "6.12.9-test", .arch = "x86_64" };

static struct finding {
	enum level level;
	char id[64], text[512], remedy[256];
} findings[8];
static unsigned n_findings;

void doctor_say(struct doctor *d, enum section section, enum level level, const char *id, const char *remedy,
		const char *fmt, ...)
{
	struct finding *f = &findings[n_findings++];
	va_list ap;

	(void)d;
	ck_assert_int_eq(section, SECTION_CONTAINERS);
	ck_assert_uint_le(n_findings, sizeof(findings) / sizeof(findings[0]));
	f->level = level;
	snprintf(f->id, sizeof(f->id), "%s", id);
	snprintf(f->remedy, sizeof(f->remedy), "%s", remedy ? remedy : "");
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	ck_assert_ptr_null(strchr(f->text, '\n'));
	ck_assert_msg(level != LEVEL_WARN || remedy, "no remedy: %s", f->text);
}

static const struct finding *find(const char *id, const char *text)
{
	static const struct finding none = { .level = LEVEL_UNKNOWN };

	for (unsigned i = 0; i < n_findings; i++)
		if (!strcmp(findings[i].id, id) && strstr(findings[i].text, text))
			return &findings[i];
	return &none;
}

static void path_of(const char *path, char *full, size_t size)
{
	ck_assert_int_lt(snprintf(full, size, "%s%s", root, path), (int)size);
}

/* The directories of a path, and the last part too if that is asked for. */
static void make_parents(const char *path, bool last)
{
	char full[512];

	path_of(path, full, sizeof(full));
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		ck_assert(!mkdir(full, 0755) || errno == EEXIST);
		*p = '/';
	}
	if (last)
		ck_assert(!mkdir(full, 0755) || errno == EEXIST);
}

static void put_text(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	make_parents(path, false);
	path_of(path, full, sizeof(full));
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void setup(void)
{
	snprintf(root, sizeof(root), "/tmp/svad-test-runtimes-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void look_at_runtimes(bool registered)
{
	n_findings = 0;
	doctor_runtimes(NULL, &m, registered);
}

START_TEST(runtimes)
{
	static const char chained[] =
		"{\"name\": \"n\", \"plugins\": [{\"type\": \"bridge\"}, {\"type\": \"sva\"}]}";
	char plugin[512];

	look_at_runtimes(false);
	ck_assert_int_eq(find("cni-plugin", "no CNI plugin")->level, LEVEL_INFO);
	ck_assert_uint_eq(n_findings, 1);
	put_text("/opt/cni/bin/sva", "");
	put_text("/etc/cni/net.d/10-a.conflist", "{\"plugins\": [{\"type\": \"bridge\"}]}");
	put_text("/etc/cni/net.d/20-b.conflist", "no JSON");
	put_text("/etc/cni/net.d/30-c.conf", chained); /* a single plugin's, which cannot be a chain */
	look_at_runtimes(false);
	ck_assert_int_eq(find("cni-plugin", "/opt/cni/bin/sva")->level, LEVEL_OK);
	ck_assert_int_eq(find("cni-conflist", "no network configuration")->level, LEVEL_WARN);
	ck_assert_ptr_nonnull(strstr(find("cni-conflist", "")->remedy, "{\"type\": \"sva\"}"));
	look_at_runtimes(true); /* somebody registers them by other means */
	ck_assert_int_eq(find("cni-conflist", "no network configuration")->level, LEVEL_INFO);
	put_text("/etc/cni/net.d/40-d.conflist", chained);
	look_at_runtimes(false);
	ck_assert_int_eq(find("cni-conflist", "/etc/cni/net.d/40-d.conflist")->level, LEVEL_OK);
	path_of("/opt/cni/bin/sva", plugin, sizeof(plugin));
	ck_assert_int_eq(unlink(plugin), 0);
	look_at_runtimes(false);
	ck_assert_int_eq(find("cni-plugin", "40-d.conflist")->level, LEVEL_WARN);
}
END_TEST

/* The paths of cgroups by their ids, which are inode numbers. */
START_TEST(cgroups)
{
	uint64_t ids[3] = { 0, 0, 0 };
	char *paths[3], full[512];
	struct stat st;

	make_parents("/cg/machine/web/inner", true);
	make_parents("/cg/system", true);
	path_of("/cg/machine/web", full, sizeof(full));
	ck_assert_int_eq(stat(full, &st), 0);
	ids[0] = st.st_ino;
	path_of("/cg", full, sizeof(full));
	ck_assert_int_eq(stat(full, &st), 0);
	ids[2] = st.st_ino;
	cgroup_paths(&m, "/cg", ids, 3, paths);
	ck_assert_str_eq(paths[0], "/machine/web");
	ck_assert_ptr_null(paths[1]);
	ck_assert_str_eq(paths[2], "/");
	free(paths[0]);
	free(paths[2]);
}
END_TEST

static Suite *runtimes_suite(void)
{
	Suite *s = suite_create("doctor-runtimes");
	TCase *tc = tcase_create("runtimes");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, runtimes);
	tcase_add_test(tc, cgroups);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, runtimes_suite, NULL);
}
