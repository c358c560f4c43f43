// SPDX-License-Identifier: GPL-2.0-only
/*
 * svabroker: Shared Virtual Addressing for processes that are not trusted, behind an SMMUv3.
 *
 * Here: the module, and the control device /dev/svabroker. To open it takes CAP_SYS_ADMIN; whoever
 * has been handed the fd may give every order, which is how the broker gets by without privilege.
 * No order but SVAB_DEV_RESET waits for a device or a process.
 *
 * Locks: none of its own. See svabroker_private.h for the order of all.
 */
#include <linux/capability.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "svabroker_private.h"

DEFINE_SPINLOCK(svab_lock);
struct svab svab = {
	.devices = LIST_HEAD_INIT(svab.devices),
	.ctxs = RB_ROOT,
};

/**
 * svab_arg_in() - take a struct from user space
 * @dst: where to; what @arg does not reach is zero
 * @known: how much of it this kernel knows
 * @min: how much it must have
 * @arg: begins with size and flags
 *
 * Return: its size, or -EINVAL (size, flags), -E2BIG (bytes that this kernel does not know and that
 * are not zero), -EFAULT.
 */
int svab_arg_in(void *dst, size_t known, size_t min, const void __user *arg)
{
	u32 head[2]; /* size, flags */
	int r;

	if (copy_from_user(head, arg, sizeof(head)))
		return -EFAULT;
	if (head[0] < min || head[0] > PAGE_SIZE || head[1])
		return -EINVAL;
	r = copy_struct_from_user(dst, known, arg, head[0]);
	if (r)
		return r;
	/* It was read twice; it counts as it was the first time. */
	memcpy(dst, head, sizeof(head));
	return head[0];
}

/**
 * svab_arg_out() - give a struct to user space
 * @src: the answer
 * @known: its size
 * @arg: where to
 * @usize: room there; what @src does not reach becomes zero
 *
 * Return: 0 or -EFAULT.
 */
int svab_arg_out(const void *src, size_t known, void __user *arg, u32 usize)
{
	if (copy_to_user(arg, src, min_t(size_t, known, usize)))
		return -EFAULT;
	if (usize > known && clear_user((char __user *)arg + known, usize - known))
		return -EFAULT;
	return 0;
}

static int svab_ctl_info(void *arg, void __user *user)
{
	struct svab_info *info = arg;
	struct svab_device *device;
	u32 pasids = 0;

	spin_lock_irq(&svab_lock);
	list_for_each_entry(device, &svab.devices, link)
		pasids = max(pasids, device->pasids);
	pasids -= !!pasids; /* PASID 0 is nobody's */
	*info = (struct svab_info){
		.size = sizeof(*info),
		.abi = SVAB_ABI_VERSION,
		.pasids_total = pasids,
		.pasids_free = pasids - min(pasids, svab.n_pasids),
		.devices = svab.n_devices,
		.ctxs = svab.n_ctxs,
		.bonds = svab.n_bonds,
		.draining = svab.draining,
		.quarantined = svab.quarantined,
		.drained = svab.drained,
	};
	spin_unlock_irq(&svab_lock);
	info->events_lost = svab_events_lost();
	return 0;
}

static int svab_ctl_dev_next(void *arg, void __user *user)
{
	return svab_device_info(arg);
}

static int svab_ctl_ctx_create(void *arg, void __user *user)
{
	return svab_ctx_create(arg, user);
}

static int svab_ctl_ctx_grant(void *arg, void __user *user)
{
	return svab_ctx_grant(arg);
}

static int svab_ctl_ctx_revoke_grant(void *arg, void __user *user)
{
	return svab_ctx_revoke_grant(arg);
}

static int svab_ctl_ctx_revoke(void *arg, void __user *user)
{
	return svab_ctx_revoke(arg);
}

static int svab_ctl_bond_revoke(void *arg, void __user *user)
{
	const struct svab_bond_ref *ref = arg;
	struct svab_bond *bond;

	if (!ref->cause || ref->cause > SVAB_CAUSE_SHUTDOWN || ref->pad)
		return -EINVAL;
	spin_lock_irq(&svab_lock);
	bond = svab_bond_find_locked(ref->bond);
	if (bond)
		svab_bond_revoke_locked(bond, ref->cause);
	spin_unlock_irq(&svab_lock);
	return bond ? 0 : -ENOENT;
}

static int svab_ctl_dev_reset(void *arg, void __user *user)
{
	return svab_device_reset(arg);
}

static int svab_ctl_list(void *arg, void __user *user)
{
	return svab_list(arg);
}

static int svab_ctl_ctx_reopen(void *arg, void __user *user)
{
	return svab_ctx_reopen(arg, user);
}

union svab_args {
	struct svab_info info;
	struct svab_dev_info dev_info;
	struct svab_ctx_create ctx_create;
	struct svab_ctx_grant ctx_grant;
	struct svab_ctx_ref ctx_ref;
	struct svab_bond_ref bond_ref;
	struct svab_dev_reset dev_reset;
	struct svab_list list;
};

