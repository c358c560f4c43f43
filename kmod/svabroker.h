/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * svabroker: Shared Virtual Addressing contexts and bonds, user API.
 *
 * Three kinds of fd:
 *   control  the broker's: makes contexts, grants devices on them, ends bonds, reads events
 *   ctx      one client's capability; tied to one address space (mm) at its first SVAB_BIND
 *   bond     one reference to a (device, address space) pair; carries the portal
 *
 * Every request struct begins with size and flags and follows the kernel's extensible-struct rules: a shorter struct
 * is padded with zeros, trailing bytes that the receiver does not know must be zero, unknown flags are -EINVAL.
 *
 * With the simulated device the same structs travel as messages over sockets (proto/simwire.h), so the library, the
 * broker and their tests speak one API whatever is behind it.
 */
#ifndef _UAPI_SVABROKER_H
#define _UAPI_SVABROKER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SVAB_ABI_VERSION 1
#define SVAB_NAME_MAX 64

/* PASID states. A PASID becomes reusable in SVAB_PASID_CLEAN only. */
enum svab_pasid_state {
	SVAB_PASID_NONE = 0,
	SVAB_PASID_BOUND = 1,
	SVAB_PASID_STOPPING = 2, /* portal revoked, the device was asked to stop */
	SVAB_PASID_FLUSHED = 3, /* the device sends nothing more; page requests may still be queued in the IOMMU */
	SVAB_PASID_CLEAN = 4, /* as FLUSHED, and no page request for the PASID is left anywhere */
	SVAB_PASID_QUARANTINED = 5, /* the device did not stop in time: PASID withheld, translation cut */
};

/* Why a bond ends; the first cause wins. */
enum svab_cause {
	SVAB_CAUSE_NONE = 0,
	SVAB_CAUSE_UNBIND = 1,
	SVAB_CAUSE_LAST_CLOSE = 2,
	SVAB_CAUSE_MM_RELEASED = 3,
	SVAB_CAUSE_CLIENT_GONE = 4,
	SVAB_CAUSE_CONTAINER_GONE = 5,
	SVAB_CAUSE_ADMIN = 6,
	SVAB_CAUSE_POLICY = 7,
	SVAB_CAUSE_DEVICE_GONE = 8,
	SVAB_CAUSE_DEVICE_RESET = 9,
	SVAB_CAUSE_SHUTDOWN = 10,
};

/* Fault codes of SVAB_EV_FAULT. */
enum svab_fault {
	SVAB_FAULT_NONE = 0,
	SVAB_FAULT_UNMAPPED = 1, /* no mapping at the address */
	SVAB_FAULT_PERMISSION = 2, /* mapped, but not for this access */
	SVAB_FAULT_DESCRIPTOR = 3, /* a descriptor the device cannot execute */
	SVAB_FAULT_RING = 4, /* the ring itself is unreadable or malformed */
	SVAB_FAULT_MM_GONE = 5, /* the address space has ended */
};

/* Device capabilities. */
#define SVAB_DEV_CAP_STALL (1ull << 0) /* faults by SMMUv3 stall */
#define SVAB_DEV_CAP_PRI (1ull << 1) /* faults by PCIe page requests */
#define SVAB_DEV_CAP_ATS (1ull << 2)
#define SVAB_DEV_CAP_CAN_STOP (1ull << 3) /* the provider can stop one PASID */
#define SVAB_DEV_CAP_CAN_RESET (1ull << 4)
#define SVAB_DEV_CAP_PORTAL (1ull << 5)
#define SVAB_DEV_CAP_STOP_CLEAN (1ull << 6) /* its stop awaits all responses: straight to CLEAN */
#define SVAB_DEV_CAP_SIMULATED (1ull << 63)

/* Device states. */
enum svab_dev_state {
	SVAB_DEV_OK = 0,
	SVAB_DEV_GONE = 1,
	SVAB_DEV_RESETTING = 2,
	SVAB_DEV_UNUSABLE = 3, /* see reason[] */
};

struct svab_info {
	__u32 size;
	__u32 flags;
	__u32 abi; /* SVAB_ABI_VERSION */
	__u32 pasids_total;
	__u32 pasids_free;
	__u32 devices;
	__u32 ctxs;
	__u32 bonds;
	__u32 draining;
	__u32 quarantined;
	__u64 violations; /* simulated device: what its checker has recorded */
	__u64 features;
	__u64 drained;
	__u64 dma_blocked; /* accesses that the IOMMU refused because translation was cut */
	__u64 events_lost;
};

