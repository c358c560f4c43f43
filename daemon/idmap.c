/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "idmap.h"

#include <errno.h>
#include <stdlib.h>

#define IDMAP_FIRST 64u

/* Fibonacci hashing with a fold: ids are counters or random numbers, neither chosen by a client. */
static size_t idmap_slot(const struct idmap *map, uint64_t id)
{
	uint64_t h = id * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h ^ (h >> 32)) & map->mask;
}

int idmap_init(struct idmap *map)
{
	map->buckets = calloc(IDMAP_FIRST, sizeof(*map->buckets));
	if (!map->buckets)
		return -ENOMEM;
	map->mask = IDMAP_FIRST - 1;
	map->n = 0;
	return 0;
}

void idmap_deinit(struct idmap *map)
{
	free(map->buckets);
	*map = (struct idmap){ 0 };
}

static void idmap_grow(struct idmap *map)
{
	size_t old = map->mask + 1, i;
	struct idmap_node **was = map->buckets;
	struct idmap_node **now = calloc(old * 2, sizeof(*now));

	if (!now)
		return;
	map->buckets = now;
	map->mask = old * 2 - 1;
	for (i = 0; i < old; i++) {
		struct idmap_node *node = was[i];

		while (node) {
			struct idmap_node *next = node->next;
			size_t slot = idmap_slot(map, node->id);

			node->next = now[slot];
			now[slot] = node;
			node = next;
		}
	}
	free(was);
}

void idmap_insert(struct idmap *map, struct idmap_node *node, uint64_t id)
{
	size_t slot;

	if (map->n > map->mask)
		idmap_grow(map);
	slot = idmap_slot(map, id);
	node->id = id;
	node->next = map->buckets[slot];
	map->buckets[slot] = node;
	map->n++;
}

struct idmap_node *idmap_find(const struct idmap *map, uint64_t id)
{
	struct idmap_node *node;

	for (node = map->buckets[idmap_slot(map, id)]; node; node = node->next)
		if (node->id == id)
			return node;
	return NULL;
}

bool idmap_remove(struct idmap *map, struct idmap_node *node)
{
	struct idmap_node **link = &map->buckets[idmap_slot(map, node->id)];

	for (; *link; link = &(*link)->next)
		if (*link == node) {
			*link = node->next;
			node->next = NULL;
			map->n--;
			return true;
		}
	return false;
}

int idmap_each(struct idmap *map, int (*fn)(struct idmap_node *node, void *userdata), void *userdata)
{
	size_t i;
	int r;

	for (i = 0; i <= map->mask; i++) {
		struct idmap_node *node = map->buckets[i];

		while (node) {
			struct idmap_node *next = node->next;

			r = fn(node, userdata);
			if (r)
				return r;
			node = next;
		}
	}
	return 0;
}
