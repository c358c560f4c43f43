# SPDX-License-Identifier: GPL-2.0-only
# The kernel module is built by the kernel's own build system (kmod/Makefile): here is only what goes into a release.

EXTRA_DIST += \
	kmod/Kbuild \
	kmod/Makefile \
	kmod/accel/driver.c \
	kmod/accel/hw.c \
	kmod/accel/hw.h \
	kmod/accel/svad_accel_regs.h \
	kmod/bond.c \
	kmod/compat.h \
	kmod/ctx.c \
	kmod/device.c \
	kmod/drain.c \
	kmod/event.c \
	kmod/flush.c \
	kmod/flush.h \
	kmod/generic.c \
	kmod/list.c \
	kmod/main.c \
	kmod/mm.c \
	kmod/mutation.c \
	kmod/mutation.h \
	kmod/portal.c \
	kmod/ref.c \
	kmod/reset.c \
	kmod/svabroker_private.h \
	kmod/svabroker_provider.h
