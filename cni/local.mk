# SPDX-License-Identifier: GPL-2.0-or-later
# The CNI plugin. Runtimes find it by the name of its network type, so the program is called "sva".

cniplugin_parts = \
	cni/add.c \
	cni/conf.c \
	cni/del.c \
	cni/gc.c \
	cni/plugin.c \
	cni/plugin.h \
	cni/removal_note.c \
	cni/removal_note.h \
	cni/request.c \
	cni/result.c \
	cni/status.c

if CNI_PLUGIN
cni_PROGRAMS = sva
else
noinst_PROGRAMS += sva
endif
sva_SOURCES = $(cniplugin_parts)
sva_CPPFLAGS = $(AM_CPPFLAGS) -DSVAD_VERSION='"$(VERSION)"'
sva_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
# With no library of the host's where that is possible: it starts at once, and may be copied to a host with another libc.
sva_LDFLAGS = -pthread $(CNI_LDFLAGS) $(VARIANT_LDFLAGS)
sva_LDADD = libsvaclient.la libsvadproto.la $(PROTOBUF_C_LIBS) $(JANSSON_LIBS)
$(sva_OBJECTS): $(BUILT_SOURCES)
