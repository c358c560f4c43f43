/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The choice among devices: what a device must have, what policy allows, and what makes one better than another. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "../../daemon/client.h"
#include "../../daemon/device.h"
#include "tap.h"

static struct broker broker;
static const char *forbidden; /* by policy */

/* What device.c asks of the rest of the broker. */
void client_policy(struct client *client, const struct device *device, struct policy_verdict *ret)
{
	bool allowed = !forbidden || strcmp(forbidden, device->info.name) != 0;

	(void)client;
	*ret = (struct policy_verdict) { .allowed = allowed, .why = allowed ? POLICY_ALLOWS : POLICY_DENIES };
}

static struct device *add(const char *name, uint64_t operations, uint64_t caps, int numa_node, uint32_t engines, uint32_t holds)
{
	static uint32_t id;
	struct svab_dev_info info = {
		.size = sizeof(info),
		.id = ++id,
		.numa_node = numa_node,
		.caps = caps,
		.operations = operations,
		.engines = engines,
		.state = SVAB_DEV_OK,
	};
	struct device *device;

	snprintf(info.name, sizeof(info.name), "%s", name);
	device = device_update(&broker, &info);
	ck_assert_ptr_nonnull(device);
	device->holds = holds;
	return device;
}

static enum policy_why refused;

static const char *best(uint64_t operations, uint64_t caps, int numa_node)
{
	struct device *device = device_select(&broker, NULL, operations, caps, numa_node, &refused);

	return device ? device->info.name : "none";
}

static void setup(void)
{
	static struct config config; /* names no device: the backend's figures hold */

	memset(&broker, 0, sizeof(broker));
	broker.config = &config;
	list_init(&broker.device_list);
	forbidden = NULL;
}

static void teardown(void)
{
	device_free_all(&broker);
}

START_TEST(test_none)
{
	ck_assert_str_eq(best(0, 0, -1), "none");
	ck_assert_int_eq(refused, POLICY_ALLOWS);
}
END_TEST

START_TEST(test_must_have_all)
{
	add("a", 3, 1, -1, 1, 0);
	add("b", 7, 1, -1, 1, 5);
	add("c", 3, 5, -1, 1, 5);
	ck_assert_str_eq(best(3, 0, -1), "a");
	ck_assert_str_eq(best(4, 0, -1), "b");
	ck_assert_str_eq(best(7, 1, -1), "b");
	ck_assert_str_eq(best(0, 4, -1), "c");
	ck_assert_str_eq(best(4, 4, -1), "none"); /* each bit is somewhere, both nowhere */
	ck_assert_str_eq(best(8, 0, -1), "none");
	ck_assert_int_eq(refused, POLICY_ALLOWS);
}
END_TEST

START_TEST(test_policy)
{
	add("a", 1, 0, -1, 1, 0);
	add("b", 1, 0, -1, 1, 9);
	forbidden = "a";
	ck_assert_str_eq(best(1, 0, -1), "b");
	forbidden = "b";
	ck_assert_str_eq(best(1, 0, -1), "a");
	device_find_name(&broker, "a")->info.operations = 0;
	ck_assert_str_eq(best(1, 0, -1), "none");
	ck_assert_int_eq(refused, POLICY_DENIES); /* it would have done but for policy */
	ck_assert_str_eq(best(2, 0, -1), "none");
	ck_assert_int_eq(refused, POLICY_ALLOWS);
}
END_TEST

START_TEST(test_load)
{
	struct device *a = add("a", 0, 0, -1, 1, 1), *b = add("b", 0, 0, -1, 4, 3);

	ck_assert_str_eq(best(0, 0, -1), "b"); /* 1 for one engine, 3 for four */
	b->holds = 5;
	ck_assert_str_eq(best(0, 0, -1), "a");
	b->holds = 4;
	ck_assert_str_eq(best(0, 0, -1), "a"); /* alike: the lower id */
	a->info.engines = 0; /* counts as one */
	ck_assert_str_eq(best(0, 0, -1), "a");
	a->holds = 4000000000u;
	b->holds = 4000000000u;
	ck_assert_str_eq(best(0, 0, -1), "b"); /* and nothing overflows */
}
END_TEST

START_TEST(test_numa)
{
	add("far", 0, 0, 1, 1, 0);
	add("near", 0, 0, 0, 1, 100);
	add("nowhere", 0, 0, -1, 1, 0);
	ck_assert_str_eq(best(0, 0, 0), "near"); /* nearness before load */
	ck_assert_str_eq(best(0, 0, 1), "far");
	ck_assert_str_eq(best(0, 0, -1), "far"); /* not asked for: load, then id */
	ck_assert_str_eq(best(0, 0, 999), "far"); /* a node that there is not: all alike */
	ck_assert_int_eq(numa_distance(0, 0), 10);
	ck_assert_int_eq(numa_distance(-1, 0), 20);
	ck_assert_int_eq(numa_distance(0, 12345), 20);
	numa_load();
	ck_assert_int_eq(numa_distance(0, 0), 10);
}
END_TEST

