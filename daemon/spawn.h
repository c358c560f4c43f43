/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SPAWN_H
#define SVAD_SPAWN_H
/* Starting a child with nothing but what it needs. Supervisor's loop only. */
#include <stdbool.h>
#include <sys/types.h>

struct spawn_user {  /* whom children run as */
	bool change; /* false: as ourselves */
	uid_t uid;
	gid_t gid;
};

/* Looks up [daemon] user. Not root: ourselves. 0, or -errno and *ret_why (malloc()ed): what to do. */
int spawn_user_find(const char *name, struct spawn_user *ret, char **ret_why);

/* fork and exec path: fds 0, 1, 2 and the channel (3), no others; other user, no groups, no capabilities, no
 * new privileges; as many open files as permitted; default signals, but SIGINT, SIGTERM, SIGHUP and SIGQUIT
 * ignored; a process group of its own. Returns when exec has succeeded
 * (*ret_pid, *ret_channel: our end, CLOEXEC, non-blocking, owned by the caller) or not
 * (-errno, *ret_why). */
int spawn_child(const char *path, const struct spawn_user *user, pid_t *ret_pid, int *ret_channel,
		char **ret_why);

/* A pair of control sockets with as much room as permitted, for the broker and the simulated device. */
int spawn_control_pair(int ret_fds[2]);

#endif
