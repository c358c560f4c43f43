// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bonds: made by SVAB_BIND, shared by holds, ended by drain.c.
 *
 * Locks: svab_mm.bind_lock -> svab_device.op_sem (read) -> the IOMMU's. svab_lock at the beginning,
 * to see whether the bind is allowed and to reserve, and at the end, to make it known.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "flush.h"
#include "svabroker_private.h"

#define SVAB_DEADLINE_DEFAULT_MS 5000u
#define SVAB_UNDO_MS 1000
/* Of one ctx to one bond. When that ends they are all gone through with interrupts off. */
#define SVAB_HOLD_REFS_MAX 1024

/* One SVAB_BIND. */
struct svab_bind_op {
	struct svab_ctx *ctx;
	struct svab_mm *smm;
	struct svab_device *device;
	struct svab_bond *bond; /* counted */
	struct svab_grant *grant; /* taken off the ctx; NULL: the ctx has a hold */
	struct svab_hold *hold; /* for a new one */
	struct svab_ref *ref;
	struct file *file;
	bool fresh; /* the bond is a new one: room for it is reserved */
};

/**
 * svab_bond_free() - the last reference is gone
 * @refs: of a bond that is CLEAN, or never came to be
 */
void svab_bond_free(struct kref *refs)
{
	struct svab_bond *bond = container_of(refs, struct svab_bond, refs);

	timer_shutdown_sync(&bond->timer);
	if (bond->inode)
		iput(bond->inode);
	svab_mm_put(bond->smm);
	svab_device_put(bond->device);
	mutex_destroy(&bond->attach_lock);
	mutex_destroy(&bond->portal_lock);
	kfree(bond);
}

struct svab_bond *svab_bond_find_locked(u64 id)
{
	struct svab_bond *bond;

	lockdep_assert_held(&svab_lock);
	hash_for_each_possible(svab.bonds_by_id, bond, hash, id) {
		if (bond->id == id)
			return bond;
	}
	return NULL;
}

static void svab_bond_tell(struct work_struct *work)
{
	struct svab_bond *bond = container_of(work, struct svab_bond, tell);

	wake_up_all(&bond->polled);
	svab_bond_put(bond);
}

/**
 * svab_hold_free_locked() - the hold is no more
 * @hold: of a bond that is CLEAN, or goes on without it
 */
void svab_hold_free_locked(struct svab_hold *hold)
{
	bool clean = hold->bond->state == SVAB_PASID_CLEAN;
	struct svab_ctx *ctx = hold->ctx;
	struct svab_ref *ref, *next;

	lockdep_assert_held(&svab_lock);
	list_for_each_entry_safe(ref, next, &hold->fds, of_hold)
		svab_ref_drop_locked(ref, !clean);
	/* Once, however many they were: it asks everyone who polls any of the bond's fds. */
	if (!clean && queue_work(svab.wq, &hold->bond->tell))
		kref_get(&hold->bond->refs);
	list_del(&hold->of_ctx);
	list_del(&hold->of_bond);
	kfree(hold);
	svab_ctx_check_gone_locked(ctx);
	svab_ctx_put(ctx);
}

/**
 * svab_hold_end_locked() - a ctx lets go of a bond
 * @hold: its share; may be freed
 * @cause: why
 *
 * The last one takes the bond with it.
 */
void svab_hold_end_locked(struct svab_hold *hold, enum svab_cause cause)
{
	struct svab_bond *bond = hold->bond;

	lockdep_assert_held(&svab_lock);
	if (bond->state != SVAB_PASID_BOUND)
		return; /* until it has drained */
	if (list_is_singular(&bond->holds) || svab_mutated(SVAB_MUT_LOST_REF)) {
		svab_bond_input_locked(bond, SVAB_INPUT_BEGIN, cause);
		return;
	}
	svab_event(&(struct svab_event){
		.type = SVAB_EV_UNREF,
		.cookie = hold->ctx->cookie,
		.bond = bond->id,
		.grant = hold->grant,
		.device = bond->device->id,
		.pasid = bond->pasid,
		.state = bond->state,
		.cause = cause,
	});
	svab_hold_free_locked(hold);
}

static struct svab_hold *svab_hold_find(struct svab_bond *bond, struct svab_ctx *ctx)
{
	struct svab_hold *hold;

	list_for_each_entry(hold, &bond->holds, of_bond) {
		if (hold->ctx == ctx)
			return hold;
	}
	return NULL;
}

static struct svab_bond *svab_mm_bond(struct svab_mm *smm, struct svab_device *device)
{
	struct svab_bond *bond;

