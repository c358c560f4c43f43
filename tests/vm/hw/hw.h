/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_HW_H
#define VM_HW_HW_H
/* All of it: an SMMU, accelerators behind it, timers; at the addresses that the device tree of the guest has. */
#include "accel.h"

#define HW_RAM_BASE UINT64_C(0x40000000)
#define HW_SMMU_BASE UINT64_C(0x7c000000) /* the first one's; the others': hw.c */
#define HW_SMMUS 3u
#define HW_GOOD 4u /* accelerators with which all is well */
#define HW_ACCELS 10u
#define HW_SPI_EVENT 80u
#define HW_SPI_GERROR 81u
#define HW_SPI_PRI 82u
#define HW_SPI_ACCEL 84u

struct hw_options {
	unsigned stall_max;
	bool ats;
	uint32_t features[HW_GOOD];
	uint32_t slots, engines; /* the same */
	void (*irq)(void *arg, unsigned spi);
	void *irq_arg;
};

struct hw {
	struct ram *ram;
	struct timers timers;
	struct smmu smmu;
	struct smmu others[HW_SMMUS - 1]; /* whose interrupts the guest is not told of: nobody reads their event queues */
	struct accel accels[HW_ACCELS];
};

/* What the contract with the guest says: accel0 and 2 FLUSHED, 1 CLEAN, 3 FLUSHED without a stop for one PASID. No interrupts. */
void hw_options_default(struct hw_options *o);
int hw_init(struct hw *hw, struct ram *ram, const struct hw_options *o);
void hw_deinit(struct hw *hw);
struct smmu *hw_smmu(struct hw *hw, unsigned i); /* one of HW_SMMUS */
void hw_reset(struct hw *hw); /* injected faults and violations: none */

#endif
