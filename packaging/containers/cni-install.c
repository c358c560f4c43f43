// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Puts the plugin on a node and into the chain of the network that is there: for an init container, which has
 *no shell.
 *
 *	svad-cni-install --plugin FILE --bindir DIR --confdir DIR     installs
 *	svad-cni-install --remove --confdir DIR [--bindir DIR]        takes it out of every chain; with
 *--bindir, the plugin too
 *	... --wait                                                    and then, or just, waits for SIGTERM
 *
 * The network is the first one by name, as container runtimes choose it. Both ways may be asked for again and
 *again. What runtimes read changes by rename, so they find the old or the new, whole; the temporary names are
 *none that they look at.
 *
 * The plugin itself should stay while a container lives that was started with it: a runtime that does not
 *find it cannot end that container's network.
 *
 * Exit status: 0; 1 with the reason on stderr; 2 for bad usage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#define TYPE "sva"

static int failed(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int failed(const char *fmt, ...)
{
	va_list ap;

	fputs("svad-cni-install: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -1;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return failed("%s: %s", dir, strerror(errno));
	r = fsync(fd) < 0 ? failed("%s: fsync: %s", dir, strerror(errno)) : 0;
	close(fd);
	return r;
}

/* fd becomes dir/name, by way of temporary; closes fd. */
static int put_in_place(int fd, const char *temporary, const char *dir, const char *name)
{
	char path[PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (fsync(fd) < 0)
		r = failed("%s: fsync: %s", temporary, strerror(errno));
	if (close(fd) < 0 && r == 0)
		r = failed("%s: %s", temporary, strerror(errno));
	if (r == 0 && rename(temporary, path) < 0)
		r = failed("rename to %s: %s", path, strerror(errno));
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return sync_dir(dir);
}

/* A new, empty file in dir; its name in ret_path. */
static int temporary_file(const char *dir, char *ret_path, size_t size, mode_t mode)
{
	int fd;

	snprintf(ret_path, size, "%s/." TYPE "-XXXXXX", dir);
	fd = mkostemp(ret_path, O_CLOEXEC);
	if (fd < 0)
		return failed("%s: cannot write there: %s", dir, strerror(errno));
	if (fchmod(fd, mode) < 0) {
		failed("%s: %s", ret_path, strerror(errno));
		close(fd);
		unlink(ret_path);
		return -1;
	}
	return fd;
}

static int install_plugin(const char *plugin, const char *bindir)
{
	int from = open(plugin, O_RDONLY | O_CLOEXEC), to = -1;
	char temporary[PATH_MAX];
	struct stat st;
	off_t done = 0;

	if (from < 0 || fstat(from, &st) < 0) {
		failed("--plugin %s: %s", plugin, strerror(errno));
		goto fail;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		failed("--plugin %s: not a program", plugin);
		goto fail;
	}
	to = temporary_file(bindir, temporary, sizeof(temporary), 0755);
	if (to < 0)
		goto fail;
	while (done < st.st_size)
		if (sendfile(to, from, &done, (size_t)(st.st_size - done)) <= 0) {
			failed("copy %s to %s: %s", plugin, temporary, strerror(errno));
			close(to);
			unlink(temporary);
			goto fail;
		}
	close(from);
	return put_in_place(to, temporary, bindir, TYPE);
fail:
	if (from >= 0)
		close(from);
	return -1;
}

/* ---- chains --------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && !strcmp(s + n - m, end);
}

static int is_configuration(const struct dirent *e)
{
	return e->d_name[0] != '.' && (ends_with(e->d_name, ".conflist") || ends_with(e->d_name, ".conf") ||
				       ends_with(e->d_name, ".json"));
}

static bool is_ours(const json_t *plugin)
{
	const char *type = json_string_value(json_object_get(plugin, "type"));

	return type && !strcmp(type, TYPE);
}

/* Writes list over dir/name, with the mode and the owner that the file has. */
static int rewrite(const char *dir, const char *name, const json_t *list)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	char *text = NULL;
	struct stat st;
	size_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (lstat(path, &st) < 0)
		return failed("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return failed("%s is not a plain file: add { \"type\": \"" TYPE
			      "\" } to its plugins where it really is",
			      path);
	text = json_dumps(list, JSON_INDENT(2));
	if (!text)
		return failed("out of memory");
	fd = temporary_file(dir, temporary, sizeof(temporary), st.st_mode & 07777);
	if (fd < 0) {
		free(text);
		return -1;
	}
	n = strlen(text);
	text[n++] = '\n'; /* in place of the terminator */
	if (fchown(fd, st.st_uid, st.st_gid) < 0 || write(fd, text, n) != (ssize_t)n) {
		failed("%s: %s", temporary, strerror(errno));
		close(fd);
		unlink(temporary);
		free(text);
		return -1;
	}
	free(text);
	return put_in_place(fd, temporary, dir, name);
}

static json_t *load(const char *dir, const char *name)
{
	char path[PATH_MAX];
	json_error_t error;
	json_t *list;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	list = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!list)
		failed("%s:%d: %s", path, error.line, error.text);
	return list;
}

/* Appends the plugin to the first network's chain. */
static int chain_add(const char *dir, struct dirent **names, int n)
{
	json_t *list, *plugins;
	int r = 0;
	size_t i;

	if (n == 0)
		return failed("%s has no network configuration yet: install the cluster's network first, "
			      "then try again",
			      dir);
	list = load(dir, names[0]->d_name);
	if (!list)
		return -1;
	plugins = json_object_get(list, "plugins");
	if (!json_is_array(plugins) || json_array_size(plugins) == 0) {
		json_decref(list);
		return failed("%s/%s is the first network, and not a list of plugins: only a .conflist can "
			      "chain " TYPE,
			      dir, names[0]->d_name);
	}
	for (i = 0; i < json_array_size(plugins); i++)
		if (is_ours(json_array_get(plugins, i)))
			break;
	if (i < json_array_size(plugins)) {
		printf("%s/%s: " TYPE " is in its chain\n", dir, names[0]->d_name);
	} else if (json_array_append_new(
			   plugins, json_pack("{s:s, s:{s:b}}", "type", TYPE, "capabilities", TYPE, 1)) < 0) {
		r = failed("out of memory");
	} else {
		r = rewrite(dir, names[0]->d_name, list);
		if (r == 0)
			printf("%s/%s: " TYPE " was added to its chain\n", dir, names[0]->d_name);
	}
	json_decref(list);
	return r;
}

/* Takes the plugin out of one network's chain, if it is in it. */
static int chain_remove(const char *dir, const char *name)
{
	json_t *list = load(dir, name), *plugins;
	size_t removed = 0;
	int r = 0;

	if (!list)
		return 0; /* said why; it is not ours to mend */
	plugins = json_object_get(list, "plugins");
	for (size_t i = json_array_size(plugins); i-- > 0;)
		if (is_ours(json_array_get(plugins, i))) {
			json_array_remove(plugins, i);
			removed++;
		}
	if (removed && json_array_size(plugins) == 0) {
		r = failed("%s/%s: " TYPE " is its only plugin: remove the file", dir, name);
	} else if (removed) {
		r = rewrite(dir, name, list);
		if (r == 0)
			printf("%s/%s: " TYPE " was taken out of its chain\n", dir, name);
	}
	json_decref(list);
	return r;
}

static int chains(const char *dir, bool removal)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_configuration, alphasort), r = 0;

	if (n < 0)
		return failed("--confdir %s: %s", dir, strerror(errno));
	if (!removal)
		r = chain_add(dir, names, n);
	for (int i = 0; i < n; i++) {
		if (removal && ends_with(names[i]->d_name, ".conflist") &&
		    chain_remove(dir, names[i]->d_name) < 0)
			r = -1;
		free(names[i]);
	}
	free(names);
	return r;
}

