// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "doctor.h"

const char *doctor_device_remedy(const char *reason)
{
	/* Words of the reasons in kmod/device.c and kmod/compat.h; test-doctor-device finds those that are
	 * not here. */
	static const struct {
		const char *says, *remedy;
	} remedies[] = {
		{ "built without SVA", "a kernel with CONFIG_ARM_SMMU_V3_SVA" },
		{ "SVA is off", "what the SMMUv3's driver says of it is among the hardware findings below" },
		{ "not behind an IOMMU", "firmware: iommus in its device tree node, or its mapping in IORT" },
		{ "no PASID", "firmware: pasid-num-bits, or its width in IORT; PCI: a PASID capability" },
		{ "page faults", "firmware: dma-can-stall, or the stall flag in IORT, if the hardware can" },
		{ "coherent", "firmware: dma-coherent, or IORT's memory properties, if the hardware is" },
		{ "group", "SVA needs an IOMMU group of its own: see the hardware findings below" },
	};

	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (strstr(reason, remedies[i].says))
			return remedies[i].remedy;
	return NULL;
}
