// SPDX-License-Identifier: GPL-2.0-only
/*
 * SVAB_LIST: all contexts with their grants and bonds, a page at a time.
 *
 * The cursor is the number of a ctx << 16 | how many of its entries were given. Contexts are
 * numbered as they come, so what is there throughout is listed once, whatever comes and goes
 * meanwhile. A ctx is cut in two only when it fits no page: between two pages its entries may
 * become fewer.
 *
 * Locks: svab_lock for a page; the reader's memory is touched without.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "svabroker_private.h"

#define SVAB_LIST_PAGE 512u

struct svab_lister {
	struct svab_list_entry *entries;
	u32 max;
	u32 count;
	u32 skip; /* entries of this ctx that were given already */
	u32 at; /* the entry of this ctx */
	u64 seq;
	u64 cursor;
};

static struct svab_ctx *svab_list_first(u64 seq)
{
	struct rb_node *node = svab.ctxs.rb_node;
	struct svab_ctx *found = NULL;

	while (node) {
		struct svab_ctx *ctx = rb_entry(node, struct svab_ctx, node);

		if (ctx->seq >= seq) {
			found = ctx;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

/* False: full. */
static bool svab_list_add(struct svab_lister *l, const struct svab_list_entry *entry)
{
	if (l->at++ < l->skip)
		return true;
	if (l->count == l->max) {
		l->cursor = l->seq << 16 | (l->at - 1);
		return false;
	}
	l->entries[l->count++] = *entry;
	return true;
}

static bool svab_list_ctx(struct svab_lister *l, const struct svab_ctx *ctx)
{
	struct svab_list_entry entry = {
		.type = SVAB_LIST_CTX,
		.cookie = ctx->cookie,
		.pid = ctx->pid,
		.uid = ctx->uid,
		.gid = ctx->gid,
	};
	struct svab_grant *grant;
	struct svab_hold *hold;

	if (!svab_list_add(l, &entry))
		return false;
	list_for_each_entry(grant, &ctx->grants, of_ctx) {
		entry = (struct svab_list_entry){
			.type = SVAB_LIST_GRANT,
			.cookie = ctx->cookie,
			.device = grant->device,
			.grant = grant->grant,
			.deadline_ms = grant->deadline_ms,
		};
		if (!svab_list_add(l, &entry))
			return false;
	}
	list_for_each_entry(hold, &ctx->holds, of_ctx) {
		const struct svab_bond *bond = hold->bond;

		entry = (struct svab_list_entry){
			.type = SVAB_LIST_BOND,
			.cookie = ctx->cookie,
			.device = bond->device->id,
			.bond = bond->id,
			.grant = hold->grant,
			.pasid = bond->pasid,
			.state = bond->state,
			.cause = bond->cause,
			.deadline_ms = bond->deadline_ms,
			.refs = bond->n_refs,
			.bound_ns = bond->bound_ns,
			.stopping_ns = bond->began_ns,
			.faults = bond->faults,
		};
		if (!svab_list_add(l, &entry))
			return false;
	}
	return true;
}

static u32 svab_list_size(const struct svab_ctx *ctx)
{
	return 1 + list_count_nodes((struct list_head *)&ctx->grants) +
	       list_count_nodes((struct list_head *)&ctx->holds);
}

static void svab_list_page(struct svab_lister *l, u64 from)
{
	struct svab_ctx *ctx = svab_list_first(from >> 16);
	struct rb_node *node;

	for (node = ctx ? &ctx->node : NULL; node; node = rb_next(node)) {
		ctx = rb_entry(node, struct svab_ctx, node);
		l->seq = ctx->seq;
		l->at = 0;
		l->skip = ctx->seq == from >> 16 ? from & 0xffff : 0;
		if (l->count && l->count + svab_list_size(ctx) > l->max) {
			l->cursor = ctx->seq << 16;
			return;
		}
		if (!svab_list_ctx(l, ctx))
			return;
	}
}

/**
 * svab_list() - SVAB_LIST
 * @arg: the request, and the answer
 *
 * Return: 0 or -errno.
 */
int svab_list(struct svab_list *arg)
{
	struct svab_lister l = { .max = min(arg->count, SVAB_LIST_PAGE) };
	int r = 0;

	if (!arg->count || arg->pad)
		return -EINVAL;
	l.entries = kvcalloc(l.max, sizeof(*l.entries), GFP_KERNEL_ACCOUNT);
	if (!l.entries)
		return -ENOMEM;
	spin_lock_irq(&svab_lock);
	svab_list_page(&l, arg->cursor);
	spin_unlock_irq(&svab_lock);
	if (copy_to_user(u64_to_user_ptr(arg->entries), l.entries, l.count * sizeof(*l.entries)))
		r = -EFAULT;
	arg->count = l.count;
	arg->cursor = l.cursor;
	kvfree(l.entries);
	return r;
}
