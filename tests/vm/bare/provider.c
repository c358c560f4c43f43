// SPDX-License-Identifier: GPL-2.0-only
/*
 * bare.ko, see bare.h. Not a model for anything: it waits for the device, as every driver does, and
 * for nothing behind the device, as mainline's documentation lets one think is enough.
 *
 * Lock order: bare_file.lock, the mm's mmap_lock (binding takes it), bare_file.portal_lock; and
 * bare_lock (devices, the ring of ends) inside any.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/iommu.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "accel/hw.h"
#include "bare.h"
#include "compat.h"

#define BARE_ENDS 4096
#define BARE_STOP_MS 30000

struct bare_device {
	struct list_head link;
	const char *name;
	struct accel *accel;
	unsigned int users;
};

struct bare_file {
	struct mutex lock; /* one call at a time */
	struct bare_device *device; /* NULL: not bound */
	struct iommu_sva *sva;
	u32 pasid;
	u64 id;
	bool slot;
	spinlock_t portal_lock; /* what mmap, which comes with mmap_lock held, reads: */
	struct mm_struct *portal_mm; /* compared only; NULL: no portal */
	phys_addr_t portal;
};

struct bare_end {
	u64 id;
	u64 ns;
	u64 done_ns;
};

static DEFINE_MUTEX(bare_lock);
static LIST_HEAD(bare_devices);
static struct bare_end bare_ends[BARE_ENDS];
static u64 bare_last_id;
static DECLARE_WAIT_QUEUE_HEAD(bare_ended);

static struct bare_device *bare_device_get(const char *name)
{
	struct bare_device *device;

	mutex_lock(&bare_lock);
	list_for_each_entry(device, &bare_devices, link) {
		if (!strcmp(device->name, name)) {
			device->users++;
			goto out;
		}
	}
	device = NULL;
out:
	mutex_unlock(&bare_lock);
	return device;
}

static void bare_device_put(struct bare_device *device)
{
	mutex_lock(&bare_lock);
	device->users--;
	mutex_unlock(&bare_lock);
	wake_up_all(&bare_ended);
}

static void bare_set_portal(struct bare_file *file, struct mm_struct *mm, phys_addr_t base)
{
	spin_lock(&file->portal_lock);
	file->portal_mm = mm;
	file->portal = base;
	spin_unlock(&file->portal_lock);
}

static int bare_attach(struct bare_file *file, bool slot)
{
	struct iommu_sva *sva = iommu_sva_bind_device(file->device->accel->dev, current->mm);
	phys_addr_t base;
	int r;

	if (IS_ERR(sva))
		return PTR_ERR(sva);
	file->pasid = iommu_sva_get_pasid(sva);
	if (slot) {
		r = accel_open(file->device->accel, file->pasid);
		if (!r)
			r = accel_portal(file->device->accel, file->pasid, &base);
		if (r) {
			iommu_sva_unbind_device(sva);
			return r;
		}
		bare_set_portal(file, current->mm, base);
	}
	file->sva = sva;
	file->slot = slot;
	return 0;
}

static int bare_bind(struct bare_file *file, struct bare_bind *arg)
{
	u64 begin = ktime_get_ns();
	int r;

	if (arg->flags & ~BARE_BIND_SLOT)
		return -EINVAL;
	if (file->device)
		return -EBUSY;
	arg->device[sizeof(arg->device) - 1] = '\0';
	file->device = bare_device_get(arg->device);
	if (!file->device)
		return -ENODEV;
	r = bare_attach(file, arg->flags & BARE_BIND_SLOT);
	if (r) {
		bare_device_put(file->device);
		file->device = NULL;
		return r;
	}
	mutex_lock(&bare_lock);
	file->id = ++bare_last_id;
	mutex_unlock(&bare_lock);
	arg->pasid = file->pasid;
	arg->id = file->id;
	arg->ns = ktime_get_ns() - begin;
	return 0;
}

