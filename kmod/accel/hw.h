/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The demo accelerator's registers at work: slots, commands and their answers. Knows nothing of
 * svabroker, as the hardware does not.
 */
#ifndef SVAD_ACCEL_HW_H
#define SVAD_ACCEL_HW_H

#include <linux/bitmap.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "svad_accel_regs.h"

struct device;
struct platform_device;

/* How long the device may take for what needs no waiting for DMA. */
#define ACCEL_COMMAND_MS 2000
/* A reset may have to wait for the bus. */
#define ACCEL_RESET_MS 10000

/**
 * struct accel_slot - what one PASID submits through
 * @pasid: whose it is
 * @seq: number of the last command given
 * @command: the last command given
 * @faults: faults reported so far
 */
struct accel_slot {
	u32 pasid;
	u32 seq;
	u32 command;
	u32 faults;
};

/**
 * struct accel - one accelerator
 * @dev: the device
 * @regs: its registers
 * @portals: physical address of the first slot's portal
 * @irq: its interrupt
 * @slot_count: slots it has
 * @features: SVAD_ACCEL_F_*
 * @operations: bit (1 << opcode)
 * @engines: engines it has
 * @answered: woken by each interrupt
 * @all: one stop of all slots at a time: @stop_seq
 * @lock: @used, @by_pasid, @slots[].pasid and .faults, @fault_total, giving a command. A slot's
 *	commands are its holder's alone.
 * @used: slots that are taken
 * @by_pasid: PASID -> slot
 * @reset_seq: number of the last reset
 * @stop_seq: number of the last stop of all slots
 * @fault_total: what the device had counted when the slots were last searched for faults
 * @slots: the slots
 */
struct accel {
	struct device *dev;
	void __iomem *regs;
	phys_addr_t portals;
	int irq;
	u32 slot_count;
	u32 features;
	u32 operations;
	u32 engines;
	wait_queue_head_t answered;
	struct mutex all; /* stop of all slots */
	struct mutex lock; /* who has which slot */
	DECLARE_BITMAP(used, SVAD_ACCEL_SLOTS_MAX);
	struct xarray by_pasid;
	u32 reset_seq;
	u32 stop_seq;
	u64 fault_total;
	struct accel_slot slots[];
};

/* A fault of a slot: the newest, when there were several since the last look. */
struct accel_fault {
	u32 pasid;
	u32 code;
	u64 addr;
};

int accel_new(struct platform_device *pdev, struct accel **ret);
void accel_free(struct accel *accel);

int accel_open(struct accel *accel, u32 pasid);
int accel_stop(struct accel *accel, u32 pasid, ktime_t deadline);
int accel_stop_all(struct accel *accel, ktime_t deadline);
int accel_close(struct accel *accel, u32 pasid);
int accel_reset(struct accel *accel);

bool accel_present(struct accel *accel);
bool accel_busy(struct accel *accel, u32 pasid);
int accel_portal(struct accel *accel, u32 pasid, phys_addr_t *ret);
bool accel_next_fault(struct accel *accel, unsigned int *slot, struct accel_fault *ret);
u64 accel_counter(struct accel *accel, u32 reg);

#endif /* SVAD_ACCEL_HW_H */
