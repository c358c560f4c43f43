/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Flushing the IOMMU's page-request path for one PASID: all that a stopped device sent has been
 * handled, in the hardware's event queue, by its interrupt thread and in the fault queue.
 */
#ifndef SVAB_FLUSH_H
#define SVAB_FLUSH_H

#include <linux/ktime.h>
#include <linux/types.h>

struct device;
struct svab_flush;

/**
 * svab_flush_probe() - find out how the page-request path of a device can be flushed
 * @dev: the device; behind an IOMMU, IOPF already on
 * @ret: the path; NULL when it cannot be flushed
 * @reason: why not
 * @size: room in @reason
 *
 * Return: 0, -EOPNOTSUPP when some part cannot be reached (@reason says which), or another error.
 */
int svab_flush_probe(struct device *dev, struct svab_flush **ret, char *reason, size_t size);

/**
 * svab_flush_free() - let go of what svab_flush_probe() found
 * @flush: may be NULL
 */
void svab_flush_free(struct svab_flush *flush);

/**
 * svab_flush() - wait until no page request of a PASID is left
 * @flush: from svab_flush_probe(); NULL: -EOPNOTSUPP
 * @pasid: its device has stopped
 * @deadline: CLOCK_MONOTONIC
 *
 * Called in process context, for many PASIDs at once. Also called after the PASID has been
 * detached (a quarantined bond whose device stopped late, a reset).
 *
 * Return: 0; -ETIMEDOUT: some may be left; -EOPNOTSUPP: cannot tell.
 */
int svab_flush(struct svab_flush *flush, u32 pasid, ktime_t deadline);

#endif /* SVAB_FLUSH_H */
