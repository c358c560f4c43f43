# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For suites with real container runtimes. A suite is a script:
#
#	. "$(dirname "$0")/lib.sh"	runs the script anew, in namespaces of its own, with $work
#	need podman runc ...		ends as skipped, or failed where SVAD_REQUIRE_CONTAINERS=1, when a program is missing
#	svad_start [LINES]		svad as root on simulated devices, with /run/svad and these lines of configuration ($stubborn: a third
#				device, sim2, that is quarantined after a second)
#	scenario "what it shows" FUNCTION [ARGUMENT...]
#	...
#	finish
#
# Mount, pid, network and ipc namespaces are the suite's own, so that whatever it makes ends with it, even when it is killed: processes, mounts,
# netnses, interfaces. /run is a tmpfs; what is written below /etc, /opt, /var/lib and /usr/lib/cni is in an overlay. So the default
# paths of svad and of the runtimes can be used: /run/svad, /etc/cni/net.d, /etc/cdi, /usr/lib/cni, /opt/cni/bin. "The host" of such a suite is the
# suite's network namespace. Only cgroups are outside: make them below $cgroup (/svad-test-PID), they are removed at the end.
#
# A scenario is a function; it runs in a subshell, where
#
#	must CMD...			ends it as failed when CMD fails;  must_not CMD...;  fail WORDS
#	await SECONDS CMD...		0 once CMD succeeds, 1 after that many seconds (more on slow machines);  eventually CMD...: must await 60 CMD
#	skip WORDS			ends it as skipped
#
# Its output is shown when it fails, with svad's log since its beginning. After each one after_each() is called, which a suite may
# redefine (it ends whatever containers the scenario has left), then svad must have no bond, no container, no violation
# left, and must not have crashed.
#
# The program in the containers is svad-box (box.c): box_new NAME makes its directory, to be mounted at /box; its command line is
# "/bin/svad-box /box" (the rootfs is $rootfs). Then: box_ready NAME, ask NAME WORDS... (0 when it answered ok, the words in $answer).

set -u -o pipefail

srcdir=${SVAD_SRCDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)}
builddir=${SVAD_BUILDDIR:-$(pwd)}
suite_limit=${suite_limit-1100} # seconds; only for one that hangs: what is waited for has limits of its own

# ---- outside ---------------------------------------------------------------------------------------

skip_all() {
	if [[ ${SVAD_REQUIRE_CONTAINERS-0} = 1 ]]; then
		echo "1..1"
		echo "not ok 1 - $*"
	else
		echo "1..0 # SKIP $*"
	fi
	exit 0
}

remove_cgroups() {
	find /sys/fs/cgroup -depth -type d \( -path "*/$1" -o -path "*/$1/*" \) -exec rmdir {} + 2>/dev/null
}

# Directories and cgroups of suites that were killed together with what should have removed them.
sweep() {
	local dir pid

	for dir in /tmp/svad-containers.*; do
		pid=$(cat "$dir/pid" 2>/dev/null) || continue
		[[ -n $pid && ! -e /proc/$pid ]] || continue
		remove_cgroups "svad-test-$pid"
		rm -rf "$dir"
	done
}

outside() {
	local dir r=0 child program

	((EUID == 0)) || skip_all "container runtimes are run by root here"
	unshare --mount --pid --net --ipc --fork true 2>/dev/null || skip_all "this machine does not let root make namespaces"
	for program in svad svad-broker svad-simdev svadctl svad-box sva; do
		[[ -x $builddir/$program ]] && continue
		printf '1..1\nnot ok 1 - %s is built: make -C %s\n' "$program" "$builddir"
		exit 1
	done
	sweep
	dir=$(mktemp -d /tmp/svad-containers.XXXXXX) || exit 99
	echo $$ >"$dir/pid"
	# whoever of these is killed takes all below it along
	setpriv --pdeathsig KILL timeout --kill-after=10 "$suite_limit" \
		setpriv --pdeathsig KILL unshare --mount --pid --net --ipc --fork --kill-child --mount-proc --propagation private -- \
		env SVAD_BOX_WORK="$dir" SVAD_BOX_CGROUP="svad-test-$$" SVAD_SRCDIR="$srcdir" SVAD_BUILDDIR="$builddir" bash "$@" &
	child=$!
	trap 'kill "$child" 2>/dev/null' TERM INT HUP
	wait "$child" || r=$?
	wait "$child" 2>/dev/null # a signal ends the first one
	((r == 124)) && echo "Bail out! not over after $suite_limit s"
	remove_cgroups "svad-test-$$"
	rm -rf "$dir"
	exit "$r"
}