	list_for_each_entry(bond, &smm->bonds, of_mm) {
		if (bond->device != device)
			continue;
		if (bond->state == SVAB_PASID_QUARANTINED &&
		    svab_mutated(SVAB_MUT_QUARANTINE_REBIND))
			continue;
		return bond;
	}
	return NULL;
}

static bool svab_ctx_holds(struct svab_ctx *ctx, struct svab_device *device)
{
	struct svab_hold *hold;

	list_for_each_entry(hold, &ctx->holds, of_ctx) {
		if (hold->bond->device == device)
			return true;
	}
	return false;
}

/* Room for one more on the device? */
static int svab_device_room(struct svab_device *device, struct svab_mm *smm)
{
	if (device->state == SVAB_DEV_RESETTING)
		return -EBUSY;
	if (device->state != SVAB_DEV_OK)
		return -ENODEV;
	if (device->desc.max_bonds && device->n_bonds >= device->desc.max_bonds)
		return -ENOSPC;
	/* A PASID belongs to the mm, and this one may be too wide for the device. */
	if (smm->pasid >= device->pasids)
		return -ENOSPC;
	return 0;
}

static int svab_bind_reserve_locked(struct svab_bind_op *op)
{
	struct svab_ctx *ctx = op->ctx;
	struct svab_grant *grant;
	struct svab_hold *hold;
	struct svab_bond *bond;
	int r;

	if (ctx->ended)
		return -EACCES;
	if (ctx->mm && ctx->mm != op->smm && !svab_mutated(SVAB_MUT_ANY_MM))
		return -EPERM;
	if (op->device->state == SVAB_DEV_GONE)
		return -ENODEV;
	grant = svab_ctx_grant_find(ctx, op->device->id);
	if (!grant && !svab_ctx_holds(ctx, op->device))
		return -EACCES;
	bond = svab_mm_bond(op->smm, op->device);
	if (bond && bond->state != SVAB_PASID_BOUND)
		return -EBUSY;
	hold = bond ? svab_hold_find(bond, ctx) : NULL;
	if (hold && hold->n_fds >= SVAB_HOLD_REFS_MAX)
		return -ENOSPC;
	if (hold)
		grant = NULL; /* another reference is free */
	else if (!grant)
		return -EACCES;
	if (!bond) {
		r = svab_device_room(op->device, op->smm);
		if (r)
			return r;
		op->device->n_bonds++;
		op->fresh = true;
	} else {
		kref_get(&bond->refs);
		op->bond = bond;
	}
	/* From here on nothing fails in this function. */
	op->grant = grant;
	if (grant)
		list_del_init(&grant->of_ctx);
	if (!ctx->mm) {
		kref_get(&op->smm->refs);
		ctx->mm = op->smm;
		list_add_tail(&ctx->of_mm, &op->smm->ctxs);
		op->smm->pins++;
	}
	ctx->binds++;
	return 0;
}

/* The bind has failed: as if it had not been asked for. */
static void svab_bind_unreserve_locked(struct svab_bind_op *op)
{
	struct svab_ctx *ctx = op->ctx;

	if (op->fresh) {
		op->device->n_bonds--;
		wake_up_all(&op->device->settled);
	}
	if (op->grant && !ctx->ended && !svab_ctx_grant_find(ctx, op->device->id)) {
		list_add_tail(&op->grant->of_ctx, &ctx->grants);
		op->grant = NULL;
	}
	if (ctx->mm && !ctx->bound && ctx->binds == 1) {
		if (!list_empty(&ctx->of_mm)) {
			list_del_init(&ctx->of_mm);
			svab_mm_unpin_locked(ctx->mm);
		}
		svab_mm_put(ctx->mm);
		ctx->mm = NULL;
	}
}

/*
 * Page faults must really be on. 6.12 binds where they were not enabled, and the first one is a
 * WARN; 7.2 binds a device that cannot stall.
 */
static int svab_bond_attach(struct svab_bond *bond)
{
	struct device *dev = bond->device->dev;
	struct iommu_sva *sva;
	int r;

	sva = iommu_sva_bind_device(dev, bond->mm);
	if (IS_ERR(sva)) {
		r = svab_device_tried(bond->device, PTR_ERR(sva));
		return r == -EOVERFLOW ? -ENOSPC : r;
	}
	/* Somebody else has bound the two: then letting go would not detach. */
	if (refcount_read(&sva->users) != 1) {
		iommu_sva_unbind_device(sva);
		return -EBUSY;
	}
	r = svab_device_tried(bond->device, 0);
	if (r) {
		iommu_sva_unbind_device(sva);
		return r;
	}
	bond->sva = sva;
	bond->pasid = iommu_sva_get_pasid(sva);
	return 0;
}

/*
 * No process ever had the portal: nothing was asked of the device, so whatever its stop says there
 * is nothing for it to stop.
 */
