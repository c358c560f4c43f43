/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_CGROUP_H
#define SVAD_CTL_CGROUP_H
/* cgroups, for people to read: what a container's clients run in says who started them, and is proof of nothing. */
#include "machine.h"

enum cgroup_layout {
	CGROUP_NONE,
	CGROUP_UNIFIED, /* version 2 alone */
	CGROUP_HYBRID,	/* version 1, and 2 beside it */
	CGROUP_V1,
};

/* root: where version 2 is mounted, NULL where it is not. */
enum cgroup_layout cgroup_layout(const struct machine *m, const char **ret_root);

/* Paths below root of the cgroups that have these ids (a cgroup's id is its directory's inode number), by one walk over all of them. paths[i] is
 * malloc()ed, NULL: there is none any more. */
void cgroup_paths(const struct machine *m, const char *root, const uint64_t *ids, size_t n, char **paths);

#endif
