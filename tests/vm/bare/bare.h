/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The bare provider: what a driver does that calls iommu_sva_bind_device() and
 * iommu_sva_unbind_device() and leaves the rest to Linux. To show what that rest is, and to compare
 * times with.
 *
 * bare.ko is the platform driver "svad-bare". It takes the devices that it is given by
 * driver_override, and offers them in /dev/svad-bare. One open file is one binding, of the process
 * that made it; its last close ends it, as the exit of a process does.
 */
#ifndef SVAD_BARE_H
#define SVAD_BARE_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct bare_bind {
	char device[16]; /* in: label, "accel0" */
	__u32 flags; /* in: BARE_BIND_* */
	__u32 pasid; /* out */
	__u64 id; /* out: names the binding in BARE_WAIT */
	__u64 ns; /* out: time that binding took, in the kernel */
};

/* take a slot of the device too: then its portal can be mapped, one page at offset 0 */
#define BARE_BIND_SLOT 0x1

struct bare_unbind {
	__u32 flags; /* 0 */
	__u32 pad;
	__u64 ns; /* out: time that stopping (with a slot) and unbinding took, in the kernel */
};

/* Wait for the end of a binding, by whoever; -ETIMEDOUT; -ENOENT: ended too long ago to know */
struct bare_wait {
	__u64 id; /* in */
	__u32 timeout_ms; /* in */
	__u32 pad;
	__u64 ns; /* out: as bare_unbind */
	__u64 done_ns; /* out: when it was unbound; CLOCK_MONOTONIC */
};

#define BARE_BIND _IOWR(0xB6, 0x00, struct bare_bind)
#define BARE_UNBIND _IOWR(0xB6, 0x01, struct bare_unbind)
#define BARE_WAIT _IOWR(0xB6, 0x02, struct bare_wait)

#endif /* SVAD_BARE_H */
