// SPDX-License-Identifier: GPL-2.0-or-later
#include "cdi.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "json.h"

/* 0.5.0: podman 4.3 takes nothing later, and we need nothing later. The mount is read-only: connecting to a
 * socket is no write to its file system, and nobody in the container has anything to change there. */
json_t *cdi_spec(const char *socket_dir)
{
	json_t *root = json_object(), *edits = json_object(), *mount = json_object(), *device = json_object();

	json_add_str(root, "cdiVersion", "0.5.0");
	json_add_str(root, "kind", CDI_KIND);
	json_add_str(mount, "hostPath", socket_dir);
	json_add_str(mount, "containerPath", CDI_INSIDE);
	json_add(mount, "options", json_pack("[s,s,s,s,s]", "bind", "ro", "nosuid", "nodev", "noexec"));
	json_add(edits, "env", json_pack("[s]", "SVAD_SOCKET=" CDI_INSIDE "/svad.sock"));
	json_add(edits, "mounts", json_pack("[o]", mount));
	json_add_str(device, "name", "all");
	json_add(device, "containerEdits", edits);
	json_add(root, "devices", json_pack("[o]", device));
	return root;
}

/* ---- what is there ---- */

static void take_mount(const json_t *edits, struct cdi_found *f)
{
	const json_t *mount;
	size_t i;

	json_array_foreach(json_object_get(edits, "mounts"), i, mount)
	{
		const char *inside = json_string_value(json_object_get(mount, "containerPath"));
		const char *host = json_string_value(json_object_get(mount, "hostPath"));

		if (inside && host && !strcmp(inside, CDI_INSIDE))
			snprintf(f->host_dir, sizeof(f->host_dir), "%s", host);
	}
}

static void judge(struct cdi_found *f)
{
	char path[sizeof(f->host_dir) + 16];
	struct stat st;

	if (!*f->host_dir) {
		snprintf(f->trouble, sizeof(f->trouble), "it mounts nothing at %s", CDI_INSIDE);
		return;
	}
	snprintf(path, sizeof(path), "%s/svad.sock", f->host_dir);
	if (stat(path, &st))
		snprintf(f->trouble, sizeof(f->trouble), "%.300s: %s", path, strerror(errno));
	else if (!S_ISSOCK(st.st_mode))
		snprintf(f->trouble, sizeof(f->trouble), "%.300s is no socket", path);
}

static int each_device(const json_t *root, struct cdi_found *f, int (*fn)(void *, const struct cdi_found *),
		       void *userdata)
{
	const char *version = json_string_value(json_object_get(root, "cdiVersion"));
	const json_t *device;
	size_t i;

	snprintf(f->version, sizeof(f->version), "%s", version ? version : "");
	json_array_foreach(json_object_get(root, "devices"), i, device)
	{
		const char *name = json_string_value(json_object_get(device, "name"));
		int r;

		snprintf(f->device, sizeof(f->device), CDI_KIND "=%.80s", name ? name : "");
		f->host_dir[0] = f->trouble[0] = 0;
		take_mount(json_object_get(root, "containerEdits"), f);
		take_mount(json_object_get(device, "containerEdits"), f);
		judge(f);
		r = fn(userdata, f);
		if (r)
			return r;
	}
	return 0;
}

static int each_file(const char *dir, const char *name, int (*fn)(void *, const struct cdi_found *),
		     void *userdata)
{
	struct cdi_found f = { .file = "" };
	json_error_t error;
	const char *kind;
	json_t *root;
	int r = 0;

	if ((size_t)snprintf(f.file, sizeof(f.file), "%s/%s", dir, name) >= sizeof(f.file))
		return 0;
	root = json_load_file(f.file, JSON_REJECT_DUPLICATES, &error);
	kind = json_string_value(json_object_get(root, "kind"));
	if (kind && !strcmp(kind, CDI_KIND)) {
		r = each_device(root, &f, fn, userdata);
	} else if (!strcmp(name, CDI_FILE)) {
		snprintf(f.device, sizeof(f.device), "-");
		if (root)
			snprintf(f.trouble, sizeof(f.trouble), "it is of another kind: %.100s",
				 kind ? kind : "none");
		else
			snprintf(f.trouble, sizeof(f.trouble), "line %d: %s", error.line, error.text);
		r = fn(userdata, &f);
	}
	json_decref(root);
	return r;
}

static int is_json(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 5 && !strcmp(e->d_name + n - 5, ".json");
}

int cdi_each(const char *const *dirs, int (*fn)(void *userdata, const struct cdi_found *found),
	     void *userdata)
{
	static const char *const usual[] = { "/etc/cdi", "/var/run/cdi", NULL };
	int r = 0;

	for (dirs = dirs ? dirs : usual; *dirs && !r; dirs++) {
		struct dirent **names;
		int n = scandir(*dirs, &names, is_json, alphasort);

		for (int i = 0; i < n; i++) {
			if (!r)
				r = each_file(*dirs, names[i]->d_name, fn, userdata);
			free(names[i]);
		}
		if (n >= 0)
			free(names);
	}
	return r;
}
