// SPDX-License-Identifier: GPL-2.0-only
/*
 * function.ko: a PCI driver that does nothing but follow resets, which is what svabroker's generic
 * provider asks of one. It takes only what is given to it (driver_override). Not linked to
 * svabroker, so that module can go with a function of this one's. For a kernel under test only.
 */
#include <linux/module.h>
#include <linux/pci.h>

static int function_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return pcim_enable_device(pdev);
}

static void function_reset_prepare(struct pci_dev *pdev)
{
}

static void function_reset_done(struct pci_dev *pdev)
{
}

static const struct pci_error_handlers function_handlers = {
	.reset_prepare = function_reset_prepare,
	.reset_done = function_reset_done,
};

static struct pci_driver function_driver = {
	.name = "svad-function",
	.probe = function_probe,
	.err_handler = &function_handlers,
};
module_pci_driver(function_driver);

MODULE_DESCRIPTION("svad tests: a PCI driver that follows resets");
MODULE_LICENSE("GPL");
