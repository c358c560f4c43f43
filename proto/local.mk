# SPDX-License-Identifier: GPL-2.0-or-later
# The wire: what daemon, library and CLI share. Both libraries are PIC, since libsvaclient.so takes them in.

EXTRA_DIST += proto/svad.proto

proto/svad.pb-c.c proto/svad.pb-c.h: proto/svad.pb-c.stamp
	@test -f $@ || { rm -f proto/svad.pb-c.stamp; $(MAKE) $(AM_MAKEFLAGS) proto/svad.pb-c.stamp; }
# The stamp is as old as the start of the generator, so that its outputs are newer.
proto/svad.pb-c.stamp: $(top_srcdir)/proto/svad.proto
	$(AM_V_at)$(MKDIR_P) proto && rm -f $@ && touch proto/svad.pb-c.tmp
	$(AM_V_GEN)$(PROTOC_C) --proto_path=$(top_srcdir)/proto --c_out=proto svad.proto
	$(AM_V_at)mv -f proto/svad.pb-c.tmp $@
BUILT_SOURCES += proto/svad.pb-c.h
CLEANFILES += proto/svad.pb-c.c proto/svad.pb-c.h proto/svad.pb-c.stamp

noinst_LTLIBRARIES += libsvadpb.la libsvadproto.la

nodist_libsvadpb_la_SOURCES = proto/svad.pb-c.c proto/svad.pb-c.h
libsvadpb_la_CFLAGS = $(BASE_CFLAGS)
libsvadpb_la_LDFLAGS =

libsvadproto_la_SOURCES = \
	proto/simwire.h \
	proto/status.c \
	proto/status.h \
	proto/wire.c \
	proto/wire.h \
	proto/wire_check.c \
	proto/wire_check.h
libsvadproto_la_LIBADD = libsvadpb.la $(PROTOBUF_C_LIBS)
libsvadproto_la_LDFLAGS =
