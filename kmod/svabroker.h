/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * svabroker: Shared Virtual Addressing contexts and bonds, user API.
 *
 * Three kinds of fd:
 *   control  the broker's: makes contexts, grants devices on them, ends bonds, reads events
 *   ctx      one client's capability; tied to one address space (mm) at its first SVAB_BIND
 *   bond     one reference to a (device, address space) pair; carries the portal
 *
 * Every request struct begins with size and flags and follows the kernel's extensible-struct
 * rules: a shorter struct is padded with zeros, trailing bytes that the receiver does not know must
 * be zero (-E2BIG), unknown flags are -EINVAL, and so is a struct with no room for a fd that is to
 * be returned in it.
 *
 * With the simulated device the same structs travel as messages over sockets (proto/simwire.h), so
 * the library, the broker and their tests speak one API whatever is behind it.
 */
#ifndef _UAPI_SVABROKER_H
#define _UAPI_SVABROKER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SVAB_ABI_VERSION 1
#define SVAB_NAME_MAX 64

/**
 * enum svab_pasid_state - PASID states; a PASID becomes reusable in CLEAN only
 * @SVAB_PASID_NONE: no PASID, or nothing is vouched for
 * @SVAB_PASID_BOUND: the device may use it
 * @SVAB_PASID_STOPPING: portal revoked, the device was asked to stop
 * @SVAB_PASID_FLUSHED: the device sends nothing more; page requests may still be queued in the
 *	IOMMU
 * @SVAB_PASID_CLEAN: as FLUSHED, and no page request for the PASID is left anywhere
 * @SVAB_PASID_QUARANTINED: the device did not stop in time: PASID withheld, translation cut as soon
 *	as none of its page requests is being handled
 */
enum svab_pasid_state {
	SVAB_PASID_NONE = 0,
	SVAB_PASID_BOUND = 1,
	SVAB_PASID_STOPPING = 2,
	SVAB_PASID_FLUSHED = 3,
	SVAB_PASID_CLEAN = 4,
	SVAB_PASID_QUARANTINED = 5,
};

/**
 * enum svab_cause - why a bond ends; the first cause wins
 * @SVAB_CAUSE_NONE: it has not ended
 * @SVAB_CAUSE_UNBIND: SVAB_UNBIND
 * @SVAB_CAUSE_LAST_CLOSE: the last fd was closed
 * @SVAB_CAUSE_MM_RELEASED: the address space ended: exit, exec, crash
 * @SVAB_CAUSE_CLIENT_GONE: the client process is gone
 * @SVAB_CAUSE_CONTAINER_GONE: its container was removed
 * @SVAB_CAUSE_ADMIN: an administrator
 * @SVAB_CAUSE_POLICY: policy or configuration
 * @SVAB_CAUSE_DEVICE_GONE: the device was removed
 * @SVAB_CAUSE_DEVICE_RESET: the device was reset
 * @SVAB_CAUSE_SHUTDOWN: the service ends
 */
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

/**
 * enum svab_fault - fault codes of SVAB_EV_FAULT
 * @SVAB_FAULT_NONE: none
 * @SVAB_FAULT_UNMAPPED: no mapping at the address
 * @SVAB_FAULT_PERMISSION: mapped, but not for this access
 * @SVAB_FAULT_DESCRIPTOR: a descriptor the device cannot execute
 * @SVAB_FAULT_RING: the ring itself is unreadable or malformed
 * @SVAB_FAULT_MM_GONE: the address space has ended
 */
