/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_CTX_H
#define SVAD_SIM_CTX_H
/* Contexts: a client's capability. Loop only. */
#include "sim.h"

struct sim_ctx *sim_ctx_find(uint64_t cookie); /* NULL: none, or gone */

/* Takes fd (the device's end of the ctx socket), whatever comes back. 0, -EEXIST, -EINVAL, -ENOMEM, other -errno. */
int sim_ctx_create(const struct svab_ctx_create *create, int fd);
/* One more socket for an existing one. As above; -ENOENT. */
int sim_ctx_reopen(uint64_t cookie, int fd);

/* A grant that is not used yet is replaced; one whose bond lives stays beside the new one. 0, -EACCES: ctx ended, -ENODEV, -ENOMEM. */
int sim_ctx_grant(struct sim_ctx *ctx, const struct svab_ctx_grant *grant);
int sim_ctx_revoke_grant(struct sim_ctx *ctx, uint32_t device); /* 0, -ENOENT */
struct sim_grant *sim_ctx_grant_find(struct sim_ctx *ctx, uint32_t device); /* unused ones; NULL: none */

/* Ends everything of it. */
void sim_ctx_end(struct sim_ctx *ctx, enum svab_cause cause);
/* A hold is gone: when it has ended and holds nothing, SVAB_EV_CTX_GONE and free. */
void sim_ctx_check_gone(struct sim_ctx *ctx);

#endif
