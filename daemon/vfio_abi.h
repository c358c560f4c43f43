/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_VFIO_ABI_H
#define SVAD_VFIO_ABI_H
/*
 * The little of <linux/vfio.h> and <linux/iommufd.h> that vfio.c needs: Debian 12's headers are those of 6.1 and have none of it. Both
 * interfaces grow by size: the kernel takes any size from its first version's on, and refuses only a longer struct whose further bytes are not 0. So
 * these are the shapes of Linux 6.15, in which every kernel since 6.6 reads and writes the fields at the same places; what an older one does not
 * fill stays as it was handed in, 0.
 */
#include <linux/ioctl.h>
#include <linux/types.h>
#include <stddef.h>

struct abi_vfio_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};
#define ABI_VFIO_DEVICE_BIND_IOMMUFD _IO(';', 118)

#define ABI_HW_INFO_NONE 0u /* this kernel's driver for that IOMMU tells nothing */
#define ABI_HW_INFO_ARM_SMMUV3 2u

#define ABI_HW_CAP_PCI_ATS_NOT_SUPPORTED (1ull << 3)

struct abi_iommu_hw_info {
	__u32 size;
	__u32 flags;
	__u32 dev_id;
	__u32 data_len; /* in: room; out: what the kernel has */
	__aligned_u64 data_uptr;
	__u32 out_data_type;
	__u8 out_max_pasid_log2; /* since 6.15; always 0 before */
	__u8 reserved[3];
	__aligned_u64 out_capabilities;
};
#define ABI_IOMMU_GET_HW_INFO _IO(';', 0x8a)

/* What data_uptr gets for ABI_HW_INFO_ARM_SMMUV3. Only these fields are for user space: idr[0] ST_LEVEL, TERM_MODEL, STALL_MODEL, TTENDIAN, CD2L,
 * ASID16, TTF; idr[1] SIDSIZE, SSIDSIZE; idr[3] BBML, RIL; idr[5] VAX, GRAN64K, GRAN16K, GRAN4K. */
struct abi_hw_info_arm_smmuv3 {
	__u32 flags;
	__u32 reserved;
	__u32 idr[6];
	__u32 iidr;
	__u32 aidr;
};

_Static_assert(sizeof(struct abi_vfio_bind_iommufd) == 16, "the kernel's");
_Static_assert(sizeof(struct abi_iommu_hw_info) == 40 && offsetof(struct abi_iommu_hw_info, out_capabilities) == 32, "the kernel's");
_Static_assert(sizeof(struct abi_hw_info_arm_smmuv3) == 40, "the kernel's");

#endif
