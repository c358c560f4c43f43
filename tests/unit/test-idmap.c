/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <stdlib.h>

#include "../../daemon/idmap.h"
#include "tap.h"

struct thing {
	struct idmap_node node;
	bool in;
};

START_TEST(test_empty)
{
	struct idmap map;
	struct idmap_node stray = { .id = 5 };

	ck_assert_int_eq(idmap_init(&map), 0);
	ck_assert_ptr_null(idmap_find(&map, 0));
	ck_assert_ptr_null(idmap_find(&map, UINT64_MAX));
	ck_assert(!idmap_remove(&map, &stray));
	ck_assert_uint_eq(map.n, 0);
	idmap_deinit(&map);
}
END_TEST

START_TEST(test_many)
{
	enum { N = 20000 };
	struct thing *things = calloc(N, sizeof(*things));
	struct idmap map;
	unsigned seed = 99, in = 0;

	/* ids as they come: in sequence, random, extremes; against what an array says */
	ck_assert_int_eq(idmap_init(&map), 0);
	for (unsigned i = 0; i < N * 5; i++) {
		unsigned k = (unsigned)rand_r(&seed) % N;
		uint64_t id = k % 3 == 0 ? k : k % 3 == 1 ? (uint64_t)k << 40 : ~(uint64_t)k;
		struct thing *t = &things[k];

		ck_assert_ptr_eq(idmap_find(&map, id), t->in ? &t->node : NULL);
		if (t->in) {
			ck_assert(idmap_remove(&map, &t->node));
			ck_assert(!idmap_remove(&map, &t->node));
			in--;
		} else {
			idmap_insert(&map, &t->node, id);
			in++;
		}
		t->in = !t->in;
		ck_assert_uint_eq(map.n, in);
	}
	for (unsigned k = 0; k < N; k++)
		if (things[k].in)
			ck_assert(idmap_remove(&map, &things[k].node));
	ck_assert_uint_eq(map.n, 0);
	idmap_deinit(&map);
	free(things);
}
END_TEST

static int count_and_free(struct idmap_node *node, void *userdata)
{
	struct idmap *map = ((void **)userdata)[0];
	unsigned *n = ((void **)userdata)[1];

	(*n)++;
	ck_assert(idmap_remove(map, node));
	free(container_of(node, struct thing, node));
	return 0;
}

static int stop_at_third(struct idmap_node *node, void *userdata)
{
	(void)node;
	return ++*(unsigned *)userdata == 3 ? 42 : 0;
}

START_TEST(test_each)
{
	struct idmap map;
	unsigned n = 0;
	void *both[2] = { &map, &n };

	ck_assert_int_eq(idmap_init(&map), 0);
	for (uint64_t i = 1; i <= 5000; i++)
		idmap_insert(&map, &((struct thing *)calloc(1, sizeof(struct thing)))->node, i * 7);
	ck_assert_int_eq(idmap_each(&map, stop_at_third, &n), 42);
	ck_assert_uint_eq(n, 3);
	n = 0;
	ck_assert_int_eq(idmap_each(&map, count_and_free, both), 0); /* each may free what it is given */
	ck_assert_uint_eq(n, 5000);
	ck_assert_uint_eq(map.n, 0);
	idmap_deinit(&map);
}
END_TEST

static Suite *idmap_suite(void)
{
	Suite *s = suite_create("idmap");
	TCase *c = tcase_create("idmap");

	tcase_add_test(c, test_empty);
	tcase_add_test(c, test_many);
	tcase_add_test(c, test_each);
	suite_add_tcase(s, c);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, idmap_suite, NULL);
}
