// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contexts: one client's capability. Made by the broker, used by the client, owned by neither: a
 * ctx lives until its last fd is closed or it is revoked, whoever else has died meanwhile.
 *
 * Locks: svab_lock.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "svabroker_private.h"

#define SVAB_CTXS_MAX 65536u

static void svab_ctx_free(struct kref *refs)
{
	struct svab_ctx *ctx = container_of(refs, struct svab_ctx, refs);

	svab_mm_put(ctx->mm);
	kfree(ctx);
}

/**
 * svab_ctx_put() - let go of the struct
 * @ctx: the ctx
 *
 * Any context, svab_lock or not.
 */
void svab_ctx_put(struct svab_ctx *ctx)
{
	kref_put(&ctx->refs, svab_ctx_free);
}

static struct svab_ctx *svab_ctx_find_locked(u64 cookie)
{
	struct svab_ctx *ctx;

	lockdep_assert_held(&svab_lock);
	hash_for_each_possible(svab.ctxs_by_cookie, ctx, hash, cookie) {
		if (ctx->cookie == cookie)
			return ctx;
	}
	return NULL;
}

/* In order of seq: a new one is always the last. */
static void svab_ctx_insert_locked(struct svab_ctx *ctx)
{
	struct rb_node **link = &svab.ctxs.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = &parent->rb_right;
	}
	rb_link_node(&ctx->node, parent, link);
	rb_insert_color(&ctx->node, &svab.ctxs);
	hash_add(svab.ctxs_by_cookie, &ctx->hash, ctx->cookie);
	svab.n_ctxs++;
}

/**
 * svab_ctx_check_gone_locked() - is that its end?
 * @ctx: the caller holds a reference
 */
void svab_ctx_check_gone_locked(struct svab_ctx *ctx)
{
	lockdep_assert_held(&svab_lock);
	/* A bind that is under way may end with a bond, to be revoked as the others were. */
	if (!ctx->ended || ctx->gone || ctx->binds || !list_empty(&ctx->holds))
		return;
	ctx->gone = true;
	hash_del(&ctx->hash);
	rb_erase(&ctx->node, &svab.ctxs);
	svab.n_ctxs--;
	svab_event(&(struct svab_event){
		.type = SVAB_EV_CTX_GONE,
		.cookie = ctx->cookie,
		.cause = ctx->end_cause,
	});
	svab_ctx_put(ctx);
}

static void svab_ctx_end_locked(struct svab_ctx *ctx, enum svab_cause cause)
{
	struct svab_grant *grant, *next_grant;
	struct svab_hold *hold, *next_hold;

	if (ctx->ended)
		return;
	ctx->ended = true;
	ctx->end_cause = cause;
	list_for_each_entry_safe(grant, next_grant, &ctx->grants, of_ctx) {
		list_del(&grant->of_ctx);
		kfree(grant);
	}
	/* Ending a hold may free it, and no other. */
	list_for_each_entry_safe(hold, next_hold, &ctx->holds, of_ctx)
		svab_hold_end_locked(hold, cause);
	if (ctx->mm && !list_empty(&ctx->of_mm)) {
		list_del_init(&ctx->of_mm);
		svab_mm_unpin_locked(ctx->mm);
	}
	svab_ctx_check_gone_locked(ctx);
}

static long svab_ctx_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (_IOC_TYPE(cmd) != SVAB_IOC || _IOC_NR(cmd) != _IOC_NR(SVAB_BIND))
		return -ENOTTY;
	return svab_bind(file->private_data, (void __user *)arg);
}

static int svab_ctx_release(struct inode *inode, struct file *file)
{
	struct svab_ctx *ctx = file->private_data;

	spin_lock_irq(&svab_lock);
	if (!--ctx->n_files)
		svab_ctx_end_locked(ctx, SVAB_CAUSE_LAST_CLOSE);
	spin_unlock_irq(&svab_lock);
	svab_ctx_put(ctx);
	return 0;
}

static __poll_t svab_ctx_poll(struct file *file, poll_table *wait)
{
	return 0;
}

static const struct file_operations svab_ctx_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = svab_ctx_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = svab_ctx_poll,
	.release = svab_ctx_release,
	.llseek = noop_llseek,
};

/* Hands over a file of @ctx; takes the caller's reference and its place in n_files, in any case. */
static int svab_ctx_answer(struct svab_ctx *ctx, struct svab_ctx_create *arg, void __user *user,
			   u32 usize)
{
	struct file *file;
	int fd, r;

	file = anon_inode_getfile("[svab_ctx]", &svab_ctx_fops, ctx, O_RDWR | O_CLOEXEC);
	if (IS_ERR(file)) {
		spin_lock_irq(&svab_lock);
		if (!--ctx->n_files)
			svab_ctx_end_locked(ctx, SVAB_CAUSE_LAST_CLOSE);
		spin_unlock_irq(&svab_lock);
		svab_ctx_put(ctx);
		return PTR_ERR(file);
	}
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		fput(file);
		return fd;
	}
	arg->size = sizeof(*arg);
	arg->fd = fd;
	r = svab_arg_out(arg, sizeof(*arg), user, usize);
	if (r) {
		put_unused_fd(fd);
		fput(file);
		return r;
	}
	fd_install(fd, file);
	return 0;
}

/**
 * svab_ctx_create() - SVAB_CTX_CREATE
 * @arg: the request
 * @user: where it came from
 *
 * Return: 0 or -errno.
 */
