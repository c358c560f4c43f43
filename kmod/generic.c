// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic provider: a device whose own driver knows nothing of svabroker, added by its name.
 *
 * Processes reach such a device through its own driver; what svabroker gives them is the PASID, and
 * the order in which it ends. The one thing that can be done to any PCI function is a reset, so
 * that is its only stop: a process that unbinds vouches for the state, and every other end leads
 * to QUARANTINED until the device is reset. What cannot even be reset, or would not survive it, is
 * refused with the reason in the log.
 *
 *   echo 0000:01:00.0 >/sys/module/svabroker/parameters/generic_add
 *   echo 0000:01:00.0 >/sys/module/svabroker/parameters/generic_remove
 *
 * and generic_add=NAME[,NAME...] when the module is loaded.
 *
 * Locks: the device's own lock -> generic_lock; the device's own lock -> all that
 * svab_device_register() and svab_device_unregister() take. Whoever ends a device holds its lock
 * throughout, as the one who unbinds its driver does anyway, and a reset needs it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "svabroker_private.h"

/* The parameters' lock is held for both. */
static char *generic_at_load;
static enum { GENERIC_LOADING, GENERIC_READY, GENERIC_GOING } generic_phase;

#if IS_ENABLED(CONFIG_PCI)

/**
 * struct svab_generic - a device that was added by name
 * @link: in svab_generics until unregistered
 * @pdev: counted
 * @ender: who unregisters it, with the device's lock: generic_lock
 */
struct svab_generic {
	struct list_head link;
	struct pci_dev *pdev;
	struct task_struct *ender;
};

static DEFINE_MUTEX(generic_lock);
static LIST_HEAD(svab_generics);

static struct svab_generic *svab_generic_find_locked(const struct device *dev)
{
	struct svab_generic *generic;

	list_for_each_entry(generic, &svab_generics, link)
		if (&generic->pdev->dev == dev)
			return generic;
	return NULL;
}

/* Its own driver does what there is to do. */
static int svab_generic_bind(struct device *dev, u32 pasid)
{
	return 0;
}

static void svab_generic_unbind(struct device *dev, u32 pasid)
{
}

static struct task_struct *svab_generic_ender(const struct device *dev)
{
	struct svab_generic *generic;
	struct task_struct *ender;

	mutex_lock(&generic_lock);
	generic = svab_generic_find_locked(dev);
	ender = generic ? generic->ender : NULL;
	mutex_unlock(&generic_lock);
	return ender;
}

static int svab_generic_reset_locked(struct pci_dev *pdev)
{
	int r;

	pci_cfg_access_lock(pdev);
	r = pci_reset_function_locked(pdev);
	pci_cfg_access_unlock(pdev);
	return r;
}

/*
 * Afterwards the function is as after power-on: it sends nothing, and what it had sent is either
 * through or was dropped. Who ends the device has its lock already. Others only try: to wait for it
 * would be for ever when that one waits for this reset.
 */
static int svab_generic_reset(struct device *dev)
{
	struct pci_dev *pdev = to_pci_dev(dev);
	struct task_struct *ender;
	int r;

	for (;;) {
		ender = svab_generic_ender(dev);
		if (ender == current)
			r = svab_generic_reset_locked(pdev);
		else if (ender)
			r = -EBUSY; /* that one resets it, if need be */
		else
			r = pci_try_reset_function(pdev);
		if (r != -EAGAIN)
			break;
		usleep_range_state(1000, 2000, TASK_IDLE);
	}
	return r ?: SVAB_PASID_FLUSHED;
}

static const struct svab_device_ops svab_generic_ops = {
	.owner = THIS_MODULE,
	.bind = svab_generic_bind,
	.unbind = svab_generic_unbind,
	.reset = svab_generic_reset,
};

/* Why it cannot be had, or NULL. The device's lock is held. */
static const char *svab_generic_refusal(struct pci_dev *pdev)
{
	const struct pci_error_handlers *handlers;
	struct pci_driver *driver;

	if (!pdev->dev.driver)
		return "no driver is bound to it: nobody could use a PASID on it";
	driver = to_pci_driver(pdev->dev.driver);
	if (driver->driver_managed_dma)
		return "its driver hands it to user space as a whole (VFIO)";
	if (!pdev->reset_methods[0])
		return "it cannot be reset, and nothing else would stop it";
	handlers = driver->err_handler;
	if (!handlers || !handlers->reset_prepare || !handlers->reset_done)
		return "its driver does not follow resets (no reset_prepare and reset_done)";
	return NULL;
}

static int svab_generic_register(struct pci_dev *pdev)
{
	struct svab_device_desc desc = {
		.caps = pdev->ats_enabled ? SVAB_DEV_CAP_ATS : 0,
	};
	struct svab_generic *generic;
	int r;

	generic = kzalloc(sizeof(*generic), GFP_KERNEL);
	if (!generic)
		return -ENOMEM;
	generic->pdev = pci_dev_get(pdev);
	/* Its driver cannot go meanwhile: the device's lock is held. */
	r = svab_device_register(&pdev->dev, &svab_generic_ops, &desc);
	if (r) {
		pci_dev_put(pdev);
		kfree(generic);
		return r;
	}
	mutex_lock(&generic_lock);
	list_add_tail(&generic->link, &svab_generics);
	mutex_unlock(&generic_lock);
	return 0;
}

static int svab_generic_add_pci(struct pci_dev *pdev)
{
	const char *refusal;
	int r;

	device_lock(&pdev->dev);
	refusal = svab_generic_refusal(pdev);
	if (refusal) {
		dev_err(&pdev->dev, "svabroker cannot take it: %s\n", refusal);
		r = -EOPNOTSUPP;
	} else {
		r = svab_generic_register(pdev);
	}
	device_unlock(&pdev->dev);
	return r;
}

