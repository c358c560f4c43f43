// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_text.h"

#include <stdio.h>
#include <string.h>

#include "json.h"
#include "term.h"

static const char *stall_word(Svad__V1__StallModel stall)
{
	switch (stall) {
	case SVAD__V1__STALL_MODEL__STALL_YES:
		return "can stall";
	case SVAD__V1__STALL_MODEL__STALL_NO:
		return "cannot stall";
	case SVAD__V1__STALL_MODEL__STALL_FORCED:
		return "always stalls";
	default:
		return "stall model unknown";
	}
}

static const char *stall_id(Svad__V1__StallModel stall)
{
	switch (stall) {
	case SVAD__V1__STALL_MODEL__STALL_YES:
		return "yes";
	case SVAD__V1__STALL_MODEL__STALL_NO:
		return "no";
	case SVAD__V1__STALL_MODEL__STALL_FORCED:
		return "forced";
	default:
		return "unknown";
	}
}

char *vfio_text_own(const Svad__V1__VfioDevice *dev, char *buf, size_t size)
{
	char pasids[32] = "no PASIDs";

	if (!dev->pci_known) {
		snprintf(buf, size, "its own capabilities are not known");
		return buf;
	}
	if (dev->pci_pasid)
		snprintf(pasids, sizeof(pasids), "%u PASID bits", dev->pci_pasid_bits);
	snprintf(buf, size, "%s, %s, %s", pasids, dev->ats ? "ATS" : "no ATS",
		 dev->pri ? "page requests" : "no page requests");
	return buf;
}

char *vfio_text_iommu(const Svad__V1__VfioDevice *dev, char *buf, size_t size)
{
	char enabled[64] = "";

	if (*dev->untold) {
		snprintf(buf, size, "not known: %s", dev->untold);
		return buf;
	}
	if (dev->enabled_pasid_bits)
		snprintf(enabled, sizeof(enabled), ", %u PASID bits enabled on the device",
			 dev->enabled_pasid_bits);
	if (dev->smmuv3)
		snprintf(buf, size, "SMMUv3, %u PASID bits, %s, coherent, %u ASID bits%s%s%s",
			 dev->iommu_pasid_bits, stall_word(dev->stall), dev->asid_bits,
			 dev->two_level_cd ? "" : ", context descriptors in one level", enabled,
			 dev->ats_refused ? ", ATS not usable" : "");
	else
		snprintf(buf, size, "not an SMMUv3, %s%s%s", dev->coherent ? "coherent" : "not coherent",
			 enabled, dev->ats_refused ? ", ATS not usable" : "");
	return buf;
}

const char *vfio_text_remedy(const char *untold)
{
	static const struct {
		const char *says, *remedy;
	} remedies[] = {
		{ "driver for that IOMMU does not tell",
		  "for an SMMUv3: a kernel of 6.13 or later with CONFIG_ARM_SMMU_V3_IOMMUFD" },
		{ "in use", "end the virtual machine or program that uses it, and look again" },
		{ "CONFIG_IOMMUFD", "modprobe iommufd, on a kernel with CONFIG_IOMMUFD" },
		{ "CONFIG_VFIO_DEVICE_CDEV", "a kernel with CONFIG_VFIO_DEVICE_CDEV" },
		{ "VFIO_DEVICE_BIND_IOMMUFD", "a kernel of 6.6 or later" },
		{ "not isolated", "a kernel with the interrupt controller's ITS; or the module parameter "
				  "allow_unsafe_interrupts of iommufd" },
		{ "no IOMMU", "firmware: an IOMMU for its bus (iommu-map, IORT)" },
		{ "Permission denied",
		  "svad runs as root, or owns /dev/iommu and the nodes in /dev/vfio/devices" },
	};

	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (strstr(untold, remedies[i].says))
			return remedies[i].remedy;
	return NULL;
}

json_t *vfio_json(const Svad__V1__VfioDevice *dev)
{
	json_t *o = json_object();

	json_add_str(o, "name", dev->name);
	json_add_str(o, "vfio", dev->cdev);
	json_add_str(o, "driver", dev->driver);
	json_add_str(o, "bus", dev->bus);
	json_add_str(o, "iommu", dev->iommu);
	json_add(o, "iommu_group", json_integer(dev->group));
	json_add(o, "numa_node", json_integer(dev->numa_node));
	json_add(o, "pasid_bits", dev->pasid_bits < 0 ? json_null() : json_integer(dev->pasid_bits));
	json_add_str(o, "untold", dev->untold);
	if (dev->pci_known) {
		json_add_u64(o, "pci_pasid_bits", dev->pci_pasid_bits);
		json_add_bool(o, "pci_ats", dev->ats);
		json_add_bool(o, "pci_pri", dev->pri);
	}
	if (!*dev->untold) {
		json_add_bool(o, "coherent", dev->coherent);
		json_add_bool(o, "ats_refused", dev->ats_refused);
		json_add_u64(o, "enabled_pasid_bits", dev->enabled_pasid_bits);
	}
	if (dev->smmuv3) {
		json_t *idr = json_array(), *smmu = json_object();

		for (size_t i = 0; i < dev->n_idr; i++)
			json_array_append_new(idr, json_u64(dev->idr[i]));
		json_add_u64(smmu, "pasid_bits", dev->iommu_pasid_bits);
		json_add_u64(smmu, "stream_bits", dev->stream_bits);
		json_add_u64(smmu, "asid_bits", dev->asid_bits);
		json_add_str(smmu, "stall", stall_id(dev->stall));
		json_add_bool(smmu, "two_level_cd", dev->two_level_cd);
		json_add(smmu, "idr", idr);
		json_add_u64(smmu, "iidr", dev->iidr);
		json_add_u64(smmu, "aidr", dev->aidr);
		json_add(o, "smmuv3", smmu);
	}
	return o;
}

void vfio_print(const Svad__V1__VfioDevice *dev)
{
	const char *remedy = vfio_text_remedy(dev->untold);
	char buf[320];

	printf("%s%s%s  bound to %s, not svad's\n", style_on(STYLE_BOLD), dev->name, style_off(STYLE_BOLD),
	       *dev->driver ? dev->driver : "vfio");
	printf("Node           /dev/vfio/devices/%s\n", dev->cdev);
	printf("IOMMU          %s\n", *dev->iommu ? dev->iommu : "none in front of it");
	if (dev->group >= 0)
		printf("IOMMU group    %d\n", dev->group);
	if (dev->numa_node < 0)
		printf("NUMA node      none\n");
	else
		printf("NUMA node      %d\n", dev->numa_node);
	if (dev->pasid_bits < 0)
		printf("PASID bits     not known\n");
	else
		printf("PASID bits     %d with its IOMMU\n", dev->pasid_bits);
	printf("The device     %s\n", vfio_text_own(dev, buf, sizeof(buf)));
	printf("Its IOMMU      %s\n", vfio_text_iommu(dev, buf, sizeof(buf)));
	if (remedy)
		printf("What to do     %s\n", remedy);
	if (dev->smmuv3 && dev->n_idr == 6)
		printf("Registers      IDR0..5 %08x %08x %08x %08x %08x %08x, IIDR %08x, AIDR %08x\n",
		       dev->idr[0], dev->idr[1], dev->idr[2], dev->idr[3], dev->idr[4], dev->idr[5],
		       dev->iidr, dev->aidr);
}
