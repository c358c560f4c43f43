#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What make install puts in place, and that the shipped configuration says what is true. Reports TAP.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL # of the make that runs the tests

n=0
failed=0
stage=$(mktemp -d "${TMPDIR:-/tmp}/svad-stage.XXXXXX") || exit 99
trap 'rm -rf "$stage"' EXIT

# check DESCRIPTION COMMAND...
check() {
	local what=$1 out
	shift
	n=$((n + 1))
	if out=$("$@" 2>&1); then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		printf '%s\n' "$out" | tail -n 20 | sed 's/^/# /'
		failed=1
	fi
}

skip() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

installed() {
	make -s --no-print-directory -C "$SVAD_BUILDDIR" install DESTDIR="$stage"
}

variable() {
	make -s --no-print-directory -C "$SVAD_BUILDDIR" "print-$1"
}

# only what it was told to, under DESTDIR
in_place() {
	local f missing=0
	for f in "$@"; do
		[[ -e $stage$f ]] || { echo "missing: $f"; missing=1; }
	done
	return "$missing"
}

is_mode() {
	[[ $(stat -c %a "$stage$2") = "$1" ]] || { stat -c '%a %n' "$stage$2"; return 1; }
}

check "make install DESTDIR=... succeeds" installed
check "the programs are installed" in_place "$(variable sbindir)/svad" "$(variable bindir)/svadctl" \
	"$(variable pkglibexecdir)/svad-broker" "$(variable pkglibexecdir)/svad-simdev"
check "the library is installed, shared and static, with its headers and pkg-config file" in_place \
	"$(variable libdir)/libsvaclient.so" "$(variable libdir)/libsvaclient.so.1" "$(variable libdir)/libsvaclient.a" \
	"$(variable libdir)/pkgconfig/libsvaclient.pc" \
	"$(variable includedir)/sva/"{sva,queue,demo_accel,svabroker}.h
check "the configuration is installed" in_place "$(variable pkgsysconfdir)/svad.conf" "$(variable pkgsysconfdir)/svad.conf.d"
for dir in systemdsystemunitdir sysusersdir tmpfilesdir catalogdir; do
	where=$(variable $dir)
	[[ -n $where ]] || { skip "what goes to $dir is installed" "configured --without-$dir"; continue; }
	case $dir in
	systemdsystemunitdir) check "the units are installed" in_place "$where/"svad{.service,.socket,-admin.socket} ;;
	sysusersdir | tmpfilesdir) check "what goes to $dir is installed" in_place "$where/svad.conf" ;;
	catalogdir) check "the journal catalog is installed" in_place "$where/svad.catalog" ;;
	esac
done
check "the manual pages are installed" in_place "$(variable mandir)/man8/svad.8" "$(variable mandir)/man5/svad.conf.5" \
	"$(variable mandir)/man1/svadctl.1" "$(variable mandir)/man3/libsvaclient.3"
check "programs are executable" is_mode 755 "$(variable sbindir)/svad"

# ---- no change of an administrator's file -------------------------------------------------------
conf=$stage$(variable pkgsysconfdir)/svad.conf
kept() {
	echo "[daemon]" >"$conf" && installed >/dev/null && [[ $(<"$conf") = "[daemon]" ]] && [[ -s $conf.new ]]
}
cp "$conf" "$stage/shipped.conf"
check "installing again keeps a changed svad.conf and puts the default beside it" kept
cp "$stage/shipped.conf" "$conf"

# ---- svad.conf ----------------------------------------------------------------------------------
check "the shipped svad.conf is valid" "$SVAD_BUILDDIR/svadctl" config check "$stage/shipped.conf"

# Each commented key with its default must be a key that svad knows, with a value that it takes.
uncommented() {
	sed -E -e 's/^#(\[|[a-z_]+ =)/\1/' -e '/^(runtime_dir|socket|admin_socket|socket_group|admin_socket_group|fault_socket|user) =/d' \
		"$stage/shipped.conf" >"$stage/all.conf"
	"$SVAD_BUILDDIR/svadctl" config check "$stage/all.conf"
}
check "every key in the shipped svad.conf, taken out of its comment, is valid" uncommented

# ---- journal catalog ----------------------------------------------------------------------------
every_id() {
	local id r=0
	while read -r id; do
		grep -q "^-- $id\$" "$SVAD_SRCDIR/packaging/svad.catalog" || { echo "not in the catalog: $id"; r=1; }
	done < <(sed -nE 's/^#define SVAD_MSG_[A-Z_]+ "([0-9a-f]{32})".*/\1/p' "$SVAD_SRCDIR/daemon/log.h")
	return "$r"
}
check "every MESSAGE_ID is explained in the catalog" every_id
if command -v journalctl >/dev/null; then
	mkdir -p "$stage/root/usr/lib/systemd/catalog" "$stage/root/var/lib/systemd/catalog"
	cp "$SVAD_SRCDIR/packaging/svad.catalog" "$stage/root/usr/lib/systemd/catalog/"
	check "journalctl compiles the catalog" journalctl --root="$stage/root" --update-catalog
else
	skip "journalctl compiles the catalog" "there is no journalctl: apt-get install systemd"
fi

# ---- sysusers, tmpfiles -------------------------------------------------------------------------
if command -v systemd-sysusers >/dev/null; then
	mkdir -p "$stage/root/etc"
	check "systemd-sysusers takes the fragment" systemd-sysusers --root="$stage/root" --dry-run \
		"$SVAD_SRCDIR/packaging/svad.sysusers"
else
	skip "systemd-sysusers takes the fragment" "there is no systemd-sysusers: apt-get install systemd"
fi

# ---- uninstall ----------------------------------------------------------------------------------
nothing_left() {
	local left
	rm -rf "$stage/root" "$conf.new"
	make -s --no-print-directory -C "$SVAD_BUILDDIR" uninstall DESTDIR="$stage" || return 1
	left=$(find "$stage" -mindepth 1 ! -type d ! -path "$stage/*.conf" -print; find "$stage$(variable pkgsysconfdir)" 2>/dev/null)
	[[ -z $left ]] || { echo "$left"; return 1; }
}
check "make uninstall removes all of it" nothing_left

echo "1..$n"
exit "$failed"
