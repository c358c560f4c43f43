/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * m: what administrators are told of real hardware. A PCI function that does no DMA is behind the modelled
 * SMMU; vfio takes it, and svad asks the kernel about it. svadctl doctor and device show are held against
 * what this machine is.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../../../daemon/vfio_abi.h"
#include "../../system/live.h"

#define FUNCTION                                                                                             \
	"0000:00:05.0" /* tests/vm/machine.sh puts it there, tests/vm/machine.dtso behind the SMMU           \
			*/
#define SYSFS "/sys/bus/pci/devices/" FUNCTION
#define SMMU_BASE 0x7c000000
#define SMMU_IDR0_ATS (1u << 10)
#define SMMU_IIDR 0x18 /* after IDR0..IDR5 */
#define SMMU_AIDR 0x1c

/* ---- the function and its drivers ---- */

static void vfio_take(void)
{
	if (access(SYSFS, F_OK) < 0)
		skip("%s is not there", FUNCTION);
	MUST_SYS(write_file(SYSFS "/driver_override", "vfio-pci"));
	/* This is also when Linux puts it behind the SMMU: before a driver comes it has no IOMMU group. */
	MUST_SYS(write_file("/sys/bus/pci/drivers/vfio-pci/bind", FUNCTION));
	MUST_SYS(access(SYSFS "/iommu_group", F_OK) == 0);
}

static void vfio_release(void)
{
	MUST_SYS(write_file("/sys/bus/pci/drivers/vfio-pci/unbind", FUNCTION));
	MUST_SYS(write_file(SYSFS "/driver_override", "\n"));
}

static bool kernel_since(unsigned major, unsigned minor)
{
	unsigned this_major, this_minor;
	struct utsname u;

	MUST_SYS(uname(&u) == 0);
	MUST(sscanf(u.release, "%u.%u", &this_major, &this_minor) == 2);
	return this_major > major || (this_major == major && this_minor >= minor);
}

/* Does this kernel's arm-smmu-v3 tell? 6.13 and later do, when they were built so; ours are. */
static bool kernel_tells(void)
{
	return kernel_since(6, 13);
}

/* The registers as they are. */
static uint32_t smmu_register(unsigned offset)
{
	int fd = open("/dev/mem", O_RDONLY | O_SYNC | O_CLOEXEC);
	volatile uint32_t *page;
	uint32_t v;

	MUST_SYS(fd >= 0);
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, SMMU_BASE);
	MUST_SYS(page != MAP_FAILED);
	v = page[offset / 4];
	munmap((void *)(uintptr_t)page, 4096);
	close(fd);
	return v;
}

/* ---- what the daemon tells ---- */

static const Svad__V1__VfioDevice *probe(int rpc)
{
	Svad__V1__ProbeHardware body = SVAD__V1__PROBE_HARDWARE__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;
	int r;

	request.body_case = SVAD__V1__REQUEST__BODY_PROBE_HARDWARE;
	request.probe_hardware = &body;
	r = live_call(rpc, &request, ms(60000), &reply);
	if (r < 0)
		FAIL("ProbeHardware: %s", strerror(-r));
	if (reply->status && reply->status->code)
		FAIL("ProbeHardware: %s", reply->status->message);
	MUST_EQ(reply->body_case, SVAD__V1__REPLY__BODY_PROBE_HARDWARE);
	MUST_EQ(reply->probe_hardware->n_devices, 1);
	return reply->probe_hardware->devices[0];
}

static void check_told(const Svad__V1__VfioDevice *d)
{
	MUST(strcmp(d->name, FUNCTION) == 0);
	MUST(strcmp(d->driver, "vfio-pci") == 0);
	MUST(strncmp(d->iommu, "smmu3.", 6) == 0);
	MUST(d->coherent); /* or iommufd would not have bound it */
	MUST(d->pci_known && !d->pci_pasid);
	MUST_EQ(d->pasid_bits, 0); /* it has none of its own */
	MUST(!d->ats && !d->pri);
	if (!kernel_tells()) {
		if (!strstr(d->untold, "does not tell"))
			FAIL("on this kernel: %s", d->untold);
		MUST(!d->smmuv3 && !d->ats_refused);
		return;
	}
	if (*d->untold)
		FAIL("this kernel ought to tell: %s", d->untold);
	MUST(d->smmuv3);
	MUST_EQ(d->n_idr, 6);
	for (unsigned i = 0; i < 6; i++)
		MUST_EQ(d->idr[i], smmu_register(i * 4));
	MUST_EQ(d->iidr, smmu_register(SMMU_IIDR));
	MUST_EQ(d->aidr, smmu_register(SMMU_AIDR));
	MUST_EQ(d->iommu_pasid_bits, smmu_register(4) >> 6 & 0x1f);
	MUST_EQ(d->stall, SVAD__V1__STALL_MODEL__STALL_YES);
	/* The SMMU could, the function cannot: of the pair the kernel says no, where it says anything. */
	MUST(d->idr[0] & SMMU_IDR0_ATS);
	MUST_EQ(d->ats_refused, kernel_since(7, 2));
}

