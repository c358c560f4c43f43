// SPDX-License-Identifier: GPL-2.0-or-later
#include "device_hw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kmod/svabroker.h"
#include "json.h"
#include "machine.h"
#include "term.h"
#include "vfio_text.h"

struct find {
	const char *name;
	bool found;
	struct hw_iommu iommu;
	struct hw_device device;
};

static void match(void *userdata, const struct hw_iommu *iommu, const struct hw_device *device)
{
	struct find *f = userdata;

	if (f->found || (strcmp(f->name, hw_name(device)) != 0 && strcmp(f->name, device->facts.name) != 0))
		return;
	f->found = true;
	f->iommu = *iommu;
	f->device = *device;
}

static bool find(const char *name, struct find *ret)
{
	struct machine m;

	memset(ret, 0, sizeof(*ret));
	ret->name = name;
	return machine_here(&m) && hw_look(&m, NULL, match, ret) > 0 && ret->found;
}

static const char *fault_words(uint64_t caps)
{
	switch (caps & (SVAB_DEV_CAP_STALL | SVAB_DEV_CAP_PRI)) {
	case SVAB_DEV_CAP_STALL:
		return "handled: it stalls until the page is there";
	case SVAB_DEV_CAP_PRI:
		return "handled: it sends page requests";
	case SVAB_DEV_CAP_STALL | SVAB_DEV_CAP_PRI:
		return "handled: it stalls, or sends page requests";
	default:
		return "not handled";
	}
}

void device_hw_print(const Svad__V1__Device *device)
{
	const struct vfio_facts *f;
	struct find hw;
	char safe[128];

	printf("Page faults    %s\n", fault_words(device->capabilities));
	printf("ATS            %s\n", device->capabilities & SVAB_DEV_CAP_ATS ? "yes" : "no");
	if (!find(device->name, &hw))
		return;
	f = &hw.device.facts;
	printf("In sysfs       %s", text_clean(f->name, safe, sizeof(safe)));
	printf(", driver %s\n", f->driver[0] ? text_clean(f->driver, safe, sizeof(safe)) : "none");
	printf("IOMMU          %s, group %d%s\n", text_clean(hw.iommu.name, safe, sizeof(safe)), f->group,
	       hw.device.group_devices > 1 ? ", which it shares" : "");
	if (hw.device.streams)
		printf("StreamIDs      %u\n", hw.device.streams);
	if (hw.device.firmware)
		printf("Its firmware   %u PASID bits, %s, %s\n", hw.device.pasid_bits,
		       hw.device.can_stall ? "can stall" : "cannot stall",
		       hw.device.coherent ? "coherent" : "not coherent");
	if (f->pci_known)
		printf("PCI            %s%u PASID bits%s%s\n", f->pci_pasid ? "" : "no PASID capability, ",
		       f->pci_pasid_bits, f->pci_ats ? ", ATS" : "", f->pci_pri ? ", page requests" : "");
}

void device_hw_json(const char *name, json_t *into)
{
	struct find hw;
	json_t *o;

	if (!find(name, &hw))
		return;
	o = json_object();
	json_add_str(o, "sysfs", hw.device.facts.name);
	json_add_str(o, "driver", hw.device.facts.driver);
	json_add_str(o, "iommu", hw.iommu.name);
	json_add(o, "iommu_group", json_integer(hw.device.facts.group));
	json_add_u64(o, "group_devices", hw.device.group_devices);
	if (hw.device.streams)
		json_add_u64(o, "stream_ids", hw.device.streams);
	if (hw.device.firmware) {
		json_add_u64(o, "firmware_pasid_bits", hw.device.pasid_bits);
		json_add_bool(o, "can_stall", hw.device.can_stall);
		json_add_bool(o, "coherent", hw.device.coherent);
	}
	if (hw.device.facts.pci_known) {
		json_add_u64(o, "pci_pasid_bits", hw.device.facts.pci_pasid_bits);
		json_add_bool(o, "pci_ats", hw.device.facts.pci_ats);
		json_add_bool(o, "pci_pri", hw.device.facts.pci_pri);
	}
	json_add(into, "hardware", o);
}

bool device_is_vfio(const char *name)
{
	struct vfio_report *report = malloc(sizeof(*report));
	bool found = false;

	if (report && !vfio_probe(&vfio_os_linux, false, report))
		for (uint32_t i = 0; i < report->n && !found; i++)
			found = !strcmp(report->facts[i].name, name) || !strcmp(report->facts[i].cdev, name);
	free(report);
	return found;
}

int device_vfio_show(const struct ctl *ctl, struct rpc *rpc, const char *name)
{
	Svad__V1__ProbeHardware body = SVAD__V1__PROBE_HARDWARE__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	int r;

	req.body_case = SVAD__V1__REQUEST__BODY_PROBE_HARDWARE;
	req.probe_hardware = &body;
	r = rpc_call(rpc, &req, &reply);
	for (size_t i = 0; !r && i < reply->probe_hardware->n_devices; i++) {
		const Svad__V1__VfioDevice *dev = reply->probe_hardware->devices[i];

		if (strcmp(dev->name, name) != 0 && strcmp(dev->cdev, name) != 0)
			continue;
		if (ctl->json)
			return json_print(vfio_json(dev), false);
		vfio_print(dev);
		return CTL_OK;
	}
	if (!r)
		ctl_error("%s is not bound to vfio any more", name);
	return CTL_FAILED;
}
