/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "bond.h"
#include "client.h"
#include "container.h"
#include "device.h"
#include "log.h"

int ctx_new(struct client *client, uint64_t cookie, struct ctx **ret)
{
	struct ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	ctx->client = client;
	ctx->generation = client->broker->generation;
	list_init(&ctx->holds);
	list_append(&client->ctxs, &ctx->link);
	idmap_insert(&client->broker->ctxs, &ctx->node, cookie);
	client->ctx = ctx;
	*ret = ctx;
	return 0;
}

struct ctx *ctx_find(struct broker *broker, uint64_t cookie)
{
	struct idmap_node *node = idmap_find(&broker->ctxs, cookie);

	return node ? container_of(node, struct ctx, node) : NULL;
}

void ctx_revoke(struct ctx *ctx, enum svab_cause cause)
{
	struct broker *broker = ctx->client->broker;
	int r;

	if (ctx->client->ctx == ctx)
		ctx->client->ctx = NULL;
	if (ctx->revoked)
		return;
	ctx->revoked = true;
	if (!broker->backend || !broker->backend->is_up)
		return; /* its contexts died with it, and down() has freed or will free this one */
	r = broker->backend->ops->ctx_revoke(broker->backend, ctx->node.id, cause);
	if (r < 0)
		log_err("Cannot hand a revocation to the backend: %s", uv_strerror(r));
}

void ctx_free(struct ctx *ctx)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &ctx->holds)
		hold_free(container_of(pos, struct hold, link));
	idmap_remove(&ctx->client->broker->ctxs, &ctx->node);
	list_remove(&ctx->link);
	if (ctx->client->ctx == ctx)
		ctx->client->ctx = NULL;
	free(ctx);
}

int hold_new(struct ctx *ctx, struct device *device, uint64_t grant, struct hold **ret)
{
	struct hold *hold = calloc(1, sizeof(*hold));

	if (!hold)
		return -ENOMEM;
	hold->ctx = ctx;
	hold->device = device;
	hold->grant = grant;
	hold->generation = ctx->client->broker->generation;
	list_init(&hold->bond_link);
	list_append(&ctx->holds, &hold->link);
	charge_hold(ctx->client, 1);
	device->holds++;
	*ret = hold;
	return 0;
}

void hold_free(struct hold *hold)
{
	charge_hold(hold->ctx->client, -1);
	hold->device->holds--;
	list_remove(&hold->bond_link);
	list_remove(&hold->link);
	free(hold);
}

struct hold *ctx_find_hold(struct ctx *ctx, const struct device *device)
{
	struct list *pos;

	list_for_each(pos, &ctx->holds) {
		struct hold *hold = container_of(pos, struct hold, link);

		if (hold->device == device)
			return hold;
	}
	return NULL;
}