static void bare_tell(const struct bare_file *file, u64 ns, u64 done_ns)
{
	struct bare_end *end = &bare_ends[file->id % BARE_ENDS];

	mutex_lock(&bare_lock);
	*end = (struct bare_end){ .id = file->id, .ns = ns, .done_ns = done_ns };
	mutex_unlock(&bare_lock);
	wake_up_all(&bare_ended);
}

/* Everything that a driver is told to do: stop the device's use of the PASID, then unbind. */
static u64 bare_unbind(struct bare_file *file)
{
	u64 begin = ktime_get_ns(), done;

	bare_set_portal(file, NULL, 0);
	if (file->slot) {
		ktime_t deadline = ktime_add_ms(ktime_get(), BARE_STOP_MS);
		int r = accel_stop(file->device->accel, file->pasid, deadline);

		if (r)
			pr_err("PASID %u does not stop: %d\n", file->pasid, r);
	}
	iommu_sva_unbind_device(file->sva);
	done = ktime_get_ns();
	if (file->slot)
		accel_close(file->device->accel, file->pasid);
	bare_tell(file, done - begin, done);
	bare_device_put(file->device);
	file->device = NULL;
	file->sva = NULL;
	return done - begin;
}

static bool bare_has_ended(u64 id, struct bare_end *ret)
{
	bool ended;

	mutex_lock(&bare_lock);
	*ret = bare_ends[id % BARE_ENDS];
	ended = ret->id >= id;
	mutex_unlock(&bare_lock);
	return ended;
}

static int bare_wait(struct bare_wait *arg)
{
	struct bare_end end;
	long r;

	r = wait_event_interruptible_timeout(bare_ended, bare_has_ended(arg->id, &end),
					     msecs_to_jiffies(arg->timeout_ms));
	if (r < 0)
		return r;
	if (!r)
		return -ETIMEDOUT;
	if (end.id != arg->id)
		return -ENOENT;
	arg->ns = end.ns;
	arg->done_ns = end.done_ns;
	return 0;
}

static long bare_ioctl(struct file *filp, unsigned int cmd, unsigned long user)
{
	struct bare_file *file = filp->private_data;
	union {
		struct bare_bind bind;
		struct bare_unbind unbind;
		struct bare_wait wait;
	} arg;
	int r;

	if (_IOC_TYPE(cmd) != _IOC_TYPE(BARE_BIND) || _IOC_SIZE(cmd) > sizeof(arg))
		return -ENOTTY;
	if (copy_from_user(&arg, (void __user *)user, _IOC_SIZE(cmd)))
		return -EFAULT;
	if (cmd == BARE_WAIT) {
		r = bare_wait(&arg.wait);
		goto out;
	}
	mutex_lock(&file->lock);
	switch (cmd) {
	case BARE_BIND:
		r = bare_bind(file, &arg.bind);
		break;
	case BARE_UNBIND:
		r = file->device ? 0 : -ENOTCONN;
		if (!r)
			arg.unbind.ns = bare_unbind(file);
		break;
	default:
		r = -ENOTTY;
	}
	mutex_unlock(&file->lock);
out:
	if (!r && copy_to_user((void __user *)user, &arg, _IOC_SIZE(cmd)))
		r = -EFAULT;
	return r;
}

static int bare_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct bare_file *file = filp->private_data;
	phys_addr_t base;
	int r = -ENOTCONN;

	if (vma->vm_pgoff || vma->vm_end - vma->vm_start != SVAD_ACCEL_PORTAL_SIZE)
		return -EINVAL;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	spin_lock(&file->portal_lock);
	base = file->portal;
	if (file->portal_mm)
		r = file->portal_mm == current->mm ? 0 : -EPERM;
	spin_unlock(&file->portal_lock);
	if (r)
		return r;
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_IO);
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	return io_remap_pfn_range(vma, vma->vm_start, base >> PAGE_SHIFT, SVAD_ACCEL_PORTAL_SIZE,
				  vma->vm_page_prot);
}

