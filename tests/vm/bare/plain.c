// SPDX-License-Identifier: GPL-2.0-only
/*
 * plain.ko: a provider to svabroker without a device: its stop says FLUSHED (or what it is told to
 * say) and its reset CLEAN, at once. The demo accelerator's reset never says CLEAN, so a bond that
 * nothing can flush would stay QUARANTINED for good. It takes only what is given to it
 * (driver_override). For a kernel under test only.
 *
 * Parameter stop: enum svab_pasid_state or a negative error, what stop says.
 * Parameter neighbour: a platform device's name; another device, which does nothing, comes into its
 * IOMMU group. Empty: it goes again.
 */
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/string.h>

#include "svabroker_provider.h"

static int plain_stop_says = SVAB_PASID_FLUSHED;
module_param_named(stop, plain_stop_says, int, 0600);
MODULE_PARM_DESC(stop, "what stop says");

static int plain_bind(struct device *dev, u32 pasid)
{
	return 0;
}

static void plain_unbind(struct device *dev, u32 pasid)
{
}

static int plain_stop(struct device *dev, u32 pasid, ktime_t deadline)
{
	return READ_ONCE(plain_stop_says);
}

static int plain_reset(struct device *dev)
{
	return SVAB_PASID_CLEAN;
}

static const struct svab_device_ops plain_ops = {
	.owner = THIS_MODULE,
	.bind = plain_bind,
	.unbind = plain_unbind,
	.stop = plain_stop,
	.reset = plain_reset,
};

static int plain_probe(struct platform_device *pdev)
{
	static const struct svab_device_desc desc = { .name = "plain" };

	return svab_device_register(&pdev->dev, &plain_ops, &desc);
}

static void plain_remove(struct platform_device *pdev)
{
	svab_device_unregister(&pdev->dev);
}

static struct platform_driver plain_driver = {
	.probe = plain_probe,
	.remove = plain_remove,
	.driver = {
		.name = "svad-plain",
	},
};

/* The parameters' lock is held; or the module goes. */
static struct platform_device *plain_neighbour;

static void plain_neighbour_end(void)
{
	if (!plain_neighbour)
		return;
	iommu_group_remove_device(&plain_neighbour->dev);
	platform_device_unregister(plain_neighbour);
	plain_neighbour = NULL;
}

static int plain_neighbour_begin(const char *name)
{
	struct device *dev = bus_find_device_by_name(&platform_bus_type, NULL, name);
	struct iommu_group *group;
	int r = -ENODEV;

	if (!dev)
		return -ENODEV;
	group = iommu_group_get(dev);
	if (!group)
		goto out_dev;
	plain_neighbour = platform_device_register_simple("svad-neighbour", -1, NULL, 0);
	r = PTR_ERR_OR_ZERO(plain_neighbour);
	if (r) {
		plain_neighbour = NULL;
		goto out_group;
	}
	r = iommu_group_add_device(group, &plain_neighbour->dev);
	if (r) {
		platform_device_unregister(plain_neighbour);
		plain_neighbour = NULL;
	}
out_group:
	iommu_group_put(group);
out_dev:
	put_device(dev);
	return r;
}

static int plain_neighbour_set(const char *value, const struct kernel_param *param)
{
	char name[64];

	if (strscpy(name, value) < 0)
		return -EINVAL;
	plain_neighbour_end();
	return *strim(name) ? plain_neighbour_begin(strim(name)) : 0;
}

static const struct kernel_param_ops plain_neighbour_ops = {
	.set = plain_neighbour_set,
};

module_param_cb(neighbour, &plain_neighbour_ops, NULL, 0200);
MODULE_PARM_DESC(neighbour, "whose IOMMU group gets another device");

static int __init plain_init(void)
{
	return platform_driver_register(&plain_driver);
}

static void __exit plain_exit(void)
{
	plain_neighbour_end();
	platform_driver_unregister(&plain_driver);
}

module_init(plain_init);
module_exit(plain_exit);

MODULE_DESCRIPTION("svad tests: a provider without a device");
MODULE_LICENSE("GPL");