static void svab_bond_undo(struct svab_bond *bond, bool provider)
{
	struct svab_device *device = bond->device;
	ktime_t deadline = ktime_add_ms(ktime_get(), SVAB_UNDO_MS);
	bool detached = false;

	if (provider && device->ops->stop)
		device->ops->stop(device->dev, bond->pasid, deadline);
	svab_flush_detach(device->flush, device->dev, bond->sva, bond->pasid, true, deadline,
			  &detached);
	/* Others keep the SMMU busy: it has nothing of this bond's anyway. */
	while (!detached)
		svab_flush_detach(NULL, device->dev, bond->sva, bond->pasid, true, deadline,
				  &detached);
	bond->sva = NULL;
	if (provider)
		device->ops->unbind(device->dev, bond->pasid);
}

static int svab_bond_start(struct svab_bond *bond)
{
	const struct svab_device *device = bond->device;
	int r;

	if (!try_module_get(device->ops->owner))
		return -ENODEV;
	bond->owner = device->ops->owner;
	r = svab_bond_attach(bond);
	if (r)
		goto err_module;
	r = device->ops->bind(device->dev, bond->pasid);
	if (r)
		goto err_attached;
	if (!device->ops->mmap)
		return 0;
	r = device->ops->mmap(device->dev, bond->pasid, &bond->portal);
	if (!r && (!bond->portal.size || !PAGE_ALIGNED(bond->portal.base) ||
		   !PAGE_ALIGNED(bond->portal.size) || bond->portal.size > U32_MAX))
		r = -EINVAL;
	if (!r)
		return 0;
	svab_bond_undo(bond, true);
	goto err_module;

err_attached:
	svab_bond_undo(bond, false);
err_module:
	module_put(bond->owner);
	return r;
}

static struct svab_bond *svab_bond_new(const struct svab_bind_op *op)
{
	struct svab_bond *bond = kzalloc(sizeof(*bond), GFP_KERNEL_ACCOUNT);

	if (!bond)
		return NULL;
	kref_init(&bond->refs);
	kref_get(&op->device->refs);
	bond->device = op->device;
	kref_get(&op->smm->refs);
	bond->smm = op->smm;
	bond->mm = op->smm->mm;
	bond->state = SVAB_PASID_BOUND;
	bond->deadline_ms = op->grant->deadline_ms ?: op->device->desc.deadline_ms;
	bond->deadline_ms = bond->deadline_ms ?: SVAB_DEADLINE_DEFAULT_MS;
	bond->bound_ns = ktime_get_ns();
	INIT_LIST_HEAD(&bond->holds);
	mutex_init(&bond->attach_lock);
	mutex_init(&bond->portal_lock);
	init_waitqueue_head(&bond->polled);
	INIT_WORK(&bond->tell, svab_bond_tell);
	svab_drain_init(bond);
	return bond;
}

/* The new bond becomes known, and pins its mm. */
static void svab_bond_publish_locked(struct svab_bond *bond)
{
	struct svab_device *device = bond->device;
	struct svab_mm *smm = bond->smm;

	kref_get(&bond->refs);
	bond->id = ++svab.next_bond;
	hash_add(svab.bonds_by_id, &bond->hash, bond->id);
	hash_add(device->by_pasid, &bond->of_pasid, bond->pasid);
	list_add_tail(&bond->of_device, &device->bonds);
	list_add_tail(&bond->of_mm, &smm->bonds);
	svab.n_bonds++;
	if (!smm->pasid) {
		smm->pasid = bond->pasid;
		svab.n_pasids++;
	}
	smm->pins++;
	mmgrab(bond->mm);
	bond->mm_held = true;
}

static int svab_bind_commit_locked(struct svab_bind_op *op)
{
	struct svab_bond *bond = op->bond;
	struct svab_ctx *ctx = op->ctx;
	struct svab_hold *hold;

	if (op->fresh)
		svab_bond_publish_locked(bond);
	else if (ctx->ended)
		return -EACCES;
	else if (bond->state != SVAB_PASID_BOUND)
		return -EBUSY;
	hold = svab_hold_find(bond, ctx);
	if (!hold && !op->grant)
		return -EACCES; /* the one there was has been let go of meanwhile */
	if (!hold) {
		hold = op->hold;
		op->hold = NULL;
		kref_get(&ctx->refs);
		hold->ctx = ctx;
		hold->bond = bond;
		hold->grant = op->grant->grant;
		INIT_LIST_HEAD(&hold->fds);
		list_add_tail(&hold->of_ctx, &ctx->holds);
		list_add_tail(&hold->of_bond, &bond->holds);
		svab_event_bond(bond, hold, SVAB_EV_BOUND, 0);
		if (svab_mutated(SVAB_MUT_KEEP_GRANT)) {
			list_add_tail(&op->grant->of_ctx, &ctx->grants);
			op->grant = NULL;
		}
	}
	ctx->bound = true;
	svab_ref_add_locked(op->ref, hold);
	if (ctx->ended) {
		/* Revoked while the device was being asked: it ends as all the ctx's bonds did. */
		svab_hold_end_locked(hold, ctx->end_cause);
		return -EACCES;
	}
	return 0;
}

