# SPDX-License-Identifier: GPL-2.0-or-later
# Every suite writes TAP, so that automake counts each test in it. A suite in C: one check_PROGRAMS line, its sources, and
# $(TEST_LIBS) plus what it tests. Run one with: make check-TESTS TESTS=test-wire, or by hand: ./test-wire [CASE...]

LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
# The exit status adds nothing to what TAP says (a suite that ends early has no plan, which is an error); it would count twice.
LOG_DRIVER_FLAGS = --merge --ignore-exit
TEST_EXTENSIONS = .sh
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_DRIVER_FLAGS = $(LOG_DRIVER_FLAGS)
SH_LOG_COMPILER = $(BASH_FOR_TESTS)
BASH_FOR_TESTS = bash

AM_TESTS_ENVIRONMENT = \
	SVAD_BUILDDIR='$(abs_top_builddir)'; export SVAD_BUILDDIR; \
	SVAD_SRCDIR='$(abs_top_srcdir)'; export SVAD_SRCDIR; \
	SVAD_VARIANT_CFLAGS='$(VARIANT_CFLAGS)'; export SVAD_VARIANT_CFLAGS; \
	CC='$(CC)'; export CC;

EXTRA_DIST += \
	tests/system/demo.sh \
	tests/doc-examples.sh \
	tests/manifests.py \
	tests/mutations.list \
	tests/mutations.sh \
	tests/packaging.sh \
	tests/run-all \
	tests/steps.sh \
	tests/tsan.supp

# Runs a command beside a daemon of its own.
check_PROGRAMS += with-daemon
with_daemon_SOURCES = tests/with-daemon.c tests/child.h

if HAVE_CHECK

check_LTLIBRARIES += libtap.la
libtap_la_SOURCES = tests/tap.c tests/tap.h tests/child.h
libtap_la_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
libtap_la_LIBADD = $(CHECK_LIBS)
libtap_la_LDFLAGS =

TEST_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(top_srcdir)/tests
TEST_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
TEST_LIBS = libtap.la $(CHECK_LIBS)

# ---- unit tests -------------------------------------------------------------------------------

UNIT_TESTS = \
	test-tap

test_tap_SOURCES = tests/unit/test-tap.c
test_tap_CPPFLAGS = $(TEST_CPPFLAGS)
test_tap_CFLAGS = $(TEST_CFLAGS)
test_tap_LDADD = $(TEST_LIBS)

UNIT_TESTS += test-wire
test_wire_SOURCES = tests/unit/test-wire.c
test_wire_CPPFLAGS = $(TEST_CPPFLAGS)
test_wire_CFLAGS = $(TEST_CFLAGS)
test_wire_LDADD = $(TEST_LIBS) libsvadproto.la $(PROTOBUF_C_LIBS)

UNIT_TESTS += test-lib
test_lib_SOURCES = \
	tests/unit/fake-svad.c \
	tests/unit/fake-svad.h \
	tests/unit/lib-world.c \
	tests/unit/lib-world.h \
	tests/unit/test-lib.c
test_lib_CPPFLAGS = $(TEST_CPPFLAGS)
test_lib_CFLAGS = $(TEST_CFLAGS)
test_lib_LDADD = $(TEST_LIBS) libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)

UNIT_TESTS += test-lib-kmod
test_lib_kmod_SOURCES = \
	tests/unit/fake-svad.c \
	tests/unit/fake-svad.h \
	tests/unit/lib-world.c \
	tests/unit/lib-world.h \
	tests/unit/test-lib-kmod.c
test_lib_kmod_CPPFLAGS = $(TEST_CPPFLAGS)
test_lib_kmod_CFLAGS = $(TEST_CFLAGS)
test_lib_kmod_LDADD = $(TEST_LIBS) libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)

if HAVE_CXX
UNIT_TESTS += test-lib-cxx
test_lib_cxx_SOURCES = tests/unit/test-lib-cxx.cc
test_lib_cxx_LDADD = libsvaclient.la
endif HAVE_CXX

TESTS += tests/unit/test-lib-symbols.sh
dist_check_SCRIPTS += tests/unit/test-lib-symbols.sh

UNIT_TESTS += test-lib-admin
test_lib_admin_SOURCES = tests/unit/fake-admin.c tests/unit/fake-admin.h tests/unit/test-lib-admin.c
test_lib_admin_CPPFLAGS = $(TEST_CPPFLAGS)
test_lib_admin_CFLAGS = $(TEST_CFLAGS)
test_lib_admin_LDADD = $(TEST_LIBS) libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)

