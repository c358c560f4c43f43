// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl cdi generate | list */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cdi.h"
#include "container.h"
#include "ctl.h"
#include "json.h"
#include "table.h"

/* ---- generate ---- */

static bool write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = write(fd, text, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text += n;
		left -= (size_t)n;
	}
	return true;
}

/* Runtimes read every *.json there at any time: a temporary name that is none, then a rename. */
static bool put(const char *dir, const char *text)
{
	char temporary[4200], file[4200];
	int fd, dirfd, error;
	bool good;

	snprintf(temporary, sizeof(temporary), "%s/.%s.XXXXXX", dir, CDI_FILE);
	snprintf(file, sizeof(file), "%s/%s", dir, CDI_FILE);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return false;
	good = write_all(fd, text) && !fchmod(fd, 0644) && !fsync(fd);
	error = errno;
	if (close(fd) && good) {
		error = errno;
		good = false;
	}
	if (good && rename(temporary, file)) {
		error = errno;
		good = false;
	}
	if (!good) {
		unlink(temporary);
		errno = error;
		return false;
	}
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd >= 0) {
		fsync(dirfd);
		close(dirfd);
	}
	return true;
}

int cmd_cdi_generate(struct ctl *ctl, int argc, char **argv)
{
	const char *output = NULL, *socket_dir = NULL;
	const struct ctl_option options[] = {
		{ "output", 'o', "DIR", "write DIR/" CDI_FILE " instead of stdout", NULL, &output },
		{ "socket-dir", 0, "DIR", "svad's socket_dir; default: as configured", NULL, &socket_dir },
		CTL_OPTIONS_END,
	};
	char dir[4096], *text = NULL;
	json_t *spec;
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (!socket_dir)
		socket_dir = container_runtime_path(ctl, "containers", dir, sizeof(dir));
	if (*socket_dir != '/' || strlen(socket_dir) >= sizeof(dir))
		return ctl_usage(ctl, "--socket-dir: \"%s\" is no absolute path", socket_dir);
	if (output && (!*output || strlen(output) >= sizeof(dir)))
		return ctl_usage(ctl, "--output: \"%s\" is no directory", output);
	spec = cdi_spec(socket_dir);
	if (!output)
		return json_print(spec, false);

	text = spec ? json_dumps(spec, JSON_INDENT(2)) : NULL;
	json_decref(spec);
	if (!text) {
		ctl_error("cannot write JSON: out of memory, or \"%s\" is not UTF-8", socket_dir);
		return CTL_FAILED;
	}
	r = CTL_OK;
	if ((mkdir(output, 0755) && errno != EEXIST) || !put(output, text)) {
		ctl_error("%s/%s: %s%s", output, CDI_FILE, strerror(errno),
			  errno == EACCES || errno == EPERM ? ": run svadctl as root" : "");
		r = CTL_FAILED;
	} else if (ctl->json) {
		json_t *o = json_object();
		char file[4200];

		snprintf(file, sizeof(file), "%s/%s", output, CDI_FILE);
		json_add_str(o, "file", file);
		json_add_str(o, "device", CDI_KIND "=all");
		json_add_str(o, "socket_dir", socket_dir);
		r = json_print(o, false);
	} else {
		printf("%s/%s written: --device " CDI_KIND "=all mounts %s at " CDI_INSIDE "\n", output,
		       CDI_FILE, socket_dir);
	}
	free(text);
	return r;
}

/* ---- list ---- */

static const struct table_column columns[] = {
	{ "DEVICE", false, 0, 0 }, { "VERSION", false, 0, 1 }, { "SOCKET DIRECTORY", false, 8, 0 },
	{ "FILE", false, 8, 2 },   { "TROUBLE", false, 8, 0 },
};
#define TROUBLE_COLUMN 4

struct list {
	struct table *table;
	json_t *json;
	bool trouble;
};

static int item(void *userdata, const struct cdi_found *f)
{
	struct list *l = userdata;

	l->trouble |= !!*f->trouble;
	if (l->json) {
		json_t *o = json_object();

		json_add_str(o, "device", f->device);
		json_add_str(o, "cdi_version", f->version);
		json_add_str(o, "socket_dir", f->host_dir);
		json_add_str(o, "file", f->file);
		if (*f->trouble)
			json_add_str(o, "trouble", f->trouble);
		json_array_append_new(l->json, o);
		return CTL_OK;
	}
	table_cell(l->table, STYLE_NONE, "%s", f->device);
	table_cell(l->table, STYLE_NONE, "%s", *f->version ? f->version : "-");
	table_cell(l->table, STYLE_NONE, "%s", *f->host_dir ? f->host_dir : "-");
	table_cell(l->table, STYLE_NONE, "%s", f->file);
	table_cell(l->table, STYLE_RED, "%s", *f->trouble ? f->trouble : "-");
	return CTL_OK;
}

int cmd_cdi_list(struct ctl *ctl, int argc, char **argv)
{
	const char *dir = NULL;
	const struct ctl_option options[] = {
		{ "dir", 0, "DIR", "look there instead of in /etc/cdi and /var/run/cdi", NULL, &dir },
		CTL_OPTIONS_END,
	};
	struct list l = { NULL, NULL, false };
	unsigned width, height;
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (dir && !*dir)
		return ctl_usage(ctl, "--dir: the path is empty");
	if (ctl->json) {
		l.json = json_array();
	} else {
		if (table_new(columns, sizeof(columns) / sizeof(columns[0]), &l.table)) {
			ctl_error("out of memory");
			return CTL_FAILED;
		}
		table_optional(l.table, TROUBLE_COLUMN);
	}
	cdi_each(dir ? (const char *const[]){ dir, NULL } : NULL, item, &l);
	if (l.json) {
		r = json_print(l.json, false);
	} else if (!table_rows(l.table)) {
		printf("No CDI file names svad's device: svadctl cdi generate --output /etc/cdi\n");
		r = CTL_OK;
	} else {
		term_size(&width, &height);
		r = table_print(l.table, stdout, width, 0, "\n") ? CTL_FAILED : CTL_OK;
	}
	table_free(l.table);
	return r ? r : l.trouble ? CTL_FAILED : CTL_OK;
}
