// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl doctor: the IOMMUs that are active, and for each device behind an SMMUv3 that has PASIDs why SVA is
 * or is not for it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

struct look {
	struct doctor *d;
	unsigned smmuv3s, others;
	unsigned plain;	     /* devices that have no PASIDs and never claimed to */
	unsigned candidates; /* devices that have, or that svad knows by name */
	unsigned usable;
	char other_names[256];
};

static void say_iommu(void *userdata, const struct hw_iommu *u)
{
	struct look *l = userdata;
	size_t used = strlen(l->other_names);

	if (u->smmuv3) {
		l->smmuv3s++;
		doctor_say(l->d, SECTION_HARDWARE, LEVEL_OK, "iommu", NULL,
			   "an SMMUv3 is active: %s, %u device%s behind it", u->name, u->n_devices,
			   u->n_devices == 1 ? "" : "s");
		return;
	}
	l->others++;
	snprintf(l->other_names + used, sizeof(l->other_names) - used, "%s%s", used ? " " : "", u->name);
}

/* A finding against one device. */
#define AGAINST(what, remedy, ...)                                                                           \
	do {                                                                                                 \
		char says[256];                                                                              \
                                                                                                             \
		snprintf(says, sizeof(says), __VA_ARGS__);                                                   \
		doctor_say(l->d, SECTION_HARDWARE, LEVEL_WARN, what, remedy, "%s: %s", who, says);           \
		good = false;                                                                                \
	} while (0)

static void say_faults(struct look *l, const char *who, const struct hw_device *dev, bool *ret_good)
{
	bool good = *ret_good;

	if (dev->streams > 1)
		AGAINST("streams", "one StreamID for the device in its firmware description",
			"it has %u StreamIDs: the kernel takes no page faults of such a device",
			dev->streams);
	else if (dev->can_stall)
		;
	else if (dev->facts.pci_pri)
		AGAINST("faults",
			"a device that stalls; page requests wait for the kernel's driver to handle them",
			"it faults by page requests (PRI), and Linux's SMMUv3 driver denies those");
	else if (dev->firmware)
		AGAINST("faults",
			"if the hardware can wait for a fault: dma-can-stall in its device tree node, or the "
			"stall "
			"flag in IORT",
			"its firmware does not say that it can stall, so its page faults cannot be handled");
	else
		AGAINST("faults", "a device with a firmware description that says it can stall",
			"nothing says that it can wait for a page fault");
	*ret_good = good;
}

static void say_device(void *userdata, const struct hw_iommu *u, const struct hw_device *dev)
{
	struct look *l = userdata;
	const struct vfio_facts *f = &dev->facts;
	bool good = true;
	char who[128];

	if (!u->smmuv3)
		return;
	if (!strncmp(f->driver, "vfio-", 5))
		return; /* doctor_vfio.c has a line for it */
	if (!hw_pasid_bits(dev) && !dev->can_stall && !dev->label[0]) {
		l->plain++;
		return;
	}
	l->candidates++;
	if (dev->label[0] && strcmp(dev->label, f->name) != 0)
		snprintf(who, sizeof(who), "%s (%s)", dev->label, f->name);
	else
		snprintf(who, sizeof(who), "%s", f->name);

	if (!hw_pasid_bits(dev))
		AGAINST("pasids",
			"device tree: pasid-num-bits in its node; ACPI: its width in IORT; PCI: a function "
			"with a "
			"PASID capability",
			"it has no PASIDs");
	say_faults(l, who, dev, &good);
	if (dev->firmware && !dev->coherent && strcmp(f->bus, "pci") != 0)
		AGAINST("coherent",
			"if the hardware is: dma-coherent in its device tree node, or IORT's memory "
			"properties",
			"its firmware does not say that its DMA is coherent with the CPUs' caches");
	if (f->group < 0)
		AGAINST("group", "look for its name in the kernel's log",
			"the kernel has not put it into an IOMMU group");
	else if (dev->group_devices > 1)
		AGAINST("group",
			"for PCI: a slot with access control (ACS) up to the root; else the firmware's "
			"StreamIDs",
			"it shares IOMMU group %d with %u other device%s, and SVA needs one of its own",
			f->group, dev->group_devices - 1, dev->group_devices == 2 ? "" : "s");
	if (!f->driver[0])
		AGAINST("driver", "load the driver that provides it to svad (doc/provider.md)",
			"no driver is bound to it");
	if (!good)
		return;
	l->usable++;
	doctor_say(l->d, SECTION_HARDWARE, LEVEL_OK, "device-sva", NULL,
		   "%s: %u PASID bits, faults by stall, coherent, driver %s", who, hw_pasid_bits(dev),
		   f->driver);
}