static int bare_open(struct inode *inode, struct file *filp)
{
	struct bare_file *file = kzalloc(sizeof(*file), GFP_KERNEL);

	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	spin_lock_init(&file->portal_lock);
	filp->private_data = file;
	return 0;
}

static int bare_release(struct inode *inode, struct file *filp)
{
	struct bare_file *file = filp->private_data;

	if (file->device)
		bare_unbind(file);
	mutex_destroy(&file->lock);
	kfree(file);
	return 0;
}

static const struct file_operations bare_fops = {
	.owner = THIS_MODULE,
	.open = bare_open,
	.release = bare_release,
	.unlocked_ioctl = bare_ioctl,
	.mmap = bare_mmap,
};

static struct miscdevice bare_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "svad-bare",
	.fops = &bare_fops,
};

static irqreturn_t bare_irq(int irq, void *data)
{
	struct accel *accel = data;

	wake_up_all(&accel->answered);
	return IRQ_HANDLED;
}

static int bare_start(struct bare_device *device)
{
	struct accel *accel = device->accel;
	const char *reason = NULL;
	int r;

	if (device_property_read_string(accel->dev, "label", &device->name))
		device->name = dev_name(accel->dev);
	r = svab_compat_enable(accel->dev, &reason);
	if (r)
		return dev_err_probe(accel->dev, r, "%s\n", reason);
	r = request_irq(accel->irq, bare_irq, 0, dev_name(accel->dev), accel);
	if (r)
		goto err_disable;
	writel(1, accel->regs + SVAD_ACCEL_REG_IRQ_ENABLE);
	r = accel_reset(accel);
	if (r)
		goto err_irq;
	return 0;

err_irq:
	free_irq(accel->irq, accel);
err_disable:
	svab_compat_disable(accel->dev);
	return r;
}

static int bare_probe(struct platform_device *pdev)
{
	struct bare_device *device = kzalloc(sizeof(*device), GFP_KERNEL);
	int r;

	if (!device)
		return -ENOMEM;
	r = accel_new(pdev, &device->accel);
	if (r)
		goto err_free;
	r = bare_start(device);
	if (r)
		goto err_accel;
	platform_set_drvdata(pdev, device);
	mutex_lock(&bare_lock);
	list_add_tail(&device->link, &bare_devices);
	mutex_unlock(&bare_lock);
	return 0;

err_accel:
	accel_free(device->accel);
err_free:
	kfree(device);
	return r;
}

static bool bare_unused(struct bare_device *device)
{
	bool unused;

	mutex_lock(&bare_lock);
	unused = !device->users;
	mutex_unlock(&bare_lock);
	return unused;
}

static void bare_remove(struct platform_device *pdev)
{
	struct bare_device *device = platform_get_drvdata(pdev);
	struct accel *accel = device->accel;

	mutex_lock(&bare_lock);
	list_del(&device->link);
	mutex_unlock(&bare_lock);
	/* No revocation here: it ends when its processes let go. */
	wait_event(bare_ended, bare_unused(device));
	writel(0, accel->regs + SVAD_ACCEL_REG_IRQ_ENABLE);
	free_irq(accel->irq, accel);
	svab_compat_disable(accel->dev);
	accel_free(accel);
	kfree(device);
}

/* No match table: it takes what driver_override gives it, and nothing from svad_accel. */
static struct platform_driver bare_driver = {
	.probe = bare_probe,
	.remove = bare_remove,
	.driver = {
		.name = "svad-bare",
	},
};

static int __init bare_init(void)
{
	int r = misc_register(&bare_misc);

	if (r)
		return r;
	r = platform_driver_register(&bare_driver);
	if (r)
		misc_deregister(&bare_misc);
	return r;
}

static void __exit bare_exit(void)
{
	platform_driver_unregister(&bare_driver);
	misc_deregister(&bare_misc);
}

module_init(bare_init);
module_exit(bare_exit);

MODULE_DESCRIPTION("svad tests: a provider that does no more than mainline asks for");
MODULE_LICENSE("GPL");
