#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# containerd with CNI, by ctr: whose removals are told late, or never.
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/containers/bundle.sh
. "$(dirname "$0")/bundle.sh"

need containerd ctr containerd-shim-runc-v2 iptables
oci_use runc

configure_containerd() {
	mkdir -p "$work/containerd" /etc/cni/net.d
	cp "$srcdir/packaging/containers/cni/10-containerd-sva.conflist" /etc/cni/net.d/
	cat >"$work/containerd/config.toml" <<END
version = 2
root = "$work/containerd/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd/containerd.sock"
END
}

containerd_answers() {
	timeout 10 ctr version >/dev/null 2>&1
}

containerd_start() {
	containerd --config "$work/containerd/config.toml" >>"$work/containerd/log" 2>&1 </dev/null &
	echo $! >"$work/containerd/pid"
	disown $!
	await 60 containerd_answers
}

containerd_kill() {
	kill -KILL "$(<"$work/containerd/pid")"
	eventually not containerd_answers
}

# ctr_bundle NAME [JQ...]: as bundle, without hooks: CNI tells of it
ctr_bundle() {
	bundle "$1" "del(.hooks) | ${2-.}"
}

# In the foreground, as a child of the scenario that waits for the container's end and then asks CNI for DEL.
ctr_foreground() {
	ctr_bundle "$@"
	ctr run --rm --cni --null-io --config "$work/bundles/$1/config.json" "$1" &
	foreground=$!
	box_ready "$1"
}

ctr_detached() {
	ctr_bundle "$@"
	must ctr run --detach --cni --null-io --config "$work/bundles/$1/config.json" "$1"
	box_ready "$1"
}

task_is_over() {
	! ctr task list | grep -q "^$1 .*RUNNING"
}

forget() {
	eventually task_is_over "$1"
	must ctr task delete "$1" >/dev/null
	must ctr container delete "$1"
}

after_each() {
	local id

	containerd_answers || containerd_start
	for id in $(ctr task list -q); do
		ctr task kill -s KILL "$id" 2>/dev/null
		await 30 task_is_over "$id"
		ctr task delete "$id" >/dev/null 2>&1
	done
	for id in $(ctr container list -q); do
		ctr container delete "$id"
	done
}

# Until then what is removed is what DEL has told of.
with_reconciler() {
	must svad_stop
	svad_configure "[containers]
reconcile = 1s"
	must svad_launch
}

# ---- scenarios --------------------------------------------------------------------------------------------

runs_and_ends() {
	ctr_foreground web
	must registered default-web
	must ask web identity
	must matches "$answer" 'uid=1000 gid=1000 caps=0+ bounding=0+ nnp=1 seccomp=2'
	must ask web bind sim0
	must ask web dma sim0
	must dma_goes_on web sim0
	must bonds_are 1 default-web
	tell web exit 3
	wait "$foreground"
	must matches $? '^3$'
	must removed default-web
	must told default-web registered cni
	must told default-web "removal asked" cni
	must ended_clean default-web "$by_its_end"
}

killed() {
	ctr_foreground victim
	must ask victim bind sim0
	must ask victim dma sim0
	must dma_goes_on victim sim0
	must ctr task kill -s KILL victim
	eventually bonds_are 0
	wait "$foreground"
	must removed default-victim
	must ended_clean default-victim "$by_its_end"
}

# ctr run --detach never sends DEL.
no_del() {
	with_reconciler
	ctr_detached quiet
	must ask quiet bind sim0
	must ask quiet dma sim0
	must dma_goes_on quiet sim0
	must ctr task kill -s KILL quiet
	eventually bonds_are 0
	forget quiet
	eventually removed default-quiet
	must told default-quiet "network namespace dead" ''
	must_not told default-quiet "removal asked" cni
	must ended_clean default-quiet "$by_its_end"
}

# The container outlives containerd, and its bonds do.
containerd_dies() {
	with_reconciler
	ctr_detached survivor
	must ask survivor bind sim0
	must ask survivor dma sim0
	must dma_goes_on survivor sim0
	containerd_kill
	must dma_goes_on survivor sim0
	must containerd_start
	must registered default-survivor
	must bonds_are 1 default-survivor
	must dma_goes_on survivor sim0
	must ctr task kill -s KILL survivor
	eventually bonds_are 0
	forget survivor
	eventually removed default-survivor
}

# A ctr that loses containerd sends DEL, and its container lives on: DEL alone ends its bonds, and it gets no others.
del_while_it_lives() {
	ctr_foreground orphan
	must ask orphan bind sim0
	must ask orphan dma sim0
	must dma_goes_on orphan sim0
	containerd_kill
	wait "$foreground"
	must removed default-orphan
	must bonds_are 0
	must ended_clean default-orphan "container gone"
	must ask orphan wait-revoked sim0
	must_not ask orphan bind sim1
	must matches "$answer" 'removed'
	must containerd_start
	must ctr task kill -s KILL orphan
	forget orphan
}

paused() {
	ctr_detached ice
	must ask ice bind sim0
	must ask ice dma sim0
	must dma_goes_on ice sim0
	must ctr task pause ice
	must ctl container remove default-ice
	must bonds_are 0
	must ended_clean default-ice "container gone"
	must ctr task resume ice
	must_not ask ice copy sim0
	must ctr task kill -s KILL ice
	forget ice
}

# With svad down ADD says so: ctr starts no task and nothing is stranded.
svad_down() {
	ctr_bundle early
	must svad_stop
	must_not ctr run --detach --cni --null-io --config "$work/bundles/early/config.json" early
	must svad_launch
	must_not registered default-early
}

configure_containerd
containerd_start || skip_all "containerd does not start here: $(tail -n 1 "$work/containerd/log")"
svad_start "[containers]
reconcile = 0"
scenario "containerd: a container binds, ends, and is removed by DEL" runs_and_ends
scenario "containerd: a task killed in the middle of DMA" killed
scenario "containerd: DEL of a container that lives" del_while_it_lives
scenario "containerd: a paused task does not block its removal" paused
scenario "containerd: with svad down nothing starts and nothing is left" svad_down
scenario "containerd: ctr run --detach never sends DEL: the reconciler finds it" no_del
scenario "containerd: killed and restarted under a container that goes on" containerd_dies
kill "$(<"$work/containerd/pid")"
finish
