// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address spaces that have bonds, or contexts tied to them.
 *
 * A PASID belongs to the mm_struct until that is freed. Who pins a svab_mm keeps the mm_struct: the
 * notifier's subscription counts it (mm_count; never mm_users, which would keep the process from
 * exiting). Bonds that are not CLEAN pin it, and each counts the mm_struct itself as well; so do
 * live contexts, because "tied to this address space" must not come true for another one that was
 * allocated at the same address. When the address space ends, its contexts let go: nothing will
 * ever be bound in it again, and an idle fd somewhere must not withhold a PASID.
 *
 * Locks: mmap_lock (write, the caller's own) -> svab_lock while one is made. The release callback
 * takes svab_lock alone: it runs in the middle of exit_mmap() and waits for nothing.
 */
#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "svabroker_private.h"

/* Subscriptions whose callbacks Linux may yet call. */
static atomic_t svab_mms_live = ATOMIC_INIT(0);

static struct svab_mm *svab_mm_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct svab_mm, mn);
}

static void svab_mm_free(struct kref *refs)
{
	kfree(container_of(refs, struct svab_mm, refs));
}

/**
 * svab_mm_put() - let go of the struct
 * @smm: may be NULL
 *
 * Any context.
 */
void svab_mm_put(struct svab_mm *smm)
{
	if (smm)
		kref_put(&smm->refs, svab_mm_free);
}

static void svab_mm_retire(struct work_struct *work)
{
	/* Frees it, and drops the mm_struct, once nobody can be in a callback any more. */
	mmu_notifier_put(&container_of(work, struct svab_mm, retire)->mn);
}

/**
 * svab_mm_unpin_locked() - one bond, ctx or bind less
 * @smm: pinned
 */
void svab_mm_unpin_locked(struct svab_mm *smm)
{
	lockdep_assert_held(&svab_lock);
	if (--smm->pins)
		return;
	hash_del(&smm->hash);
	if (smm->pasid)
		svab.n_pasids--;
	queue_work(svab.wq, &smm->retire);
}

static void svab_mm_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct svab_mm *smm = svab_mm_of(mn);
	struct svab_ctx *ctx, *next_ctx;
	struct svab_bond *bond;

	if (svab_mutated(SVAB_MUT_NO_RELEASE))
		return;
	spin_lock_irq(&svab_lock);
	if (!smm->dead) {
		smm->dead = true;
		list_for_each_entry(bond, &smm->bonds, of_mm)
			svab_bond_input_locked(bond, SVAB_INPUT_BEGIN, SVAB_CAUSE_MM_RELEASED);
		list_for_each_entry_safe(ctx, next_ctx, &smm->ctxs, of_mm) {
			list_del_init(&ctx->of_mm);
			svab_mm_unpin_locked(smm);
		}
	}
	spin_unlock_irq(&svab_lock);
}

static void svab_mm_freed(struct mmu_notifier *mn)
{
	svab_mm_put(svab_mm_of(mn));
	if (atomic_dec_and_test(&svab_mms_live))
		wake_up_var(&svab_mms_live);
}

/**
 * svab_mm_exit() - wait until Linux has forgotten every subscription
 *
 * For the module's end, when nobody can make one and all are retired. mmu_notifier_synchronize()
 * would wait for readers, but not for the callbacks that follow them, which may be on other CPUs.
 */
void svab_mm_exit(void)
{
	wait_var_event(&svab_mms_live, !atomic_read(&svab_mms_live));
	/* The last callback has told but may not have returned: it runs with bottom halves off. */
	synchronize_rcu();
}

static const struct mmu_notifier_ops svab_mm_ops = {
	.release = svab_mm_release,
	.free_notifier = svab_mm_freed,
};

static struct svab_mm *svab_mm_find(struct mm_struct *mm)
{
	struct svab_mm *smm, *found = NULL;

	spin_lock_irq(&svab_lock);
	hash_for_each_possible(svab.mms, smm, hash, (unsigned long)mm) {
		if (smm->mm == mm) {
			smm->pins++;
			found = smm;
			break;
		}
	}
	spin_unlock_irq(&svab_lock);
	return found;
}

static struct svab_mm *svab_mm_new(struct mm_struct *mm)
{
	struct svab_mm *smm;
	int r;

	smm = kzalloc(sizeof(*smm), GFP_KERNEL_ACCOUNT);
	if (!smm)
		return ERR_PTR(-ENOMEM);
	smm->mm = mm;
	smm->mn.ops = &svab_mm_ops;
	smm->pins = 1;
	kref_init(&smm->refs);
	INIT_LIST_HEAD(&smm->bonds);
	INIT_LIST_HEAD(&smm->ctxs);
	mutex_init(&smm->bind_lock);
	INIT_WORK(&smm->retire, svab_mm_retire);
	atomic_inc(&svab_mms_live);
	r = __mmu_notifier_register(&smm->mn, mm);
	if (r) {
		/* Nobody waits yet: the caller has a file of the module's. */
		atomic_dec(&svab_mms_live);
		kfree(smm);
		return ERR_PTR(r);
	}
	spin_lock_irq(&svab_lock);
	hash_add(svab.mms, &smm->hash, (unsigned long)mm);
	spin_unlock_irq(&svab_lock);
	return smm;
}

/**
 * svab_mm_get() - find or make the one of an address space, and pin it
 * @mm: current->mm
 *
 * Waits for nothing but the caller's own mmap_lock, and may be killed in that.
 *
 * Return: it, or an ERR_PTR.
 */
struct svab_mm *svab_mm_get(struct mm_struct *mm)
{
	struct svab_mm *smm;

	/*
	 * Held for writing it keeps two threads from making two. It is taken for one that is there
	 * as well: iommu_sva_bind_device() takes it whenever this address space has no SVA domain
	 * for the device, not only the first time, and has all others wait meanwhile. Whoever
	 * cannot have it soon is to wait here.
	 */
	if (mmap_write_lock_killable(mm))
		return ERR_PTR(-EINTR);
	smm = svab_mm_find(mm);
	if (!smm)
		smm = svab_mm_new(mm);
	mmap_write_unlock(mm);
	return smm;
}
