// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl doctor's remedies for devices, held against the reasons that stand in the kernel module's sources:
 * each has one, and each remedy has a reason.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "../../client/ctl/doctor.h"
#include "tap.h"

#define MAX_REASONS 32
/* svab_dev_info.reason, with its end */
#define REASON_SIZE 128

static char reasons[MAX_REASONS][256];
static unsigned n_reasons;

/* Every line with `before` and a string literal behind it. */
static void collect(const char *file, const char *before)
{
	char path[1024], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/kmod/%s", tap_srcdir(), file);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s cannot be read", path);
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, before), *from = at ? strchr(at, '"') : NULL;
		const char *to = from ? strchr(from + 1, '"') : NULL;

		if (!to)
			continue;
		ck_assert_uint_lt(n_reasons, MAX_REASONS);
		snprintf(reasons[n_reasons++], sizeof(reasons[0]), "%.*s", (int)(to - from - 1), from + 1);
	}
	fclose(f);
}

static void setup(void)
{
	n_reasons = 0;
	collect("device.c", "*reason = ");
	collect("compat.h", "#define SVAB_REASON_");
}

START_TEST(each_has_a_remedy)
{
	/* No kernel option, IOMMU, PASID, coherency, group of its own; SVA, page faults. */
	ck_assert_uint_ge(n_reasons, 7);
	for (unsigned i = 0; i < n_reasons; i++) {
		const char *remedy = doctor_device_remedy(reasons[i]);

		ck_assert_uint_lt(strlen(reasons[i]), REASON_SIZE);
		ck_assert_msg(remedy != NULL, "doctor knows no remedy for: %s", reasons[i]);
		/* One that is another's was found by a word that happens to be in both. */
		for (unsigned k = 0; k < i; k++)
			ck_assert_msg(doctor_device_remedy(reasons[k]) != remedy, "\"%s\" and \"%s\": %s",
				      reasons[k], reasons[i], remedy);
	}
	ck_assert_ptr_null(doctor_device_remedy("something that the module does not say"));
	ck_assert_ptr_null(doctor_device_remedy(""));
}
END_TEST

START_TEST(as_they_belong_together)
{
	static const struct {
		const char *reason, *remedy;
	} pairs[] = {
		{ "kernel was built without", "CONFIG_ARM_SMMU_V3_SVA" },
		{ "IOMMU group", "IOMMU group of its own" },
		{ "not behind", "iommus in its device tree" },
		{ "no PASID", "pasid-num-bits" },
		{ "not coherent", "dma-coherent" },
		{ "no stall", "dma-can-stall" },
		{ "SVA is off", "hardware findings" },
	};

	for (size_t p = 0; p < sizeof(pairs) / sizeof(pairs[0]); p++) {
		unsigned found = 0;

		for (unsigned i = 0; i < n_reasons; i++) {
			const char *remedy = doctor_device_remedy(reasons[i]);

			if (!strstr(reasons[i], pairs[p].reason))
				continue;
			found++;
			ck_assert_msg(remedy && strstr(remedy, pairs[p].remedy), "%s: %s", reasons[i],
				      remedy ? remedy : "nothing");
		}
		ck_assert_msg(found == 1, "%u of the module's reasons say \"%s\"", found, pairs[p].reason);
	}
}
END_TEST

static Suite *device_suite(void)
{
	Suite *s = suite_create("doctor-device");
	TCase *tc = tcase_create("device");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, each_has_a_remedy);
	tcase_add_test(tc, as_they_belong_together);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, device_suite, NULL);
}
