/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_LISTEN_H
#define SVAD_LISTEN_H
/*
 * The two listening sockets and the lock that keeps a second daemon away from the same runtime directory.
 * Sockets come from the service manager (socket activation) or are made here; those that are made here are
 * removed by listeners_close().
 */
#include <stdbool.h>
#include <sys/types.h>

#include "config.h"

struct listener {
	int fd;	    /* SOCK_SEQPACKET, listening, non-blocking, CLOEXEC; -1: none */
	char *path; /* what we made and remove; NULL: not ours */
	dev_t dev;  /* so that we never remove what somebody else put at path meanwhile */
	ino_t ino;
};

struct listeners {
	struct listener client;
	struct listener admin;
	int lock_fd;
	struct listener shared; /* the clients' socket once more, in socket_dir of [containers]; its fd is -1 */
};

#define LISTENERS_NONE                                                                                       \
	{                                                                                                    \
		.client = { .fd = -1 }, .admin = { .fd = -1 }, .shared = { .fd = -1 }, .lock_fd = -1         \
	}

/* Creates the runtime directory, takes the lock, adopts what socket activation passed, makes the rest. 0, or
 * -errno and in *ret_why (malloc()ed) a sentence that names the path and what to do; everything is then
 * closed and removed again. Consumes $LISTEN_*. */
int listeners_open(struct listeners *l, const struct config *config, char **ret_why);

/* A directory that may be mounted (read-only) into containers: in it the clients' socket of path, as DIR/svad.sock,
 * a hard link, and nothing else. 0, or -errno and why. l: what listener_close() removes again. */
int listener_share(struct listener *l, const char *path, const char *dir, char **ret_why);

/* Removes our own sockets and lets the lock go. Fine on LISTENERS_NONE, and twice. */
void listeners_close(struct listeners *l);

/* One socket at path, made so that there is no moment at which it has another mode or owner: bound under
 * another name, then renamed. A stale socket in the way is replaced; a live one, or another kind of file, is
 * -EADDRINUSE. group: name or number, "" for none. */
int listener_make(struct listener *l, const char *path, mode_t mode, const char *group, char **ret_why);
void listener_close(struct listener *l);

#endif
