/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Are these two fds /proc/PID/mem and /proc/PID/maps of the process that sent them? They come from a client
 * and can be anything: asking a FUSE file for its attributes may block for ever, so this runs in an OS
 * thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "sim_mm.h"
#include "sim_procmap.h"

/* The procfs path that an fd was opened by, to its last "/PID/name": *ret_pid and whether the name is as
 * expected. */
static bool fd_path(int fd, const char *name, long *ret_pid)
{
	char link[64], path[PATH_MAX], *slash, *pid, *end;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = 0;
	slash = strrchr(path, '/');
	if (!slash || strcmp(slash + 1, name))
		return false;
	*slash = 0;
	pid = strrchr(path, '/');
	pid = pid ? pid + 1 : path;
	*ret_pid = strtol(pid, &end, 10);
	/* /proc/PID/task/TID/mem is the same mm, but not what the protocol says. */
	return *pid && !*end && !strstr(path, "/task/");
}

/* Is number one of the pids that the process has in any of its pid namespaces? */
static bool pid_in_namespaces(pid_t process, long number)
{
	char path[64], line[512];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)process);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		char *save = NULL, *word;

		if (strncmp(line, "NSpid:", 6))
			continue;
		for (word = strtok_r(line + 6, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save))
			if (strtol(word, NULL, 10) == number)
				found = true;
		break;
	}
	fclose(f);
	return found;
}

static int check_one(int fd, const char *name, int access, pid_t sender)
{
	struct stat st, own;
	struct statfs fs;
	char path[64];
	long pid;
	int flags;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_PATH))
		return -EINVAL;
	if ((flags & O_ACCMODE) != access && (flags & O_ACCMODE) != O_RDWR)
		return -EINVAL;
	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return -EINVAL;
	if (!fd_path(fd, name, &pid))
		return -EINVAL;

	/* The same procfs instance: the very inode that the sender's directory has there now. */
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)sender, name);
	if (!stat(path, &own) && own.st_dev == st.st_dev)
		return own.st_ino == st.st_ino ? 0 : -EPERM;
	/* Another mount of procfs, as containers have: there the file goes by another of the sender's pids.
	 */
	return pid_in_namespaces(sender, pid) ? 0 : -EPERM;
}

int sim_mm_check_fds(struct sim_mm_fds *fds)
{
	struct procmap_vma vma;
	ssize_t n;
	int r;

	r = check_one(fds->mem, "mem", O_RDWR, fds->pid);
	if (!r)
		r = check_one(fds->maps, "maps", O_RDONLY, fds->pid);
	if (r == -EPERM) {
		/* A process that has ended has no directory any more; say so rather than call it a stranger.
		 */
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d", (int)fds->pid);
		if (access(path, F_OK) < 0)
			return -ESRCH;
	}
	if (r < 0)
		return r;

	r = sim.config->procmap_query ? procmap_query(fds->maps, 0, &vma) : -ENOTTY;
	if (r == -ENOTTY || r == -EINVAL)
		r = procmap_parse(fds->maps, 0, &vma);
	if (r == -ESRCH)
		return -ESRCH;
	if (r < 0 && r != -ENOENT)
		return -EINVAL;

	if (fds->at_random > INT64_MAX)
		return -EINVAL;
	n = pread(fds->mem, fds->random, sizeof(fds->random), (off_t)fds->at_random);
	if (!n)
		return -ESRCH;
	return n == sizeof(fds->random) ? 0 : -EINVAL;
}
