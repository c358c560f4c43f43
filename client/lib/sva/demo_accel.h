/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVA_DEMO_ACCEL_H
#define SVA_DEMO_ACCEL_H
/*
 * The demo accelerator: portal, descriptors and completion records. The same layout for the simulated device and for
 * real ones, so one program drives both.
 *
 * The descriptor ring, the data and the completion records are plain memory of the process (malloc, stack, mmap):
 * every address below is a virtual address of the process that bound the device. Nothing is registered or pinned.
 *
 * Little-endian, naturally aligned. The portal is one page of device registers, mapped from the bond.
 */
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SVA_DEMO_MAGIC 0x44415653u /* "SVAD" */
#define SVA_DEMO_VERSION 1u
#define SVA_DEMO_PORTAL_SIZE 4096u
#define SVA_DEMO_RING_MAX 4096u /* descriptors; a ring has 2^n of them, 2 at least */

enum sva_demo_op {
	SVA_DEMO_NOP = 0,
	SVA_DEMO_COPY = 1, /* src -> dst, len bytes; the ranges must not overlap */
	SVA_DEMO_FILL = 2, /* arg's 8 bytes, repeated from dst on, len bytes */
	SVA_DEMO_CRC32C = 3, /* CRC-32C (Castagnoli) of src, len bytes, seeded with arg (0 to start); in result */
	SVA_DEMO_COMPARE = 4, /* src with dst, len bytes: result 0 when equal, else 1 + offset of the first difference */
};

enum sva_demo_status {
	SVA_DEMO_PENDING = 0, /* written by the program before it submits */
	SVA_DEMO_OK = 1,
	SVA_DEMO_FAULT_UNMAPPED = 2, /* fault_addr has no mapping */
	SVA_DEMO_FAULT_PERMISSION = 3, /* fault_addr is mapped, but not for this access */
	SVA_DEMO_BAD_DESCRIPTOR = 4,
	SVA_DEMO_ABORTED = 5, /* the bond was stopped before this was done */
};

struct sva_demo_desc { /* 64 bytes, in the program's own memory */
	uint8_t op; /* enum sva_demo_op */
	uint8_t flags; /* 0 */
	uint16_t reserved0; /* 0 */
	uint32_t tag; /* handed back in the completion record */
	uint64_t src;
	uint64_t dst;
	uint64_t len;
	uint64_t arg;
	uint64_t completion; /* address of a struct sva_demo_completion, 8-byte aligned; 0: none */
	uint64_t reserved1[2]; /* 0 */
};

struct sva_demo_completion { /* 32 bytes; status is written last */
	uint32_t status; /* enum sva_demo_status */
	uint32_t tag;
	uint64_t bytes; /* done before it ended */
	uint64_t result;
	uint64_t fault_addr;
};

/* Register offsets in the portal. R: program reads; W: program writes. */
#define SVA_DEMO_REG_MAGIC 0x000u /* R u32 */
#define SVA_DEMO_REG_VERSION 0x004u /* R u32 */
#define SVA_DEMO_REG_OPS 0x008u /* R u32: bit (1 << op) */
#define SVA_DEMO_REG_FLAGS 0x00cu /* R u32: SVA_DEMO_FLAG_* */
#define SVA_DEMO_REG_RING_BASE 0x010u /* W u64: address of the ring */
#define SVA_DEMO_REG_RING_SIZE 0x018u /* W u32: descriptors */
#define SVA_DEMO_REG_ENABLE 0x01cu /* W u32: 1 once base and size are set */
#define SVA_DEMO_REG_DOORBELL 0x040u /* W u32: free-running count of descriptors written */
#define SVA_DEMO_REG_HEAD 0x080u /* R u32: free-running count of descriptors fetched */
#define SVA_DEMO_REG_IDLE 0x084u /* R u32: 1 when the device has gone to sleep and wants a kick after the doorbell */
#define SVA_DEMO_REG_ERROR 0x088u /* R u32: enum svab_fault of the last ring error, 0 when none */
#define SVA_DEMO_REG_INFLIGHT 0x08cu /* R u32: 1 while a descriptor is being executed */

/* A doorbell store alone does not wake a device made of software: after it, when SVA_DEMO_REG_IDLE reads 1, call sva_bond_kick(). */
#define SVA_DEMO_FLAG_KICK 0x1u

#ifdef __cplusplus
}
#endif
#endif /* SVA_DEMO_ACCEL_H */
