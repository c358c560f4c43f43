# SPDX-License-Identifier: GPL-2.0-or-later
# The kernel module is built by the kernel's own build system (kmod/Makefile): here is only what goes into a release.

EXTRA_DIST += \
	kmod/accel/driver.c \
	kmod/accel/hw.c \
	kmod/accel/hw.h \
	kmod/accel/svad_accel_regs.h \
	kmod/flush.c \
	kmod/flush.h \
	kmod/generic.c \
	kmod/mutation.h \
	kmod/svabroker_provider.h
