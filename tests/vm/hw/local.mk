# SPDX-License-Identifier: GPL-2.0-or-later
# vm-hw: an SMMUv3 and accelerators, played to a guest in the memory that QEMU shares with it.

VM_HW = \
	daemon/sim_crc32c.c \
	daemon/sim_crc32c.h \
	tests/vm/hw/accel.c \
	tests/vm/hw/accel.h \
	tests/vm/hw/atc.c \
	tests/vm/hw/checker.c \
	tests/vm/hw/checker.h \
	tests/vm/hw/cmd.c \
	tests/vm/hw/config.c \
	tests/vm/hw/engine.c \
	tests/vm/hw/event.c \
	tests/vm/hw/hw.c \
	tests/vm/hw/hw.h \
	tests/vm/hw/irq.c \
	tests/vm/hw/irq.h \
	tests/vm/hw/job.c \
	tests/vm/hw/log.c \
	tests/vm/hw/log.h \
	tests/vm/hw/pri.c \
	tests/vm/hw/queue.c \
	tests/vm/hw/ram.c \
	tests/vm/hw/ram.h \
	tests/vm/hw/request.c \
	tests/vm/hw/control.h \
	tests/vm/hw/slot.c \
	tests/vm/hw/smmu.c \
	tests/vm/hw/smmu.h \
	tests/vm/hw/smmu_regs.h \
	tests/vm/hw/stall.c \
	tests/vm/hw/timer.c \
	tests/vm/hw/timer.h \
	tests/vm/hw/tlb.c \
	tests/vm/hw/tlb.h \
	tests/vm/hw/transit.c \
	tests/vm/hw/translate.c \
	tests/vm/hw/walk.c \
	tests/vm/hw/walk.h

noinst_PROGRAMS += vm-hw
vm_hw_SOURCES = $(VM_HW) tests/vm/hw/control.c tests/vm/hw/main.c
vm_hw_LDADD =