static void say_nothing_active(struct doctor *d, const struct machine *m)
{
	struct hw_firmware f;
	const char *table;

	hw_firmware(m, &f);
	table = f.iort ? "the firmware (ACPI IORT)" : "the firmware (device tree)";
	if (f.unreadable)
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "iommu",
			   "run svadctl doctor as root to see what the firmware says",
			   "/sys/class/iommu is empty or absent: no IOMMU is active");
	else if (f.smmuv3 && f.smmuv3 == f.disabled)
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "iommu",
			   "enable it in the firmware's setup, or by status = \"okay\" in the device tree",
			   "no IOMMU is active: %s has %u SMMUv3%s, and says that %s off", table, f.smmuv3,
			   f.smmuv3 == 1 ? "" : "s", f.smmuv3 == 1 ? "it is" : "they are");
	else if (f.smmuv3)
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "iommu",
			   "a kernel with CONFIG_ARM_SMMU_V3; what its driver says of it: dmesg | grep "
			   "arm-smmu-v3",
			   "no IOMMU is active, though %s has %u SMMUv3%s: no driver took %s", table,
			   f.smmuv3, f.smmuv3 == 1 ? "" : "s", f.smmuv3 == 1 ? "it" : "them");
	else if (f.iort || f.device_tree)
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "iommu",
			   "a machine with an SMMUv3, enabled in its firmware's setup",
			   "no IOMMU is active, and %s has no SMMUv3", table);
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "iommu",
			   "a machine with an SMMUv3 (firmware: enable it; a virtual machine: give it one)",
			   "/sys/class/iommu is empty or absent: no IOMMU is active");
}

unsigned doctor_iommu(struct doctor *d, const struct machine *m)
{
	struct look l = { .d = d };
	int r = hw_look(m, say_iommu, say_device, &l);

	if (r < 0 && r != -ENOENT) {
		doctor_say(d, SECTION_HARDWARE, LEVEL_UNKNOWN, "iommu", "run svadctl doctor as root",
			   "/sys/class/iommu cannot be read: %s", strerror(-r));
		return 0;
	}
	if (!l.smmuv3s && l.others)
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "iommu", "a machine with an SMMUv3",
			   "%u IOMMU%s active, none an SMMUv3: %s", l.others, l.others == 1 ? "" : "s",
			   l.other_names);
	else if (!l.smmuv3s)
		say_nothing_active(d, m);
	if (!l.smmuv3s)
		return 0;
	if (l.plain)
		doctor_say(d, SECTION_HARDWARE, LEVEL_INFO, "plain-devices", NULL,
			   "%u device%s behind an SMMUv3 %s no PASIDs: SVA is not for %s", l.plain,
			   l.plain == 1 ? "" : "s", l.plain == 1 ? "has" : "have",
			   l.plain == 1 ? "it" : "them");
	if (!l.candidates)
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "device-sva",
			   "a device with PASIDs: pasid-num-bits in the device tree, a width in IORT, or a "
			   "PCI PASID "
			   "capability",
			   "no device behind an SMMUv3 has PASIDs");
	else if (!l.usable)
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "device-sva", "see the lines above",
			   "%u device%s ought to have SVA, and none can", l.candidates,
			   l.candidates == 1 ? "" : "s");
	return l.smmuv3s;
}
