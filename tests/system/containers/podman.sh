#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# podman with CNI: who may bind, and every way in which a container can end.
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
need podman runc conmon iptables

network=sva-loopback
sockets=/run/svad/containers

# ---- podman -----------------------------------------------------------------------------------------

setup() {
	mkdir -p /etc/containers /etc/cni/net.d "$work/podman"
	cat >/etc/containers/containers.conf <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
runtime = "runc"
infra_image = "localhost/svad-box"
infra_command = "/bin/sleep"
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
	cp "$srcdir"/packaging/containers/cni/{87-podman-sva,90-sva-loopback}.conflist /etc/cni/net.d/ || return 1
	# one that waits for little
	jq '.name = "sva-short" | .plugins[-1] += { "delTimeout": "1s" }' "$srcdir/packaging/containers/cni/90-sva-loopback.conflist" \
		>/etc/cni/net.d/91-sva-short.conflist || return 1
	tar -C "$rootfs" -c . | pod import --quiet - svad-box && pod run --rm --network none --cgroup-parent "$cgroup" svad-box /bin/true
}

pod() {
	timeout --kill-after=10 150 podman "$@"
}

# start NAME [OPTION...]: a container with the program in it, as an ordinary user; its id is then in $work/id-NAME
start() {
	local name=$1
	shift

	box_new "$name"
	pod run -d --name "$name" --cgroup-parent "$cgroup" --user 1000:1000 -v "$boxes/$name:/box" \
		-v "$sockets:/run/svad:ro" -e SVAD_SOCKET=/run/svad/svad.sock ${network:+--network "$network"} "$@" \
		svad-box /bin/svad-box /box >"$work/id-$name" || fail "podman run $name: status $?"
	box_ready "$name"
}

id_of() {
	cat "$work/id-$1"
}

# works NAME DEVICE: has a bond, and jobs that go on
works() {
	must ask "$1" bind "$2"
	must ask "$1" dma "$2"
	must dma_goes_on "$1" "$2"
}

pid_of() {
	pod inspect --format '{{.State.Pid}}' "$1"
}

after_each() {
	pod rm --force --all --time 0 --depend >/dev/null 2>&1
	[[ -z $(pod pod ps --quiet 2>/dev/null) ]] || pod pod rm --force --time 0 --all >/dev/null
	[[ -z $(pod ps --all --quiet) ]]
}

bond_of() {
	ctl --json bond list --container "$(id_of "$1")" | jq -e '.[0].id'
}

# ---- who may ------------------------------------------------------------------------------------------

unprivileged() {
	network=podman-sva start a
	must ask a identity
	must matches "$answer" 'uid=1000 gid=1000 caps=0+ .*seccomp=2 '
	must registered "$(id_of a)"
	must ask a bind sim0
	must ask a copy sim0
	must ask a thread bind sim1
	must ask a copy sim1
	must ask a fork
	eventually has_lines a 1 '^0 ok child'
	must ask a child bind sim0
	must ask a child copy sim0
	must bonds_are 3 "$(id_of a)"
	must matches "$(ctl container show "$(id_of a)")" 'podman-sva'
	must ask a unbind sim0
	must bonds_are 2 "$(id_of a)"
	must pod stop --time 20 a
	eventually bonds_are 0
	must pod rm a
	eventually not registered "$(id_of a)"
}

read_only() {
	start a --read-only
	must_not ask a try-write /x
	works a sim0
}

user_namespace() {
	start a --uidmap 0:100000:65536 --gidmap 0:100000:65536 --user 0:0
	must ask a identity
	must matches "$answer" 'uid=0 gid=0'
	must [ "$(stat -c %u "/proc/$(pid_of a)")" = 100000 ]
	works a sim0
	must bonds_are 1 "$(id_of a)"
}

rootless_user_in_namespace() {
	start a --uidmap 0:200000:65536 --gidmap 0:200000:65536 --security-opt no-new-privileges --cap-drop ALL
	must ask a identity
	must matches "$answer" 'uid=1000 gid=1000 caps=0+ bounding=0+ nnp=1 seccomp=2'
	works a sim1
}

strangers() {
	local theirs

	start a
	start b
	works a sim0
	works b sim0
	theirs=$(bond_of a) || fail "no bond of a"
	must ask b raw-connect 0
	must ask b raw-list 0
	must_not matches "$answer" "bonds:.*\\b$theirs\\b"
	must_not ask b raw-revoke 0 "$theirs"
	must matches "$answer" 'status 7:'
	must ask b raw-connect 1
	must_not ask b raw-remove 1 "$(id_of a)"
	must ask b raw-connect 2
	must_not ask b raw-containers 2
	# neither's end is the other's
	must pod kill a
	eventually bonds_are 0 "$(id_of a)"
	must dma_goes_on b sim0
	must pod rm --force a
	must dma_goes_on b sim0
	must bonds_are 1 "$(id_of b)"
}

