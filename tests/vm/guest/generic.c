/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * g: devices that are to be added by name, without a provider. What could not end a PASID is refused, each
 * for its own reason, and leaves nothing behind; what could is added, unusable as it is (no PCI function of
 * QEMU's has PASIDs: that a reset ends one is not seen here), and goes in each way there is.
 */
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PARAMETERS "/sys/module/svabroker/parameters/"
#define FUNCTION "0000:00:05.0"	  /* pci-testdev: no driver knows it */
#define RESETTABLE "0000:00:09.0" /* nvme; function.ko takes it */
#define VIRTIO "0000:00:06.0"	  /* the control channel's; cannot be reset */
#define PLATFORM "7d000000.accel"
#define PCI "/sys/bus/pci/"

static void refused(const char *parameter, const char *name, int error)
{
	char path[100];

	snprintf(path, sizeof(path), PARAMETERS "%s", parameter);
	errno = 0;
	if (write_file(path, name))
		FAIL("%s took %s", parameter, name);
	if (errno != error)
		FAIL("%s of %s is %s, not %s", parameter, name, strerrorname_np(errno),
		     strerrorname_np(error));
}

void scenario_g_generic_refused(void)
{
	struct svab_dev_info info;

	refused("generic_add", "0000:00:1f.7", ENODEV);
	refused("generic_add", FUNCTION, EOPNOTSUPP);
	refused("generic_add", VIRTIO, EOPNOTSUPP);
	refused("generic_add", PLATFORM, EOPNOTSUPP);
	/* the first that is refused ends the list */
	refused("generic_add", "0000:00:1f.7," FUNCTION, ENODEV);
	refused("generic_remove", FUNCTION, ENODEV);

	MUST_SYS(write_file(PCI "devices/" FUNCTION "/driver_override", "vfio-pci"));
	MUST_SYS(write_file(PCI "drivers/vfio-pci/bind", FUNCTION));
	refused("generic_add", FUNCTION, EOPNOTSUPP);
	MUST_SYS(write_file(PCI "drivers/vfio-pci/unbind", FUNCTION));
	MUST_SYS(write_file(PCI "devices/" FUNCTION "/driver_override", "\n"));

	MUST(!dev_get(FUNCTION, &info));
	MUST(!dev_get(VIRTIO, &info));
	MUST(dev_get("accel0", &info));
	MUST_EQ(info.state, SVAB_DEV_OK);
}

/* ---- one that is added ---- */

static void add(void)
{
	struct svab_dev_info info;

	MUST_SYS(write_file(PARAMETERS "generic_add", RESETTABLE));
	MUST(dev_get(RESETTABLE, &info));
	MUST_EQ(info.state, SVAB_DEV_UNUSABLE);
	MUST(strcmp(info.bus, "pci") == 0);
	if (!strstr(info.reason, "no PASID"))
		FAIL(RESETTABLE ": %s", info.reason);
	MUST(!(info.caps & SVAB_DEV_CAP_CAN_STOP) && (info.caps & SVAB_DEV_CAP_CAN_RESET));
}

static void is_gone(void)
{
	struct svab_dev_info info;

	MUST(!dev_get(RESETTABLE, &info));
	refused("generic_remove", RESETTABLE, ENODEV);
}

static void function_bind(void)
{
	MUST_SYS(write_file(PCI "drivers/svad-function/bind", RESETTABLE));
}

void scenario_g_generic(void)
{
	struct svab_dev_info info;
	int r = module_load("function", "");

	if (r)
		FAIL("function.ko: %s", strerror(-r));
	refused("generic_add", RESETTABLE, EOPNOTSUPP); /* no driver */
	MUST_SYS(write_file(PCI "devices/" RESETTABLE "/driver_override", "svad-function"));
	function_bind();

	for (unsigned i = 0; i < 20; i++) {
		struct svab_dev_reset reset;
		uint32_t id;

		add();
		refused("generic_add", RESETTABLE, EEXIST);
		id = dev_id(RESETTABLE);
		MUST_EQ(dev_reset(RESETTABLE, &reset), -EOPNOTSUPP);
		MUST_SYS(write_file(PARAMETERS "generic_remove", RESETTABLE));
		is_gone();
		add();
		MUST(dev_id(RESETTABLE) > id); /* another one */
		MUST_SYS(write_file(PCI "drivers/svad-function/unbind", RESETTABLE));
		is_gone();
		function_bind();
		is_gone(); /* it does not come back by itself */
	}

	/* The module goes with it, and adds it when it is loaded; what is refused after it does not keep the
	 * module out. */
	add();
	ctl_close();
	MUST_EQ(module_unload("svad_accel"), 0);
	MUST_EQ(module_unload("svabroker"), 0);
	MUST_EQ(module_load("svabroker", "generic_add=" RESETTABLE ",0000:00:1f.7"), 0);
	MUST(dev_get(RESETTABLE, &info));
	MUST_EQ(info.state, SVAB_DEV_UNUSABLE);
	modules_load();
	MUST_EQ(module_unload("function"), 0); /* its driver goes */
	is_gone();
	MUST_SYS(write_file(PCI "devices/" RESETTABLE "/driver_override", "\n"));
}
