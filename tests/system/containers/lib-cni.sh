# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Network namespaces made by hand, with attachments made by libcni's own tool. For suites that have read lib.sh.
#
#	cni_setup			takes the tools, or ends the suite
#	cni old|new COMMAND NETWORK NETNS
#					cnitool of that generation, with the lists in $conf/old or $conf/new; its output in $said, and shown
#	netns_new NAME			/run/netns/NAME
#	box_in NETNS NAME		the program, as an ordinary user, in it
# shellcheck source=tests/system/containers/lib.sh
: "${work:?}" "${bin:?}" "${boxes:?}" "${srcdir:?}"

sockets=/run/svad/containers
conf=/etc/cni/net.d
said=''
export CNI_PATH=/usr/lib/cni

cni_setup() {
	local dir

	dir=$("$srcdir/tests/system/containers/cnitool" --cached 2>"$work/cnitool.why") ||
		skip_all "$(head -n 1 "$work/cnitool.why" 2>/dev/null || echo cnitool: no reason given)"
	cp "$dir/cnitool-old" "$dir/cnitool-new" "$bin/" || skip_all "cnitool cannot be copied"
	mkdir -p "$conf"
}

cni() {
	local r=0

	said=$(NETCONFPATH=$conf/$1 timeout --kill-after=5 120 "$bin/cnitool-$1" "$2" "$3" "/run/netns/$4" 2>"$work/cni.stderr") || r=$?
	echo "cnitool-$1 $2 $3 $4: status $r: $said $(<"$work/cni.stderr")"
	said+=$(<"$work/cni.stderr")
	return "$r"
}

# cnitool makes it of the namespace's path
id_in() {
	printf 'cnitool-%s' "$(printf '/run/netns/%s' "$1" | sha512sum | cut -c 1-20)"
}

netns_new() {
	ip netns add "$1" || fail "ip netns add $1"
}

box_in() {
	box_new "$2"
	setsid nsenter --net="/run/netns/$1" setpriv --reuid 1000 --regid 1000 --clear-groups --bounding-set -all --no-new-privs \
		env "SVAD_SOCKET=$sockets/svad.sock" "$bin/svad-box" "$boxes/$2" >/dev/null 2>&1 </dev/null &
	echo $! >"$work/pid-$2"
	box_ready "$2"
}

pid_of() {
	cat "$work/pid-$1"
}

end_boxes() {
	pkill -KILL -x svad-box
	pkill -KILL -x box-child
	await 30 not pgrep -x svad-box >/dev/null
}

end_netnses() {
	local n

	for n in /run/netns/*; do
		[[ -e $n ]] && ip netns del "$(basename "$n")"
	done
	return 0
}

containers_are() {
	[[ $(ctl --json container list | jq length) = "$1" ]]
}