host_network() {
	network=host start a
	must_not ask a bind sim0
	must matches "$answer" "olicy"
	must [ "$(ctl --json container list | jq length)" = 0 ]
	# root in there is the host's root, as on the host
	network=host start b --user 0:0
	must ask b bind sim0
	must [ "$(ctl --json bond list | jq -r '.[0].container // ""')" = "" ]
}

shared_network() {
	start a
	network=container:a start b
	must [ "$(ctl --json container list | jq length)" = 1 ]
	works a sim0
	works b sim1
	must bonds_are 2 "$(id_of a)"
	must pod rm --force --time 0 b
	eventually bonds_are 1 "$(id_of a)"
	must dma_goes_on a sim0
}

a_pod() {
	must pod pod create --name p --network "$network" --cgroup-parent "$cgroup" --infra-command "/bin/sleep 100000"
	network='' start a --pod p
	network='' start b --pod p
	works a sim0
	works b sim0
	must [ "$(ctl --json container list | jq length)" = 1 ]
	must bonds_are 2
	must [ "$(ctl --json bond list | jq '[.[].container] | unique | length')" = 1 ]
	must pod rm --force --time 0 a
	eventually bonds_are 1
	must dma_goes_on b sim0
	must pod pod rm --force --time 0 p
	eventually bonds_are 0
	eventually nothing_registered
}

cdi() {
	must ctl cdi generate --output /etc/cdi
	box_new a
	pod run -d --name a --cgroup-parent "$cgroup" --user 1000:1000 --network "$network" -v "$boxes/a:/box" \
		--device svad.dev/sva=all svad-box /bin/svad-box /box >"$work/id-a" || fail "podman run --device: status $?"
	box_ready a
	works a sim0
	must bonds_are 1 "$(id_of a)"
	must_not ask a try-write /run/svad/x
}

# ---- how it ends ----------------------------------------------------------------------------------------

killed() {
	start a
	works a sim0
	works a sim1
	must pod kill a
	eventually bonds_are 0
	must pod rm a
	eventually not registered "$(id_of a)"
}

removed_by_force() {
	start a
	works a sim0
	must pod rm --force --time 0 a
	eventually bonds_are 0
	eventually not registered "$(id_of a)"
}

deaf_to_sigterm() {
	start a
	works a sim0
	must ask a ignore-term
	must pod stop --time 1 a
	eventually bonds_are 0
	must pod rm a
}

process_killed() {
	start a
	works a sim0
	must kill -KILL "$(pid_of a)"
	eventually bonds_are 0
	must pod wait a
	must pod rm a
}

conmon_killed() {
	local conmon

	start a
	works a sim0
	conmon=$(pod inspect --format '{{.State.ConmonPid}}' a) || fail "no conmon"
	must [ "$conmon" -gt 1 ]
	must kill -KILL "$conmon"
	must dma_goes_on a sim0
	must kill -KILL "$(pid_of a)"
	# nobody tells of it; the bonds end all the same
	eventually bonds_are 0
	must pod rm --force --time 0 a
	eventually not registered "$(id_of a)"
}

paused() {
	start a
	start b
	works a sim0
	works b sim0
	must pod pause a
	# a frozen client does not hold its own end up
	must ctl drain --container "$(id_of a)"
	eventually bonds_are 0 "$(id_of a)"
	must dma_goes_on b sim0
	must pod unpause a
	must ask a wait-revoked sim0
	must ask a dma-stop sim0
	must_not matches "$answer" 'ended=0'
	must ask a unbind sim0
	works a sim1
	must pod pause a
	must pod rm --force --time 0 a
	eventually bonds_are 0 "$(id_of a)"
	eventually not registered "$(id_of a)"
}

paused_and_removed() {
	start a
	works a sim0
	must pod pause a
	must ctl container remove "$(id_of a)"
	eventually bonds_are 0
	must pod unpause a
	# what has been removed is refused, it is no client of the host
	must ask a wait-revoked sim0
	must ask a dma-stop sim0
	must_not ask a raw-connect 0
	must pod rm --force --time 0 a
}