struct svab_dev_info {
	__u32 size;
	__u32 flags;
	__u32 id; /* in: the last id seen (0: first); out: this device's */
	__s32 numa_node; /* -1: none */
	__u32 pasid_bits;
	__u32 state; /* enum svab_dev_state */
	__u64 caps; /* SVAB_DEV_CAP_* */
	__u64 operations; /* bit (1 << opcode) of sva/demo_accel.h; 0: not the demo accelerator */
	__u32 engines;
	__u32 engines_busy;
	__u32 bonds;
	__u32 draining;
	__u32 quarantined;
	__u32 max_bonds; /* 0: as many as there are PASIDs */
	__u32 drain_deadline_ms; /* 0: the broker's default */
	__u32 pad;
	__u64 jobs;
	__u64 bytes;
	__u64 faults;
	__u64 errors;
	__u64 stop_failures;
	__u64 drained;
	char name[SVAB_NAME_MAX];
	char bus[16];
	char reason[128]; /* why it is unusable, empty when it is not */
};

struct svab_ctx_create {
	__u32 size;
	__u32 flags;
	__u64 cookie; /* chosen by the broker: not 0, unguessable, unique; names the ctx in all that follows */
	__u32 uid; /* labels: handed back by SVAB_LIST for a restarted broker */
	__u32 gid;
	__s32 pid;
	__s32 fd; /* out: ctx fd */
};

/* One grant is one bond: it permits the ctx to hold a bond with the device, and is used up when that bond ends. */
struct svab_ctx_grant {
	__u32 size;
	__u32 flags;
	__u64 cookie;
	__u32 device;
	__u32 deadline_ms; /* for the drain of the bond */
	__u64 grant; /* chosen by the broker */
};

struct svab_ctx_ref { /* SVAB_CTX_REVOKE, SVAB_CTX_REVOKE_GRANT */
	__u32 size;
	__u32 flags;
	__u64 cookie;
	__u32 device; /* SVAB_CTX_REVOKE_GRANT; its bond, if any, is not touched */
	__u32 cause; /* enum svab_cause */
};

struct svab_bond_ref { /* SVAB_BOND_REVOKE; a QUARANTINED bond is asked to stop once more */
	__u32 size;
	__u32 flags;
	__u64 bond;
	__u32 cause;
	__u32 pad;
};

struct svab_dev_reset {
	__u32 size;
	__u32 flags;
	__u32 device;
	__u32 pad;
	__u32 clean; /* out: bonds that became CLEAN by it */
	__u32 quarantined; /* out: bonds that are still QUARANTINED */
};

/* SVAB_LIST: what a restarted broker learns the truth from. */
enum svab_list_type { SVAB_LIST_CTX = 1, SVAB_LIST_GRANT = 2, SVAB_LIST_BOND = 3 };

struct svab_list_entry {
	__u32 type;
	__u32 device; /* GRANT, BOND */
	__u64 cookie; /* the ctx; a bond held by several ctxs has one entry for each */
	__u64 bond; /* BOND */
	__u64 grant; /* GRANT, BOND */
	__u32 pasid;
	__u32 state;
	__u32 cause;
	__s32 pid; /* CTX */
	__u32 uid; /* CTX */
	__u32 gid; /* CTX */
	__u32 deadline_ms;
	__u32 refs; /* BOND: references of all ctxs */
	__u64 bound_ns; /* CLOCK_MONOTONIC */
	__u64 stopping_ns; /* CLOCK_MONOTONIC, 0: not yet */
	__u64 faults;
};

struct svab_list {
	__u32 size;
	__u32 flags;
	__u64 cursor; /* in: 0 or what the last call returned; out: 0 when that was all */
	__u32 count; /* in: room; out: entries */
	__u32 pad;
	__u64 entries; /* user pointer; over simwire the entries follow the struct */
};

