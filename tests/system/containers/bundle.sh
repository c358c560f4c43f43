# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Containers of OCI runtimes, without CNI: bundles, and svadctl as their hooks. For suites that have sourced lib.sh; they call oci_use runc or
# oci_use crun, then run NAME.
#
# shellcheck disable=SC2154 # work, rootfs, answer, ...: lib.sh's
# shellcheck disable=SC2034 # what the suites use
# shellcheck disable=SC2016 # jq's variables

seccomp_profile=/usr/share/containers/seccomp.json
hooks='{ createRuntime: [{ path: $svadctl, args: ["svadctl", "container", "register", "--oci"] }],
	poststop: [{ path: $svadctl, args: ["svadctl", "container", "remove", "--oci"] }] }'

# The default profile of container engines in the runtime's own format, for a process without any capability.
seccomp_default() {
	jq --arg arch "$(dpkg --print-architecture)" '{
		defaultAction,
		defaultErrnoRet,
		architectures: (if $arch == "arm64" then ["SCMP_ARCH_AARCH64"] else ["SCMP_ARCH_X86_64"] end),
		syscalls: [.syscalls[]
			| select(.includes.caps == null and (.includes.arches == null or (.includes.arches | index($arch))))
			| select(.excludes.arches == null or (.excludes.arches | index($arch) | not))
			| { names, action } + (if .errnoRet != null then { errnoRet } else {} end)
				+ (if (.args // []) != [] then { args } else {} end)]
	}' "$seccomp_profile"
}

oci_use() {
	runtime=$1
	need "$runtime"
	[[ -e $seccomp_profile ]] || skip_all "$seccomp_profile is missing: the package golang-github-containers-common has it"
	mkdir -p "$work/bundles" "$work/$runtime"
	seccomp_default >"$work/seccomp.json" || skip_all "the default seccomp profile could not be read"
	# crun refuses to take a machine for one of cgroup v1 while v2 is mounted below it
	if [[ $runtime = crun && -d /sys/fs/cgroup/unified ]]; then
		umount /sys/fs/cgroup/unified || skip_all "crun needs /sys/fs/cgroup/unified unmounted in the suite's own namespace"
	fi
	(cd "$work/bundles" && rm -f config.json && "$runtime" spec) || skip_all "$runtime spec failed"
	jq --slurpfile seccomp "$work/seccomp.json" --arg rootfs "$rootfs" '
		.process.terminal = false
		| .process.args = ["/bin/svad-box", "/box"]
		| .process.env = ["PATH=/bin", "SVAD_SOCKET=/run/svad/svad.sock"]
		| .process.user = { uid: 1000, gid: 1000 }
		| .process.capabilities = { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] }
		| .process.noNewPrivileges = true
		| .root = { path: $rootfs, readonly: true }
		| .linux.seccomp = $seccomp[0]
		| .mounts |= map(select(.destination != "/sys/fs/cgroup" and .destination != "/dev/mqueue"))
		| .mounts += [{ destination: "/run/svad", type: "bind", source: "/run/svad/containers", options: ["bind", "ro", "nosuid", "nodev"] }]
	' "$work/bundles/config.json" >"$work/bundles/base.json" || skip_all "no bundle could be made"
}

rt() {
	"$runtime" --root "$work/$runtime" "$@"
}

# bundle NAME [JQ-FILTER [JQ-ARGUMENT...]]: a directory with config.json: unprivileged user, no capability, the default seccomp profile, a
# read-only root, svadctl as hooks, a directory for svad-box at /box; the filter changes it.
bundle() {
	local dir=$work/bundles/$1 name=$1 filter=${2-.}
	shift
	(($# == 0)) || shift

	box_new "$name"
	mkdir -p "$dir"
	jq --arg svadctl "$bin/svadctl" --arg box "$boxes/$name" --arg cgroup "$cgroup/$name" "$@" "
		.hooks = $hooks"'
		| .linux.cgroupsPath = $cgroup
		| .mounts += [{ destination: "/box", type: "bind", source: $box, options: ["bind", "rw"] }]
		| '"$filter" "$work/bundles/base.json" >"$dir/config.json" || fail "the bundle of $name"
}

# run NAME [JQ...]: its program is up
run() {
	bundle "$@"
	start "$1"
}

start() {
	must rt run --detach --bundle "$work/bundles/$1" "$1"
	box_ready "$1"
}

init_pid() {
	rt state "$1" | jq .pid
}

rt_status_is() {
	[[ $(rt state "$2" 2>/dev/null | jq -r .status) = "$1" ]]
}

# box_inside FIRST SECOND: a directory for another program in the same container, /box/SECOND
box_inside() {
	box_new "$2"
	mv "$boxes/$2" "$boxes/$1/$2"
	ln -s "$1/$2" "$boxes/$2"
}

# The process of a program that was started in a container, as seen from here.
pid_of() {
	local fd

	for fd in /proc/[0-9]*/fd/*; do
		if [[ $fd -ef $boxes/$1/in && $(readlink "${fd%/fd/*}/exe") = */svad-box ]]; then
			fd=${fd#/proc/}
			echo "${fd%%/*}"
			return 0
		fi
	done
	return 1
}

# As engines do: kill, and delete once it has stopped.
end() {
	rt kill "$1" KILL
	eventually rt_status_is stopped "$1"
	must rt delete "$1"
}

after_each() {
	local id

	for id in $(rt list -q); do
		rt resume "$id" 2>/dev/null
		rt delete --force "$id"
	done
	rm -rf "$work"/bundles/*/
}

# ---- what svad tells of them ----------------------------------------------------------------------------

shown() {
	ctl --json container show "$1"
}

removed() {
	not registered "$1"
}

# ended_clean ID CAUSES: each bond in its timeline ended once, CLEAN, by one of these causes ("a|b"), and there were some
ended_clean() {
	local timeline

	timeline=$(shown "$1") || return 1
	jq -e --arg causes "$2" '
		[.timeline[] | select(.what == "bond ended") | .bond]
		| length > 0 and (map(.bond) | unique | length) == length
			and all(.state == "CLEAN" and (.cause | test("^(" + $causes + ")$")))
	' <<<"$timeline" >/dev/null && return 0
	echo "not all ended once, CLEAN, by $2:"
	jq -c '.timeline[]' <<<"$timeline"
	return 1
}

# told ID WHAT TEXT: its timeline has such an entry
told() {
	shown "$1" | jq -e --arg what "$2" --arg text "$3" 'any(.timeline[]; .what == $what and ((.text // "") | test($text)))' >/dev/null
}

# What ends with a process, whoever sees it first: its pidfd, its address space, its fds.
by_its_end='client gone|address space ended|last close'
