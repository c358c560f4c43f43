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

# With flags of its own, so that its objects are (daemon/sim_crc32c.c is in another program as well).
noinst_LTLIBRARIES += libvmhw.la
libvmhw_la_SOURCES = $(VM_HW)
libvmhw_la_CFLAGS = $(AM_CFLAGS)

noinst_PROGRAMS += vm-hw
vm_hw_SOURCES = tests/vm/hw/control.c tests/vm/hw/main.c
vm_hw_LDADD = libvmhw.la

if HAVE_CHECK

check_LTLIBRARIES += libvmhwtest.la
libvmhwtest_la_SOURCES = \
	tests/vm/hw/accel-fixture.c \
	tests/vm/hw/accel-fixture.h \
	tests/vm/hw/fault-fixture.c \
	tests/vm/hw/fault-fixture.h \
	tests/vm/hw/fixture.c \
	tests/vm/hw/fixture.h \
	tests/vm/hw/world.c \
	tests/vm/hw/world.h
libvmhwtest_la_CPPFLAGS = $(TEST_CPPFLAGS)
libvmhwtest_la_CFLAGS = $(TEST_CFLAGS)
libvmhwtest_la_LIBADD = libvmhw.la

HW_TESTS = test-hw-accel test-hw-checker test-hw-cmd test-hw-fault test-hw-stall test-hw-stop test-hw-threads test-hw-walk

test_hw_accel_SOURCES = tests/vm/hw/test-hw-accel.c
test_hw_accel_CPPFLAGS = $(TEST_CPPFLAGS)
test_hw_accel_CFLAGS = $(TEST_CFLAGS)
test_hw_accel_LDADD = libvmhwtest.la $(TEST_LIBS)
test_hw_checker_SOURCES = tests/vm/hw/test-hw-checker.c
test_hw_checker_CPPFLAGS = $(TEST_CPPFLAGS)
test_hw_checker_CFLAGS = $(TEST_CFLAGS)
test_hw_checker_LDADD = libvmhwtest.la $(TEST_LIBS)
test_hw_cmd_SOURCES = tests/vm/hw/test-hw-cmd.c
test_hw_cmd_CPPFLAGS = $(TEST_CPPFLAGS)
test_hw_cmd_CFLAGS = $(TEST_CFLAGS)
test_hw_cmd_LDADD = libvmhwtest.la $(TEST_LIBS)
test_hw_fault_SOURCES = tests/vm/hw/test-hw-fault.c
test_hw_fault_CPPFLAGS = $(TEST_CPPFLAGS)
test_hw_fault_CFLAGS = $(TEST_CFLAGS)
test_hw_fault_LDADD = libvmhwtest.la $(TEST_LIBS)
test_hw_stall_SOURCES = tests/vm/hw/test-hw-stall.c
test_hw_stall_CPPFLAGS = $(TEST_CPPFLAGS)
test_hw_stall_CFLAGS = $(TEST_CFLAGS)
test_hw_stall_LDADD = libvmhwtest.la $(TEST_LIBS)
test_hw_stop_SOURCES = tests/vm/hw/test-hw-stop.c
test_hw_stop_CPPFLAGS = $(TEST_CPPFLAGS)
test_hw_stop_CFLAGS = $(TEST_CFLAGS)
test_hw_stop_LDADD = libvmhwtest.la $(TEST_LIBS)
test_hw_threads_SOURCES = tests/vm/hw/test-hw-threads.c
test_hw_threads_CPPFLAGS = $(TEST_CPPFLAGS)
test_hw_threads_CFLAGS = $(TEST_CFLAGS)
test_hw_threads_LDADD = libvmhwtest.la $(TEST_LIBS)
test_hw_walk_SOURCES = tests/vm/hw/test-hw-walk.c
test_hw_walk_CPPFLAGS = $(TEST_CPPFLAGS)
test_hw_walk_CFLAGS = $(TEST_CFLAGS)
test_hw_walk_LDADD = libvmhwtest.la $(TEST_LIBS)

check_PROGRAMS += $(HW_TESTS)
TESTS += $(HW_TESTS)
TSAN_SUITES += test-hw-threads

endif HAVE_CHECK
