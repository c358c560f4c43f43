#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The plugin run by libcni's own tool, of two generations: attachments that are checked, forgotten, repeated, collected.
[[ -n ${SVAD_BOX_WORK-} ]] || "$(dirname "$0")/cnitool" >/dev/null # the network is here, not in the suite's world
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/containers/lib-cni.sh
. "$(dirname "$0")/lib-cni.sh"

cni_setup
# Debian's network plugins know CNI up to 1.0.0, so for GC and STATUS ours is alone in the list. Each generation has its own folder.
mkdir -p "$conf/old" "$conf/new"
loopback=$srcdir/packaging/containers/cni/90-sva-loopback.conflist
jq 'del(.cniVersions)' "$loopback" >"$conf/old/90-sva.conflist"
jq 'del(.cniVersions) | .cniVersion = "1.1.0" | .plugins |= .[-1:]' "$loopback" >"$conf/new/90-sva.conflist"
for dir in "$conf/old" "$conf/new"; do
	jq '.name = "sva-short" | .plugins[-1] += { "delTimeout": "1s", "timeout": "2s" }' "$dir/90-sva.conflist" >"$dir/91-short.conflist"
	jq '.name = "sva-strict" | .plugins[-1] += { "delTimeout": "1s", "strictDel": true }' "$dir/90-sva.conflist" >"$dir/92-strict.conflist"
	jq '.name = "sva-other"' "$dir/90-sva.conflist" >"$dir/93-other.conflist"
done
svad_start "$stubborn
[containers]
reconcile = 2s"
net=sva-loopback

after_each() {
	local id

	pkill -CONT -x 'svad|svad-broker'
	end_boxes
	fault stop sim2 obey
	for id in $(ctl --json container list | jq -r '.[].name'); do
		ctl container remove "$id"
	done
	end_netnses
	rm -rf /var/lib/cni/results
}

# ---- each tool ----------------------------------------------------------------------------------------

life() {
	netns_new n
	must cni "$1" add "$net" n
	must matches "$said" '"cniVersion": ?"1\.'
	must registered "$(id_in n)"
	box_in n a
	must ask a bind sim0
	must ask a dma sim0
	must cni "$1" check "$net" n
	must dma_goes_on a sim0
	must bonds_are 1 "$(id_in n)"
	must cni "$1" del "$net" n
	eventually bonds_are 0
	eventually not registered "$(id_in n)"
	must ask a wait-revoked sim0
	must kill -0 "$(pid_of a)"
}

del_twice() {
	netns_new n
	must cni "$1" add "$net" n
	box_in n a
	must ask a bind sim0
	must cni "$1" del "$net" n
	must cni "$1" del "$net" n
	eventually bonds_are 0
	# and of one that never was
	netns_new never
	must cni "$1" del "$net" never
}

add_twice() {
	netns_new n
	must cni "$1" add "$net" n
	box_in n a
	must ask a bind sim0
	must ask a dma sim0
	cni "$1" add "$net" n # libcni passes it on: the runtime lost the first one's answer
	must dma_goes_on a sim0
	must containers_are 1
	must cni "$1" del "$net" n
	eventually containers_are 0
}

check_states() {
	netns_new n
	must_not cni "$1" check "$net" n
	must cni "$1" add "$net" n
	must cni "$1" check "$net" n
	must svad_stop
	must_not cni "$1" check "$net" n
	must matches "$said" 'svad'
	must svad_launch
	must cni "$1" check "$net" n
	box_in n a
	must ask a bind sim2
	must fault stop sim2 ignore forever
	must kill -KILL "$(pid_of a)"
	eventually quarantined 1
	must_not cni "$1" check "$net" n
	must matches "$said" 'uarantine'
	must fault stop sim2 obey
	must ctl device reset sim2
	eventually quarantined 0
	must cni "$1" check "$net" n
	must ctl container remove "$(id_in n)"
	must_not cni "$1" check "$net" n
	must matches "$said" 'svad has removed this container'
	must cni "$1" del "$net" n
}

quarantined() {
	[[ $(ctl --json quarantine list | jq length) = "$1" ]]
}

