#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Two hundred containers, several at a time, each with DMA under way when it ends, in a way drawn by lot: nothing is left, and the device's
# checker has seen nothing that it should not. SVAD_TEST_SEED=N draws other lots, SVAD_TEST_CONTAINERS=N makes it others.
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/containers/bundle.sh
. "$(dirname "$0")/bundle.sh"

need crun
oci_use crun
seed=${SVAD_TEST_SEED:-1}
containers=${SVAD_TEST_CONTAINERS:-200}
workers=4

# ---- ends ------------------------------------------------------------------------------------------------

stopped_and_deleted() {
	eventually rt_status_is stopped "$1"
	must rt delete "$1"
}

end_by_term() {
	must rt kill "$1" TERM
	stopped_and_deleted "$1"
}

end_by_kill() {
	must rt kill "$1" KILL
	stopped_and_deleted "$1"
}

end_by_force() {
	must rt delete --force "$1"
}

# svad is told first, and the container goes on for a while.
end_by_remove() {
	must ctl container remove "$1"
	must bonds_are 0 "$1"
	must ask "$1" wait-revoked "$2"
	must rt delete --force "$1"
}

# Its address space ends in the middle of DMA, its process later.
end_by_exec() {
	must ask "$1" exec
	box_ready "$1" 2
	must ask "$1" bind "$2"
	must ask "$1" copy "$2"
	end_by_kill "$1"
}

# Nobody tells svad.
end_untold() {
	must rt delete --force "$1"
}

ends=(by_term by_kill by_force by_remove by_exec untold)

# ---- lives -----------------------------------------------------------------------------------------------

life() {
	local name=m$1 end device filter=.

	RANDOM=$((seed * 1000 + $1))
	end=${ends[RANDOM % ${#ends[@]}]}
	device=sim$((RANDOM % 2))
	[[ $end != untold ]] || filter='del(.hooks.poststop)'
	run "$name" "$filter"
	must ask "$name" bind "$device"
	must ask "$name" copy "$device"
	must ask "$name" dma "$device"
	must dma_goes_on "$name" "$device"
	"end_$end" "$name" "$device"
	rm -rf "${boxes:?}/$name" "$work/bundles/$name"
}

worker() {
	local i

	for ((i = $1; i < containers; i += workers)); do
		if ! (life "$i") >"$work/many/$i" 2>&1; then
			echo "container $i (seed $seed):"
			tail -n 20 "$work/many/$i"
			return 1
		fi
		echo "$i" >>"$work/many/done"
	done
}

metric() {
	ctl metrics | awk -v name="svad_$1" '$1 == name { print $2 }'
}

no_netns_but_ours() {
	local ns

	for ns in /proc/[0-9]*/ns/net; do
		[[ ! -e $ns || $ns -ef /proc/self/ns/net ]] || return 1
	done
}

broker_fds() {
	find "/proc/$(pgrep -n '^svad-broker')/fd" -mindepth 1 | wc -l
}

# Tombstones go when the reconciler has found their netnses dead.
none_is_stored() {
	! grep -E '(^|[^0-9])m[0-9]+' /run/svad/state/containers
}

as_many_fds() {
	[[ $(broker_fds) = "$1" ]]
}

two_hundred() {
	local i pids=() r=0 fds

	mkdir -p "$work/many"
	# what is made once is there
	run first
	must ask first bind sim0
	end first
	eventually world_is_clean
	fds=$(broker_fds)

	for ((i = 0; i < workers; i++)); do
		worker "$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || r=1
	done
	((r == 0)) || fail "not every container ended as it should"
	must matches "$(wc -l <"$work/many/done")" "^$containers\$"
	eventually world_is_clean
	eventually no_netns_but_ours
	eventually as_many_fds "$fds"
	eventually none_is_stored
	must matches "$(metric store_damaged_total) $(metric store_failures_total)" '^0 0$'
	must matches "$(rt list -q | wc -l)" '^0$'
	# each once, and the first
	must matches "$(metric containers_registered_total) $(metric containers_removed_total)" "^$((containers + 1)) $((containers + 1))\$"
	must matches "$(metric containers) $(metric bonds)" '^0 0$'
	echo "# $containers containers, $workers at a time, seed $seed"
}

svad_start '[containers]
reconcile = 2s'
scenario "$containers containers that end at random in the middle of DMA: nothing is left" two_hundred
finish