static int remove_plugin(const char *bindir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" TYPE, bindir);
	if (unlink(path) < 0 && errno != ENOENT)
		return failed("%s: %s", path, strerror(errno));
	return sync_dir(bindir);
}

static int usage(void)
{
	fputs("usage: svad-cni-install --plugin FILE --bindir DIR --confdir DIR [--wait]\n"
	      "       svad-cni-install --remove --confdir DIR [--bindir DIR] [--wait]\n"
	      "       svad-cni-install --wait\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "plugin", required_argument, NULL, 'p' },  { "bindir", required_argument, NULL, 'b' },
		{ "confdir", required_argument, NULL, 'c' }, { "remove", no_argument, NULL, 'r' },
		{ "wait", no_argument, NULL, 'w' },	     { 0 },
	};
	const char *plugin = NULL, *bindir = NULL, *confdir = NULL;
	bool removal = false, waits = false;
	sigset_t end;
	int c, r;

	/* as process 1 of a container it would get no signal that it does not ask for */
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigprocmask(SIG_BLOCK, &end, NULL);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			plugin = optarg;
			break;
		case 'b':
			bindir = optarg;
			break;
		case 'c':
			confdir = optarg;
			break;
		case 'r':
			removal = true;
			break;
		case 'w':
			waits = true;
			break;
		default:
			return usage();
		}
	}
	if (optind != argc || (removal && (plugin || !confdir)))
		return usage();
	if (!removal && !(plugin && bindir && confdir) && !(waits && !plugin && !bindir && !confdir))
		return usage();
	if (!removal && !plugin)
		r = 0;
	else if (removal) /* the chains first: nothing must name a plugin that is not there */
		r = chains(confdir, true) < 0 || (bindir && remove_plugin(bindir) < 0) ? -1 : 0;
	else
		r = install_plugin(plugin, bindir) < 0 || chains(confdir, false) < 0 ? -1 : 0;
	if (r < 0)
		return 1;
	fflush(stdout);
	if (waits)
		sigwaitinfo(&end, NULL);
	return 0;
}
