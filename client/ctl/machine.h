/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_MACHINE_H
#define SVAD_CTL_MACHINE_H
/*
 * The machine that svadctl runs on, as files tell it. A test makes one of its own: root is a directory that stands before every path. All
 * of it only looks. Single-threaded.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../daemon/vfio.h"

struct machine {
	const char *root; /* "" for this machine */
	char release[128], arch[64];
};

/* This machine. False: uname() failed. */
bool machine_here(struct machine *ret);

bool machine_exists(const struct machine *m, const char *path);
/* A file's bytes, malloc()ed, with a 0 after them; NULL (errno says why). At most max bytes of it. */
char *machine_read(const struct machine *m, const char *path, size_t max, size_t *ret_size);
/* The kernel's configuration, malloc()ed; NULL. where: which file, for people, in both cases. */
char *machine_config(const struct machine *m, char *where, size_t size);
/* The kernel's log as /dev/kmsg has it, malloc()ed; NULL (errno says why). */
char *machine_log(const struct machine *m);

/* ---- IOMMUs and what is behind them ---- */

/* A device behind an IOMMU: sysfs, and what the firmware says of it. */
struct hw_device {
	struct vfio_facts facts; /* sysfs's part; facts.why and cdev empty */
	char label[64];		 /* the firmware's name for it; empty: none */
	unsigned group_devices;	 /* in its IOMMU group, itself included */
	bool firmware;		 /* there is a device tree node or an IORT entry: the following are known */
	bool can_stall, coherent;
	unsigned pasid_bits; /* 0: none */
	unsigned streams;    /* StreamIDs in front of it; 0: not known */
};

struct hw_iommu {
	char name[64]; /* smmu3.0x000000007c000000 */
	bool smmuv3;
	unsigned n_devices;
};

/* Called for each IOMMU, and after each for the devices behind it. Either may be NULL. Number of IOMMUs; -errno when /sys/class/iommu
 * cannot be read (-ENOENT: there is none). */
int hw_look(const struct machine *m, void (*iommu)(void *userdata, const struct hw_iommu *iommu),
	    void (*device)(void *userdata, const struct hw_iommu *iommu, const struct hw_device *device),
	    void *userdata);

/* How many PASID bits it has of its own, by its firmware or its PCI capability. */
unsigned hw_pasid_bits(const struct hw_device *device);
/* The name svad knows it by: the firmware's, else sysfs's. */
const char *hw_name(const struct hw_device *device);

/* What firmware says of SMMUv3s, whether a driver took them or not. */
struct hw_firmware {
	bool device_tree, iort;
	bool unreadable;   /* there is an IORT, and this user may not read it */
	unsigned smmuv3;   /* SMMUv3s in it */
	unsigned disabled; /* of these, with a status that keeps the kernel off */
};
void hw_firmware(const struct machine *m, struct hw_firmware *ret);

#endif