START_TEST(test_degraded_last)
{
	struct device *near = add("near", 0, 0, 0, 1, 0), *far = add("far", 0, 0, 1, 1, 50);
	char reason[256];

	near->quarantined = 1;
	ck_assert_int_eq((int)device_health(near), (int)SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED);
	device_reason(near, reason, sizeof(reason));
	ck_assert_ptr_nonnull(strstr(reason, "1 PASID quarantined"));
	/* advice that can be followed */
	ck_assert_ptr_nonnull(strstr(reason, "svadctl quarantine release --device near"));
	near->info.caps = SVAB_DEV_CAP_CAN_RESET;
	device_reason(near, reason, sizeof(reason));
	ck_assert_ptr_nonnull(strstr(reason, "svadctl device reset near"));
	ck_assert_str_eq(best(0, 0, 0), "far");
	/* all degraded: the better of them */
	far->info.stop_failures = 3;
	far->info.drained = 29;
	ck_assert_int_eq((int)device_health(far), (int)SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED);
	ck_assert_str_eq(best(0, 0, 0), "near");
	/* few failures among many drains are no habit */
	far->info.drained = 30;
	ck_assert_int_eq((int)device_health(far), (int)SVAD__V1__DEVICE_HEALTH__HEALTH_OK);
	far->info.drained = 0;
	far->info.stop_failures = 2;
	ck_assert_int_eq((int)device_health(far), (int)SVAD__V1__DEVICE_HEALTH__HEALTH_OK);
	device_reason(far, reason, sizeof(reason));
	ck_assert_str_eq(reason, "");
}
END_TEST

START_TEST(test_unusable)
{
	struct device *a = add("a", 0, 0, -1, 1, 0), *b = add("b", 0, 0, -1, 1, 9);
	char reason[256];

	a->info.state = SVAB_DEV_GONE;
	ck_assert_str_eq(best(0, 0, -1), "b");
	device_reason(a, reason, sizeof(reason));
	ck_assert_str_ne(reason, "");
	a->info.state = SVAB_DEV_UNUSABLE;
	snprintf(a->info.reason, sizeof(a->info.reason), "no PASID");
	ck_assert_str_eq(best(0, 0, -1), "b");
	device_reason(a, reason, sizeof(reason));
	ck_assert_str_eq(reason, "no PASID");
	a->info.state = SVAB_DEV_RESETTING;
	ck_assert_str_eq(best(0, 0, -1), "b");
	a->info.state = SVAB_DEV_OK;
	a->resetting = true;
	ck_assert_str_eq(best(0, 0, -1), "b");
	a->resetting = false;
	a->info.max_bonds = 1;
	ck_assert_str_eq(best(0, 0, -1), "a");
	a->holds = 1; /* full */
	ck_assert_str_eq(best(0, 0, -1), "b");
	b->info.state = SVAB_DEV_GONE;
	ck_assert_str_eq(best(0, 0, -1), "none");
	ck_assert_int_eq(refused, POLICY_ALLOWS);
}
END_TEST

START_TEST(test_listing)
{
	struct device *kept, *again;

	add("a", 0, 0, -1, 1, 0);
	kept = add("b", 0, 0, -1, 1, 1);
	device_sweep(&broker); /* both were named */
	ck_assert_ptr_nonnull(device_find_name(&broker, "a"));
	add("c", 0, 0, -1, 1, 0);
	device_sweep(&broker); /* only c was: a is forgotten; b is held by somebody, and gone */
	ck_assert_ptr_null(device_find_name(&broker, "a"));
	ck_assert_ptr_eq(device_find_name(&broker, "b"), kept);
	ck_assert_int_eq((int)kept->info.state, SVAB_DEV_GONE);
	ck_assert_str_eq(best(0, 0, -1), "c");
	ck_assert_ptr_eq(device_find(&broker, kept->info.id), kept);
	/* It is plugged in again while its old self is still held: the name is the new one's. */
	again = add("b", 0, 0, -1, 1, 0);
	ck_assert_ptr_ne(again, kept);
	ck_assert_ptr_eq(device_find_name(&broker, "b"), again);
	kept->holds = 0;
	device_update(&broker, &again->info);
	device_sweep(&broker);
	ck_assert_ptr_null(device_find_name(&broker, "c"));
	ck_assert_ptr_eq(device_find_name(&broker, "b"), again);
	ck_assert_uint_eq(again->walk + 1, broker.device_walk);
}
END_TEST

static Suite *select_suite(void)
{
	Suite *s = suite_create("device-select");
	TCase *c = tcase_create("device-select");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_none);
	tcase_add_test(c, test_must_have_all);
	tcase_add_test(c, test_policy);
	tcase_add_test(c, test_load);
	tcase_add_test(c, test_numa);
	tcase_add_test(c, test_degraded_last);
	tcase_add_test(c, test_unusable);
	tcase_add_test(c, test_listing);
	suite_add_tcase(s, c);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, select_suite, NULL);
}
