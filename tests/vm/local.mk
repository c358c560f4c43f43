# SPDX-License-Identifier: GPL-2.0-or-later
# The VM tier: ./bootstrap check-vm (doc/vm.md).

EXTRA_DIST += \
	tests/vm/bare/Makefile \
	tests/vm/bare/accel.c \
	tests/vm/bare/bare.h \
	tests/vm/bare/function.c \
	tests/vm/bare/late.c \
	tests/vm/bare/plain.c \
	tests/vm/bare/provider.c \
	tests/vm/devicetree \
	tests/vm/init \
	tests/vm/initramfs \
	tests/vm/kernel \
	tests/vm/kernel-7.2.config \
	tests/vm/kernel-debug.config \
	tests/vm/kernel.config \
	tests/vm/lint \
	tests/vm/machine.dtso \
	tests/vm/machine.sh \
	tests/vm/modules \
	tests/vm/mutations.list \
	tests/vm/mutations.sh \
	tests/vm/packages \
	tests/vm/run

include tests/vm/guest/local.mk
include tests/vm/hw/local.mk
