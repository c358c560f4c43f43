// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl doctor: what this kernel was built with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

static const struct option {
	const char *name, *what;
	bool optional; /* SVA goes without it */
} options[] = {
	{ "CONFIG_ARM_SMMU_V3", "the SMMUv3 driver", false },
	{ "CONFIG_ARM_SMMU_V3_SVA", "shared virtual addressing in it", false },
	{ "CONFIG_IOMMU_SVA", "the kernel's SVA core", false },
	{ "CONFIG_MODULES", "loadable modules, svabroker.ko being one", false },
	{ "CONFIG_PCI_PASID", "PASIDs of PCI devices", true },
	{ "CONFIG_IOMMUFD", "iommufd, which tells what the IOMMU of a vfio device can do", true },
	{ "CONFIG_VFIO_DEVICE_CDEV", "vfio devices that iommufd can be asked about", true },
};

static char value_of(const char *text, const char *option)
{
	size_t len = strlen(option);

	for (const char *p = text; (p = strstr(p, option)); p += len)
		if ((p == text || p[-1] == '\n') && p[len] == '=')
			return p[len + 1];
	return 'n';
}

void doctor_config(struct doctor *d, const struct machine *m)
{
	char where[256];
	char *text = machine_config(m, where, sizeof(where));

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const struct option *o = &options[i];
		char value, remedy[256];

		if (!text) {
			if (!o->optional)
				doctor_say(d, SECTION_HARDWARE, LEVEL_UNKNOWN, o->name,
					   "a kernel with CONFIG_IKCONFIG_PROC, or its config file in /boot, "
					   "would "
					   "tell",
					   "%s (%s): neither /proc/config.gz nor %s can be read", o->name,
					   o->what, where);
			continue;
		}
		value = value_of(text, o->name);
		snprintf(remedy, sizeof(remedy), "a kernel built with %s=y", o->name);
		if (value == 'y' || value == 'm')
			doctor_say(d, SECTION_HARDWARE, LEVEL_OK, o->name, NULL, "%s=%c (%s), says %s",
				   o->name, value, o->what, where);
		else
			doctor_say(d, SECTION_HARDWARE, o->optional ? LEVEL_INFO : LEVEL_MISSING, o->name,
				   remedy, "%s is not set (%s), says %s", o->name, o->what, where);
	}
	free(text);
}