UNIT_TESTS += test-netns
test_netns_SOURCES = tests/unit/test-netns.c cni/removal_note.c
test_netns_CPPFLAGS = $(TEST_CPPFLAGS)
test_netns_CFLAGS = $(TEST_CFLAGS)
test_netns_LDADD = $(TEST_LIBS) libsvaclient.la

# The plugin's own program is what is run.
UNIT_TESTS += test-cni test-cni-svad
test_cni_SOURCES = tests/unit/cni-run.c tests/unit/cni-run.h tests/unit/test-cni.c
test_cni_CPPFLAGS = $(TEST_CPPFLAGS)
test_cni_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
test_cni_LDADD = $(TEST_LIBS) $(JANSSON_LIBS)
test_cni_svad_SOURCES = tests/unit/cni-run.c tests/unit/cni-run.h tests/unit/fake-admin.c tests/unit/fake-admin.h \
	tests/unit/test-cni-svad.c cni/removal_note.c
test_cni_svad_CPPFLAGS = $(TEST_CPPFLAGS)
test_cni_svad_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
test_cni_svad_LDADD = $(TEST_LIBS) libsvadproto.la $(PROTOBUF_C_LIBS) $(JANSSON_LIBS)

UNIT_TESTS += test-channel
test_channel_SOURCES = tests/unit/test-channel.c
test_channel_CPPFLAGS = $(TEST_CPPFLAGS)
test_channel_CFLAGS = $(TEST_CFLAGS)
test_channel_LDADD = $(TEST_LIBS) libsvad-common.la

UNIT_TESTS += test-config
test_config_SOURCES = tests/unit/test-config.c
test_config_CPPFLAGS = $(TEST_CPPFLAGS)
test_config_CFLAGS = $(TEST_CFLAGS)
test_config_LDADD = $(TEST_LIBS) libsvad-common.la

UNIT_TESTS += test-log
test_log_SOURCES = tests/unit/test-log.c
test_log_CPPFLAGS = $(TEST_CPPFLAGS)
test_log_CFLAGS = $(TEST_CFLAGS)
test_log_LDADD = $(TEST_LIBS) libsvad-common.la

UNIT_TESTS += test-policy
test_policy_SOURCES = tests/unit/test-policy.c
test_policy_CPPFLAGS = $(TEST_CPPFLAGS)
test_policy_CFLAGS = $(TEST_CFLAGS)
test_policy_LDADD = $(TEST_LIBS) libsvad-common.la

UNIT_TESTS += test-listen
test_listen_SOURCES = tests/unit/test-listen.c daemon/listen.c
test_listen_CPPFLAGS = $(TEST_CPPFLAGS)
test_listen_CFLAGS = $(TEST_CFLAGS) $(LIBSYSTEMD_CFLAGS)
test_listen_LDADD = $(TEST_LIBS) libsvad-common.la $(LIBSYSTEMD_LIBS)

UNIT_TESTS += test-sim
test_sim_SOURCES = tests/unit/test-sim.c daemon/sim_checker.c daemon/sim_crc32c.c daemon/sim_procmap.c
test_sim_CPPFLAGS = $(TEST_CPPFLAGS)
test_sim_CFLAGS = $(TEST_CFLAGS)
test_sim_LDADD = $(TEST_LIBS) libsvad-common.la

UNIT_TESTS += test-drain
test_drain_SOURCES = tests/unit/test-drain.c daemon/drain.c
test_drain_CPPFLAGS = $(TEST_CPPFLAGS)
test_drain_CFLAGS = $(TEST_CFLAGS)
test_drain_LDADD = $(TEST_LIBS)

UNIT_TESTS += test-idmap
test_idmap_SOURCES = tests/unit/test-idmap.c daemon/idmap.c
test_idmap_CPPFLAGS = $(TEST_CPPFLAGS)
test_idmap_CFLAGS = $(TEST_CFLAGS)
test_idmap_LDADD = $(TEST_LIBS)

UNIT_TESTS += test-peer
test_peer_SOURCES = tests/unit/test-peer.c daemon/lacks.c daemon/peer.c
test_peer_CPPFLAGS = $(TEST_CPPFLAGS)
test_peer_CFLAGS = $(TEST_CFLAGS)
test_peer_LDADD = $(TEST_LIBS)

