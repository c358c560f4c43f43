#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The five things that end a container's bonds, each alone: none of the others can have been it.
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/containers/bundle.sh
. "$(dirname "$0")/bundle.sh"

oci_use runc

plugin=$cni_bin/sva

working() {
	must ask "$1" bind sim0
	must ask "$1" dma sim0
	must dma_goes_on "$1" sim0
	must bonds_are 1 "$1"
}

# The process is gone. Its address space and its ctx are not: another process that shares and inherited them lives on.
by_pidfd() {
	local first heir

	run shares
	box_inside shares second
	must rt exec --detach shares /bin/svad-box /box/second
	box_ready second
	must ask second bind sim0
	must ask second copy sim0
	must ask second vm-child
	first=$(pid_of second)
	heir=$(pgrep -P "$first") || fail "no process shares its memory"
	must bonds_are 1 shares
	kill -KILL "$first"
	eventually bonds_are 0
	must kill -0 "$heir"
	must registered shares
	must ended_clean shares "client gone"
	end shares
}

# The address space is gone, the process is the same, and another holds its connection, its ctx and its bond.
by_the_address_space() {
	local taken

	run renewed
	box_inside renewed second
	must rt exec --detach renewed /bin/svad-box /box/second
	box_ready second
	must ask renewed hold-open 0
	must ask renewed hold-grant 0 sim0
	must ask renewed hold-bind 0
	must ask renewed hold-page 0
	tell second hold-take 0 /box/handed
	taken=$seq
	eventually test -S "$boxes/renewed/handed"
	must ask renewed hold-give 0 /box/handed
	answered second "$taken" || fail "$answer"
	must ask renewed hold-ring 0
	eventually filled renewed
	must ask renewed exec
	box_ready renewed 2
	eventually bonds_are 0
	must rt_status_is running renewed
	must registered renewed
	must ended_clean renewed "address space ended"
	must ask renewed bind sim0
	must ask renewed copy sim0
	end renewed
}

filled() {
	ask "$1" hold-look && [[ $answer = "ok filled" ]]
}

# The runtime says so, of a container that is alive.
by_hook() {
	run told_of
	working told_of
	rt state told_of | must ctl container remove --oci
	must bonds_are 0
	must removed told_of
	must ended_clean told_of "container gone"
	must told told_of "removal asked" oci
	must rt_status_is running told_of
	must_not ask told_of copy sim0
	end told_of
}

# CNI's ADD as an engine calls it; then GC with a list that the container is not in.
cni() {
	local command=$1 id=$2 netns=$3

	env -i PATH="$PATH" CNI_COMMAND="$command" CNI_CONTAINERID="$id" CNI_NETNS="$netns" CNI_IFNAME=eth0 CNI_PATH="$cni_bin" "$plugin"
}

by_gc() {
	[[ -x $plugin ]] || fail "there is no plugin"
	run counted 'del(.hooks)'
	must cni ADD counted "/proc/$(init_pid counted)/ns/net" \
		<<<'{ "cniVersion": "1.1.0", "name": "ends", "type": "sva", "prevResult": { "cniVersion": "1.1.0" } }' >/dev/null
	working counted
	must cni GC "" "" <<<'{ "cniVersion": "1.1.0", "name": "ends", "type": "sva",
		"cni.dev/valid-attachments": [{ "containerID": "counted", "ifname": "eth0" }] }'
	must bonds_are 1 counted
	must dma_goes_on counted sim0
	must cni GC "" "" <<<'{ "cniVersion": "1.1.0", "name": "ends", "type": "sva", "cni.dev/valid-attachments": [] }'
	must bonds_are 0
	must removed counted
	must ended_clean counted "container gone"
	must told counted "removal asked" gc
	must rt_status_is running counted
	end counted
}

# Its only process has left the network namespace, with its bond: the namespace is dead, the process is not.
by_reconciler() {
	run left 'del(.linux.seccomp)'
	must ask left bind sim0
	must ask left copy sim0
	ask left unshare-net || skip "this machine does not let users make namespaces: $answer"
	must ctl container reconcile
	eventually removed left
	eventually bonds_are 0
	must ended_clean left "container gone"
	must told left "network namespace dead" ''
	must_not told left "removal asked" 'oci|cni|gc'
	must rt_status_is running left
	must_not ask left copy sim0
	end left
}

svad_start '[containers]
reconcile = 0'
scenario "end by the process's pidfd alone" by_pidfd
scenario "end by the address space's alone" by_the_address_space
scenario "end by the runtime's hook alone" by_hook
scenario "end by GC alone" by_gc
scenario "end by the reconciler alone" by_reconciler
finish