int svab_ctx_create(struct svab_ctx_create *arg, void __user *user)
{
	u32 usize = arg->size;
	struct svab_ctx *ctx;
	int r = 0;

	if (!arg->cookie)
		return -EINVAL;
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return -ENOMEM;
	kref_init(&ctx->refs);
	ctx->cookie = arg->cookie;
	ctx->uid = arg->uid;
	ctx->gid = arg->gid;
	ctx->pid = arg->pid;
	ctx->n_files = 1;
	INIT_LIST_HEAD(&ctx->of_mm);
	INIT_LIST_HEAD(&ctx->grants);
	INIT_LIST_HEAD(&ctx->holds);
	spin_lock_irq(&svab_lock);
	if (svab_ctx_find_locked(ctx->cookie)) {
		r = -EEXIST;
	} else if (svab.n_ctxs >= SVAB_CTXS_MAX) {
		r = -ENOSPC;
	} else {
		ctx->seq = ++svab.next_ctx;
		svab_ctx_insert_locked(ctx);
		kref_get(&ctx->refs); /* the registry's */
	}
	spin_unlock_irq(&svab_lock);
	if (r) {
		kfree(ctx);
		return r;
	}
	return svab_ctx_answer(ctx, arg, user, usize);
}

/**
 * svab_ctx_reopen() - SVAB_CTX_REOPEN
 * @arg: the request
 * @user: where it came from
 *
 * Return: 0 or -errno.
 */
int svab_ctx_reopen(struct svab_ctx_create *arg, void __user *user)
{
	u32 usize = arg->size;
	struct svab_ctx *ctx;

	spin_lock_irq(&svab_lock);
	ctx = svab_ctx_find_locked(arg->cookie);
	if (ctx && ctx->ended)
		ctx = NULL;
	if (ctx) {
		kref_get(&ctx->refs);
		ctx->n_files++;
		arg->uid = ctx->uid;
		arg->gid = ctx->gid;
		arg->pid = ctx->pid;
	}
	spin_unlock_irq(&svab_lock);
	return ctx ? svab_ctx_answer(ctx, arg, user, usize) : -ENOENT;
}

/**
 * svab_ctx_grant_find() - the unused grant of a device
 * @ctx: whose
 * @device: id
 *
 * Return: it, or NULL.
 */
struct svab_grant *svab_ctx_grant_find(struct svab_ctx *ctx, u32 device)
{
	struct svab_grant *grant;

	lockdep_assert_held(&svab_lock);
	list_for_each_entry(grant, &ctx->grants, of_ctx) {
		if (grant->device == device)
			return grant;
	}
	return NULL;
}

/* A second grant of a device replaces the unused one, so a ctx has one for each device at most. */
static int svab_ctx_grant_locked(const struct svab_ctx_grant *arg, struct svab_grant **fresh)
{
	struct svab_ctx *ctx = svab_ctx_find_locked(arg->cookie);
	struct svab_grant *grant;

	if (!ctx)
		return -ENOENT;
	if (ctx->ended)
		return -EACCES;
	grant = svab_ctx_grant_find(ctx, arg->device);
	if (!grant) {
		grant = *fresh;
		*fresh = NULL;
		list_add_tail(&grant->of_ctx, &ctx->grants);
	}
	grant->device = arg->device;
	grant->deadline_ms = arg->deadline_ms;
	grant->grant = arg->grant;
	return 0;
}

/**
 * svab_ctx_grant() - SVAB_CTX_GRANT
 * @arg: the request
 *
 * Return: 0 or -errno.
 */
int svab_ctx_grant(const struct svab_ctx_grant *arg)
{
	struct svab_device *device;
	struct svab_grant *fresh;
	int r;

	device = svab_device_get(arg->device);
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh) {
		r = -ENOMEM;
		goto out;
	}
	spin_lock_irq(&svab_lock);
	if (!svab_ctx_find_locked(arg->cookie))
		r = -ENOENT;
	else if (!device || device->state == SVAB_DEV_GONE)
		r = -ENODEV;
	else
		r = svab_ctx_grant_locked(arg, &fresh);
	spin_unlock_irq(&svab_lock);
	kfree(fresh);
out:
	if (device)
		svab_device_put(device);
	return r;
}

/**
 * svab_ctx_revoke_grant() - SVAB_CTX_REVOKE_GRANT
 * @arg: the request
 *
 * Return: 0, or -ENOENT when there is no such ctx or it has no unused grant of the device.
 */
int svab_ctx_revoke_grant(const struct svab_ctx_ref *arg)
{
	struct svab_grant *grant = NULL;
	struct svab_ctx *ctx;

	spin_lock_irq(&svab_lock);
	ctx = svab_ctx_find_locked(arg->cookie);
	if (ctx)
		grant = svab_ctx_grant_find(ctx, arg->device);
	if (grant)
		list_del(&grant->of_ctx);
	spin_unlock_irq(&svab_lock);
	if (!grant)
		return -ENOENT;
	kfree(grant);
	return 0;
}

/**
 * svab_ctx_revoke() - SVAB_CTX_REVOKE
 * @arg: the request
 *
 * Return: 0 or -errno.
 */
int svab_ctx_revoke(const struct svab_ctx_ref *arg)
{
	struct svab_ctx *ctx;

	if (!arg->cause || arg->cause > SVAB_CAUSE_SHUTDOWN)
		return -EINVAL;
	spin_lock_irq(&svab_lock);
	ctx = svab_ctx_find_locked(arg->cookie);
	if (ctx) {
		kref_get(&ctx->refs);
		svab_ctx_end_locked(ctx, arg->cause);
	}
	spin_unlock_irq(&svab_lock);
	if (!ctx)
		return -ENOENT;
	svab_ctx_put(ctx);
	return 0;
}
