/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_VFIO_H
#define SVAD_VFIO_H
/*
 * What can be known of devices that are bound to vfio: their own PCI capabilities, read from sysfs, and what the IOMMU in front of them can do,
 * asked of the kernel through the device's cdev and iommufd. The asking opens the device: vfio resets it when it can, and nobody else can open it
 * meanwhile; a device that is in use is left alone. So it is done only when an administrator asks, and in a process of its own, because a reset
 * takes its time (supervisor_probe.c).
 *
 * The report is plain memory, so that it can travel over the supervisor's channel as it is.
 */
#include <stdbool.h>
#include <stdint.h>

#define VFIO_REPORT_MAX 96u

struct vfio_facts {
	char name[48];	 /* as sysfs names it: 0000:01:00.0 */
	char cdev[16];	 /* vfio0 */
	char driver[32]; /* vfio-pci; empty: unbound meanwhile */
	char bus[16];	 /* pci, platform */
	char iommu[64];	 /* as /sys/class/iommu names it; empty: none in front of it */
	char why[192];	 /* why the kernel told nothing of the IOMMU; empty: it did */
	int32_t numa_node;
	int32_t group; /* -1: none */

	/* Its own capabilities; pci_known: they could be read */
	uint8_t pci_known, pci_pasid, pci_pasid_bits, pci_ats, pci_pri;

	/* From the kernel; told: why is empty */
	uint8_t told, pasid_log2;
	uint8_t coherent; /* iommufd binds no device whose DMA is not coherent */
	uint8_t smmuv3;	  /* idr, iidr, aidr are set */
	uint8_t pad[7];
	uint64_t capabilities;
	uint32_t idr[6], iidr, aidr;
};

struct vfio_report {
	uint32_t n, more; /* more: devices beyond VFIO_REPORT_MAX, not reported */
	struct vfio_facts facts[VFIO_REPORT_MAX];
};

/* Fields of an SMMUv3's identification registers. */
enum vfio_stall { VFIO_STALL_YES, VFIO_STALL_NO, VFIO_STALL_FORCED, VFIO_STALL_RESERVED };

struct vfio_smmuv3 {
	unsigned pasid_bits;  /* SSIDSIZE; 0: no substreams */
	unsigned stream_bits; /* SIDSIZE */
	unsigned asid_bits;
	enum vfio_stall stall;
	bool two_level_cd; /* without it at most 10 PASID bits serve on Linux */
};
void vfio_smmuv3_decode(const struct vfio_facts *facts, struct vfio_smmuv3 *ret);

/* How many PASID bits device and IOMMU have together, as far as is known of each: 0: none; -1: not known. */
int vfio_pasid_bits(const struct vfio_facts *facts);

/* The machine, so that tests can have one of their own. */
struct vfio_os {
	const char *root; /* before /sys and /dev; "" for this machine */
	int (*open)(void *userdata, const char *path);	/* read and write; fd or -errno */
	int (*ioctl)(void *userdata, int fd, unsigned long request, void *arg); /* 0 or -errno */
	void (*close)(void *userdata, int fd);
	void *userdata;
};
extern const struct vfio_os vfio_os_linux;

/* What sysfs tells of the device in this directory; cdev, why and what the kernel must be asked for stay empty. */
void vfio_read_device(const char *dir, struct vfio_facts *ret);

/* Fills the report. ask: of the kernel too, not sysfs alone. 0; -errno when not even sysfs could be read. */
int vfio_probe(const struct vfio_os *os, bool ask, struct vfio_report *ret);

#endif
