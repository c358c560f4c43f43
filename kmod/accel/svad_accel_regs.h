/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers of the demo accelerator, as its driver sees them.
 *
 * One register file, little-endian, naturally aligned:
 *
 *   0x000000  device registers (SVAD_ACCEL_REG_*)
 *   0x010000  one control block for each slot (SVAD_ACCEL_SLOT_*), 64 bytes apart
 *   0x080000  one portal page for each slot, mapped into its process (sva/demo_accel.h)
 *
 * A slot is what one PASID submits through. No register has a read side effect, and each write that
 * asks for something is answered in another register: a sequence number written to *_SEQ comes back
 * in *_ACK once it is done. So plain shared memory can carry them all, and a driver that polls and
 * one that waits for the interrupt see the same. The model of the device, a program, reads this
 * file too: nothing of the kernel's in it.
 *
 * A reset answers every command that was out: all slots' ACK and STOP_ALL_ACK become their SEQ. A
 * fault's CODE and ADDR are written before FAULT_SEQ, that before REG_FAULTS, that before the
 * interrupt.
 */
#ifndef SVAD_ACCEL_REGS_H
#define SVAD_ACCEL_REGS_H

#define SVAD_ACCEL_MAGIC 0x43415653u /* "SVAC" */
#define SVAD_ACCEL_VERSION 1u

/* device registers. R: driver reads; W: driver writes */
#define SVAD_ACCEL_REG_MAGIC 0x000 /* R u32 */
#define SVAD_ACCEL_REG_VERSION 0x004 /* R u32 */
#define SVAD_ACCEL_REG_OPS 0x008 /* R u32: bit (1 << opcode) */
#define SVAD_ACCEL_REG_FEATURES 0x00c /* R u32: SVAD_ACCEL_F_* */
#define SVAD_ACCEL_REG_SLOTS 0x010 /* R u32: how many slots, at most SVAD_ACCEL_SLOTS_MAX */
#define SVAD_ACCEL_REG_ENGINES 0x014 /* R u32 */
#define SVAD_ACCEL_REG_RESET_SEQ 0x018 /* W u32 */
#define SVAD_ACCEL_REG_RESET_ACK 0x01c /* R u32: all slots are idle and hold no PASID */
#define SVAD_ACCEL_REG_IRQ_ENABLE 0x020 /* W u32: 1 */
#define SVAD_ACCEL_REG_IRQ_COUNT 0x024 /* R u32: free-running, one for each cause that was raised */
#define SVAD_ACCEL_REG_STOP_ALL_SEQ 0x028 /* W u32: stop every slot */
#define SVAD_ACCEL_REG_STOP_ALL_ACK 0x02c /* R u32 */
#define SVAD_ACCEL_REG_JOBS 0x040 /* R u64: descriptors executed */
#define SVAD_ACCEL_REG_BYTES 0x048 /* R u64 */
#define SVAD_ACCEL_REG_FAULTS 0x050 /* R u64 */
#define SVAD_ACCEL_REG_ERRORS 0x058 /* R u64 */
#define SVAD_ACCEL_REG_BUSY 0x060 /* R u32: engines at work */

#define SVAD_ACCEL_F_STOP (1u << 0) /* can stop one slot */
#define SVAD_ACCEL_F_STOP_CLEAN (1u << 1) /* a stop awaits its stalls' responses: CLEAN */
#define SVAD_ACCEL_F_RESET (1u << 2)

#define SVAD_ACCEL_SLOTS_MAX 1024u
#define SVAD_ACCEL_SLOT_BASE 0x010000
#define SVAD_ACCEL_SLOT_SIZE 0x40
#define SVAD_ACCEL_PORTAL_BASE 0x080000
#define SVAD_ACCEL_PORTAL_SIZE 0x1000
#define SVAD_ACCEL_SIZE 0x480000

/* control block of a slot */
#define SVAD_ACCEL_SLOT_PASID 0x00 /* W u32: before ENABLE */
#define SVAD_ACCEL_SLOT_CMD 0x04 /* W u32: SVAD_ACCEL_CMD_* */
#define SVAD_ACCEL_SLOT_SEQ 0x08 /* W u32: after CMD */
#define SVAD_ACCEL_SLOT_ACK 0x0c /* R u32 */
#define SVAD_ACCEL_SLOT_STATUS 0x10 /* R u32: before ACK; 0 or SVAD_ACCEL_E_* */
#define SVAD_ACCEL_SLOT_STATE 0x14 /* R u32: SVAD_ACCEL_S_* */
#define SVAD_ACCEL_SLOT_JOBS 0x18 /* R u32: descriptors fetched and not done */
#define SVAD_ACCEL_SLOT_FAULT_SEQ 0x20 /* R u32: free-running count; below: the last one's */
#define SVAD_ACCEL_SLOT_FAULT_CODE 0x24 /* R u32: enum svab_fault of svabroker.h */
#define SVAD_ACCEL_SLOT_FAULT_ADDR 0x28 /* R u64 */

#define SVAD_ACCEL_CMD_ENABLE 1u /* works for PASID from now on; its portal is zeroed */
/* no new transaction; all that were sent have reached the IOMMU (or been answered: F_STOP_CLEAN) */
#define SVAD_ACCEL_CMD_STOP 2u
#define SVAD_ACCEL_CMD_DISABLE 3u /* forget the PASID; the slot must be stopped */

#define SVAD_ACCEL_E_BUSY 1u /* DISABLE of a slot with work outstanding */
#define SVAD_ACCEL_E_STATE 2u /* not possible in this state */
#define SVAD_ACCEL_E_STOP 3u /* the engine would not stop */

#define SVAD_ACCEL_S_IDLE 0u
#define SVAD_ACCEL_S_ENABLED 1u
#define SVAD_ACCEL_S_STOPPING 2u
#define SVAD_ACCEL_S_STOPPED 3u

#endif