void scenario_m_vfio(void)
{
	const char *admin = svad_start();
	struct abi_vfio_bind_iommufd bind = { .argsz = sizeof(bind) };
	const Svad__V1__VfioDevice *d;
	int rpc, device, iommufd;
	char node[64];

	rpc = live_connect(admin, "vm-scenario");
	MUST(rpc >= 0);
	vfio_take();
	d = probe(rpc);
	check_told(d);
	snprintf(node, sizeof(node), "/dev/vfio/devices/%.16s", d->cdev);
	ctl_is(CTL_RUN(admin, "device", "show", FUNCTION), 0);
	ctl_says("bound to vfio-pci");
	ctl_says("no PASIDs, no ATS, no page requests");
	ctl_says(kernel_tells() ? "SMMUv3, 16 PASID bits, can stall" : "does not tell");
	if (kernel_since(7, 2))
		ctl_says("ATS not usable");
	ctl_print();
	ctl_is(CTL_RUN(admin, "device", "show", FUNCTION, "--json"), 0);
	ctl_says("\"driver\": \"vfio-pci\"");

	/* Somebody uses it: it is left alone, and said so. */
	iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	device = open(node, O_RDWR | O_CLOEXEC);
	MUST_SYS(iommufd >= 0 && device >= 0);
	bind.iommufd = iommufd;
	MUST_SYS(ioctl(device, ABI_VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0);
	d = probe(rpc);
	if (!strstr(d->untold, "in use"))
		FAIL("a device in use: %s", d->untold);
	ctl_is(CTL_RUN(admin, "doctor"), 0);
	ctl_says("in use");
	close(device);
	close(iommufd);
	for (unsigned i = 0; i < 20; i++)
		check_told(probe(rpc));

	vfio_release();
	ctl_is(CTL_RUN(admin, "device", "show", FUNCTION), 1);
	ctl_says("NOT_FOUND");
	close(rpc);
	svad_stop();
}

void scenario_m_doctor(void)
{
	const char *admin = svad_start();
	char line[256];

	ctl_is(CTL_RUN(admin, "doctor"), 0);
	ctl_says("Hardware (backend = kmod) serves here.");
	ctl_says("svad's kernel module is loaded");
	ctl_says("an SMMUv3 is active: smmu3.");
	ctl_says("is coherent, can stall, and shares the CPUs' page tables, says its driver");
	ctl_says("CONFIG_ARM_SMMU_V3_SVA=y");
	ctl_says("device accel3 cannot stop one PASID");
	for (unsigned i = 0; i < 4; i++) {
		snprintf(line, sizeof(line), "device accel%u is healthy", i);
		ctl_says(line);
		snprintf(line, sizeof(line),
			 "accel%u (%s): 16 PASID bits, faults by stall, coherent, driver svad-accel", i,
			 i == 0	  ? driver_device("accel0")
			 : i == 1 ? driver_device("accel1")
			 : i == 2 ? driver_device("accel2")
				  : driver_device("accel3"));
		ctl_says(line);
	}
	ctl_print();
	ctl_is(CTL_RUN(admin, "doctor", "--json"), 0);
	ctl_says("\"serves\": true");
	ctl_is(CTL_RUN(admin, "device", "show", "accel1"), 0);
	ctl_says("Page faults    handled: it stalls until the page is there");
	ctl_says("Its firmware   16 PASID bits, can stall, coherent");
	ctl_says("driver svad-accel");
	ctl_print();

	MUST_EQ(driver_unbind("accel1"), 0);
	ctl_is(CTL_RUN(admin, "doctor"), 0); /* the other three serve */
	ctl_says("no driver is bound to it");
	MUST_EQ(driver_bind("accel1"), 0);
	svad_stop();
}