[[ -n ${SVAD_BOX_WORK-} ]] || outside "$(readlink -f "$0")" "$@"

# ---- inside ----------------------------------------------------------------------------------------

work=$SVAD_BOX_WORK
# shellcheck disable=SC2034 # for the suites
cgroup=/$SVAD_BOX_CGROUP
rootfs=$work/rootfs
boxes=$work/boxes
bin=$work/bin
cni_bin=$work/cni-bin
log=$work/svad.log
patience=${SVAD_TEST_PATIENCE:-2}
answer=''
tests=0
any_failed=0
export PATH=$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset SVAD_SOCKET SVAD_ADMIN_SOCKET NOTIFY_SOCKET XDG_RUNTIME_DIR MAKEFLAGS MFLAGS MAKELEVEL

need() {
	local p

	for p in "$@"; do
		command -v "$p" >/dev/null || skip_all "$p is missing; ./bootstrap check --only containers installs what is needed"
		case $p in
		runc | crun | podman | containerd) cgroups_writable || skip_all "$p needs cgroups, which cannot be made here" ;;
		esac
	done
}

cgroups_writable() {
	local dir

	for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[[ -e $dir/cgroup.procs ]] && mkdir -p "$dir$cgroup" 2>/dev/null && return 0
	done
	return 1
}

# What is written there is the suite's own.
overlaid() {
	local dir name

	for dir in "$@"; do
		[[ -d $dir ]] || continue
		name=$work/overlay/${dir//\//-}
		mkdir -p "$name/upper" "$name/work"
		mount -t overlay overlay -o "lowerdir=$dir,upperdir=$name/upper,workdir=$name/work" "$dir" || return 1
	done
}

make_rootfs() {
	mkdir -p "$rootfs"/{bin,box,dev,etc,proc,run/svad,sys,tmp,var}
	chmod 1777 "$rootfs/tmp"
	cp "$(command -v busybox)" "$rootfs/bin/busybox" || return 1
	for tool in sh cat ls sleep kill true false id mount echo mkdir rm stat ps; do
		ln -s busybox "$rootfs/bin/$tool"
	done
	cp "$builddir/svad-box" "$rootfs/bin/svad-box" || return 1
	printf 'root:x:0:0:root:/:/bin/sh\nbox:x:1000:1000:box:/:/bin/sh\n' >"$rootfs/etc/passwd"
	printf 'root:x:0:\nbox:x:1000:\n' >"$rootfs/etc/group"
}

make_world() {
	local p

	mount -t tmpfs -o mode=755 svad-test "$work" || return 1
	mount -t tmpfs -o mode=755 svad-test /run || return 1
	mkdir -p /run/lock /run/netns "$boxes" "$bin" "$cni_bin" "$work/tmp"
	overlaid /etc /var/lib /opt /usr/lib/cni || return 1
	ip link set lo up || return 1
	for p in svad svad-broker svad-simdev svadctl svad-box; do
		cp "$builddir/$p" "$bin/" || return 1
	done
	# where the plugin is looked for by default, and beside the others for CNI_PATH
	mkdir -p /usr/lib/cni /opt/cni/bin
	cp "$builddir/sva" /usr/lib/cni/ || return 1
	cp /usr/lib/cni/* /opt/cni/bin/
	cp /usr/lib/cni/* "$cni_bin/"
	make_rootfs
}

need ip busybox jq
make_world || skip_all "the suite's own world could not be made"
cd "$work/tmp" || exit 99 # conmon, for one, leaves a file where it was started

# ---- waiting and judging -----------------------------------------------------------------------------

await() {
	local end=$((SECONDS + $1 * patience))
	shift

	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.05
	done
}

fail() {
	echo "FAILED: $*"
	exit 1
}

skip() {
	echo "$*" >"$work/skip"
	exit 77
}

must() {
	"$@" || fail "status $? of: $*"
}

must_not() {
	! "$@" || fail "should have failed: $*"
}

eventually() {
	await 60 "$@" || fail "not within its time: $*"
}

# matches TEXT REGEX
matches() {
	[[ $1 =~ $2 ]] && return 0
	echo "this does not match \"$2\":"
	printf '%s\n' "$1"
	return 1
}

not() {
	! "$@"
}

after_each() {
	:
}

# What there is to see when something has failed, before it is cleaned up.
snapshot() {
	{
		echo "---- svadctl:"
		timeout 20 svadctl status
		timeout 20 svadctl container list
		timeout 20 svadctl bond list
		tail -n 3 "$boxes"/*/out 2>/dev/null
	} >"$work/snapshot" 2>&1
}

