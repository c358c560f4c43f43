#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Containers that attack svad and their neighbours: what they break is theirs alone, and svad's log names them.
#
# shellcheck disable=SC2016 # jq's variables
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/containers/bundle.sh
. "$(dirname "$0")/bundle.sh"

oci_use runc

# ---- what they share -------------------------------------------------------------------------------------

# A volume in both, where they can pass things on.
volume='.mounts += [{ destination: "/shared", type: "bind", source: $shared, options: ["bind", "rw"] }]'
as_root='.process.user = { uid: 0, gid: 0 }'

# hostile NAME [JQ]; its neighbour is called good
hostile() {
	install -d -m 777 "$work/shared"
	rm -f "$work"/shared/*
	run "$1" "$volume | ${2-.}" --arg shared "$work/shared" --arg cgroup "$cgroup"
}

neighbour() {
	hostile good
	must ask good bind sim1
	must ask good dma sim1
	must dma_goes_on good sim1
}

# It works as before, and nothing of others is counted as its own.
unhurt() {
	must dma_goes_on good sim1
	must matches "$(figures good)" '^1 1 0$'
	must ask good unbind sim1
	must ask good bind sim1
	must ask good dma sim1
}

# What svad charges to a container: clients, bonds, quarantined ones.
figures() {
	ctl --json container list | jq -r --arg name "$1" '.[] | select(.name == $name) | "\(.clients) \(.bonds) \(.quarantined)"'
}

charged() {
	[[ $(figures "$1") = "$2 $3 "* ]]
}

# What it was refused is counted as the container's.
counted() {
	(($(ctl --json container list | jq --arg name "$1" '.[] | select(.name == $name) | .refused') > 0))
}

# hands NAME COMMAND N PATH TAKER TAKE M: NAME gives, TAKER takes; both say ok
hands() {
	local taken

	rm -f "$work/shared/$4"
	tell "$5" "$6" "$7" "/shared/$4"
	taken=$seq
	eventually test -S "$work/shared/$4"
	must ask "$1" "$2" "$3" "/shared/$4"
	answered "$5" "$taken" || fail "$5 took nothing: $answer"
}

# named REGEX: in svad's log since the scenario began
named() {
	tail -c "+$((log_from + 1))" "$log" | grep -qE -- "$1"
}

# svad logs one refused connection a second, and the scenario before this may have had its own.
next_line() {
	sleep 1.1
}

attack() {
	log_from=$(stat -c %s "$log")
	"$@"
}

# ---- who it is ---------------------------------------------------------------------------------------------

# A socket says in whose network namespace it was made. One that was made in good's does not make evil good.
wrong_socket() {
	next_line
	neighbour
	hostile evil
	hands good give 2 socket evil take 2
	must_not ask evil raw-dial 2
	must matches "$answer" 'made in'
	eventually named "Refused a connection of pid $(init_pid evil), uid 1000: .*container good.*container evil"
	eventually charged evil 0 0
	unhurt
}

# A connection that changes hands remains whose it was.
given_connection() {
	neighbour
	hostile evil
	must ask evil hold-open 0
	hands evil hold-give 0 connection good hold-take 0
	must ask good hold-grant 0 sim0
	must charged evil 1 1
	unhurt
	end evil
	must removed evil
	must_not ask good hold-grant 0 sim0
	unhurt
}

# Everything that a bond is made of, handed over: it still reaches the giver's memory only.
given_bond() {
	neighbour
	hostile evil
	must ask evil hold-open 0
	must ask evil hold-grant 0 sim0
	must ask evil hold-bind 0
	must ask evil hold-page 0
	must ask good hold-page
	hands evil hold-give 0 bond good hold-take 0
	must matches "$answer" 'fds=6'
	# the ctx is tied to the giver's address space, and the fds of that are no proof of being the giver
	must_not ask good hold-bind 0
	must_not ask good hold-bind 0 theirs
	must ask good hold-ring 0
	must ask evil hold-ring 0
	eventually filled evil
	must ask good hold-look
	must matches "$answer" '^ok empty$'
	must charged evil 1 1
	end evil
	must removed evil
	must ended_clean evil "$by_its_end|container gone"
	unhurt
}

filled() {
	ask "$1" hold-look && [[ $answer = "ok filled" ]]
}

# A ctx that is tied to no address space yet: whoever binds with it does so on the giver's account, and it ends with the giver.
given_ctx() {
	neighbour
	hostile evil
	must ask evil hold-open 0
	must ask evil hold-grant 0 sim0
	hands evil hold-give 0 ctx good hold-take 0
	if ask good hold-bind 0; then
		must charged evil 1 1
		must bonds_are 1 evil
		end evil
		must_not ask good hold-unbind 0
	else
		end evil
	fi
	must removed evil
	must bonds_are 1
	unhurt
}

forged_ids() {
	local bond

	neighbour
	bond=$(ctl --json bond list --container good | jq '.[0].bond // .[0].id')
	hostile evil
	must ask evil raw-connect 1
	must_not ask evil raw-register 1 good
	must matches "$answer" 'error -7 '
	must_not ask evil raw-remove 1 good
	must matches "$answer" 'error -7 '
	must_not ask evil raw-revoke 1 "$bond"
	must_not ask evil raw-containers 1
	must ask evil raw-list 1
	must matches "$answer" '^ok bonds:$'
	must matches "$(ctl --json container list | jq -c 'map(.name) | sort')" '^\["evil","good"\]$'
	unhurt
}

# Somebody has mounted all of svad's directory, and the container is root.
admin_socket() {
	next_line
	neighbour
	hostile evil "$as_root"' | .mounts += [{ destination: "/admin", type: "bind", source: "/run/svad", options: ["bind", "rw"] }]'
	must_not ask evil raw-connect 1 /admin/admin.sock
	eventually named "pid $(init_pid evil)"
	# by a socket that was made outside, too
	must_not ask evil raw-remove 1 good
	must registered good
	unhurt
}

# ---- getting away ------------------------------------------------------------------------------------------

cpuset() {
	local file

	for file in cpuset.cpus cpuset.mems; do
		cat "/sys/fs/cgroup/cpuset/$file" >"$1/$file" && cat "$1/$file" >"$1/escaped/$file" || return 1
	done
}

# A process that has left its session, its parent and its cgroups, and shares the host's pids: it outlives the container, not its bonds.
survivor() {
	local dir pid

	neighbour
	for dir in /sys/fs/cgroup /sys/fs/cgroup/*/; do
		[[ -e $dir/cgroup.procs ]] && mkdir -p "${dir%/}$cgroup/escaped"
		# one of cpusets takes nobody while it has no processors
		[[ $dir != */cpuset/ ]] || cpuset "${dir%/}$cgroup" || fail "no cpuset"
	done
	hostile evil "$as_root"' | .linux.namespaces |= map(select(.type != "pid"))
		| .mounts += [{ destination: "/cgroup", type: "bind", source: "/sys/fs/cgroup", options: ["rbind", "rw"] }]'
	must ask evil orphan
	eventually has_lines evil 1 '^0 ok child'
	for dir in /sys/fs/cgroup /sys/fs/cgroup/*/; do
		dir=${dir%/}$cgroup/escaped/cgroup.procs
		[[ ! -e $dir ]] || must ask evil child put "/cgroup${dir#/sys/fs/cgroup}" 0
	done
	must ask evil child hold-open 0
	must ask evil child hold-grant 0 sim0
	must ask evil child hold-bind 0
	must charged evil 1 1
	must ask evil child linger
	pid=$(pgrep -x box-child) || fail "no survivor"
	end evil
	must removed evil
	must kill -0 "$pid"
	must bonds_are 0 evil
	must ended_clean evil "container gone"
	must told evil "removal asked" oci
	kill -KILL "$pid"
	unhurt
}

# Another network namespace is no way out of one's policy.
unshared() {
	next_line
	neighbour
	hostile evil 'del(.linux.seccomp)'
	must ask evil fork
	eventually has_lines evil 1 '^0 ok child'
	ask evil child unshare-net || skip "this machine does not let users make namespaces: $answer"
	must_not ask evil child raw-connect 1
	must matches "$answer" 'unregistered|no registered container'
	eventually named "Refused a connection of pid [0-9]+, uid 1000: .*no registered container"
	must ask evil raw-connect 1
	unhurt
}

# What a container still holds when it was removed under its feet: nothing of it works, and it is not the host's for that.
removed_network() {
	next_line
	neighbour
	hostile evil
	must ask evil hold-open 0
	must ask evil hold-grant 0 sim0
	must ask evil hold-bind 0
	must ask evil hold-grant 0 sim1
	must ctl container remove evil
	must removed evil
	must ended_clean evil "container gone"
	must_not ask evil hold-bind 0
	must_not ask evil hold-grant 0 sim1
	must_not ask evil hold-info 0
	must_not ask evil raw-connect 1
	must matches "$answer" 'removed'
	eventually named "Refused a connection of pid $(init_pid evil).*evil.* was removed"
	unhurt
}

# ---- too much ------------------------------------------------------------------------------------------------

many_connections() {
	next_line
	neighbour
	hostile evil
	must ask evil raw-many 30
	must matches "$answer" '^ok in=8 granted=0 last: .*connections_per_container'
	eventually named 'evil.*connections_per_container'
	must charged evil 8 0
	unhurt
}

many_bonds() {
	local n

	neighbour
	hostile evil
	for n in 0 1 2; do
		must ask evil hold-open "$n"
	done
	must ask evil hold-grant 0 sim0
	must ask evil hold-grant 0 sim1
	must ask evil hold-grant 1 sim0
	must ask evil hold-grant 1 sim1
	must_not ask evil hold-grant 2 sim0
	must matches "$answer" 'evil.* bonds_per_container'
	eventually named 'evil.*limit bonds_per_container, 4'
	must counted evil
	must charged evil 3 4
	unhurt
}

many_requests() {
	neighbour
	hostile evil
	must ask evil raw-connect 1
	must ask evil raw-flood 1 1000
	must_not matches "$answer" 'refused=0 closed=0' >/dev/null
	eventually named 'evil.*limit requests_per_second_per_container, 40'
	must counted evil
	unhurt
}

# Resident memory of the broker, in KiB.
broker_memory() {
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$(pgrep -n '^svad-broker')/status"
}

# Answers that nobody reads, and bytes that are no message; from one whose requests have no limit of its own.
unread() {
	local before n

	neighbour
	hostile rude
	for n in 0 1 2 3; do
		must ask rude hold-open "$n"
	done
	before=$(broker_memory)
	for n in 0 1 2 3; do
		must ask rude stuff "$n" 20000
	done
	unhurt
	# each connection may have 256 KiB of them
	(($(broker_memory) < before + 16384)) || fail "the broker had $before KiB, now $(broker_memory)"
	must ask rude raw-connect 1
	must ask rude raw-garbage 1 2000
	must ask rude raw-connect 1
	must ask rude raw-garbage 1 65000
	unhurt
}

# ---- all of it, and how the neighbour fares -------------------------------------------------------------------

measured() {
	must ask "$1" measure sim1 "$2"
	must matches "$answer" 'binds=[0-9]+ failed=0 '
	median=${answer#*median=} median=${median%% *}
	max=${answer#*max=} max=${max%% *}
}

storms() {
	local before kind n=0

	hostile good
	measured good 300
	before=$median
	for kind in connect flood garbage bind; do
		n=$((n + 1))
		hostile "evil$n"
		must ask "evil$n" storm "$kind"
	done
	eventually named 'Refused a connection of pid .*evil1'
	measured good 300
	echo "# the neighbour's bind: median $before us, while attacked by 4 containers $median us" \
		"(ratio $((median / before)).$((median * 10 / before % 10))), the slowest $max us"
	# the library's own limit of a request
	((max < 30000000)) || fail "a bind of the neighbour took $max us"
	for n in 1 2 3 4; do
		must rt delete --force "evil$n"
		eventually removed "evil$n"
	done
	measured good 20
	end good
}

svad_start '[containers]
reconcile = 0
unregistered = refuse
[policy "good"]
container = good*
devices = *
[policy "rude"]
container = rude*
devices = *
[policy "evil"]
container = evil*
devices = *
connections_per_container = 8
bonds_per_container = 4
requests_per_second_per_container = 40'

scenario "a socket of another's network namespace is refused" attack wrong_socket
scenario "a connection given away is still charged to the giver" attack given_connection
scenario "a bond given away reaches the giver's memory only" attack given_bond
scenario "a context given away is the giver's account, and ends with it" attack given_ctx
scenario "requests of administrators by a client: refused, whatever ids they name" attack forged_ids
scenario "root in a container with the administrators' socket: refused" attack admin_socket
scenario "a process that has left its cgroups and outlives its container keeps no bond" attack survivor
scenario "a network namespace of its own does not free a container's process from policy" attack unshared
scenario "what is kept of a removed container is of no use" attack removed_network
scenario "connections beyond the container's limit" attack many_connections
scenario "bonds beyond the container's limit" attack many_bonds
scenario "requests beyond the container's limit" attack many_requests
scenario "unread answers and garbage" attack unread
scenario "four attackers at once: the neighbour's binds" attack storms
finish