/* Control fd events; read() returns whole records. */
enum svab_event_type {
	SVAB_EV_BOUND = 1, /* ctx, bond, device, pasid, grant; once for each ctx that comes to hold the bond */
	SVAB_EV_UNREF = 2, /* ctx let go of bond, which lives on in others: its grant is used up */
	SVAB_EV_MM_RELEASED = 3, /* bond: its address space ended; STOPPING follows */
	SVAB_EV_STOPPING = 4, /* bond, cause: revoked, device asked to stop */
	SVAB_EV_FLUSHED = 5, /* bond */
	SVAB_EV_DRAINED = 6, /* bond: CLEAN; value: ns since STOPPING. The bond is no more */
	SVAB_EV_QUARANTINED = 7, /* bond; value: ns since STOPPING */
	SVAB_EV_CTX_GONE = 8, /* ctx: last close or revoke, and its last bond is DRAINED */
	SVAB_EV_DEV_ADDED = 9,
	SVAB_EV_DEV_GONE = 10,
	SVAB_EV_FAULT = 11, /* bond, ctx, device, pasid, value: address, code: enum svab_fault */
	SVAB_EV_LOST = 12, /* value: events that did not fit; list again */
	SVAB_EV_DEV_RESET = 13, /* device; value: bonds made CLEAN */
	SVAB_EV_STOP_FAILED = 14, /* device, bond: a stop was refused or late (precedes QUARANTINED) */
};

struct svab_event {
	__u32 size;
	__u32 type; /* enum svab_event_type */
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 cookie; /* ctx */
	__u64 bond;
	__u64 grant;
	__u32 device;
	__u32 pasid;
	__u32 state;
	__u32 cause;
	__u64 value;
	__u32 code;
	__u32 pad;
};

/* Ctx fd. Binds current->mm.
 * -EACCES no grant, or the ctx ended; -EPERM ctx tied to another mm; -ENOSPC over a limit; -EBUSY (device, mm) is
 * draining or quarantined; -ENODEV device gone. */
struct svab_bind {
	__u32 size;
	__u32 flags;
	__u32 device;
	__u32 pasid; /* out */
	__u64 bond; /* out: id */
	__u64 grant; /* out */
	__s32 bond_fd; /* out; over simwire: first fd of the reply, the portal's memory is the second */
	__u32 portal_size; /* out: bytes to map; 0: no portal */
	__u64 at_random; /* simulated device only: address of the 16 bytes of AT_RANDOM, which tell one exec'ed image from the next */
};

/* Bond fd. Drops this fd's reference. state: SVAB_PASID_FLUSHED or SVAB_PASID_CLEAN when the caller vouches for it,
 * SVAB_PASID_NONE when not: then the provider must be able to stop, else -EINVAL. A vouched state that is visibly not so
 * (work outstanding) is refused with -EBUSY and nothing changes. Returns when the bond has drained, or at once where
 * other references remain. -EPERM from any address space but the bond's own. -ESHUTDOWN: dropped already. */
struct svab_unbind {
	__u32 size;
	__u32 flags;
	__u32 state; /* in: vouched; out: SVAB_PASID_BOUND (other references remain), CLEAN or QUARANTINED */
	__u32 pad;
	__u64 drain_ns; /* out: STOPPING to final state */
};

struct svab_bond_info {
	__u32 size;
	__u32 flags;
	__u32 device;
	__u32 pasid;
	__u64 bond;
	__u32 state;
	__u32 cause;
	__u32 refs;
	__u32 pad;
	__u64 faults;
};

#define SVAB_IOC 0xB5
/* control fd */
#define SVAB_INFO _IOWR(SVAB_IOC, 0x00, struct svab_info)
#define SVAB_DEV_NEXT _IOWR(SVAB_IOC, 0x01, struct svab_dev_info)
#define SVAB_CTX_CREATE _IOWR(SVAB_IOC, 0x02, struct svab_ctx_create)
#define SVAB_CTX_GRANT _IOW(SVAB_IOC, 0x03, struct svab_ctx_grant)
#define SVAB_CTX_REVOKE_GRANT _IOW(SVAB_IOC, 0x04, struct svab_ctx_ref)
#define SVAB_CTX_REVOKE _IOW(SVAB_IOC, 0x05, struct svab_ctx_ref)
#define SVAB_BOND_REVOKE _IOW(SVAB_IOC, 0x06, struct svab_bond_ref)
#define SVAB_DEV_RESET _IOWR(SVAB_IOC, 0x07, struct svab_dev_reset)
#define SVAB_LIST _IOWR(SVAB_IOC, 0x08, struct svab_list)
#define SVAB_CTX_REOPEN _IOWR(SVAB_IOC, 0x09, struct svab_ctx_create)
/* ctx fd */
#define SVAB_BIND _IOWR(SVAB_IOC, 0x20, struct svab_bind)
/* bond fd */
#define SVAB_UNBIND _IOWR(SVAB_IOC, 0x40, struct svab_unbind)
#define SVAB_BOND_INFO _IOWR(SVAB_IOC, 0x41, struct svab_bond_info)

#endif /* _UAPI_SVABROKER_H */
