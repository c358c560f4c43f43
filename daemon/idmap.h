/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_IDMAP_H
#define SVAD_IDMAP_H
/*
 * An intrusive hash table from 64-bit ids to objects: the objects embed a node, so insertion cannot fail for want of memory once the table
 * has its first buckets (a table that cannot grow just gets slower). Not thread-safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap_node {
	struct idmap_node *next;
	uint64_t id;
};

struct idmap {
	struct idmap_node **buckets;
	size_t mask; /* number of buckets - 1 */
	size_t n;
};

int idmap_init(struct idmap *map); /* 0 or -ENOMEM */
void idmap_deinit(struct idmap *map); /* must be empty, or its objects must outlive nothing: nodes are not touched */

/* An id that is in the map already: idmap_find() returns any of its nodes, and the others are among those that follow it by next. */
void idmap_insert(struct idmap *map, struct idmap_node *node, uint64_t id);
struct idmap_node *idmap_find(const struct idmap *map, uint64_t id);
bool idmap_remove(struct idmap *map, struct idmap_node *node); /* false: it was not in */

/* Calls fn for each; fn may remove (and free) the node that it is given, and no other. Stops when fn returns non-zero, and returns that. */
int idmap_each(struct idmap *map, int (*fn)(struct idmap_node *node, void *userdata), void *userdata);

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