enum svab_fault {
	SVAB_FAULT_NONE = 0,
	SVAB_FAULT_UNMAPPED = 1,
	SVAB_FAULT_PERMISSION = 2,
	SVAB_FAULT_DESCRIPTOR = 3,
	SVAB_FAULT_RING = 4,
	SVAB_FAULT_MM_GONE = 5,
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

/**
 * enum svab_dev_state - device states
 * @SVAB_DEV_OK: usable
 * @SVAB_DEV_GONE: removed; its last bonds may still be draining
 * @SVAB_DEV_RESETTING: a reset is under way
 * @SVAB_DEV_UNUSABLE: see reason[]
 */
enum svab_dev_state {
	SVAB_DEV_OK = 0,
	SVAB_DEV_GONE = 1,
	SVAB_DEV_RESETTING = 2,
	SVAB_DEV_UNUSABLE = 3,
};

/**
 * struct svab_info - SVAB_INFO, control fd
 * @size: of this struct
 * @flags: 0
 * @abi: SVAB_ABI_VERSION
 * @pasids_total: as many as the widest device can tell apart
 * @pasids_free: of them
 * @devices: registered
 * @ctxs: there are
 * @bonds: that are not CLEAN
 * @draining: STOPPING or FLUSHED
 * @quarantined: QUARANTINED
 * @violations: simulated device: what its checker has recorded
 * @features: 0
 * @drained: bonds that became CLEAN
 * @dma_blocked: simulated device: accesses that its IOMMU refused because translation was cut
 * @events_lost: events that did not fit, over all control fds
 */
struct svab_info {
	__u32 size;
	__u32 flags;
	__u32 abi;
	__u32 pasids_total;
	__u32 pasids_free;
	__u32 devices;
	__u32 ctxs;
	__u32 bonds;
	__u32 draining;
	__u32 quarantined;
	__u64 violations;
	__u64 features;
	__u64 drained;
	__u64 dma_blocked;
	__u64 events_lost;
};

/**
 * struct svab_dev_info - SVAB_DEV_NEXT, control fd: the device after the one with the given id
 * @size: of this struct
 * @flags: 0
 * @id: in: the last id seen (0: first); out: this device's
 * @numa_node: -1: none
 * @pasid_bits: width of its PASIDs
 * @state: enum svab_dev_state
 * @caps: SVAB_DEV_CAP_*
 * @operations: bit (1 << opcode) of sva/demo_accel.h; 0: not the demo accelerator
 * @engines: how many
 * @engines_busy: at work
 * @bonds: that are not CLEAN
 * @draining: of them
 * @quarantined: of them
 * @max_bonds: 0: as many as there are PASIDs
 * @drain_deadline_ms: 0: the broker's default
 * @pad: 0
 * @jobs: descriptors executed
 * @bytes: bytes moved
 * @faults: faults met
 * @errors: descriptors refused or failed
 * @stop_failures: since the last reset
 * @drained: bonds that became CLEAN
 * @name: unique among the devices
 * @bus: its bus
 * @reason: why it is unusable, or what it cannot do; empty when there is nothing to say
 */
struct svab_dev_info {
	__u32 size;
	__u32 flags;
	__u32 id;
	__s32 numa_node;
	__u32 pasid_bits;
	__u32 state;
	__u64 caps;
	__u64 operations;
	__u32 engines;
	__u32 engines_busy;
	__u32 bonds;
	__u32 draining;
	__u32 quarantined;
	__u32 max_bonds;
	__u32 drain_deadline_ms;
	__u32 pad;
	__u64 jobs;
	__u64 bytes;
	__u64 faults;
	__u64 errors;
	__u64 stop_failures;
	__u64 drained;
	char name[SVAB_NAME_MAX];
	char bus[16];
	char reason[128];
};

/**
 * struct svab_ctx_create - SVAB_CTX_CREATE and SVAB_CTX_REOPEN, control fd
 * @size: of this struct
 * @flags: 0
 * @cookie: chosen by the broker: not 0, unguessable, unique; names the ctx in all that follows
 * @uid: label: handed back by SVAB_LIST for a restarted broker
 * @gid: label
 * @pid: label
 * @fd: out: ctx fd
 */
struct svab_ctx_create {
	__u32 size;
	__u32 flags;
	__u64 cookie;
	__u32 uid;
	__u32 gid;
	__s32 pid;
	__s32 fd;
};

/**
 * struct svab_ctx_grant - SVAB_CTX_GRANT, control fd
 * @size: of this struct
 * @flags: 0
 * @cookie: the ctx
 * @device: which device
 * @deadline_ms: for the drain of the bond; 0: the device's
 * @grant: chosen by the broker
 *
 * One grant is one bond: the bind by which the ctx comes to hold one with the device uses it up,
 * and what the broker charges for it ends with that hold. A second grant of a device replaces an
 * unused one.
 */
struct svab_ctx_grant {
	__u32 size;
	__u32 flags;
	__u64 cookie;
	__u32 device;
	__u32 deadline_ms;
	__u64 grant;
};

/**
 * struct svab_ctx_ref - SVAB_CTX_REVOKE, SVAB_CTX_REVOKE_GRANT, control fd
 * @size: of this struct
 * @flags: 0
 * @cookie: the ctx
 * @device: SVAB_CTX_REVOKE_GRANT; its bond, if any, is not touched
 * @cause: SVAB_CTX_REVOKE: enum svab_cause
 */
struct svab_ctx_ref {
	__u32 size;
	__u32 flags;
	__u64 cookie;
	__u32 device;
	__u32 cause;
};

/**
 * struct svab_bond_ref - SVAB_BOND_REVOKE, control fd; a QUARANTINED one is asked once more
 * @size: of this struct
 * @flags: 0
 * @bond: id
 * @cause: enum svab_cause
 * @pad: 0
 */
struct svab_bond_ref {
	__u32 size;
	__u32 flags;
	__u64 bond;
	__u32 cause;
	__u32 pad;
};

/**
 * struct svab_dev_reset - SVAB_DEV_RESET, control fd; the one order that takes time
 * @size: of this struct
 * @flags: 0
 * @device: which
 * @pad: 0
 * @clean: out: bonds that became CLEAN by it
 * @quarantined: out: bonds that are still QUARANTINED
 */
struct svab_dev_reset {
	__u32 size;
	__u32 flags;
	__u32 device;
	__u32 pad;
	__u32 clean;
	__u32 quarantined;
};

/**
 * enum svab_list_type - what an entry of SVAB_LIST is
 * @SVAB_LIST_CTX: a ctx
 * @SVAB_LIST_GRANT: an unused grant of it
 * @SVAB_LIST_BOND: its share in a bond
 */
enum svab_list_type {
	SVAB_LIST_CTX = 1,
	SVAB_LIST_GRANT = 2,
	SVAB_LIST_BOND = 3,
};

/**
 * struct svab_list_entry - what SVAB_LIST tells of a ctx, a grant or a bond
 * @type: enum svab_list_type
 * @device: GRANT, BOND
 * @cookie: the ctx; a bond held by several ctxs has one entry for each
 * @bond: BOND
 * @grant: GRANT, BOND
 * @pasid: BOND
 * @state: BOND: enum svab_pasid_state
 * @cause: BOND: enum svab_cause
 * @pid: CTX
 * @uid: CTX
 * @gid: CTX
 * @deadline_ms: GRANT, BOND
 * @refs: BOND: references of all ctxs
 * @bound_ns: BOND: CLOCK_MONOTONIC
 * @stopping_ns: BOND: CLOCK_MONOTONIC, 0: not yet
 * @faults: BOND
 */
struct svab_list_entry {
	__u32 type;
	__u32 device;
	__u64 cookie;
	__u64 bond;
	__u64 grant;
	__u32 pasid;
	__u32 state;
	__u32 cause;
	__s32 pid;
	__u32 uid;
	__u32 gid;
	__u32 deadline_ms;
	__u32 refs;
	__u64 bound_ns;
	__u64 stopping_ns;
	__u64 faults;
};

/**
 * struct svab_list - SVAB_LIST, control fd: what a restarted broker learns the truth from
 * @size: of this struct
 * @flags: 0
 * @cursor: in: 0 or what the last call returned; out: 0 when that was all
 * @count: in: room; out: entries
 * @pad: 0
 * @entries: user pointer; over simwire the entries follow the struct
 */
struct svab_list {
	__u32 size;
	__u32 flags;
	__u64 cursor;
	__u32 count;
	__u32 pad;
	__u64 entries;
};

/**
 * enum svab_event_type - control fd events; read() returns whole records
 * @SVAB_EV_BOUND: ctx, bond, device, pasid, grant; once for each ctx that comes to hold the
 *	bond
 * @SVAB_EV_UNREF: ctx let go of bond, which lives on in others: its grant has ended
 * @SVAB_EV_MM_RELEASED: bond: its address space ended; STOPPING follows
 * @SVAB_EV_STOPPING: bond, cause: revoked, device asked to stop
 * @SVAB_EV_FLUSHED: bond
 * @SVAB_EV_DRAINED: bond: CLEAN; value: ns since STOPPING. The bond is no more
 * @SVAB_EV_QUARANTINED: bond; value: ns since STOPPING
 * @SVAB_EV_CTX_GONE: ctx: last close or revoke, and its last bond is DRAINED
 * @SVAB_EV_DEV_ADDED: device
 * @SVAB_EV_DEV_GONE: device
 * @SVAB_EV_FAULT: bond, ctx, device, pasid, value: address, code: enum svab_fault
 * @SVAB_EV_LOST: value: events that did not fit; list again
 * @SVAB_EV_DEV_RESET: device; value: bonds made CLEAN
 * @SVAB_EV_STOP_FAILED: device, bond: a stop was refused or late, or what it left could not be
 *	flushed (precedes QUARANTINED)
 */
enum svab_event_type {
	SVAB_EV_BOUND = 1,
	SVAB_EV_UNREF = 2,
	SVAB_EV_MM_RELEASED = 3,
	SVAB_EV_STOPPING = 4,
	SVAB_EV_FLUSHED = 5,
	SVAB_EV_DRAINED = 6,
	SVAB_EV_QUARANTINED = 7,
	SVAB_EV_CTX_GONE = 8,
	SVAB_EV_DEV_ADDED = 9,
	SVAB_EV_DEV_GONE = 10,
	SVAB_EV_FAULT = 11,
	SVAB_EV_LOST = 12,
	SVAB_EV_DEV_RESET = 13,
	SVAB_EV_STOP_FAILED = 14,
};

/**
 * struct svab_event - one record that read() of the control fd returns
 * @size: of this struct
 * @type: enum svab_event_type
 * @time_ns: CLOCK_MONOTONIC
 * @cookie: ctx
 * @bond: id
 * @grant: of the ctx's share
 * @device: id
 * @pasid: of the bond
 * @state: enum svab_pasid_state
 * @cause: enum svab_cause
 * @value: by type
 * @code: SVAB_EV_FAULT: enum svab_fault
 * @pad: 0
 */
struct svab_event {
	__u32 size;
	__u32 type;
	__u64 time_ns;
	__u64 cookie;
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

/**
 * struct svab_bind - SVAB_BIND, ctx fd
 * @size: of this struct
 * @flags: 0
 * @device: which
 * @pasid: out
 * @bond: out: id
 * @grant: out: the one that it used up
 * @bond_fd: out; over simwire: first fd of the reply, the portal's memory is the second
 * @portal_size: out: bytes to map; 0: no portal
 * @at_random: simulated device only: address of the 16 bytes of AT_RANDOM, which tell one
 *	exec'ed image from the next
 *
 * Binds the caller's own address space. -EACCES: no grant, or the ctx ended; -EPERM: the ctx is
 * tied to another address space; -ENOSPC: over a limit; -EBUSY: (device, address space) is
 * draining or quarantined, or the device is being reset, or others have bound the two; -ENODEV:
 * device gone or unusable; -EOPNOTSUPP: its page faults would not be handled; and what the IOMMU or
 * the provider's bind says. A signal that comes meanwhile is handled first: never -EINTR.
 */
struct svab_bind {
	__u32 size;
	__u32 flags;
	__u32 device;
	__u32 pasid;
	__u64 bond;
	__u64 grant;
	__s32 bond_fd;
	__u32 portal_size;
	__u64 at_random;
};

/**
 * struct svab_unbind - SVAB_UNBIND, bond fd
 * @size: of this struct
 * @flags: 0
 * @state: in: what the caller vouches for; out: BOUND (other references remain), CLEAN or
 *	QUARANTINED
 * @pad: 0
 * @drain_ns: out: STOPPING to final state
 *
 * Drops this fd's reference. @state is SVAB_PASID_FLUSHED or SVAB_PASID_CLEAN when the caller
 * vouches for it, SVAB_PASID_NONE when not: then the provider must be able to stop, else
 * -EINVAL. A vouched state that is visibly not so (work outstanding) is refused with -EBUSY and
 * nothing changes. Returns when the bond has drained, or at once where other references remain.
 * -EINTR: a signal came first; the drain goes on, and called again it waits for the same one.
 * -EPERM from any address space but the bond's own. -ESHUTDOWN: dropped already.
 */
struct svab_unbind {
	__u32 size;
	__u32 flags;
	__u32 state;
	__u32 pad;
	__u64 drain_ns;
};

/**
 * struct svab_bond_info - SVAB_BOND_INFO, bond fd
 * @size: of this struct
 * @flags: 0
 * @device: id
 * @pasid: of it
 * @bond: id
 * @state: enum svab_pasid_state
 * @cause: enum svab_cause
 * @refs: references of all ctxs
 * @pad: 0
 * @faults: met
 */
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