UNIT_TESTS += test-device-select
test_device_select_SOURCES = tests/unit/test-device-select.c daemon/device.c
test_device_select_CPPFLAGS = $(TEST_CPPFLAGS)
test_device_select_CFLAGS = $(TEST_CFLAGS) $(LIBUV_CFLAGS)
test_device_select_LDADD = libsvad-common.la $(TEST_LIBS)

fake_kmod = tests/unit/fake-kmod.c tests/unit/fake-kmod-acts.c tests/unit/fake-kmod.h tests/unit/fake-kmod-private.h

UNIT_TESTS += test-backend-kmod
test_backend_kmod_SOURCES = tests/unit/test-backend-kmod.c $(fake_kmod) daemon/backend_kmod.c
test_backend_kmod_CPPFLAGS = $(TEST_CPPFLAGS)
test_backend_kmod_CFLAGS = $(TEST_CFLAGS) $(LIBUV_CFLAGS)
test_backend_kmod_LDADD = libsvad-common.la $(LIBUV_LIBS) $(TEST_LIBS)

UNIT_TESTS += test-vfio
test_vfio_SOURCES = tests/unit/test-vfio.c daemon/vfio.c
test_vfio_CPPFLAGS = $(TEST_CPPFLAGS)
test_vfio_CFLAGS = $(TEST_CFLAGS)
test_vfio_LDADD = $(TEST_LIBS)

UNIT_TESTS += test-probe
test_probe_SOURCES = tests/unit/test-probe.c daemon/supervisor_probe.c daemon/log.c daemon/channel.c
test_probe_CPPFLAGS = $(TEST_CPPFLAGS)
test_probe_CFLAGS = $(TEST_CFLAGS) $(LIBSYSTEMD_CFLAGS)
test_probe_LDADD = $(TEST_LIBS) $(LIBSYSTEMD_LIBS)

UNIT_TESTS += test-kmod-open
test_kmod_open_SOURCES = tests/unit/test-kmod-open.c daemon/supervisor_kmod.c daemon/supervisor_kmod.h
test_kmod_open_CPPFLAGS = $(TEST_CPPFLAGS)
test_kmod_open_CFLAGS = $(TEST_CFLAGS)
test_kmod_open_LDADD = $(TEST_LIBS)

UNIT_TESTS += test-broker-kmod
test_broker_kmod_SOURCES = tests/unit/test-broker-kmod.c $(fake_kmod) $(broker_parts)
test_broker_kmod_CPPFLAGS = $(TEST_CPPFLAGS)
test_broker_kmod_CFLAGS = $(TEST_CFLAGS) $(LIBUV_CFLAGS) $(SECCOMP_CFLAGS)
test_broker_kmod_LDADD = libsvad-common.la libsvadproto.la $(LIBUV_LIBS) $(SECCOMP_LIBS) $(PROTOBUF_C_LIBS) $(TEST_LIBS)

UNIT_TESTS += test-container-record
test_container_record_SOURCES = tests/unit/test-container-record.c $(broker_parts)
test_container_record_CPPFLAGS = $(TEST_CPPFLAGS)
test_container_record_CFLAGS = $(TEST_CFLAGS) $(LIBUV_CFLAGS) $(SECCOMP_CFLAGS)
test_container_record_LDADD = libsvad-common.la libsvadproto.la $(LIBUV_LIBS) $(SECCOMP_LIBS) $(PROTOBUF_C_LIBS) $(TEST_LIBS)

UNIT_TESTS += test-doctor
test_doctor_SOURCES = tests/unit/test-doctor.c \
	client/ctl/doctor_config.c client/ctl/doctor_hardware.c client/ctl/doctor_iommu.c client/ctl/doctor_log.c \
	client/ctl/args.c client/ctl/doctor_vfio.c client/ctl/hw.c client/ctl/json.c client/ctl/machine.c client/ctl/names.c \
	client/ctl/term.c client/ctl/vfio_text.c
test_doctor_CPPFLAGS = $(TEST_CPPFLAGS)
test_doctor_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
test_doctor_LDADD = libsvad-common.la libsvadproto.la $(PROTOBUF_C_LIBS) $(JANSSON_LIBS) $(TEST_LIBS)

