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

# every manual page of the tree, and the reader is told of it
manual_pages() {
	local page name r=0
	for page in "$SVAD_SRCDIR"/packaging/man/*.[1-8]; do
		name=$(basename "$page")
		in_place "$(variable mandir)/man${name##*.}/$name" || r=1
		grep -qF "${name%.*}(${name##*.})" "$SVAD_SRCDIR/README.md" || { echo "README.md does not name $name"; r=1; }
	done
	return "$r"
}
check "the manual pages are installed, and README.md names each" manual_pages
where=$(variable cnidir)
if [[ -n $where ]]; then
	check "the CNI plugin is installed" in_place "$where/sva"
else
	skip "the CNI plugin is installed" "configured --without-cnidir"
fi
check "what containers need is installed" in_place "$(variable pkglibexecdir)/svad-cni-install" \
	"$(variable pkgdatadir)/cni/"{87-podman-sva,10-containerd-sva,10-crio-sva,90-sva-loopback}.conflist \
	"$(variable pkgdatadir)/kubernetes/"{svad,pod,uninstall,kustomization,kmod/kustomization,kmod/daemonset,kmod/config}.yaml
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

# ---- documentation ------------------------------------------------------------------------------
# Links from one file of the tree to another lead somewhere.
links() {
	local file target r=0
	for file in "$SVAD_SRCDIR"/README.md "$SVAD_SRCDIR"/doc/*.md; do
		while read -r target; do
			[[ -e $(dirname "$file")/$target ]] || { echo "$(basename "$file"): no $target"; r=1; }
		done < <(grep -oE '\]\([^)#:]+[#)]' "$file" | sed -E 's/^\]\((.*)[#)]$/\1/')
	done
	return "$r"
}
check "links in README.md and doc/ lead to files" links

# ---- containers ---------------------------------------------------------------------------------
python=/usr/bin/python3
conflists=$SVAD_SRCDIR/packaging/containers/cni
kubernetes=$SVAD_SRCDIR/packaging/containers/kubernetes

# Each network's list: what the specification wants of one, and svad's plugin takes its own part: with no svad there, STATUS must
# come as far as to miss it (50), which is beyond reading its configuration (6, 7).
networks() {
	"$python" - "$SVAD_BUILDDIR/sva" "$conflists"/*.conflist <<'END'
import json, os, re, subprocess, sys

wrong = False
names = set()
for path in sys.argv[2:]:
    def say(what):
        global wrong
        wrong = True
        print(f"{os.path.basename(path)}: {what}")

    with open(path, encoding="utf-8") as f:
        conf = json.load(f)
    if set(conf) != {"cniVersion", "cniVersions", "name", "plugins"}:
        say(f"keys: {sorted(conf)}")
    if conf["cniVersion"] != "1.0.0" or conf["cniVersions"] != ["1.0.0", "1.1.0"]:
        say("versions that old and new runtimes take: 1.0.0, and 1.1.0 beside it")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", conf["name"]) or conf["name"] in names:
        say(f"name {conf['name']!r}")
    names.add(conf["name"])
    types = [plugin["type"] for plugin in conf["plugins"]]
    if types[-1] != "sva" or types.count("sva") != 1 or len(types) < 2:
        say(f"the last plugin, and only that, must be sva: {types}")
    bridges = [plugin["bridge"] for plugin in conf["plugins"] if plugin["type"] == "bridge"]
    if any(len(bridge) > 15 for bridge in bridges):
        say(f"an interface cannot be named {bridges}")
    own = dict(conf["plugins"][-1], cniVersion="1.1.0", name=conf["name"], adminSocket="/nonexistent/admin.sock")
    run = subprocess.run([sys.argv[1]], input=json.dumps(own), capture_output=True, text=True, timeout=120,
                         env={"CNI_COMMAND": "STATUS", "CNI_PATH": "/nonexistent"})
    try:
        code = json.loads(run.stdout)["code"]
    except (ValueError, KeyError):
        code = None
    if code != 50:
        say(f"the plugin says {run.stdout} {run.stderr}")
sys.exit(wrong)
END
}
manifests() {
	mkdir -p "$stage/conf" && "$python" "$SVAD_SRCDIR/tests/manifests.py" --extract "$stage/conf" "$kubernetes"
}
manifests_conf() {
	local f n=0
	for f in "$stage"/conf/*.conf; do
		"$SVAD_BUILDDIR/svadctl" config check "$f" || return 1
		n=$((n + 1))
	done
	((n == 3)) || { echo "$n configurations, not 3"; return 1; }
}
if [[ -x $python ]]; then
	check "the networks for podman, containerd and CRI-O are lists that the plugin takes its part of" networks
else
	skip "the networks for podman, containerd and CRI-O are lists that the plugin takes its part of" "there is no $python"
fi
if "$python" -c 'import kubernetes.client, yaml' 2>/dev/null; then
	check "the Kubernetes manifests are what the API's types say, and fit together" manifests
	check "the checker of the manifests sees mistakes" "$python" "$SVAD_SRCDIR/tests/manifests.py" --self-test "$kubernetes"
	check "the manifests' svad.conf are valid" manifests_conf
else
	for what in "the Kubernetes manifests are what the API's types say, and fit together" "the checker of the manifests sees mistakes" \
		"the manifests' svad.conf are valid"; do
		skip "$what" "apt-get install python3-kubernetes"
	done
fi

# svad-cni-install on a node: its plugin, and the chain of the network that is first by name
node=$stage/node
on_node() {
	"$SVAD_BUILDDIR/svad-cni-install" "$@" --confdir "$node/net.d"
}
node_new() {
	rm -rf "$node"
	mkdir -p "$node/bin" "$node/net.d" && echo "the plugin" >"$node/plugin" || return 1
	printf '{"cniVersion": "1.0.0", "name": "a", "extra": [1, 2.5, "x"], "plugins": [{"type": "bridge"}]}' >"$node/net.d/10-a.conflist"
	printf '{"cniVersion": "1.0.0", "name": "b", "plugins": [{"type": "ptp"}, {"type": "sva", "devices": ["x"]}]}' \
		>"$node/net.d/20-b.conflist"
	cp "$node/net.d/20-b.conflist" "$node/b"
	chmod 640 "$node/net.d/10-a.conflist"
	echo "no network" >"$node/net.d/00-readme.txt"
}
# what is in the chain now, without white space
chain() {
	tr -d ' \n' <"$node/net.d/10-a.conflist"
}
no_temporary() {
	[[ -z $(find "$node" -name '.*' -type f) ]] || { find "$node" -name '.*'; return 1; }
}
node_install() {
	local with='{"cniVersion":"1.0.0","name":"a","extra":[1,2.5,"x"],"plugins":[{"type":"bridge"},{"type":"sva","capabilities":{"sva":true}}]}'
	node_new || return 1
	on_node --plugin "$node/plugin" --bindir "$node/bin" || return 1
	cmp "$node/plugin" "$node/bin/sva" || return 1
	[[ -x $node/bin/sva ]] || { echo "the plugin cannot be run"; return 1; }
	[[ $(chain) = "$with" ]] || { chain; return 1; }
	[[ $(stat -c %a "$node/net.d/10-a.conflist") = 640 ]] || { echo "its mode has changed"; return 1; }
	on_node --plugin "$node/plugin" --bindir "$node/bin" || return 1
	[[ $(chain) = "$with" ]] || { echo "twice: $(chain)"; return 1; }
	cmp "$node/b" "$node/net.d/20-b.conflist" && no_temporary
}
node_remove() {
	local without='{"cniVersion":"1.0.0","name":"a","extra":[1,2.5,"x"],"plugins":[{"type":"bridge"}]}'
	node_new || return 1
	on_node --plugin "$node/plugin" --bindir "$node/bin" || return 1
	on_node --remove || return 1
	[[ -e $node/bin/sva ]] || { echo "the plugin is gone, too"; return 1; }
	[[ $(chain) = "$without" ]] || { chain; return 1; }
	! grep -q sva "$node/net.d/20-b.conflist" || { echo "still in the second"; return 1; }
	on_node --remove --bindir "$node/bin" && [[ ! -e $node/bin/sva ]] && no_temporary
}
# refused WORDS ARGUMENT...: status 1, a sentence with these words, and nothing changed
refused() {
	local words=$1 before after out r=0
	shift
	before=$(cd "$node/net.d" && cat -- *)
	out=$(on_node "$@" 2>&1) || r=$?
	after=$(cd "$node/net.d" && cat -- *)
	[[ $r = 1 && $out = *"$words"* && $before = "$after" ]] || { echo "status $r: $out"; return 1; }
}
node_refuses() {
	node_new && rm "$node"/net.d/*.conflist || return 1
	refused "no network configuration yet" --plugin "$node/plugin" --bindir "$node/bin" || return 1
	node_new && printf '{"name": "c", "type": "bridge"}' >"$node/net.d/05-c.conf"
	refused "only a .conflist can chain" --plugin "$node/plugin" --bindir "$node/bin" || return 1
	node_new && printf '{"name": "a", "plugins": [' >"$node/net.d/10-a.conflist"
	refused "10-a.conflist:1" --plugin "$node/plugin" --bindir "$node/bin" || return 1
	node_new && mv "$node/net.d/10-a.conflist" "$node/a" && ln -s ../a "$node/net.d/10-a.conflist"
	refused "not a plain file" --plugin "$node/plugin" --bindir "$node/bin" || return 1
	node_new && refused "No such file" --plugin "$node/none" --bindir "$node/bin" && no_temporary
}
check "svad-cni-install puts the plugin on a node and into the first chain, once" node_install
check "svad-cni-install takes it out of every chain again" node_remove
check "svad-cni-install changes nothing that it cannot do right, and says why" node_refuses
node_usage() {
	local r=0
	"$SVAD_BUILDDIR/svad-cni-install" --plugin x 2>/dev/null || r=$?
	((r == 2)) || { echo "status $r"; return 1; }
}
check "svad-cni-install refuses bad usage" node_usage

# What the image is made of: every command that the manifests start is in it, and finds its libraries there.
image_rootfs() {
	local program root=$stage/rootfs loader out
	"$SVAD_SRCDIR/packaging/containers/image/build" --builddir "$SVAD_BUILDDIR" --rootfs "$root" || return 1
	loader=$(find "$root/" -name 'ld-linux*' ! -type l | head -n 1)
	while read -r program; do
		[[ -e $root$program || -L $root$program ]] || { echo "not in the image: $program"; return 1; }
		# links in it are absolute: as the image's root would follow them
		[[ -L $root$program ]] && program=$(readlink "$root$program")
		[[ -x $root$program ]] || { echo "not in the image: $program"; return 1; }
		out=$("$loader" --library-path "$root/lib:$root/lib/$(${CC:-cc} -dumpmachine):$root/usr/lib/$(${CC:-cc} -dumpmachine)" \
			--list "$root$program" 2>&1)
		[[ $out != *"not found"* ]] || { echo "$program: $out"; return 1; }
	done < <(cat "$kubernetes"/*.yaml | grep -oE '(\[|- )/usr/[^], ]+' | sed -E 's/^(\[|- )//' | sort -u)
	[[ -x $root/usr/lib/cni/sva && -d $root/run/svad && -d $root/run/netns && -s $root/etc/svad/svad.conf ]] || { ls -R "$root"; return 1; }
	grep -q '^svad:' "$root/etc/passwd"
}
if [[ -z ${SVAD_VARIANT_CFLAGS-} ]]; then
	check "the image has what the manifests start, with all libraries" image_rootfs
	rm -rf "$stage/rootfs"
else
	skip "the image has what the manifests start, with all libraries" "the image is for the plain build"
fi
rm -rf "$node" "$stage/conf"

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
