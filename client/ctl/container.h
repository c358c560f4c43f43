/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_CONTAINER_H
#define SVAD_CTL_CONTAINER_H
/* What the container commands share, and others that take a container. Single-threaded. */
#include "rpc.h"

/* The container of that id, or of which this is the beginning; one that is removed only when there is no other. timeline: with it.
 * CTL_OK and a copy of one's own (container_free()); else it has been complained about. */
int container_get(const struct ctl *ctl, struct rpc *rpc, const char *id, bool timeline, Svad__V1__Container **ret);
/* The same for those that end it: the beginning of its id will not do. After build-7 has ended, it would mean build-70. */
int container_get_whole(const struct ctl *ctl, struct rpc *rpc, const char *id, Svad__V1__Container **ret);
void container_free(Svad__V1__Container *container); /* NULL is fine */

/* Where something of svad's is: --socket's, the environment's or the configuration's runtime directory, and name in it. Returns buf. */
char *container_runtime_path(const struct ctl *ctl, const char *name, char *buf, size_t size);

/* Splits "a,b,c" in place; empty pieces are left out. Returns how many (at most max); -1: more. */
int container_split(char *list, char **pieces, int max);

/* "bonds=4,connections=2,requests=100,deadline=2s". False, and why, in words. */
bool container_limits(const char *text, Svad__V1__ContainerLimits *limits, char *why, size_t size);

#endif
