// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bond fds. One is one reference to a bond.
 *
 * A fd says who may hold a bond, not who may use it: whatever is asked through it, other than to
 * poll and close it, takes the bond's own address space. A forked child and whoever was sent the fd
 * are refused.
 *
 * Locks: svab_lock; svab_device.op_sem (read) -> svab_bond.portal_lock around the provider's busy.
 * SVAB_UNBIND waits for a drain without any lock.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "svabroker_private.h"

/**
 * svab_ref_add_locked() - let a bond fd count
 * @ref: new
 * @hold: in which
 */
void svab_ref_add_locked(struct svab_ref *ref, struct svab_hold *hold)
{
	lockdep_assert_held(&svab_lock);
	ref->hold = hold;
	list_add_tail(&ref->of_hold, &hold->fds);
	hold->n_fds++;
	hold->bond->n_refs++;
}

/**
 * svab_ref_drop_locked() - a bond fd counts no more
 * @ref: one that does
 * @for_good: it has nothing to do with the bond any more; who drops it wakes who polls it, once for
 *	all that are dropped at the same time
 */
void svab_ref_drop_locked(struct svab_ref *ref, bool for_good)
{
	struct svab_hold *hold = ref->hold;

	lockdep_assert_held(&svab_lock);
	ref->hold = NULL;
	if (for_good)
		WRITE_ONCE(ref->dropped, true);
	list_del(&ref->of_hold);
	hold->n_fds--;
	hold->bond->n_refs--;
}

/* Is this one's reference what keeps the bond? */
static bool svab_ref_last_locked(const struct svab_ref *ref)
{
	return ref->bond->n_refs == 1 || svab_mutated(SVAB_MUT_LOST_REF);
}

static bool svab_bond_final(struct svab_bond *bond)
{
	enum svab_pasid_state state = READ_ONCE(bond->state);

	return state == SVAB_PASID_CLEAN || state == SVAB_PASID_QUARANTINED;
}

static int svab_ref_wait(struct svab_ref *ref, struct svab_unbind *arg)
{
	struct svab_bond *bond = ref->bond;

	for (;;) {
		/* Asked again after -EINTR it waits for the same drain. */
		if (wait_event_interruptible(bond->wait, svab_bond_final(bond)))
			return -EINTR;
		spin_lock_irq(&svab_lock);
		if (svab_bond_final(bond))
			break;
		/* QUARANTINED, and on its way to CLEAN after all. */
		spin_unlock_irq(&svab_lock);
	}
	/* The one answer that it gets, whatever becomes of the bond. */
	WRITE_ONCE(ref->dropped, true);
	arg->state = bond->state;
	arg->drain_ns = bond->ended_ns - bond->began_ns;
	spin_unlock_irq(&svab_lock);
	return 0;
}

/* 0: *wait says whether for the drain. */
static int svab_ref_unbind_locked(struct svab_ref *ref, struct svab_unbind *arg, bool *wait)
{
	struct svab_bond *bond = ref->bond;
	struct svab_hold *hold = ref->hold;

	*wait = true;
	if (ref->dropped || (bond->state == SVAB_PASID_CLEAN && !ref->asked))
		return -ESHUTDOWN;
	/* Something else ends it already: the same result for everyone. */
	if (bond->state != SVAB_PASID_BOUND) {
		ref->asked = true;
		return 0;
	}
	if (svab_ref_last_locked(ref)) {
		if (!arg->state && !(bond->device->caps & SVAB_DEV_CAP_CAN_STOP))
			return -EINVAL;
		bond->vouched = arg->state;
		ref->asked = true;
		svab_bond_input_locked(bond, SVAB_INPUT_BEGIN, SVAB_CAUSE_UNBIND);
		return 0;
	}
	svab_ref_drop_locked(ref, true);
	if (!hold->n_fds)
		svab_hold_end_locked(hold, SVAB_CAUSE_UNBIND);
	arg->state = SVAB_PASID_BOUND;
	arg->drain_ns = 0;
	*wait = false;
	return 0;
}

/* -EBUSY: work of the bond is visibly outstanding; for who vouches that none is. */
static int svab_ref_busy(struct svab_ref *ref)
{
	struct svab_device *device = ref->bond->device;
	bool busy = false;

	/* Held so that the provider stays; a reset and the end of the device wait for it. */
	if (down_read_killable(&device->op_sem))
		return -EINTR;
	/* A drain takes the portal first: while this is held it has not come to stop or unbind. */
	mutex_lock(&ref->bond->portal_lock);
	if (READ_ONCE(ref->bond->state) == SVAB_PASID_BOUND && device->ops && device->ops->busy)
		busy = device->ops->busy(device->dev, ref->bond->pasid);
	mutex_unlock(&ref->bond->portal_lock);
	up_read(&device->op_sem);
	return busy ? -EBUSY : 0;
}