diagnose() {
	sed 's/^/# /' "$work/output" | tail -n 60
	sed 's/^/# /' "$work/snapshot" 2>/dev/null
	echo "# ---- svad's log:"
	tail -c "+$(($1 + 1))" "$log" 2>/dev/null | tail -n 40 | sed 's/^/# /'
}

# Everything that the scenario made has ended, in svad too. Its argument: where its part of the log begins.
nothing_left() {
	[[ -e $work/svad.pid ]] || return 0
	tail -c "+$(($1 + 1))" "$log" | grep -E 'was killed by signal (4|6|7|8|11|31) ' && return 1
	await 60 world_is_clean >/dev/null && return 0
	echo "left over after the scenario:"
	world_is_clean verbose
	return 1
}

world_is_clean() {
	local bonds containers violations r=0

	bonds=$(ctl --json bond list | jq length) || r=1
	containers=$(ctl --json container list | jq length) || r=1
	violations=$(ctl --json status | jq .violations) || r=1
	[[ -n ${1-} ]] && echo "bonds: $bonds, containers: $containers, violations: $violations"
	((r == 0)) && [[ $bonds = 0 && $containers = 0 && $violations = 0 ]]
}

scenario() {
	local name=$1 r=0 from began=$SECONDS
	shift

	# for one of them by hand: ONLY='part of its name' bash podman.sh
	[[ -z ${ONLY-} || $name == *"$ONLY"* ]] || return 0
	tests=$((tests + 1))
	from=$(stat -c %s "$log" 2>/dev/null || echo 0)
	rm -f "$work/skip"
	("$@") >"$work/output" 2>&1 </dev/null || r=$?
	((r == 0 || r == 77)) || snapshot
	(after_each) >>"$work/output" 2>&1 </dev/null
	if ((r == 0)) && ! (nothing_left "$from") >>"$work/output" 2>&1 </dev/null; then
		r=1
		snapshot
	fi
	if ((r == 77)) && [[ -e $work/skip ]]; then
		echo "ok $tests - $name # SKIP $(<"$work/skip")"
	elif ((r == 0)); then
		echo "ok $tests - $name"
		grep '^# ' "$work/output" # figures
	else
		echo "not ok $tests - $name"
		any_failed=1
		diagnose "$from"
		svad_renew
	fi
	echo "# $((SECONDS - began)) s"
	rm -rf "${boxes:?}"/*
}

finish() {
	local r

	if [[ -e $work/svad.pid ]]; then
		tests=$((tests + 1))
		svad_stop >"$work/output" 2>&1
		r=$?
		if ((r == 0)); then
			echo "ok $tests - svad ends with status 0 and nothing is left"
		else
			echo "not ok $tests - svad ends with status 0 and nothing is left"
			diagnose 0
			any_failed=1
		fi
	fi
	echo "1..$tests"
	exit "$any_failed"
}

# ---- svad ----------------------------------------------------------------------------------------------

ctl() {
	timeout 60 svadctl "$@"
}

# The children of svad run as somebody who has no rights, as they do when it is installed.
svad_configure() {
	mkdir -p "$work/etc"
	cat >"$work/etc/svad.conf" <<END
[daemon]
user = nobody
restart_backoff_min_ms = 10
[drain]
# on a busy machine a device must not be late without being told to
deadline = 30s
[sim]
fault_socket = /run/svad-fault/socket
${1-}
END
	install -d -m 755 -o nobody /run/svad-fault
}

# shellcheck disable=SC2034 # for the suites
stubborn='[device "sim0"]
stop = flushed
[device "sim1"]
stop = clean
[device "sim2"]
drain_deadline = 1s
'

svad_running() {
	[[ -e $work/svad.pid && ! -e $work/svad.status ]]
}

svad_answers() {
	[[ ! -e $work/svad.status ]] && timeout 10 svadctl status >/dev/null 2>&1
}

svad_answers_or_ended() {
	[[ -e $work/svad.status ]] || svad_answers
}

# With the configuration that is there.
svad_launch() {
	local waits

	rm -f "$work/svad.status"
	(
		trap - EXIT
		"$bin/svad" --config "$work/etc/svad.conf" --libexec-dir "$bin" >>"$log" 2>&1 </dev/null &
		echo $! >"$work/svad.pid.new"
		mv "$work/svad.pid.new" "$work/svad.pid"
		wait $!
		echo $? >"$work/svad.status.new"
		mv "$work/svad.status.new" "$work/svad.status"
	) >/dev/null 2>&1 </dev/null &
	waits=$!
	disown "$waits"
	await 60 test -e "$work/svad.pid" && await 60 svad_answers_or_ended && [[ ! -e $work/svad.status ]] && return 0
	echo "svad was not ready in time:"
	tail -n 20 "$log"
	return 1
}

svad_start() {
	: >>"$log"
	svad_configure "${1-}"
	svad_launch >"$work/output" 2>&1 && return 0
	echo "1..1"
	echo "not ok 1 - svad starts"
	sed 's/^/# /' "$work/output"
	exit 1
}

# SIGTERM, as systemd does; its exit status.
svad_stop() {
	kill -TERM "$(<"$work/svad.pid")"
	await 60 test -e "$work/svad.status" || { echo "svad did not end"; return 1; }
	rm -f "$work/svad.pid"
	return "$(<"$work/svad.status")"
}

# The supervisor alone; its children see that.
svad_crash() {
	kill -KILL "$(<"$work/svad.pid")"
	await 60 test -e "$work/svad.status"
	rm -f "$work/svad.pid"
}

no_children_of_svad() {
	! pgrep '^svad-(br|si)' >/dev/null 2>&1
}

# After a failed scenario, so that the next one is judged for itself.
svad_renew() {
	[[ -e $work/etc/svad.conf ]] || return 0
	if [[ -e $work/svad.pid && ! -e $work/svad.status ]]; then
		kill -KILL "$(<"$work/svad.pid")" 2>/dev/null
		await 60 test -e "$work/svad.status"
	fi
	await 30 no_children_of_svad
	rm -rf /run/svad "$work/svad.pid"
	svad_launch >/dev/null 2>&1
}

fault() {
	timeout 90 svad-box --fault /run/svad-fault/socket "$@"
}

logged() {
	grep -qE -- "$1" "$log"
}

# How many bonds there are, in a container or in all.
bonds() {
	if [[ -n ${1-} ]]; then
		ctl --json bond list --container "$1" | jq length
	else
		ctl --json bond list | jq length
	fi
}

bonds_are() {
	[[ $(bonds "${2-}") = "$1" ]]
}

# registered ID: svad knows a container whose id begins so
registered() {
	ctl --json container list | jq -e --arg id "$1" 'any(.[]; .name | startswith($id))' >/dev/null
}

# ---- boxes ----------------------------------------------------------------------------------------------

box_new() {
	local dir=$boxes/$1

	rm -rf "$dir"
	mkdir -p "$dir"
	mkfifo "$dir/in"
	: >"$dir/out"
	echo 0 >"$work/seq-$1"
	chmod 777 "$dir"
	chmod 666 "$dir/in" "$dir/out"
}

has_lines() {
	[[ $(grep -c -- "$3" "$boxes/$1/out") -ge $2 ]]
}

# box_ready NAME [N]: the program has come up (for the Nth time)
box_ready() {
	await 60 has_lines "$1" "${2-1}" '^0 ok ready' || fail "the program in $1 did not come up"
}

# tell NAME WORDS...: without waiting; the number of the command is in $seq
tell() {
	local name=$1
	shift

	seq=$(($(<"$work/seq-$name") + 1))
	echo "$seq" >"$work/seq-$name"
	printf '%s %s\n' "$seq" "$*" 1<>"$boxes/$name/in"
}

# answered NAME SEQ: waits for that answer
answered() {
	await 60 grep -q "^$2 " "$boxes/$1/out" || fail "no answer of $1 to its command $2"
	answer=$(grep -m 1 "^$2 " "$boxes/$1/out")
	answer=${answer#* }
	[[ $answer = ok* ]]
}

ask() {
	tell "$@"
	answered "$1" "$seq" && return 0
	echo "$*: $answer"
	return 1
}

# The device has done jobs for it, all of them right.
dma_goes_on() {
	local jobs

	ask "$1" dma-stat "$2" || return 1
	matches "$answer" 'jobs=[0-9]+ wrong=0 ended=0$' || return 1
	jobs=${answer#*jobs=} jobs=${jobs%% *}
	await 60 dma_beyond "$1" "$2" "$jobs"
}

dma_beyond() {
	ask "$1" dma-stat "$2" || return 1
	matches "$answer" 'wrong=0' || return 1
	answer=${answer#*jobs=}
	((${answer%% *} > $3))
}