out_of_memory() {
	[[ -d /sys/fs/cgroup/memory ]] || grep -qsw memory /sys/fs/cgroup/cgroup.controllers || skip "no memory cgroups here"
	start a --memory 48m --memory-swap 48m
	works a sim0
	tell a alloc 2000
	must pod wait a
	eventually bonds_are 0
	must pod rm a
	eventually not registered "$(id_of a)"
}

# ---- svad is not there, or the device does not obey ---------------------------------------------------------

down_at_removal() {
	start a
	start b
	works a sim0
	must svad_stop
	must pod rm --force --time 0 a
	must [ "$(find /run/svad/state/removed -type f | wc -l)" = 1 ]
	must svad_launch
	eventually registered "$(id_of b)"
	eventually not registered "$(id_of a)"
	must [ "$(find /run/svad/state/removed -type f | wc -l)" = 0 ]
	works b sim0
	must matches "$(ctl container show "$(id_of a)" 2>&1)" 'down'
}

down_at_start() {
	local r=0 before leases

	before=$(find /run/netns -type f | wc -l)
	must svad_stop
	network=podman-sva
	pod run -d --name a --cgroup-parent "$cgroup" --network "$network" svad-box /bin/sleep 100000 \
		>"$work/said" 2>&1 || r=$?
	cat "$work/said"
	must [ "$r" = 126 ]
	must grep -q 'svad' "$work/said"
	pod rm --force --time 0 a
	must [ "$(find /run/netns -type f | wc -l)" = "$before" ]
	leases=$(find /var/lib/cni/networks/podman-sva -name '10.*' 2>/dev/null | wc -l)
	must [ "$leases" = 0 ]
	must svad_launch
	must [ "$(ctl --json container list | jq length)" = 0 ]
	start b
	works b sim0
}

daemon_restarted() {
	start a
	works a sim0
	must svad_stop
	must svad_launch
	eventually registered "$(id_of a)"
	# another device process: the old bond is gone, the container is as before
	must ask a wait-revoked sim0
	must ask a dma-stop sim0
	ask a unbind sim0
	works a sim1
	must bonds_are 1 "$(id_of a)"
}

broker_killed() {
	start a
	works a sim0
	must pkill -KILL -x svad-broker
	eventually svad_answers
	eventually registered "$(id_of a)"
	must dma_goes_on a sim0
	eventually bonds_are 1 "$(id_of a)"
	must pod kill a
	eventually bonds_are 0
	must pod rm a
	eventually not registered "$(id_of a)"
}

stubborn_device() {
	local began=$SECONDS

	must fault stop sim2 ignore forever
	network=sva-short start a
	works a sim2
	must pod rm --force --time 0 a
	# delTimeout is 1 s
	must [ $((SECONDS - began)) -lt $((60 * patience)) ]
	eventually quarantined_of "$(id_of a)"
	eventually not registered "$(id_of a)"
	must fault stop sim2 obey
	must ctl device reset sim2
	eventually bonds_are 0
}

nothing_registered() {
	[[ $(ctl --json container list | jq length) = 0 ]]
}

quarantined_of() {
	ctl --json quarantine list | jq -e --arg id "$1" 'any(.[]; .container == $id)' >/dev/null
}

setup >"$work/output" 2>&1 || { diagnose 0; skip_all "podman runs no container here"; }
svad_start "$stubborn
[containers]
reconcile = 0" # what ends, ends because it was said

scenario "bound from inside as an unprivileged user: no capability, default seccomp profile" unprivileged
scenario "read-only root file system" read_only
scenario "user namespace" user_namespace
scenario "user namespace, an unprivileged user in it, every capability dropped, no new privileges" rootless_user_in_namespace
scenario "two containers of one image: neither sees, lists or ends the other's bonds" strangers
scenario "--network host is the host's policy" host_network
scenario "--network container: is the other's container" shared_network
scenario "a pod of two containers is one container" a_pod
scenario "--device with the specification of svadctl cdi generate" cdi
scenario "podman kill in the middle of DMA" killed
scenario "podman rm --force in the middle of DMA" removed_by_force
scenario "podman stop of one that ignores SIGTERM" deaf_to_sigterm
scenario "its process killed" process_killed
scenario "conmon killed: nobody says that the container has ended" conmon_killed
scenario "paused: a frozen client does not block its drain" paused
scenario "paused and removed: refused from then on" paused_and_removed
scenario "out of memory" out_of_memory
scenario "removed while svad is down, which is back then" down_at_removal
scenario "started while svad is down: podman says 126, nothing is stranded" down_at_start
scenario "svad restarted under a container" daemon_restarted
scenario "the broker killed under a container" broker_killed
scenario "a device that ignores stop: DEL returns in its time, the quarantine names the container" stubborn_device
finish