static int svab_ref_unbind(struct svab_ref *ref, void __user *user)
{
	struct svab_unbind arg;
	bool wait = false;
	int usize, r;

	usize = svab_arg_in(&arg, sizeof(arg), SVAB_ARG_MIN, user);
	if (usize < 0)
		return usize;
	if (arg.state != SVAB_PASID_NONE && arg.state != SVAB_PASID_FLUSHED &&
	    arg.state != SVAB_PASID_CLEAN)
		return -EINVAL;
	if (arg.pad)
		return -EINVAL;
	r = arg.state ? svab_ref_busy(ref) : 0;
	if (r)
		return r;
	spin_lock_irq(&svab_lock);
	r = svab_ref_unbind_locked(ref, &arg, &wait);
	spin_unlock_irq(&svab_lock);
	if (!r && wait)
		r = svab_ref_wait(ref, &arg);
	else if (!r)
		wake_up_all(&ref->bond->polled); /* this one polls as hung up */
	return r ?: svab_arg_out(&arg, sizeof(arg), user, usize);
}

static int svab_ref_info(struct svab_ref *ref, void __user *user)
{
	struct svab_bond *bond = ref->bond;
	struct svab_bond_info info;
	int usize;

	usize = svab_arg_in(&info, sizeof(info), SVAB_ARG_MIN, user);
	if (usize < 0)
		return usize;
	spin_lock_irq(&svab_lock);
	info = (struct svab_bond_info){
		.size = sizeof(info),
		.device = bond->device->id,
		.pasid = bond->pasid,
		.bond = bond->id,
		.state = bond->state,
		.cause = bond->cause,
		.refs = bond->n_refs,
		.faults = bond->faults,
	};
	spin_unlock_irq(&svab_lock);
	return svab_arg_out(&info, sizeof(info), user, usize);
}

static long svab_ref_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct svab_ref *ref = file->private_data;
	void __user *user = (void __user *)arg;

	if (_IOC_TYPE(cmd) != SVAB_IOC)
		return -ENOTTY;
	if (_IOC_NR(cmd) != _IOC_NR(SVAB_UNBIND) && _IOC_NR(cmd) != _IOC_NR(SVAB_BOND_INFO))
		return -ENOTTY;
	if (current->mm != ref->bond->mm && !svab_mutated(SVAB_MUT_ANY_MM))
		return -EPERM;
	if (_IOC_NR(cmd) == _IOC_NR(SVAB_UNBIND))
		return svab_ref_unbind(ref, user);
	return svab_ref_info(ref, user);
}

static __poll_t svab_ref_poll(struct file *file, poll_table *wait)
{
	struct svab_ref *ref = file->private_data;

	poll_wait(file, &ref->bond->polled, wait);
	return READ_ONCE(ref->bond->portal_gone) || READ_ONCE(ref->dropped) ? EPOLLHUP : 0;
}

static int svab_ref_release(struct inode *inode, struct file *file)
{
	struct svab_ref *ref = file->private_data;
	struct svab_hold *hold;

	spin_lock_irq(&svab_lock);
	hold = ref->hold;
	if (hold) {
		svab_ref_drop_locked(ref, true); /* nobody polls it any more */
		if (!hold->n_fds)
			svab_hold_end_locked(hold, SVAB_CAUSE_LAST_CLOSE);
	}
	spin_unlock_irq(&svab_lock);
	svab_bond_put(ref->bond);
	kfree(ref);
	return 0;
}

static const struct file_operations svab_ref_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = svab_ref_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = svab_ref_poll,
	.mmap = svab_portal_mmap,
	.release = svab_ref_release,
	.llseek = noop_llseek,
};

/**
 * svab_ref_new() - a bond fd's file that counts nothing yet
 * @bond: of which bond
 * @ret_ref: its reference, freed with the file
 * @ret_file: the file
 *
 * Called by one at a time for a bond (svab_mm.bind_lock).
 *
 * Return: 0 or -errno.
 */
int svab_ref_new(struct svab_bond *bond, struct svab_ref **ret_ref, struct file **ret_file)
{
	struct svab_ref *ref = kzalloc(sizeof(*ref), GFP_KERNEL_ACCOUNT);
	struct file *file;

	if (!ref)
		return -ENOMEM;
	file = anon_inode_create_getfile("[svab_bond]", &svab_ref_fops, ref, O_RDWR | O_CLOEXEC,
					 NULL);
	if (IS_ERR(file)) {
		kfree(ref);
		return PTR_ERR(file);
	}
	/* The first one's inode is the bond's: all portals are in its mapping. */
	if (!bond->inode) {
		bond->inode = file_inode(file);
		ihold(bond->inode);
	}
	file->f_mapping = bond->inode->i_mapping;
	kref_get(&bond->refs);
	ref->bond = bond;
	*ret_ref = ref;
	*ret_file = file;
	return 0;
}
