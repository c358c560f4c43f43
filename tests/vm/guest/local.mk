# SPDX-License-Identifier: GPL-2.0-or-later
# What runs in the guest of the VM tier. Built natively as well, so that every compiler sees it; it runs in the guest only. No sanitizer and
# no count of lines is of use for it.

if VARIANT_PLAIN
noinst_PROGRAMS += vm-scenario vm-bench
endif

vm_scenario_SOURCES = \
	tests/system/live.c \
	tests/system/live.h \
	tests/system/slow-file.c \
	tests/system/slow-file.h \
	tests/vm/bare/bare.h \
	tests/vm/guest/base.c \
	tests/vm/guest/bug2017.c \
	tests/vm/guest/cache.c \
	tests/vm/guest/check.c \
	tests/vm/guest/container.c \
	tests/vm/guest/cross.c \
	tests/vm/guest/ctlrun.c \
	tests/vm/guest/daemon.c \
	tests/vm/guest/driver.c \
	tests/vm/guest/end.c \
	tests/vm/guest/fuzz.c \
	tests/vm/guest/generic.c \
	tests/vm/guest/grants.c \
	tests/vm/guest/hwctl.c \
	tests/vm/guest/kid.c \
	tests/vm/guest/life.c \
	tests/vm/guest/lock.c \
	tests/vm/guest/many.c \
	tests/vm/guest/mem.c \
	tests/vm/guest/memory.c \
	tests/vm/guest/off.c \
	tests/vm/guest/race.c \
	tests/vm/guest/raw.c \
	tests/vm/guest/remove.c \
	tests/vm/guest/reopen.c \
	tests/vm/guest/run.c \
	tests/vm/guest/smmu.c \
	tests/vm/guest/stop.c \
	tests/vm/guest/stuck.c \
	tests/vm/guest/vfio.c \
	tests/vm/guest/vm.h \
	tests/vm/guest/watch.c \
	tests/vm/guest/worker.c
vm_scenario_CFLAGS = $(AM_CFLAGS)
vm_scenario_LDADD = libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)

$(vm_scenario_OBJECTS): $(BUILT_SOURCES)

vm_bench_SOURCES = \
	tests/system/live.c \
	tests/vm/guest/base.c \
	tests/vm/guest/daemon.c \
	tests/vm/guest/driver.c \
	tests/vm/guest/hwctl.c \
	tests/vm/guest/kid.c \
	tests/vm/guest/memory.c \
	tests/vm/guest/raw.c \
	tests/vm/guest/vm-bench.c \
	tests/vm/guest/watch.c
vm_bench_CFLAGS = $(AM_CFLAGS)
vm_bench_LDADD = libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)
$(vm_bench_OBJECTS): $(BUILT_SOURCES)

EXTRA_DIST += \
	tests/vm/guest/scenarios.list
