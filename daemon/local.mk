# SPDX-License-Identifier: GPL-2.0-or-later
# Three programs: svad (the supervisor), svad-broker, svad-simdev.

# What they share, and what the unit tests and `svadctl config check` link.
noinst_LTLIBRARIES += libsvad-common.la
libsvad_common_la_SOURCES = \
	daemon/channel.c \
	daemon/channel.h \
	daemon/config.c \
	daemon/config.h \
	daemon/config_finish.c \
	daemon/config_keys.c \
	daemon/config_parse.c \
	daemon/config_private.h \
	daemon/config_text.c \
	daemon/config_types.c \
	daemon/drain.c \
	daemon/drain.h \
	daemon/idmap.c \
	daemon/idmap.h \
	daemon/list.h \
	daemon/lacks.c \
	daemon/lacks.h \
	daemon/log.c \
	daemon/log.h \
	daemon/policy.c \
	daemon/policy.h \
	daemon/vfio.c \
	daemon/vfio.h \
	daemon/vfio_abi.h
libsvad_common_la_CFLAGS = $(AM_CFLAGS) $(INIH_CFLAGS) $(LIBSYSTEMD_CFLAGS)
libsvad_common_la_LIBADD = $(INIH_LIBS) $(LIBSYSTEMD_LIBS)
libsvad_common_la_LDFLAGS =

sbin_PROGRAMS += svad
svad_SOURCES = \
	daemon/listen.c \
	daemon/listen.h \
	daemon/main.c \
	daemon/notify.c \
	daemon/netns.c \
	daemon/netns.h \
	daemon/notify.h \
	daemon/spawn.c \
	daemon/spawn.h \
	daemon/supervisor.c \
	daemon/supervisor.h \
	daemon/supervisor_child.c \
	daemon/supervisor_kmod.c \
	daemon/supervisor_kmod.h \
	daemon/supervisor_netns.c \
	daemon/supervisor_private.h \
	daemon/supervisor_probe.c \
	daemon/supervisor_reload.c \
	daemon/supervisor_stop.c \
	daemon/supervisor_store.c
svad_CFLAGS = $(AM_CFLAGS) $(LIBSYSTEMD_CFLAGS)
svad_LDADD = libsvad-common.la $(LIBSYSTEMD_LIBS)

pkglibexec_PROGRAMS += svad-broker
# all of it but main(), for the tests that play the kernel module
broker_parts = \
	daemon/backend.h \
	daemon/backend_kmod.c \
	daemon/backend_kmod.h \
	daemon/backend_sim.c \
	daemon/bond.c \
	daemon/bond.h \
	daemon/broker.c \
	daemon/broker.h \
	daemon/broker_run.h \
	daemon/client.c \
	daemon/client.h \
	daemon/conn.c \
	daemon/conn.h \
	daemon/ctx.c \
	daemon/container.c \
	daemon/container.h \
	daemon/container_policy.c \
	daemon/container_policy.h \
	daemon/container_private.h \
	daemon/container_record.c \
	daemon/container_remove.c \
	daemon/container_store.c \
	daemon/container_store.h \
	daemon/container_timeline.c \
	daemon/container_timeline.h \
	daemon/device.c \
	daemon/device.h \
	daemon/events.c \
	daemon/events.h \
	daemon/follow.c \
	daemon/identify.c \
	daemon/identify.h \
	daemon/listener.c \
	daemon/listener.h \
	daemon/peer.c \
	daemon/peer.h \
	daemon/reconcile.c \
	daemon/reconcile.h \
	daemon/revoke.c \
	daemon/rpc.c \
	daemon/rpc.h \
	daemon/rpc_admin.c \
	daemon/rpc_client.c \
	daemon/rpc_container.c \
	daemon/rpc_container.h \
	daemon/rpc_container_list.c \
	daemon/rpc_probe.c \
	daemon/sandbox.c \
	daemon/sandbox.h \
	daemon/mutation.h \
	daemon/sim_crc32c.c \
	daemon/sim_crc32c.h \
	daemon/sim_mutation.c \
	daemon/stats.c \
	daemon/user.c \
	daemon/user.h
svad_broker_SOURCES = daemon/broker_main.c $(broker_parts)
svad_broker_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS) $(SECCOMP_CFLAGS)
svad_broker_LDADD = libsvad-common.la libsvadproto.la $(LIBUV_LIBS) $(SECCOMP_LIBS) $(PROTOBUF_C_LIBS)

pkglibexec_PROGRAMS += svad-simdev
svad_simdev_SOURCES = \
	daemon/mutation.h \
	daemon/sim.h \
	daemon/sim_bond.c \
	daemon/sim_bond.h \
	daemon/sim_checker.c \
	daemon/sim_checker.h \
	daemon/sim_control.c \
	daemon/sim_control.h \
	daemon/sim_crc32c.c \
	daemon/sim_crc32c.h \
	daemon/sim_ctx.c \
	daemon/sim_ctx.h \
	daemon/sim_device.c \
	daemon/sim_device.h \
	daemon/sim_dma.c \
	daemon/sim_engine.c \
	daemon/sim_drain.c \
	daemon/sim_drain.h \
	daemon/sim_event.h \
	daemon/sim_fault.c \
	daemon/sim_fault.h \
	daemon/sim_fdcheck.c \
	daemon/sim_iommu.c \
	daemon/sim_iommu.h \
	daemon/sim_late.c \
	daemon/sim_late.h \
	daemon/sim_main.c \
	daemon/sim_mm.c \
	daemon/sim_mm.h \
	daemon/sim_msg.c \
	daemon/sim_msg.h \
	daemon/sim_mutation.c \
	daemon/sim_os.c \
	daemon/sim_pasid.c \
	daemon/sim_procmap.c \
	daemon/sim_procmap.h \
	daemon/sim_ref.c \
	daemon/sandbox.c \
	daemon/sandbox.h \
	daemon/sim_slot.c \
	daemon/sim_timer.c \
	daemon/sim_worker.c \
	daemon/sim_worker.h
svad_simdev_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS) $(SECCOMP_CFLAGS)
svad_simdev_LDADD = libsvad-common.la $(LIBUV_LIBS) $(SECCOMP_LIBS)
