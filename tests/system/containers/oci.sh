# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What every OCI runtime must do with svadctl as its hooks. runc.sh and crun.sh call oci_scenarios after oci_use.
#
# shellcheck disable=SC2154 # answer, runtime, ...: lib.sh's and bundle.sh's

unprivileged() {
	run plain
	must ask plain identity
	must matches "$answer" 'uid=1000 gid=1000 caps=0+ bounding=0+ nnp=1 seccomp=2'
	must registered plain
	must ask plain devices
	must matches "$answer" 'sim0'
	must ask plain bind sim0
	must ask plain copy sim0
	must ask plain dma sim0
	must dma_goes_on plain sim0
	must bonds_are 1 plain
	must_not ask plain try-write /written
	must matches "$answer" 'Read-only'
	must test ! -e "$rootfs/written"
	# no device node and no administrators' socket is in there
	must_not ls "/proc/$(init_pid plain)/root/run/svad/admin.sock"
	must ask plain unbind sim0
	must bonds_are 0 plain
	end plain
	must removed plain
	must told plain registered oci
	must told plain "removal asked" oci
}

killed_in_dma() {
	run killed
	must ask killed bind sim0
	must ask killed bind sim1
	must ask killed dma sim0
	must ask killed dma sim1
	must dma_goes_on killed sim0
	must rt kill killed KILL
	# before anybody has called the runtime again
	eventually bonds_are 0
	must registered killed
	eventually rt_status_is stopped killed
	must rt delete killed
	must removed killed
	must ended_clean killed "$by_its_end"
}

deleted_in_dma() {
	run deleted
	must ask deleted bind sim0
	must ask deleted dma sim0
	must dma_goes_on deleted sim0
	must rt delete --force deleted
	eventually removed deleted
	must bonds_are 0
	must ended_clean deleted "$by_its_end|container gone"
}

user_namespace() {
	run mapped '.linux.namespaces += [{ type: "user" }]
		| .linux.uidMappings = [{ containerID: 0, hostID: 200000, size: 65536 }] | .linux.gidMappings = .linux.uidMappings'
	must ask mapped identity
	must matches "$answer" 'uid=1000 gid=1000 caps=0+ '
	must matches "$(stat -c %u "/proc/$(init_pid mapped)")" '^201000$'
	must ask mapped bind sim0
	must ask mapped copy sim0
	must matches "$(ctl --json client list | jq -c 'map(.uid)')" '^\[201000\]$'
	must bonds_are 1 mapped
	end mapped
	must removed mapped
	must ended_clean mapped "$by_its_end"
}

# Frozen, it can neither answer nor die: what is its own ends all the same.
frozen() {
	run frozen
	must ask frozen bind sim0
	must ask frozen dma sim0
	must dma_goes_on frozen sim0
	must rt pause frozen
	eventually rt_status_is paused frozen
	must ctl container remove frozen
	must bonds_are 0
	must ended_clean frozen "container gone"
	must rt resume frozen
	must ask frozen wait-revoked sim0
	must_not ask frozen copy sim0
	end frozen
}

# A second program in the same container is a client of its own, charged to the same container.
executed() {
	run first
	box_inside first second
	must rt exec --detach first /bin/svad-box /box/second
	box_ready second
	must ask first bind sim0
	must ask second bind sim0
	must ask second dma sim0
	must dma_goes_on second sim0
	must bonds_are 2 first
	must matches "$(ctl --json container list | jq -c 'map([.name, .clients, .bonds])')" '^\[\["first",2,2\]\]$'
	kill -KILL "$(pid_of second)"
	eventually bonds_are 1 first
	must ask first copy sim0
	end first
	must removed first
	must ended_clean first "$by_its_end"
}

# The kernel kills it for its memory, while the device works in that memory.
out_of_memory() {
	run greedy '.linux.resources.memory = { limit: 50331648, swap: 50331648 }'
	must ask greedy bind sim0
	must ask greedy dma sim0
	must dma_goes_on greedy sim0
	tell greedy alloc 512
	eventually bonds_are 0
	eventually rt_status_is stopped greedy
	must rt delete greedy
	must removed greedy
	must ended_clean greedy "$by_its_end"
}

# Neither lists, is shown or can end what the other has.
two_alike() {
	local bond

	run one
	run two
	must ask one bind sim0
	bond=${answer#*id=} bond=${bond%% *}
	must ask two bind sim0
	must ask two raw-connect 1
	must ask two raw-list 1
	must matches "$answer" '^ok bonds:$'
	must_not ask two raw-revoke 1 "$bond"
	must_not ask two raw-containers 1
	must bonds_are 1 one
	must bonds_are 1 two
	end one
	must removed one
	must ask two copy sim0
	end two
}

# svad is down: a container that is to have SVA does not start, and leaves nothing.
down_at_start() {
	bundle early
	must svad_stop
	must_not rt run --detach --bundle "$work/bundles/early" early
	must_not rt state early
	must svad_launch
	must_not registered early
	start early
	must ask early bind sim0
	end early
	must removed early
}

# svad is down when it ends: that never fails the runtime, and svad learns of it when it is back.
down_at_end() {
	run late
	must ask late bind sim0
	must svad_stop
	rt kill late KILL
	eventually rt_status_is stopped late
	must rt delete late
	must svad_launch
	eventually removed late
	must bonds_are 0
}

# The daemon dies, its containers go on; what it knew of them it knows again.
daemon_killed() {
	run steady
	must ask steady bind sim0
	must ask steady dma sim0
	must dma_goes_on steady sim0
	must kill -KILL "$(pgrep -n '^svad-broker')"
	eventually svad_answers
	must registered steady
	must bonds_are 1 steady
	must dma_goes_on steady sim0
	end steady
	must removed steady
	must bonds_are 0
}

oci_scenarios() {
	scenario "$runtime: unprivileged, no capability, seccomp, read-only: binds, and its end is told by hooks" unprivileged
	scenario "$runtime: killed in the middle of DMA, everything is CLEAN before the runtime looks" killed_in_dma
	scenario "$runtime: deleted by force in the middle of DMA" deleted_in_dma
	scenario "$runtime: in a user namespace" user_namespace
	scenario "$runtime: a frozen container does not block its removal" frozen
	scenario "$runtime: a second process in the container is charged to it" executed
	scenario "$runtime: killed for its memory in the middle of DMA" out_of_memory
	scenario "$runtime: two containers from one image do not see each other" two_alike
	scenario "$runtime: with svad down a container does not start, later it does" down_at_start
	scenario "$runtime: a container that ends while svad is down" down_at_end
	scenario "$runtime: the broker killed under a container's DMA" daemon_killed
}
