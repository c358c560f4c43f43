// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver of the demo accelerator: a provider to svabroker, and a model for others. What a
 * provider does is in this file, doc/provider.md walks through it; how the device is spoken to is
 * in hw.c.
 *
 * The driver holds no lock over a call into svabroker.
 */
#include <linux/device.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/property.h>

#include "../svabroker_provider.h"
#include "hw.h"

static int svad_accel_bind(struct device *dev, u32 pasid)
{
	return accel_open(dev_get_drvdata(dev), pasid);
}

static int svad_accel_stop(struct device *dev, u32 pasid, ktime_t deadline)
{
	struct accel *accel = dev_get_drvdata(dev);
	int r;

	if (pasid == SVAB_PASID_ALL)
		r = accel_stop_all(accel, deadline);
	else
		r = accel_stop(accel, pasid, deadline);
	if (r < 0)
		return r;
	return !r && accel->features & SVAD_ACCEL_F_STOP_CLEAN ? SVAB_PASID_CLEAN :
								 SVAB_PASID_FLUSHED;
}

static void svad_accel_unbind(struct device *dev, u32 pasid)
{
	/* An error costs the device a slot, has been logged, and concerns no PASID any more. */
	accel_close(dev_get_drvdata(dev), pasid);
}

static int svad_accel_reset(struct device *dev)
{
	return accel_reset(dev_get_drvdata(dev)) ?: SVAB_PASID_FLUSHED;
}

static int svad_accel_mmap(struct device *dev, u32 pasid, struct svab_portal *portal)
{
	portal->size = SVAD_ACCEL_PORTAL_SIZE;
	return accel_portal(dev_get_drvdata(dev), pasid, &portal->base);
}

static bool svad_accel_busy(struct device *dev, u32 pasid)
{
	return accel_busy(dev_get_drvdata(dev), pasid);
}

static void svad_accel_stats(struct device *dev, struct svab_device_stats *stats)
{
	struct accel *accel = dev_get_drvdata(dev);

	if (!accel_present(accel))
		return;
	stats->engines_busy = readl(accel->regs + SVAD_ACCEL_REG_BUSY);
	stats->jobs = accel_counter(accel, SVAD_ACCEL_REG_JOBS);
	stats->bytes = accel_counter(accel, SVAD_ACCEL_REG_BYTES);
	stats->faults = accel_counter(accel, SVAD_ACCEL_REG_FAULTS);
	stats->errors = accel_counter(accel, SVAD_ACCEL_REG_ERRORS);
}

/* One table for each thing that a device may be unable to do: a missing op is how that is said. */
#define SVAD_ACCEL_OPS(...)                   \
	{                                     \
		.owner = THIS_MODULE,         \
		.bind = svad_accel_bind,      \
		.unbind = svad_accel_unbind,  \
		.mmap = svad_accel_mmap,      \
		.busy = svad_accel_busy,      \
		.stats = svad_accel_stats,    \
		__VA_ARGS__                   \
	}

static const struct svab_device_ops svad_accel_ops[2][2] = {
	[false][false] = SVAD_ACCEL_OPS(),
	[false][true] = SVAD_ACCEL_OPS(.reset = svad_accel_reset),
	[true][false] = SVAD_ACCEL_OPS(.stop = svad_accel_stop),
	[true][true] = SVAD_ACCEL_OPS(.stop = svad_accel_stop, .reset = svad_accel_reset),
};

static const struct svab_device_ops *svad_accel_ops_of(const struct accel *accel)
{
	bool stop = accel->features & SVAD_ACCEL_F_STOP;
	bool reset = accel->features & SVAD_ACCEL_F_RESET;

	return &svad_accel_ops[stop][reset];
}

static irqreturn_t svad_accel_irq(int irq, void *data)
{
	struct accel *accel = data;

	wake_up_all(&accel->answered);
	if (accel_counter(accel, SVAD_ACCEL_REG_FAULTS) == READ_ONCE(accel->fault_total))
		return IRQ_HANDLED;
	return IRQ_WAKE_THREAD;
}

static irqreturn_t svad_accel_faults(int irq, void *data)
{
	struct accel *accel = data;
	struct accel_fault fault;
	unsigned int slot = 0;

	while (accel_next_fault(accel, &slot, &fault))
		svab_device_fault(accel->dev, fault.pasid, fault.addr, fault.code);
	return IRQ_HANDLED;
}

static int svad_accel_register(struct accel *accel)
{
	struct svab_device_desc desc = {
		.operations = accel->operations,
		.engines = accel->engines,
		.max_bonds = accel->slot_count,
	};

	/* Without a label it goes by its device's name. */
	device_property_read_string(accel->dev, "label", &desc.name);
	if (device_property_present(accel->dev, "dma-can-stall"))
		desc.caps |= SVAB_DEV_CAP_STALL;
	if (accel->features & SVAD_ACCEL_F_STOP_CLEAN)
		desc.caps |= SVAB_DEV_CAP_STOP_CLEAN;
	return svab_device_register(accel->dev, svad_accel_ops_of(accel), &desc);
}

static int svad_accel_probe(struct platform_device *pdev)
{
	struct accel *accel;
	int r;

	r = accel_new(pdev, &accel);
	if (r)
		return r;
	platform_set_drvdata(pdev, accel);
	r = request_threaded_irq(accel->irq, svad_accel_irq, svad_accel_faults, 0,
				 dev_name(&pdev->dev), accel);
	if (r)
		goto err_free;
	writel(1, accel->regs + SVAD_ACCEL_REG_IRQ_ENABLE);
	/* Whatever an earlier driver may have left at work. */
	if (accel->features & SVAD_ACCEL_F_RESET) {
		r = accel_reset(accel);
		if (r)
			goto err_irq;
	}
	r = svad_accel_register(accel);
	if (r)
		goto err_irq;
	return 0;

err_irq:
	writel(0, accel->regs + SVAD_ACCEL_REG_IRQ_ENABLE);
	free_irq(accel->irq, accel);
err_free:
	accel_free(accel);
	return r;
}

static void svad_accel_remove(struct platform_device *pdev)
{
	struct accel *accel = platform_get_drvdata(pdev);

	/* From here on no process uses the device, and the last calls to the ops have returned. */
	svab_device_unregister(&pdev->dev);
	writel(0, accel->regs + SVAD_ACCEL_REG_IRQ_ENABLE);
	free_irq(accel->irq, accel);
	accel_free(accel);
}

static const struct of_device_id svad_accel_of_match[] = {
	{ .compatible = "svad,demo-accel" },
	{}
};
MODULE_DEVICE_TABLE(of, svad_accel_of_match);

/* Suspending a device that processes use directly is not supported: no PM ops. */
static struct platform_driver svad_accel_driver = {
	.probe = svad_accel_probe,
	.remove = svad_accel_remove,
	.driver = {
		.name = "svad-accel",
		.of_match_table = svad_accel_of_match,
	},
};
module_platform_driver(svad_accel_driver);

MODULE_DESCRIPTION("svad demo accelerator, a provider to svabroker");
MODULE_LICENSE("GPL");