two_networks() {
	netns_new n
	must cni "$1" add "$net" n
	CNI_IFNAME=eth1 cni "$1" add sva-other n || fail "the second network"
	must containers_are 1
	box_in n a
	must ask a bind sim0
	must ask a dma sim0
	# it has one left
	must cni "$1" del "$net" n
	must dma_goes_on a sim0
	must registered "$(id_in n)"
	CNI_IFNAME=eth1 cni "$1" del sva-other n || fail "the second network's end"
	eventually bonds_are 0
	eventually containers_are 0
}

# ---- what runtimes pass along -----------------------------------------------------------------------------

narrowed() {
	netns_new n
	CAP_ARGS='{"sva": {"devices": ["sim1"], "limits": {"bonds": 1}}}' cni new add "$net" n || fail "ADD with a capability"
	box_in n a
	must ask a devices
	must matches "$answer" 'ok sim1$'
	must_not ask a bind sim0
	must ask a bind sim1
	must ask a fork
	eventually has_lines a 1 '^0 ok child'
	must_not ask a child bind sim1
	must matches "$answer" 'bonds'
	must cni new del "$net" n
}

pod_names() {
	netns_new n
	CNI_ARGS='IgnoreUnknown=1;K8S_POD_NAMESPACE=podns;K8S_POD_NAME=web-1;K8S_POD_UID=u-1' cni new add "$net" n || fail "ADD with arguments"
	must matches "$(ctl container list)" 'podns/web-1'
	must cni new del "$net" n
}

status() {
	netns_new n
	must cni new status "$net" n
	must svad_stop
	must_not cni new status "$net" n
	must matches "$said" 'svad'
	must svad_launch
	must cni new status "$net" n
}

# ---- DEL in bad times ----------------------------------------------------------------------------------------

namespace_gone() {
	netns_new n
	must cni new add "$net" n
	box_in n a
	must ask a bind sim0
	must kill -KILL "$(pid_of a)"
	must ip netns del n
	must cni new del "$net" n
	eventually containers_are 0
	eventually bonds_are 0
}

nobody_says_del() {
	netns_new n
	netns_new m
	must cni new add "$net" n
	must cni new add "$net" m
	box_in n a
	box_in m b
	must ask a bind sim0
	must ask b bind sim0
	must ask b dma sim0
	must kill -KILL "$(pid_of a)"
	must ip netns del n
	eventually not registered "$(id_in n)"
	# one whose namespace is still mounted, or has a process, lives
	must registered "$(id_in m)"
	must ip netns del m
	must ctl container reconcile
	must registered "$(id_in m)"
	must dma_goes_on b sim0
	must kill -KILL "$(pid_of b)"
	eventually containers_are 0
	eventually bonds_are 0
}

frozen_svad() {
	local began

	netns_new n
	must cni new add sva-short n
	box_in n a
	must ask a bind sim0
	must pkill -STOP -x svad-broker
	began=$SECONDS
	must cni new del sva-short n
	must [ $((SECONDS - began)) -lt $((60 * patience)) ]
	pkill -CONT -x svad-broker
	eventually svad_answers
	eventually containers_are 0
	eventually bonds_are 0
}

strict() {
	netns_new n
	must cni new add sva-strict n
	box_in n a
	must ask a bind sim2
	must fault stop sim2 ignore forever
	must_not cni new del sva-strict n
	must matches "$said" 'uarantine|not.*(stop|clean|CLEAN)|drain'
	must fault stop sim2 obey
	must ctl device reset sim2
	eventually bonds_are 0
	must cni new del sva-strict n
}

in_background() {
	NETCONFPATH=$conf/new timeout 120 "$bin/cnitool-new" "$1" "$net" /run/netns/n >"$work/$1" 2>&1 &
}

# ADD waits for the registry to be on the disk, which is the supervisor's to write.
del_before_add_ended() {
	local add del

	netns_new n
	must kill -STOP "$(<"$work/svad.pid")"
	in_background add
	add=$!
	eventually containers_are 1
	in_background del
	del=$!
	eventually plugins 2
	must kill -CONT "$(<"$work/svad.pid")"
	wait "$add"
	wait "$del" || fail "DEL: $(<"$work/del")"
	eventually plugins 0
	eventually containers_are 0
}