UNIT_TESTS += test-doctor-device
test_doctor_device_SOURCES = tests/unit/test-doctor-device.c client/ctl/doctor_device.c
test_doctor_device_CPPFLAGS = $(TEST_CPPFLAGS)
test_doctor_device_CFLAGS = $(TEST_CFLAGS)
test_doctor_device_LDADD = $(TEST_LIBS)

UNIT_TESTS += test-doctor-runtimes
test_doctor_runtimes_SOURCES = tests/unit/test-doctor-runtimes.c \
	client/ctl/cgroup.c client/ctl/doctor_runtimes.c client/ctl/machine.c
test_doctor_runtimes_CPPFLAGS = $(TEST_CPPFLAGS)
test_doctor_runtimes_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
test_doctor_runtimes_LDADD = $(JANSSON_LIBS) $(TEST_LIBS)

# ---- system tests: real processes on the simulated device ---------------------------------------

SYSTEM_TESTS =

SYSTEM_TESTS += test-ctl
test_ctl_SOURCES = \
	tests/system/ctl-fake.c \
	tests/system/ctl-fake.h \
	tests/system/ctl-run.c \
	tests/system/ctl-run.h \
	tests/system/test-ctl.c
test_ctl_CPPFLAGS = $(TEST_CPPFLAGS)
test_ctl_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
test_ctl_LDADD = $(TEST_LIBS) libsvadproto.la $(PROTOBUF_C_LIBS) $(JANSSON_LIBS)

SYSTEM_TESTS += test-ctl-containers
test_ctl_containers_SOURCES = \
	tests/system/cdi-check.c \
	tests/system/cdi-check.h \
	tests/system/ctl-fake.c \
	tests/system/ctl-fake.h \
	tests/system/ctl-run.c \
	tests/system/ctl-run.h \
	tests/system/test-ctl-containers.c
test_ctl_containers_CPPFLAGS = $(TEST_CPPFLAGS)
test_ctl_containers_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
test_ctl_containers_LDADD = $(TEST_LIBS) libsvadproto.la $(PROTOBUF_C_LIBS) $(JANSSON_LIBS)

TESTS += tests/system/demo.sh

SYSTEM_TESTS += test-supervisor
check_PROGRAMS += fake-child
test_supervisor_SOURCES = \
	tests/system/supervisor-world.c \
	tests/system/supervisor-world.h \
	tests/system/test-supervisor.c
test_supervisor_CPPFLAGS = $(TEST_CPPFLAGS)
test_supervisor_CFLAGS = $(TEST_CFLAGS)
test_supervisor_LDADD = $(TEST_LIBS)
fake_child_SOURCES = tests/system/fake-child.c
fake_child_LDADD = libsvad-common.la

SYSTEM_TESTS += test-simdev test-simdev-drain
test_simdev_SOURCES = tests/system/test-simdev.c tests/system/sim-harness.c tests/system/sim-harness.h
test_simdev_CPPFLAGS = $(TEST_CPPFLAGS)
test_simdev_CFLAGS = $(TEST_CFLAGS)
test_simdev_LDADD = $(TEST_LIBS) libsvad-common.la
test_simdev_drain_SOURCES = tests/system/test-simdev-drain.c tests/system/sim-harness.c tests/system/sim-harness.h \
	tests/system/slow-file.c tests/system/slow-file.h
test_simdev_drain_CPPFLAGS = $(TEST_CPPFLAGS)
test_simdev_drain_CFLAGS = $(TEST_CFLAGS)
test_simdev_drain_LDADD = $(TEST_LIBS) libsvad-common.la

SYSTEM_TESTS += test-random
test_random_SOURCES = \
	tests/system/live.c \
	tests/system/live.h \
	tests/system/random-memory.c \
	tests/system/random-worker.c \
	tests/system/random.h \
	tests/system/test-random.c
test_random_CPPFLAGS = $(TEST_CPPFLAGS)
test_random_CFLAGS = $(TEST_CFLAGS)
test_random_LDADD = $(TEST_LIBS) libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)

# A whole svad with raw clients.
SYS_HARNESS = \
	tests/system/harness.c \
	tests/system/harness.h \
	tests/system/harness-child.c \
	tests/system/harness-client.c
SYS_LIBS = $(TEST_LIBS) libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)

# For LD_PRELOAD: -rpath makes libtool build it as a shared library.
check_LTLIBRARIES += faulty-accept.la
faulty_accept_la_SOURCES = tests/system/faulty-accept.c
faulty_accept_la_LDFLAGS = -module -avoid-version -shared -rpath $(abs_top_builddir)

