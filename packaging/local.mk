# SPDX-License-Identifier: GPL-2.0-or-later
# What `make install` puts in place beside the programs.

EXTRA_DIST += \
	packaging/svad-admin.socket \
	packaging/svad.catalog \
	packaging/svad.conf.in \
	packaging/svad.service.in \
	packaging/svad.socket \
	packaging/svad.sysusers \
	packaging/svad.tmpfiles \
	packaging/svadctl.bash

packaging/svad.service: $(srcdir)/packaging/svad.service.in Makefile
	$(AM_V_at)$(MKDIR_P) packaging
	$(AM_V_GEN)$(SUBST) $(srcdir)/packaging/svad.service.in >$@.tmp && mv -f $@.tmp $@
packaging/svad.conf: $(srcdir)/packaging/svad.conf.in Makefile
	$(AM_V_at)$(MKDIR_P) packaging
	$(AM_V_GEN)$(SUBST) $(srcdir)/packaging/svad.conf.in >$@.tmp && mv -f $@.tmp $@
noinst_DATA = packaging/svad.service packaging/svad.conf
CLEANFILES += packaging/svad.service packaging/svad.conf

if SYSTEMD_UNITS
dist_systemdsystemunit_DATA = packaging/svad.socket packaging/svad-admin.socket
nodist_systemdsystemunit_DATA = packaging/svad.service
endif

dist_doc_DATA = LICENSE NEWS README.md \
	doc/architecture.md \
	doc/client.md \
	doc/cni.md \
	doc/containers.md \
	doc/hardware.md \
	doc/protocol.md \
	doc/kmod.md \
	doc/provider.md \
	doc/states.md \
	doc/vm.md

# For containers: none of it is in force where it is; doc/containers.md says what goes where.
cniconfdir = $(pkgdatadir)/cni
dist_cniconf_DATA = \
	packaging/containers/cni/10-containerd-sva.conflist \
	packaging/containers/cni/10-crio-sva.conflist \
	packaging/containers/cni/87-podman-sva.conflist \
	packaging/containers/cni/90-sva-loopback.conflist
kubernetesdir = $(pkgdatadir)/kubernetes
dist_kubernetes_DATA = \
	packaging/containers/kubernetes/kustomization.yaml \
	packaging/containers/kubernetes/pod.yaml \
	packaging/containers/kubernetes/svad.yaml \
	packaging/containers/kubernetes/uninstall.yaml
kuberneteskmoddir = $(kubernetesdir)/kmod
dist_kuberneteskmod_DATA = \
	packaging/containers/kubernetes/kmod/config.yaml \
	packaging/containers/kubernetes/kmod/daemonset.yaml \
	packaging/containers/kubernetes/kmod/kustomization.yaml
EXTRA_DIST += \
	packaging/containers/image/Containerfile \
	packaging/containers/image/build

# On a node of a cluster: puts the plugin there and into the network's chain.
pkglibexec_PROGRAMS += svad-cni-install
svad_cni_install_SOURCES = packaging/containers/cni-install.c
svad_cni_install_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
svad_cni_install_LDADD = $(JANSSON_LIBS)

# Fragments get their installed names here, and svad.conf is an administrator's own: an existing one is never overwritten.
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(pkgsysconfdir)/svad.conf.d'
	@conf='$(DESTDIR)$(pkgsysconfdir)/svad.conf'; \
	if test ! -e "$$conf"; then \
		echo "installing $$conf"; \
		$(INSTALL_DATA) packaging/svad.conf "$$conf"; \
	elif cmp -s packaging/svad.conf "$$conf"; then :; else \
		echo "$$conf is kept; the default is beside it: svad.conf.new"; \
		$(INSTALL_DATA) packaging/svad.conf "$$conf.new"; \
	fi
if SYSUSERS
	$(MKDIR_P) '$(DESTDIR)$(sysusersdir)'
	$(INSTALL_DATA) $(srcdir)/packaging/svad.sysusers '$(DESTDIR)$(sysusersdir)/svad.conf'
endif
if TMPFILES
	$(MKDIR_P) '$(DESTDIR)$(tmpfilesdir)'
	$(INSTALL_DATA) $(srcdir)/packaging/svad.tmpfiles '$(DESTDIR)$(tmpfilesdir)/svad.conf'
endif
if CATALOG
	$(MKDIR_P) '$(DESTDIR)$(catalogdir)'
	$(INSTALL_DATA) $(srcdir)/packaging/svad.catalog '$(DESTDIR)$(catalogdir)/svad.catalog'
endif
if BASH_COMPLETION
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) $(srcdir)/packaging/svadctl.bash '$(DESTDIR)$(bashcompletiondir)/svadctl'
endif

uninstall-local:
	rm -f '$(DESTDIR)$(pkgsysconfdir)/svad.conf.new'
	@conf='$(DESTDIR)$(pkgsysconfdir)/svad.conf'; \
	if cmp -s packaging/svad.conf "$$conf"; then rm -f "$$conf"; fi
	-test ! -d '$(DESTDIR)$(pkgsysconfdir)/svad.conf.d' || rmdir '$(DESTDIR)$(pkgsysconfdir)/svad.conf.d' '$(DESTDIR)$(pkgsysconfdir)'
if SYSUSERS
	rm -f '$(DESTDIR)$(sysusersdir)/svad.conf'
endif
if TMPFILES
	rm -f '$(DESTDIR)$(tmpfilesdir)/svad.conf'
endif
if CATALOG
	rm -f '$(DESTDIR)$(catalogdir)/svad.catalog'
endif
if BASH_COMPLETION
	rm -f '$(DESTDIR)$(bashcompletiondir)/svadctl'
endif

dist_man_MANS += \
	packaging/man/libsvaclient.3 \
	packaging/man/sva-cni.8 \
	packaging/man/svad.8 \
	packaging/man/svad.conf.5 \
	packaging/man/svadctl.1