/*
 * min: what the struct must have. answers: it is copied back; a handler that hands out a fd does
 * that itself, and needs room for it.
 */
static const struct svab_op {
	int (*run)(void *arg, void __user *user);
	u16 size;
	u16 min;
	bool answers;
} svab_ops[] = {
#define SVAB_OP(cmd, type, fn, back)                                                               \
	[_IOC_NR(cmd)] = {                                                                         \
		.run = (fn), .size = sizeof(type), .min = SVAB_ARG_MIN, .answers = (back)          \
	}
#define SVAB_OP_FD(cmd, type, fn)                                                                  \
	[_IOC_NR(cmd)] = { .run = (fn), .size = sizeof(type), .min = offsetofend(type, fd) }
	SVAB_OP(SVAB_INFO, struct svab_info, svab_ctl_info, true),
	SVAB_OP(SVAB_DEV_NEXT, struct svab_dev_info, svab_ctl_dev_next, true),
	SVAB_OP_FD(SVAB_CTX_CREATE, struct svab_ctx_create, svab_ctl_ctx_create),
	SVAB_OP(SVAB_CTX_GRANT, struct svab_ctx_grant, svab_ctl_ctx_grant, false),
	SVAB_OP(SVAB_CTX_REVOKE_GRANT, struct svab_ctx_ref, svab_ctl_ctx_revoke_grant, false),
	SVAB_OP(SVAB_CTX_REVOKE, struct svab_ctx_ref, svab_ctl_ctx_revoke, false),
	SVAB_OP(SVAB_BOND_REVOKE, struct svab_bond_ref, svab_ctl_bond_revoke, false),
	SVAB_OP(SVAB_DEV_RESET, struct svab_dev_reset, svab_ctl_dev_reset, true),
	SVAB_OP(SVAB_LIST, struct svab_list, svab_ctl_list, true),
	SVAB_OP_FD(SVAB_CTX_REOPEN, struct svab_ctx_create, svab_ctl_ctx_reopen),
#undef SVAB_OP
#undef SVAB_OP_FD
};

static long svab_ctl_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	const struct svab_op *op;
	union svab_args args;
	int usize, r;

	if (_IOC_TYPE(cmd) != SVAB_IOC || _IOC_NR(cmd) >= ARRAY_SIZE(svab_ops))
		return -ENOTTY;
	op = &svab_ops[_IOC_NR(cmd)];
	usize = svab_arg_in(&args, op->size, op->min, user);
	if (usize < 0)
		return usize;
	r = op->run(&args, user);
	if (r || !op->answers)
		return r;
	return svab_arg_out(&args, op->size, user, usize);
}

static ssize_t svab_ctl_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	return svab_queue_read(file->private_data, file, buf, size);
}

static __poll_t svab_ctl_poll(struct file *file, poll_table *wait)
{
	return svab_queue_poll(file->private_data, file, wait);
}

static int svab_ctl_open(struct inode *inode, struct file *file)
{
	struct svab_queue *queue;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	queue = svab_queue_new();
	if (!queue)
		return -ENOMEM;
	file->private_data = queue;
	return stream_open(inode, file);
}

static int svab_ctl_release(struct inode *inode, struct file *file)
{
	svab_queue_free(file->private_data);
	return 0;
}

static const struct file_operations svab_ctl_fops = {
	.owner = THIS_MODULE,
	.open = svab_ctl_open,
	.release = svab_ctl_release,
	.read = svab_ctl_read,
	.poll = svab_ctl_poll,
	.unlocked_ioctl = svab_ctl_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice svab_ctl = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "svabroker",
	.fops = &svab_ctl_fops,
	.mode = 0600,
};

static int __init svab_init(void)
{
	int r;

	hash_init(svab.ctxs_by_cookie);
	hash_init(svab.bonds_by_id);
	hash_init(svab.mms);
	svab.wq = alloc_workqueue("svabroker", WQ_UNBOUND, WQ_MAX_ACTIVE);
	if (!svab.wq)
		return -ENOMEM;
	r = svab_generic_init();
	if (r)
		goto err_wq;
	r = misc_register(&svab_ctl);
	if (r)
		goto err_generic;
	return 0;

err_generic:
	svab_generic_exit();
err_wq:
	destroy_workqueue(svab.wq);
	return r;
}

static void __exit svab_exit(void)
{
	misc_deregister(&svab_ctl);
	/* No fd is open and no provider is loaded: what is left is what they left behind. */
	svab_generic_exit();
	destroy_workqueue(svab.wq);
	svab_mm_exit();
}

module_init(svab_init);
module_exit(svab_exit);
MODULE_DESCRIPTION("Shared Virtual Addressing for untrusted processes");
MODULE_LICENSE("GPL");