SYSTEM_TESTS += test-bad-input test-bad-fds test-overload test-bind test-lifetime test-memory test-revoke \
	test-daemon test-hostile
test_bad_input_SOURCES = tests/system/test-bad-input.c $(SYS_HARNESS)
test_bad_input_CPPFLAGS = $(TEST_CPPFLAGS)
test_bad_input_CFLAGS = $(TEST_CFLAGS)
test_bad_input_LDADD = $(SYS_LIBS)
test_bad_fds_SOURCES = tests/system/test-bad-fds.c $(SYS_HARNESS)
test_bad_fds_CPPFLAGS = $(TEST_CPPFLAGS)
test_bad_fds_CFLAGS = $(TEST_CFLAGS)
test_bad_fds_LDADD = $(SYS_LIBS)
test_overload_SOURCES = tests/system/test-overload.c $(SYS_HARNESS)
test_overload_CPPFLAGS = $(TEST_CPPFLAGS)
test_overload_CFLAGS = $(TEST_CFLAGS)
test_overload_LDADD = $(SYS_LIBS)
test_bind_SOURCES = tests/system/test-bind.c $(SYS_HARNESS)
test_bind_CPPFLAGS = $(TEST_CPPFLAGS)
test_bind_CFLAGS = $(TEST_CFLAGS)
test_bind_LDADD = $(SYS_LIBS)
test_memory_SOURCES = tests/system/test-memory.c tests/system/work.c tests/system/work.h $(SYS_HARNESS) \
	tests/system/slow-file.c tests/system/slow-file.h
test_memory_CPPFLAGS = $(TEST_CPPFLAGS)
test_memory_CFLAGS = $(TEST_CFLAGS)
test_memory_LDADD = $(SYS_LIBS)
test_lifetime_SOURCES = tests/system/test-lifetime.c tests/system/work.c tests/system/work.h $(SYS_HARNESS)
test_lifetime_CPPFLAGS = $(TEST_CPPFLAGS)
test_lifetime_CFLAGS = $(TEST_CFLAGS)
test_lifetime_LDADD = $(SYS_LIBS)
test_revoke_SOURCES = tests/system/test-revoke.c $(SYS_HARNESS)
test_revoke_CPPFLAGS = $(TEST_CPPFLAGS)
test_revoke_CFLAGS = $(TEST_CFLAGS)
test_revoke_LDADD = $(SYS_LIBS)
test_hostile_SOURCES = tests/system/test-hostile.c $(SYS_HARNESS)
test_hostile_CPPFLAGS = $(TEST_CPPFLAGS)
test_hostile_CFLAGS = $(TEST_CFLAGS)
test_hostile_LDADD = $(SYS_LIBS)
test_daemon_SOURCES = tests/system/test-daemon.c $(SYS_HARNESS)
test_daemon_CPPFLAGS = $(TEST_CPPFLAGS)
test_daemon_CFLAGS = $(TEST_CFLAGS)
test_daemon_LDADD = $(SYS_LIBS)

# The same with network namespaces, which is what containers are to svad.
NETNS_WORLD = tests/system/netns-world.c tests/system/netns-world.h
SYSTEM_TESTS += test-container-ends test-containers test-container-store test-identity test-reconcile \
	test-container-limits
