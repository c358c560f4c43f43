/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files are read, and in what order. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_private.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define FILE_MAX_BYTES (4u << 20)

void config_errors_clear(struct config_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct config_errors){ 0 };
}

void config_free(struct config *c)
{
	if (!c)
		return;
	free(c->origin);
	free(c->user);
	free(c->runtime_dir);
	free(c->socket);
	free(c->socket_group);
	free(c->admin_socket);
	free(c->admin_socket_group);
	free(c->fault_socket);
	free(c->containers_state_dir);
	free(c->containers_socket_dir);
	for (size_t i = 0; i < c->n_devices; i++)
		free(c->devices[i].name);
	free(c->devices);
	for (size_t i = 0; i < c->n_policies; i++) {
		struct config_policy *p = &c->policies[i];

		free(p->name);
		free(p->uids);
		free(p->gids);
		config_globs_free(&p->containers);
		config_globs_free(&p->pods);
		config_globs_free(&p->networks);
		config_globs_free(&p->devices);
	}
	free(c->policies);
	free(c);
}

const struct config_device *config_device(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_devices; i++) {
		if (strcmp(config->devices[i].name, name) == 0)
			return &config->devices[i];
	}
	return NULL;
}

static int read_file(const char *path, char **ret, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
	    r = 0; /* a FIFO must not hold us up */
	size_t len = 0, room = 0;
	char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (S_ISDIR(st.st_mode))
		r = -EISDIR;
	while (r == 0) {
		if (len == room) {
			char *more = realloc(text, room += 16384);

			if (!more) {
				r = -ENOMEM;
				break;
			}
			text = more;
		}
		n = read(fd, text + len, room - len);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		else if ((len += (size_t)n) > FILE_MAX_BYTES)
			r = -EFBIG;
	}
	close(fd);
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int feed_file(struct config_parser *p, const char *path, struct config_errors *errors)
{
	char *text = NULL;
	size_t len = 0;
	int r = read_file(path, &text, &len);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		const char *remedy = r == -ENOENT   ? "create it or name another with --config"
				     : r == -EACCES ? "make it readable for the user who runs this"
						    : "put a text file there";

		config_error(errors, path, 0, "cannot read it: %s; %s", strerror(-r), remedy);
		return r;
	}
	r = config_parser_feed(p, path, text, len);
	free(text);
	return r;
}

static int is_conf(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && d->d_name[0] != '.' && strcmp(d->d_name + n - 5, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name,
		      (*b)->d_name); /* not alphasort(): the order must not hang on the locale */
}

static int feed_dir(struct config_parser *p, const char *path, struct config_errors *errors)
{
	struct dirent **names = NULL;
	char *dir, *file;
	int n, r = 0, first = 0;

	if (asprintf(&dir, "%s.d", path) < 0)
		return -ENOMEM;
	n = scandir(dir, &names, is_conf, by_name);
	if (n < 0 && errno != ENOENT) {
		r = -errno;
		config_error(errors, dir, 0, "cannot read the directory: %s; make it readable or remove it",
			     strerror(errno));
	}
	for (int i = 0; i < n; i++) {
		if (r != -ENOMEM && asprintf(&file, "%s/%s", dir, names[i]->d_name) < 0) {
			r = -ENOMEM;
		} else if (r != -ENOMEM) {
			r = feed_file(p, file, errors);
			if (r < 0 && !first)
				first = r;
			free(file);
		}
		free(names[i]);
	}
	free(names);
	free(dir);
	return r == -ENOMEM ? r : first ? first : r;
}

int config_load(const char *path, struct config **ret, struct config_errors *errors)
{
	const char *file = path ? path : SYSCONFDIR "/svad/svad.conf";
	struct config_parser *p = NULL;
	int unreadable = 0, r;

	r = config_parser_new(&p, errors, false);
	if (r < 0)
		return r;
	if (path || access(file, F_OK) == 0 || errno != ENOENT)
		unreadable = feed_file(p, file, errors);
	if (unreadable != -ENOMEM) {
		r = feed_dir(p, file, errors);
		if (r < 0)
			unreadable = unreadable ? unreadable : r;
	}
	/* also after a file that could not be read: all mistakes are told at once */
	r = unreadable == -ENOMEM ? -ENOMEM : config_parser_finish(p, ret);
	config_parser_free(p);
	return unreadable ? unreadable : r;
}
