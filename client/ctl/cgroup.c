// SPDX-License-Identifier: GPL-2.0-or-later
#include "cgroup.h"

#include <dirent.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define DEPTH_MAX 32

static long magic_of(const struct machine *m, const char *path)
{
	char full[PATH_MAX];
	struct statfs fs;

	if ((size_t)snprintf(full, sizeof(full), "%s%s", m->root, path) >= sizeof(full) || statfs(full, &fs))
		return 0;
	return (long)fs.f_type;
}

enum cgroup_layout cgroup_layout(const struct machine *m, const char **ret_root)
{
	static const char top[] = "/sys/fs/cgroup", unified[] = "/sys/fs/cgroup/unified";

	*ret_root = NULL;
	if (magic_of(m, top) == CGROUP2_SUPER_MAGIC) {
		*ret_root = top;
		return CGROUP_UNIFIED;
	}
	if (magic_of(m, unified) == CGROUP2_SUPER_MAGIC) {
		*ret_root = unified;
		return CGROUP_HYBRID;
	}
	return magic_of(m, top) == TMPFS_MAGIC ? CGROUP_V1 : CGROUP_NONE;
}

struct walk {
	const uint64_t *ids;
	size_t n, left;
	char **paths;
	size_t skip; /* of a full path, to what is below the root */
};

static void look(struct walk *w, const char *path, int depth)
{
	struct dirent *e;
	struct stat st;
	DIR *dir;

	if (lstat(path, &st) || !S_ISDIR(st.st_mode))
		return;
	for (size_t i = 0; i < w->n; i++)
		if (!w->paths[i] && w->ids[i] == st.st_ino) {
			w->paths[i] = strdup(path[w->skip] ? path + w->skip : "/");
			w->left--;
		}
	if (!w->left || depth >= DEPTH_MAX)
		return;
	dir = opendir(path);
	if (!dir)
		return;
	while (w->left && (e = readdir(dir))) {
		char next[PATH_MAX];

		if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		if ((size_t)snprintf(next, sizeof(next), "%s/%s", path, e->d_name) < sizeof(next))
			look(w, next, depth + 1);
	}
	closedir(dir);
}

void cgroup_paths(const struct machine *m, const char *root, const uint64_t *ids, size_t n, char **paths)
{
	struct walk w = { .ids = ids, .n = n, .left = n, .paths = paths };
	char full[PATH_MAX];

	for (size_t i = 0; i < n; i++)
		paths[i] = NULL;
	if (!n || (size_t)snprintf(full, sizeof(full), "%s%s", m->root, root) >= sizeof(full))
		return;
	w.skip = strlen(full);
	look(&w, full, 0);
}