test_container_limits_SOURCES = tests/system/test-container-limits.c $(NETNS_WORLD) $(SYS_HARNESS)
test_container_limits_CPPFLAGS = $(TEST_CPPFLAGS)
test_container_limits_CFLAGS = $(TEST_CFLAGS)
test_container_limits_LDADD = $(SYS_LIBS)
test_identity_SOURCES = tests/system/test-identity.c $(NETNS_WORLD) $(SYS_HARNESS)
test_identity_CPPFLAGS = $(TEST_CPPFLAGS)
test_identity_CFLAGS = $(TEST_CFLAGS)
test_identity_LDADD = $(SYS_LIBS)
test_reconcile_SOURCES = tests/system/test-reconcile.c $(NETNS_WORLD) $(SYS_HARNESS)
test_reconcile_CPPFLAGS = $(TEST_CPPFLAGS)
test_reconcile_CFLAGS = $(TEST_CFLAGS)
test_reconcile_LDADD = $(SYS_LIBS) -lpthread
test_container_ends_SOURCES = tests/system/test-container-ends.c $(NETNS_WORLD) $(SYS_HARNESS)
test_container_ends_CPPFLAGS = $(TEST_CPPFLAGS)
test_container_ends_CFLAGS = $(TEST_CFLAGS)
test_container_ends_LDADD = $(SYS_LIBS)
test_containers_SOURCES = tests/system/test-containers.c $(NETNS_WORLD) $(SYS_HARNESS)
test_containers_CPPFLAGS = $(TEST_CPPFLAGS)
test_containers_CFLAGS = $(TEST_CFLAGS)
test_containers_LDADD = $(SYS_LIBS)
test_container_store_SOURCES = tests/system/test-container-store.c $(NETNS_WORLD) $(SYS_HARNESS)
test_container_store_CPPFLAGS = $(TEST_CPPFLAGS)
test_container_store_CFLAGS = $(TEST_CFLAGS)
test_container_store_LDADD = $(SYS_LIBS)

SYSTEM_TESTS += test-hardware
test_hardware_SOURCES = tests/system/test-hardware.c $(SYS_HARNESS)
test_hardware_CPPFLAGS = $(TEST_CPPFLAGS)
test_hardware_CFLAGS = $(TEST_CFLAGS)
test_hardware_LDADD = $(SYS_LIBS)

# ---- which of them run again in other ways (tests/run-all) ---------------------------------------

# Under ThreadSanitizer: what has threads, that is the simulated device and the library.
TSAN_SUITES = test-lib test-simdev test-simdev-drain test-random
# With the broker under Valgrind, by $SVAD_LIBEXECDIR: suites that start a whole daemon.
# (Not test-daemon: Valgrind 3.19 has no pidfd_open(), which a restarted broker finds the owners of bonds with.)
VALGRIND_SUITES = tests/doc-examples.sh test-bad-input test-bind test-revoke test-overload test-lifetime test-containers

check_PROGRAMS += $(UNIT_TESTS) $(SYSTEM_TESTS)
TESTS += $(UNIT_TESTS) $(SYSTEM_TESTS) tests/packaging.sh tests/doc-examples.sh
if MUTATIONS
TESTS += tests/mutations.sh
endif

check-programs: $(check_PROGRAMS) $(check_LTLIBRARIES)
.PHONY: check-programs

endif HAVE_CHECK

# ---- benchmarks: ./bootstrap bench --------------------------------------------------------------

noinst_PROGRAMS += svad-bench
svad_bench_SOURCES = \
	tests/bench/bench-bind.c \
	tests/bench/bench-containers.c \
	tests/bench/bench-containers.h \
	tests/bench/bench-dbus.c \
	tests/bench/bench-dma.c \
	tests/bench/bench-drain.c \
	tests/bench/bench-podman.c \
	tests/bench/bench-proc.c \
	tests/bench/bench-requests.c \
	tests/bench/bench.c \
	tests/bench/bench.h \
	tests/system/live.c \
	tests/system/live.h
svad_bench_CFLAGS = $(AM_CFLAGS) $(LIBSYSTEMD_CFLAGS) $(JANSSON_CFLAGS)
svad_bench_LDADD = libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS) $(LIBSYSTEMD_LIBS) $(JANSSON_LIBS) -lm
EXTRA_DIST += tests/bench/run
$(svad_bench_OBJECTS): $(BUILT_SOURCES)

# For scripts: make -s print-VARIABLE
print-TSAN_SUITES: ; @echo $(TSAN_SUITES)
print-VALGRIND_SUITES: ; @echo $(VALGRIND_SUITES)
print-sbindir: ; @echo $(sbindir)
print-bindir: ; @echo $(bindir)
print-libdir: ; @echo $(libdir)
print-includedir: ; @echo $(includedir)
print-mandir: ; @echo $(mandir)
print-cnidir: ; @echo $(cnidir)
print-pkgdatadir: ; @echo $(pkgdatadir)
print-pkglibexecdir: ; @echo $(pkglibexecdir)
print-pkgsysconfdir: ; @echo $(pkgsysconfdir)
print-systemdsystemunitdir: ; @echo $(systemdsystemunitdir)
print-sysusersdir: ; @echo $(sysusersdir)
print-tmpfilesdir: ; @echo $(tmpfilesdir)
print-catalogdir: ; @echo $(catalogdir)