static int svab_generic_add(const char *name)
{
	struct device *dev;
	int r;

	dev = bus_find_device_by_name(&pci_bus_type, NULL, name);
	if (dev) {
		r = svab_generic_add_pci(to_pci_dev(dev));
		put_device(dev);
		return r;
	}
	dev = bus_find_device_by_name(&platform_bus_type, NULL, name);
	if (!dev) {
		pr_err("there is no device %s\n", name);
		return -ENODEV;
	}
	dev_err(dev, "svabroker cannot take it: only PCI functions can be reset by others than their driver\n");
	put_device(dev);
	return -EOPNOTSUPP;
}

/* The device's lock is held: one at a time. Its driver is there, or about to go. */
static bool svab_generic_end(struct device *dev)
{
	struct svab_generic *generic;

	mutex_lock(&generic_lock);
	generic = svab_generic_find_locked(dev);
	if (generic)
		generic->ender = current;
	mutex_unlock(&generic_lock);
	if (!generic)
		return false;
	svab_device_unregister(dev);
	mutex_lock(&generic_lock);
	list_del(&generic->link);
	mutex_unlock(&generic_lock);
	pci_dev_put(generic->pdev);
	kfree(generic);
	return true;
}

static int svab_generic_remove(const char *name)
{
	struct device *dev = bus_find_device_by_name(&pci_bus_type, NULL, name);
	bool ended;

	if (!dev)
		return -ENODEV;
	device_lock(dev);
	ended = svab_generic_end(dev);
	device_unlock(dev);
	put_device(dev);
	return ended ? 0 : -ENODEV;
}

static int svab_generic_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	/* Its driver is about to go, with the device's lock held: svabroker goes first. */
	if (action == BUS_NOTIFY_UNBIND_DRIVER)
		svab_generic_end(data);
	return NOTIFY_DONE;
}

static struct notifier_block svab_generic_nb = {
	.notifier_call = svab_generic_notify,
};

static int svab_generic_start(void)
{
	return bus_register_notifier(&pci_bus_type, &svab_generic_nb);
}

static struct device *svab_generic_first(void)
{
	struct svab_generic *generic;
	struct device *dev = NULL;

	mutex_lock(&generic_lock);
	generic = list_first_entry_or_null(&svab_generics, struct svab_generic, link);
	if (generic)
		dev = get_device(&generic->pdev->dev);
	mutex_unlock(&generic_lock);
	return dev;
}

static void svab_generic_stop(void)
{
	struct device *dev;

	while ((dev = svab_generic_first())) {
		device_lock(dev);
		svab_generic_end(dev);
		device_unlock(dev);
		put_device(dev);
	}
	bus_unregister_notifier(&pci_bus_type, &svab_generic_nb);
}

#else

static int svab_generic_add(const char *name)
{
	pr_err("%s cannot be taken: only PCI functions can be, and this kernel has no PCI\n", name);
	return -EOPNOTSUPP;
}

static int svab_generic_remove(const char *name)
{
	return -ENODEV;
}

static int svab_generic_start(void)
{
	return 0;
}

static void svab_generic_stop(void)
{
}

#endif /* CONFIG_PCI */

/*
 * The parameters. Written by root in the initial user namespace only, whoever owns the files.
 */
static int svab_generic_set(const char *value, int (*act)(const char *name))
{
	char *copy, *rest, *name;
	int r = 0;

	copy = kstrdup(value, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	rest = strim(copy);
	while (!r && (name = strsep(&rest, ",")))
		if (*name)
			r = act(name);
	kfree(copy);
	return r;
}

static int svab_generic_set_add(const char *value, const struct kernel_param *param)
{
	char *copy;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (generic_phase == GENERIC_READY)
		return svab_generic_set(value, svab_generic_add);
	if (generic_phase == GENERIC_GOING)
		return -ENODEV;
	/* Nothing can be added yet. */
	copy = kstrdup(value, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	kfree(generic_at_load);
	generic_at_load = copy;
	return 0;
}

static int svab_generic_set_remove(const char *value, const struct kernel_param *param)
{
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (generic_phase != GENERIC_READY)
		return -ENODEV;
	return svab_generic_set(value, svab_generic_remove);
}

static const struct kernel_param_ops svab_generic_add_ops = {
	.set = svab_generic_set_add,
};

static const struct kernel_param_ops svab_generic_remove_ops = {
	.set = svab_generic_set_remove,
};

module_param_cb(generic_add, &svab_generic_add_ops, NULL, 0200);
MODULE_PARM_DESC(generic_add, "PCI functions to take without a provider (names, with commas)");
module_param_cb(generic_remove, &svab_generic_remove_ops, NULL, 0200);
MODULE_PARM_DESC(generic_remove, "PCI functions to give back");

/**
 * svab_generic_init() - from now on devices can be added by name
 *
 * Those that were named when the module was loaded are added at once; one that is refused says so
 * in the log, does not keep the module from working, and ends the list.
 *
 * Return: 0 or a negative error.
 */
int svab_generic_init(void)
{
	int r = svab_generic_start();

	kernel_param_lock(THIS_MODULE);
	if (!r && generic_at_load)
		svab_generic_set(generic_at_load, svab_generic_add);
	kfree(generic_at_load);
	generic_at_load = NULL;
	generic_phase = r ? GENERIC_GOING : GENERIC_READY;
	kernel_param_unlock(THIS_MODULE);
	return r;
}

/**
 * svab_generic_exit() - give all devices back
 */
void svab_generic_exit(void)
{
	kernel_param_lock(THIS_MODULE);
	generic_phase = GENERIC_GOING;
	kernel_param_unlock(THIS_MODULE);
	svab_generic_stop();
}
