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
struct iommu_sva;
struct svab_flush;

/**
 * svab_flush_probe() - find out how the page-request path of a device can be flushed
 * @dev: the device; behind an IOMMU
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
 * Called in process context, for many PASIDs at once: while the PASID is attached, and again after
 * it was detached wherever svab_flush_detach() could not tell that nothing was left.
 *
 * Return: 0; -ETIMEDOUT: some may be left; -EOPNOTSUPP: cannot tell.
 */
int svab_flush(struct svab_flush *flush, u32 pasid, ktime_t deadline);

/**
 * svab_flush_detach() - detach a PASID while none of its page requests is being handled
 * @flush: from svab_flush_probe(); NULL: the SMMU cannot be reached, only the faults that Linux
 *	knows of are awaited
 * @dev: the device
 * @handle: from iommu_sva_bind_device(), this caller's only reference
 * @pasid: its PASID
 * @clean: the device has awaited the answers to all its page requests, so nothing that the event
 *	queue holds is @pasid's
 * @deadline: CLOCK_MONOTONIC; if it has passed, or soon will, a moment is taken all the same. In
 *	that, a PASID with faults pending may get no try if others' were in vain just before
 * @detached: whether @handle was given to iommu_sva_unbind_device(), and is gone
 *
 * The only place where a bond may be detached. A page request that is being handled while
 * iommu_sva_unbind_device() runs makes Linux read the handle after it was freed, so the event
 * interrupt's thread is held off for the time of the call and the PASID must have no fault
 * pending. The device need not have stopped: this also is how translation is cut for one that
 * would not. With no @flush the thread cannot be held off, and a fault that it has just looked up
 * is not seen: an IOMMU that drains by itself when it detaches has none.
 *
 * Return: 0: detached, and nothing of @pasid is left. -ETIMEDOUT, *@detached: detached, but the
 * SMMU has events that Linux has not handled; svab_flush() tells when it has. -ETIMEDOUT, not
 * *@detached: faults kept coming or one could not be handled; to be called again.
 */
int svab_flush_detach(struct svab_flush *flush, struct device *dev, struct iommu_sva *handle,
		      u32 pasid, bool clean, ktime_t deadline, bool *detached);

#endif /* SVAB_FLUSH_H */
