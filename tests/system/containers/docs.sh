#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The quick starts of doc/containers.md, word by word, and the image that they use in the way that the DaemonSet uses it.
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
need podman runc conmon iptables containerd ctr

page=$srcdir/doc/containers.md
containerd_pid=

# What a machine has on which podman and containerd are installed, and svad is, but nothing of its containers is set up.
setup() {
	mkdir -p /etc/containers /etc/cni/net.d /etc/containerd "$work/podman" "$work/folder" "$work/containerd"
	cat >/etc/containers/containers.conf <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/usr/lib/cni"]
END
	# overlayfs does not take a directory of overlayfs for its upper one
	cat >/etc/containers/storage.conf <<END
[storage]
driver = "overlay"
graphroot = "$work/podman/storage"
runroot = "/run/containers/storage"
END
	cat >"$work/containerd.toml" <<END
version = 2
root = "$work/containerd/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd/containerd.sock"
END
	# svad's folder, with the build in it
	ln -s "$srcdir/packaging" "$work/folder/packaging"
	ln -s "$builddir" "$work/folder/build"
	cp "$builddir/hello-sva" "$bin/"
}

# block NAME N: the Nth block of the page that is marked so
block() {
	awk -v name="<!-- run: $1 -->" -v n="$2" '
		$0 == name { marked = 1; next }
		/^```/ { if (open) open = 0; else if (marked && ++k == n) open = 1; marked = 0; next }
		open' "$page"
}

# Runs it as it stands; what it says goes to $output.
run_block() {
	block "$1" "$2" >"$work/block.sh"
	[[ -s $work/block.sh ]] || fail "doc/containers.md has no block $2 marked \"run: $1\""
	output=$(cd "$work/folder" && timeout --kill-after=10 300 bash -e -o pipefail "$work/block.sh" 2>&1 </dev/null) || {
		printf '%s\n' "$output"
		fail "the block of the page failed"
	}
	printf '%s\n' "$output"
}

podman_first() {
	run_block podman 1
	must matches "$output" 'bytes copied by the device, equal'
}

podman_cdi() {
	run_block podman 2
	must matches "$output" 'bytes copied by the device, equal'
	must test -s /etc/cdi/svad.dev-sva.json
}

podman_stays() {
	local id

	run_block podman 3
	# the list names it by what the runtime calls it
	id=$(grep -oE '[0-9a-f]{64}' <<<"$output" | head -n 1)
	must test -n "$id"
	must matches "$output" "${id:0:12}"
	must matches "$output" 'removed'
}

blocks_are_all_run() {
	local marked
	marked=$(grep -c '^<!-- run: ' "$page")
	[[ $marked = 4 ]] || fail "the page has $marked marked blocks, 4 are run here"
	# README.md has the first of them
	must test -n "$(block podman 1)"
	must test "$(page=$srcdir/README.md block podman 1)" = "$(block podman 1)"
}

containerd_start() {
	containerd --config "$work/containerd.toml" >"$work/containerd.log" 2>&1 </dev/null &
	containerd_pid=$!
	await 60 ctr version >/dev/null 2>&1
}

containerd_first() {
	containerd_start || { tail -n 20 "$work/containerd.log"; fail "containerd did not start"; }
	run_block containerd 1
	must matches "$output" 'bytes copied by the device, equal'
	kill "$containerd_pid"
	wait "$containerd_pid"
	return 0
}

# ---- the image as the DaemonSet runs it ------------------------------------------------------------------

manifest=$srcdir/packaging/containers/kubernetes/svad.yaml

image_versions() {
	local v
	v=$("$builddir/svad" --version | head -n 1)
	must matches "$(timeout 120 podman run --rm --network none svad:latest /usr/sbin/svad --version)" "^$v"
	must matches "$(timeout 120 podman run --rm --network none svad:latest /usr/bin/svadctl --version)" 'svadctl'
	v=$(timeout 120 podman run --rm -i --network none -e CNI_COMMAND=VERSION svad:latest /usr/lib/cni/sva <<<'{"cniVersion":"1.0.0"}')
	must matches "$v" 'supportedVersions'
}

# The init container's command, on directories of a node.
image_installs() {
	local node=$work/node
	mkdir -p "$node/bin" "$node/net.d"
	jq 'del(.plugins[-1])' "$srcdir/packaging/containers/cni/10-crio-sva.conflist" >"$node/net.d/05-net.conflist"
	must timeout 120 podman run --rm --network none --cap-drop all --read-only -v "$node/bin:/host/bin" -v "$node/net.d:/host/net.d" \
		svad:latest /usr/libexec/svad/svad-cni-install --plugin=/usr/lib/cni/sva --bindir=/host/bin --confdir=/host/net.d
	must test "$(jq -r '.plugins[-1].type' "$node/net.d/05-net.conflist")" = sva
	# it runs there without anything of the image
	must matches "$(env -i CNI_COMMAND=VERSION "$node/bin/sva" <<<'{"cniVersion":"1.0.0"}')" 'supportedVersions'
}

# svad itself, with no more rights than the DaemonSet gives it.
image_serves() {
	local caps add=() id
	caps=$(sed -nE 's/^ *add: \[(.*)\]$/\1/p' "$manifest")
	[[ -n $caps ]] || fail "the manifest adds no capabilities"
	for cap in ${caps//,/ }; do
		add+=(--cap-add "$cap")
	done
	must svad_stop
	id=$(timeout 120 podman run -d --network host --pid host --cgroup-parent "$cgroup" --cap-drop all "${add[@]}" --read-only \
		--security-opt no-new-privileges -v /run/svad:/run/svad -v /run/netns:/run/netns:ro,rslave svad:latest) || fail "podman run: $?"
	await 60 svad_answers_inside "$id" || { podman logs "$id"; fail "svad in its container does not answer"; }
	# the probe's command
	must timeout 60 podman exec "$id" /usr/bin/svadctl status
	# a client in another container, registered by the plugin
	run_block podman 2
	must matches "$output" 'bytes copied by the device, equal'
	must timeout 60 svadctl container list
	must timeout 60 podman stop -t 30 "$id"
	must matches "$(podman inspect --format '{{.State.ExitCode}}' "$id")" '^0$'
	podman rm "$id"
	must svad_launch
}

svad_answers_inside() {
	timeout 20 podman exec "$1" /usr/bin/svadctl status >/dev/null 2>&1
}

after_each() {
	podman rm -f -t 0 --all >/dev/null 2>&1
}

setup || skip_all "the world of the page could not be set up"
svad_start ''
scenario "each block of the page that is marked is run here" blocks_are_all_run
scenario "podman: an image, a network, a program that binds" podman_first
scenario "podman: the socket from CDI" podman_cdi
scenario "podman: a container that stays, and what is told of its end" podman_stays
scenario "containerd: the same image by ctr run --cni" containerd_first
scenario "image: programs and plugin say their versions" image_versions
scenario "image: the plugin is put on a node and into its network's chain" image_installs
scenario "image: svad with the DaemonSet's rights serves another container" image_serves
finish