# The runtime is killed, its ADD lives on beside the DEL of the next one. Whichever svad hears first: what is left ends with the namespace.
add_orphaned() {
	local del

	netns_new n
	must pkill -STOP -x svad-broker
	in_background add
	eventually plugins 1
	must pkill -KILL -x cnitool-new
	in_background del
	del=$!
	eventually plugins 2
	must pkill -CONT -x svad-broker
	wait "$del" || fail "DEL: $(<"$work/del")"
	eventually plugins 0
	must ip netns del n
	eventually containers_are 0
}

plugins() {
	[[ $(pgrep -cx sva) = "$1" ]]
}

# ---- whole machines ---------------------------------------------------------------------------------------------

inode_of() {
	stat -L -c %i "/run/netns/$1"
}

# The kernel gives the inode of a dead namespace to the next one.
inode_reuse() {
	local inode i

	netns_new n
	inode=$(inode_of n)
	must cni new add "$net" n
	box_in n a
	must ask a bind sim0
	must kill -KILL "$(pid_of a)"
	must ip netns del n
	for ((i = 0; i < 200; i++)); do
		netns_new "m$i"
		[[ $(inode_of "m$i") = "$inode" ]] && break
	done
	[[ $(inode_of "m$i") = "$inode" ]] || skip "this kernel did not give the inode of a dead namespace again"
	must cni new add sva-other "m$i"
	box_in "m$i" b
	must ask b bind sim0
	must bonds_are 1 "$(id_in "m$i")"
	eventually not registered "$(id_in n)"
	must cni new del sva-other "m$i"
	eventually bonds_are 0
}

collected() {
	local i

	for i in 1 2 3; do
		netns_new "n$i"
		must cni new add "$net" "n$i"
		box_in "n$i" "b$i"
		must ask "b$i" bind sim0
	done
	netns_new other
	must cni new add sva-other other
	box_in other o
	must ask o bind sim1
	must ask o dma sim1
	must containers_are 4
	# cnitool calls no attachment valid
	must cni new gc "$net" n1
	must containers_are 1
	must bonds_are 1 "$(id_in other)"
	must dma_goes_on o sim1
	must cni new gc "$net" n1
	must cni new del sva-other other
}

# All killed, svad too; what has been stored is older than what lives.
reboot() {
	local i

	for i in 1 2; do
		netns_new "n$i"
		must cni new add "$net" "n$i"
		box_in "n$i" "b$i"
		must ask "b$i" bind sim0
	done
	must svad_crash
	end_boxes
	must ip netns del n1
	await 30 no_children_of_svad || fail "svad's children are still there"
	must svad_launch
	# n1 is found dead by svad itself, n2 is mounted still
	eventually not registered "$(id_in n1)"
	must registered "$(id_in n2)"
	eventually bonds_are 0
	must cni new gc "$net" n2
	eventually containers_are 0
}

for tool in old new; do
	scenario "cnitool-$tool: ADD, CHECK, DEL around bonds" life "$tool"
	scenario "cnitool-$tool: DEL twice, DEL of what never was" del_twice "$tool"
	scenario "cnitool-$tool: ADD twice" add_twice "$tool"
	scenario "cnitool-$tool: CHECK in each state" check_states "$tool"
	scenario "cnitool-$tool: two networks of one container" two_networks "$tool"
done
scenario "STATUS with svad up, down and up" status
scenario "capability sva narrows devices and limits" narrowed
scenario "CNI_ARGS name the pod" pod_names
scenario "DEL without a namespace" namespace_gone
scenario "no DEL at all: dead namespaces are found, living ones left alone" nobody_says_del
scenario "DEL while svad is frozen: in its time, and done later" frozen_svad
scenario "strictDel: a device that does not stop is an error" strict
scenario "DEL before ADD has ended" del_before_add_ended
scenario "DEL beside an ADD whose runtime was killed" add_orphaned
scenario "the inode of a dead namespace given to the next container" inode_reuse
scenario "GC: what is not valid ends, another network's stays" collected
scenario "all killed, svad started anew, GC with no valid attachment" reboot
finish
