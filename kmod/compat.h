/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file that knows kernel versions: 6.12 and every release since.
 */
#ifndef SVAB_COMPAT_H
#define SVAB_COMPAT_H

#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#error "svabroker needs Linux 6.12 or newer"
#endif

#define SVAB_REASON_SVA "SVA is off: kernel without ARM_SMMU_V3_SVA, or CPU and SMMU do not match"
#define SVAB_REASON_IOPF "its page faults cannot be handled: no stall, or the kernel has no IOPF"

/*
 * Until 6.15 SVA and page faults are features that a driver enables, in this order. Since then the
 * first attachment does it.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)

static inline int svab_compat_enable(struct device *dev, const char **reason)
{
	int r;

	r = iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_IOPF);
	if (r) {
		*reason = SVAB_REASON_IOPF;
		return r;
	}
	r = iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_SVA);
	if (r) {
		*reason = SVAB_REASON_SVA;
		iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF);
	}
	return r;
}

static inline void svab_compat_disable(struct device *dev)
{
	iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_SVA);
	iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF);
}

#else

static inline int svab_compat_enable(struct device *dev, const char **reason)
{
	return 0;
}

static inline void svab_compat_disable(struct device *dev)
{
}

#endif

/*
 * Whether Linux detaches a device from its IOMMU while it resets it, handles and page requests and
 * all (pci_dev_reset_iommu_prepare()): 6.12 does not, 7.2 does.
 */
static inline bool svab_compat_reset_detaches(struct device *dev)
{
	return LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0) && dev_is_pci(dev) &&
	       pci_ats_supported(to_pci_dev(dev));
}

#endif /* SVAB_COMPAT_H */
