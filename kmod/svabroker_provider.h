/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * svabroker: what a device's own driver (the provider) gives and gets.
 *
 * The provider registers its struct device once the device can work and unregisters it before it
 * takes the device apart. In between, svabroker owns the life of every bond: it attaches the
 * address space, asks the provider to bind, hands the portal out, takes it away again, asks for
 * the stop, flushes the IOMMU and detaches. The provider only ever does what the device does.
 *
 * For one PASID of one device the calls come strictly in this order, never two at once:
 *
 *   bind -> [mmap] -> [busy]* -> [stop]* -> unbind
 *
 * Calls for different PASIDs run in parallel. All of them may sleep, and none of them may call
 * svab_device_register() or svab_device_unregister(). While any PASID is bound or being bound,
 * ops->owner is held; unregistering waits for reset, busy and stats.
 */
#ifndef SVABROKER_PROVIDER_H
#define SVABROKER_PROVIDER_H

#include <linux/ktime.h>
#include <linux/types.h>

#include "svabroker.h"

struct device;
struct module;

/* stop(): every PASID of the device */
#define SVAB_PASID_ALL U32_MAX

/**
 * struct svab_portal - where a bond's portal is
 * @base: physical address of the first page, page-aligned
 * @size: bytes, a multiple of PAGE_SIZE
 * @write_combine: map it write-combining instead of as device memory
 */
struct svab_portal {
	phys_addr_t base;
	size_t size;
	bool write_combine;
};

/**
 * struct svab_device_stats - what SVAB_DEV_NEXT tells about the device's work
 * @engines_busy: engines at work now
 * @jobs: descriptors executed
 * @bytes: bytes moved
 * @faults: faults met
 * @errors: descriptors refused or failed
 */
struct svab_device_stats {
	u32 engines_busy;
	u64 jobs;
	u64 bytes;
	u64 faults;
	u64 errors;
};

/**
 * struct svab_device_desc - what does not change about a device
 * @name: unique name for users; NULL: dev_name() of the device
 * @caps: SVAB_DEV_CAP_STALL, _PRI, _ATS, and SVAB_DEV_CAP_STOP_CLEAN where stop() always ends
 *        CLEAN. CAN_STOP, CAN_RESET and PORTAL are found from the ops and may be left out.
 * @operations: bit (1 << opcode) of sva/demo_accel.h; 0: not the demo accelerator
 * @engines: how many
 * @max_bonds: 0: as many as there are PASIDs
 * @deadline_ms: how long a stop may take where the grant does not say; 0: 5 seconds
 */
struct svab_device_desc {
	const char *name;
	u64 caps;
	u64 operations;
	u32 engines;
	u32 max_bonds;
	u32 deadline_ms;
};

/**
 * struct svab_device_ops - what a provider does
 * @owner: the provider's module
 * @bind: The PASID is attached: let the device use it. A refusal (-ENOSPC: no slot left) is handed
 *	to the process.
 * @stop: Make the device stop using @pasid, or every PASID (%SVAB_PASID_ALL). Returns
 *	%SVAB_PASID_FLUSHED once the device sends nothing more and all that it sent has reached
 *	the IOMMU, %SVAB_PASID_CLEAN once, besides, all its page requests have been answered, or
 *	a negative error: the device has not stopped. Past @deadline (CLOCK_MONOTONIC) it returns
 *	-ETIMEDOUT. One that returns later than that is believed, but by then the bond is
 *	QUARANTINED. May be called again after it has failed, and for a PASID that is already
 *	idle. Must not sleep on anything that waits for the address space: it may be exiting.
 *	All of them are asked for when the device goes, of what would not stop one by one: no
 *	portal is left then and no other op runs.
 *	NULL: the device cannot stop one PASID; then unbinding takes a process that vouches for
 *	the state, and any other end leads to QUARANTINED until the device is reset.
 * @unbind: Forget the PASID. Called once for each successful bind, after the PASID was stopped (or
 *	the device reset, or the process vouched for it) and detached from the IOMMU.
 * @reset: Make the whole device idle, whatever it takes. Returns as @stop does; every PASID is
 *	stopped afterwards and forgotten by the hardware, and @unbind is still called for each.
 *	No bind runs meanwhile. A stop may, and returns soon once the device is reset.
 *	A reset that returns 0 counts as %SVAB_PASID_FLUSHED. NULL: cannot be reset.
 * @mmap: Tell where the portal of @pasid is. Called once, right after @bind. NULL: no portals.
 * @busy: Is work of @pasid visibly outstanding? Asked when a process vouches for a stopped device.
 *	Must not touch user memory nor wait for its address space: portal faults wait for it.
 *	NULL: cannot tell. Without @stop besides, a process that lies leaves its work to the next
 *	owner of the PASID: only for devices whose users are trusted.
 * @stats: fill in what the device counts; NULL: nothing.
 */
struct svab_device_ops {
	struct module *owner;
	int (*bind)(struct device *dev, u32 pasid);
	int (*stop)(struct device *dev, u32 pasid, ktime_t deadline);
	void (*unbind)(struct device *dev, u32 pasid);
	int (*reset)(struct device *dev);
	int (*mmap)(struct device *dev, u32 pasid, struct svab_portal *portal);
	bool (*busy)(struct device *dev, u32 pasid);
	void (*stats)(struct device *dev, struct svab_device_stats *stats);
};

int svab_device_register(struct device *dev, const struct svab_device_ops *ops,
			 const struct svab_device_desc *desc);
void svab_device_unregister(struct device *dev);
void svab_device_fault(struct device *dev, u32 pasid, u64 addr, enum svab_fault code);

#endif /* SVABROKER_PROVIDER_H */
