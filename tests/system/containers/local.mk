# SPDX-License-Identifier: GPL-2.0-or-later
# Real container runtimes: ./bootstrap check --only containers. The suites need root and packages that the others do not, so they are not
# in TESTS; tests/run-all runs each of CONTAINER_SUITES.

CONTAINER_SUITES = \
	tests/system/containers/cnitool.sh \
	tests/system/containers/conformance.sh \
	tests/system/containers/containerd.sh \
	tests/system/containers/crun.sh \
	tests/system/containers/docs.sh \
	tests/system/containers/ends.sh \
	tests/system/containers/hostile.sh \
	tests/system/containers/many.sh \
	tests/system/containers/podman.sh \
	tests/system/containers/runc.sh

EXTRA_DIST += \
	$(CONTAINER_SUITES) \
	tests/system/containers/bundle.sh \
	tests/system/containers/cnitool \
	tests/system/containers/lib-cni.sh \
	tests/system/containers/lib.sh \
	tests/system/containers/oci.sh

if HAVE_CHECK
if VARIANT_PLAIN
# Linked statically: it is copied into root file systems that have nothing else.
check_PROGRAMS += svad-box
svad_box_SOURCES = \
	tests/system/containers/box-hostile.c \
	tests/system/containers/box-raw.c \
	tests/system/containers/box-wire.h \
	tests/system/containers/box.c \
	tests/system/containers/box.h
svad_box_LDADD = libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS)
svad_box_LDFLAGS = $(AM_LDFLAGS) -all-static
$(svad_box_OBJECTS): $(BUILT_SOURCES)
endif VARIANT_PLAIN
endif HAVE_CHECK

print-CONTAINER_SUITES: ; @echo $(CONTAINER_SUITES)
