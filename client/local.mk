# SPDX-License-Identifier: GPL-2.0-or-later

# ---- libsvaclient -----------------------------------------------------------------------------

lib_LTLIBRARIES += libsvaclient.la
libsvaclient_la_SOURCES = \
	client/lib/admin.c \
	client/lib/admin_calls.c \
	client/lib/admin_internal.h \
	client/lib/admin_remove.c \
	client/lib/bind.c \
	client/lib/bond.c \
	client/lib/call.c \
	client/lib/connection.c \
	client/lib/ctx.c \
	client/lib/ctx_kmod.c \
	client/lib/ctx_sim.c \
	client/lib/ctx_transport.h \
	client/lib/error.c \
	client/lib/event.c \
	client/lib/fork.c \
	client/lib/internal.h \
	client/lib/netns.c \
	client/lib/portal.c \
	client/lib/queue.c \
	client/lib/sva.c
libsvaclient_la_LIBADD = libsvadproto.la $(PROTOBUF_C_LIBS)
# current:revision:age. A new function: current+1:0:age+1. Anything removed or changed: never, in SVACLIENT_1.
libsvaclient_la_LDFLAGS = \
	-pthread $(VARIANT_LDFLAGS) \
	-version-info 2:0:1 \
	-Wl,-z,nodelete \
	-Wl,--version-script=$(top_srcdir)/client/lib/libsvaclient.map
EXTRA_libsvaclient_la_DEPENDENCIES = client/lib/libsvaclient.map
EXTRA_DIST += client/lib/libsvaclient.map

svaincludedir = $(includedir)/sva
svainclude_HEADERS = \
	client/lib/sva/admin.h \
	client/lib/sva/demo_accel.h \
	client/lib/sva/queue.h \
	client/lib/sva/sva.h \
	kmod/svabroker.h

# As installed, so that programs in the tree write #include <sva/svabroker.h> as others do.
include/sva/svabroker.h: $(top_srcdir)/kmod/svabroker.h
	$(AM_V_at)$(MKDIR_P) include/sva
	$(AM_V_GEN)cp $(top_srcdir)/kmod/svabroker.h $@
BUILT_SOURCES += include/sva/svabroker.h
CLEANFILES += include/sva/svabroker.h

pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = client/lib/libsvaclient.pc

# ---- svadctl ----------------------------------------------------------------------------------

bin_PROGRAMS += svadctl
svadctl_SOURCES = \
	client/ctl/args.c \
	client/ctl/bond.c \
	client/ctl/bond.h \
	client/ctl/cdi.c \
	client/ctl/cdi.h \
	client/ctl/cdi_cmd.c \
	client/ctl/cgroup.c \
	client/ctl/cgroup.h \
	client/ctl/client.c \
	client/ctl/client.h \
	client/ctl/config.c \
	client/ctl/container.c \
	client/ctl/container.h \
	client/ctl/container_end.c \
	client/ctl/container_register.c \
	client/ctl/container_show.c \
	client/ctl/ctl.h \
	client/ctl/device.c \
	client/ctl/device_hw.c \
	client/ctl/device_hw.h \
	client/ctl/doctor.c \
	client/ctl/doctor.h \
	client/ctl/doctor_config.c \
	client/ctl/doctor_containers.c \
	client/ctl/doctor_device.c \
	client/ctl/doctor_hardware.c \
	client/ctl/doctor_iommu.c \
	client/ctl/doctor_log.c \
	client/ctl/doctor_runtimes.c \
	client/ctl/doctor_sim.c \
	client/ctl/doctor_vfio.c \
	client/ctl/drain.c \
	client/ctl/hw.c \
	client/ctl/json.c \
	client/ctl/json.h \
	client/ctl/json_container.c \
	client/ctl/machine.c \
	client/ctl/machine.h \
	client/ctl/main.c \
	client/ctl/metrics.c \
	client/ctl/names.c \
	client/ctl/names.h \
	client/ctl/oci.c \
	client/ctl/oci.h \
	client/ctl/quarantine.c \
	client/ctl/rpc.c \
	client/ctl/rpc.h \
	client/ctl/rpc_clean.c \
	client/ctl/rpc_clean.h \
	client/ctl/status.c \
	client/ctl/table.c \
	client/ctl/table.h \
	client/ctl/term.c \
	client/ctl/term.h \
	client/ctl/top.c \
	client/ctl/top.h \
	client/ctl/top_containers.c \
	client/ctl/top_sample.c \
	client/ctl/units.c \
	client/ctl/units.h \
	client/ctl/vfio_text.c \
	client/ctl/vfio_text.h \
	client/ctl/watch.c \
	client/lib/netns.c \
	cni/removal_note.c \
	cni/removal_note.h
svadctl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) -DCNIDIR='"$(cnidir)"'
svadctl_LDADD = libsvad-common.la libsvadproto.la $(PROTOBUF_C_LIBS) $(JANSSON_LIBS)

# ---- examples and demo ------------------------------------------------------------------------

noinst_PROGRAMS += hello-sva
hello_sva_SOURCES = client/examples/hello-sva.c
hello_sva_LDADD = libsvaclient.la

noinst_PROGRAMS += svad-demo
svad_demo_SOURCES = \
	client/ctl/args.c \
	client/ctl/ctl.h \
	client/ctl/rpc.c \
	client/ctl/rpc.h \
	client/ctl/rpc_clean.c \
	client/ctl/rpc_clean.h \
	client/ctl/term.c \
	client/ctl/term.h \
	client/ctl/units.c \
	client/ctl/units.h \
	client/demo/children.c \
	client/demo/daemon.c \
	client/demo/demo.h \
	client/demo/fault.c \
	client/demo/main.c \
	client/demo/roles.c \
	client/demo/scenes.c
svad_demo_CFLAGS = $(AM_CFLAGS)
svad_demo_LDADD = libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)
