/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVA_CTX_TRANSPORT_H
#define SVA_CTX_TRANSPORT_H
/*
 * What a ctx fd is made of: a file of the kernel module (ctx_kmod.c) or a socket (the simulated device,
 * ctx_sim.c). Both speak the structs of svabroker.h. No call holds a lock of the library; errors come
 * back as -errno with words kept for sva_strerror(). Nothing here changes a struct sva.
 */
#include <stdbool.h>
#include <stdint.h>

#include "../../kmod/svabroker.h"

struct sva;
struct sva_ctx;
struct sva_bond;

struct ctx_bound {
	struct svab_bind bind;
	int bond_fd;   /* owned by the fd table, as all of the library's */
	int portal_fd; /* what to map, -1: the bond fd itself */
};

struct ctx_transport {
	const char *name;
	bool (*is)(int fd); /* one of its ctx fds */
	/* Binds this address space. One caller at a time for a ctx. -EPIPE: the ctx is dead, another one may
	 * do. */
	int (*bind)(const struct sva *sva, struct sva_ctx *ctx, uint32_t device, uint64_t deadline,
		    struct ctx_bound *ret);
	/* state: in what the caller vouches for, out the final state. -ENOLINK: revoked meanwhile, there is
	 * no answer. */
	int (*unbind)(struct sva_bond *bond, uint32_t *state, uint64_t deadline);
	int (*kick)(struct sva_bond *bond); /* 0, -ESHUTDOWN */
};

extern const struct ctx_transport ctx_transport_sim, ctx_transport_kmod;

#endif
