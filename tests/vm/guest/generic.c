/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * g: devices that are to be added by name, without a provider. What could not end a PASID is refused, each
 * for its own reason, and leaves nothing behind. (No PCI function of QEMU's has PASIDs: that a reset ends one
 * is not seen here.)
 */
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdio.h>
#include <string.h>

#define PARAMETERS "/sys/module/svabroker/parameters/"
#define FUNCTION "0000:00:05.0" /* pci-testdev: no driver knows it */
#define VIRTIO "0000:00:06.0"	/* the control channel's; cannot be reset */
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