static int svab_bind_make(struct svab_bind_op *op)
{
	bool fresh = !op->bond;
	int r;

	op->hold = kzalloc(sizeof(*op->hold), GFP_KERNEL_ACCOUNT);
	if (!op->hold)
		return -ENOMEM;
	if (fresh) {
		op->bond = svab_bond_new(op);
		if (!op->bond)
			return -ENOMEM;
	}
	r = svab_ref_new(op->bond, &op->ref, &op->file);
	if (r)
		return r;
	return fresh ? svab_bond_start(op->bond) : 0;
}

/* With bind_lock and op_sem held. */
static int svab_bind_locked(struct svab_bind_op *op)
{
	bool reserved;
	int r;

	spin_lock_irq(&svab_lock);
	r = svab_bind_reserve_locked(op);
	spin_unlock_irq(&svab_lock);
	reserved = !r;
	if (!r)
		r = svab_bind_make(op);
	spin_lock_irq(&svab_lock);
	if (!r) {
		r = svab_bind_commit_locked(op);
		/* Published, a bond ends by its drain. */
		op->fresh = false;
	}
	if (r && reserved)
		svab_bind_unreserve_locked(op);
	if (reserved) {
		op->ctx->binds--;
		svab_ctx_check_gone_locked(op->ctx);
	}
	spin_unlock_irq(&svab_lock);
	kfree(op->hold);
	kfree(op->grant);
	return r;
}

static int svab_bind_mm(struct svab_bind_op *op)
{
	int r;

	op->smm = svab_mm_get(current->mm);
	if (IS_ERR(op->smm))
		return PTR_ERR(op->smm);
	if (mutex_lock_killable(&op->smm->bind_lock)) {
		r = -EINTR;
		goto out_pin;
	}
	if (down_read_killable(&op->device->op_sem)) {
		r = -EINTR;
		goto out_unlock;
	}
	r = svab_bind_locked(op);
	up_read(&op->device->op_sem);
out_unlock:
	mutex_unlock(&op->smm->bind_lock);
out_pin:
	spin_lock_irq(&svab_lock);
	svab_mm_unpin_locked(op->smm);
	spin_unlock_irq(&svab_lock);
	return r;
}

static int svab_bind_answer(struct svab_bind_op *op, struct svab_bind *arg, void __user *user,
			    int usize)
{
	struct svab_bond *bond = op->bond;
	int fd, r;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	arg->size = sizeof(*arg);
	arg->pasid = bond->pasid;
	arg->bond = bond->id;
	arg->bond_fd = fd;
	arg->portal_size = bond->portal.size;
	spin_lock_irq(&svab_lock);
	arg->grant = op->ref->hold ? op->ref->hold->grant : 0;
	spin_unlock_irq(&svab_lock);
	r = svab_arg_out(arg, sizeof(*arg), user, usize);
	if (r) {
		put_unused_fd(fd);
		return r;
	}
	fd_install(fd, op->file);
	op->file = NULL;
	return 0;
}

/**
 * svab_bind() - SVAB_BIND
 * @ctx: whose fd it was asked through
 * @user: struct svab_bind
 *
 * Binds the caller's own address space.
 *
 * Return: 0 or -errno, -ERESTARTNOINTR among them.
 */
int svab_bind(struct svab_ctx *ctx, void __user *user)
{
	struct svab_bind_op op = { .ctx = ctx };
	struct svab_bind arg;
	int usize, r;

	usize = svab_arg_in(&arg, sizeof(arg), offsetofend(struct svab_bind, portal_size), user);
	if (usize < 0)
		return usize;
	if (!current->mm)
		return -EPERM;
	op.device = svab_device_get(arg.device);
	if (!op.device)
		return -ENODEV;
	r = svab_bind_mm(&op);
	/*
	 * Linux registers no mmu notifier while a signal is pending, fatal or not. Nothing has
	 * changed: the handler is run, and then the bind begins anew.
	 */
	if (r == -EINTR && signal_pending(current))
		r = -ERESTARTNOINTR;
	if (!r)
		r = svab_bind_answer(&op, &arg, user, usize);
	/* Not handed over: its last close takes the reference back. */
	if (op.file)
		fput(op.file);
	if (op.bond)
		svab_bond_put(op.bond);
	svab_device_put(op.device);
	return r;
}
