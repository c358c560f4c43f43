/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_CDI_H
#define SVAD_CTL_CDI_H
/*
 * The Container Device Interface's file for svad: "svad.dev/sva=all" gives a container the directory with the clients' socket and the
 * variable that names it; no device node, no group. Single-threaded.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CDI_KIND "svad.dev/sva"
#define CDI_FILE "svad.dev-sva.json"
#define CDI_INSIDE "/run/svad" /* where a container finds the socket's directory */

/* The spec, the caller's; NULL: no memory. socket_dir: an absolute path on the host. */
json_t *cdi_spec(const char *socket_dir);

struct cdi_found {
	char file[4096];
	char version[32];
	char device[128];   /* "svad.dev/sva=all" */
	char host_dir[4096]; /* what it mounts at CDI_INSIDE; empty: nothing */
	char trouble[512];  /* why it is of no use as it is; empty: it is */
};

/* Each device of our kind in the directories (NULL: those that runtimes read), as their JSON files have it; a file that cannot be read is told
 * as one with trouble, if its name is ours. Stops when fn returns non-zero, and returns that. */
int cdi_each(const char *const *dirs, int (*fn)(void *userdata, const struct cdi_found *found), void *userdata);

#endif
