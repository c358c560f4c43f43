#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The plugin behind real network plugins, in every version of CNI that libcni speaks; and what it answers by itself. doc/cni.md says which
# section of the specification each scenario is for.
[[ -n ${SVAD_BOX_WORK-} ]] || "$(dirname "$0")/cnitool" >/dev/null # the network is here, not in the suite's world
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/containers/lib-cni.sh
. "$(dirname "$0")/lib-cni.sh"

cni_setup
mkdir -p "$conf/old" "$conf/new"
svad_start ''

after_each() {
	local id

	end_boxes
	for id in $(ctl --json container list | jq -r '.[].name'); do
		ctl container remove "$id"
	done
	end_netnses
	rm -rf /var/lib/cni/results /var/lib/cni/networks "$conf"/old/* "$conf"/new/*
}

# ---- behind other plugins ---------------------------------------------------------------------------------

# list TOOL VERSION PLUGIN...: the only list of that tool
list() {
	local tool=$1 version=$2
	shift 2

	printf '%s\n' "$@" | jq -s --arg v "$version" '{ cniVersion: $v, name: "conf", plugins: . }' >"$conf/$tool/10-conf.conflist"
}

bridge='{ "type": "bridge", "bridge": "svaconf", "isGateway": true,
	"ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.77.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] } }'
sva='{ "type": "sva", "unknownKey": { "is": ["tolerated"] } }'

# The result of the chain is the network plugin's, in the version that was asked for.
chained() {
	local tool=$1 version=$2

	list "$tool" "$version" "$bridge" "$sva"
	netns_new n
	must cni "$tool" add conf n
	case $version in
	0.1.0 | 0.2.0) must matches "$said" '"ip4":' ;;
	*) must matches "$said" '"ips":' ;;
	esac
	must matches "$said" '10\.77\.0\.2/24'
	must matches "$said" "\"cniVersion\": ?\"$version\""
	must registered "$(id_in n)"
	box_in n a
	must ask a bind sim0
	must ask a copy sim0
	case $version in
	0.1.* | 0.2.* | 0.3.*) must_not cni "$tool" check conf n ;; # CHECK came with 0.4.0
	*) must cni "$tool" check conf n ;;
	esac
	must cni "$tool" del conf n
	eventually not registered "$(id_in n)"
	eventually bonds_are 0
}

# The same without a plugin before it: no addresses, a valid result all the same.
alone() {
	local tool=$1 version=$2

	list "$tool" "$version" "$sva"
	netns_new n
	must cni "$tool" add conf n
	must matches "$said" "\"cniVersion\": ?\"$version\""
	must registered "$(id_in n)"
	must cni "$tool" del conf n
	eventually not registered "$(id_in n)"
}

# What a plugin before it reports must not be lost: interfaces, routes, the sandbox.
result_is_kept() {
	local before after

	list old 1.0.0 "$bridge"
	netns_new n
	must cni old add conf n
	before=$(jq -S 'del(.interfaces[].mac, .interfaces[0:2])' <<<"${said%%$'\n'sva:*}" 2>/dev/null) || fail "no result of the bridge"
	must cni old del conf n
	rm -rf /var/lib/cni/networks
	list old 1.0.0 "$bridge" "$sva"
	must cni old add conf n
	after=$(jq -S 'del(.interfaces[].mac, .interfaces[0:2])' <<<"${said%%sva: *}") || fail "no result of the chain"
	must [ -n "$before" ]
	[[ $before = "$after" ]] || fail "$before is not $after"
	must cni old del conf n
}

# ---- by itself ------------------------------------------------------------------------------------------------

# plugin COMMAND STDIN [VARIABLE=VALUE...]: its answer in $said
plugin() {
	local command=$1 stdin=$2 r=0
	shift 2

	said=$(env -i PATH="$PATH" CNI_PATH="$CNI_PATH" CNI_COMMAND="$command" CNI_CONTAINERID=direct CNI_NETNS=/run/netns/n CNI_IFNAME=eth0 "$@" \
		timeout 60 /usr/lib/cni/sva <<<"$stdin" 2>/dev/null) || r=$?
	echo "$command $*: status $r: $said"
	return "$r"
}

code_is() {
	[[ $(jq .code <<<"$said") = "$1" ]] || fail "the error code is not $1"
	must jq -e '.msg | length > 0' <<<"$said"
}

simple='{ "cniVersion": "1.1.0", "name": "conf", "type": "sva" }'

versions() {
	must plugin VERSION '{ "cniVersion": "1.0.0" }' CNI_NETNS=dummy CNI_IFNAME=dummy CNI_PATH=dummy CNI_CONTAINERID=
	must jq -e '.cniVersion == "1.0.0" and (.supportedVersions | index("0.3.1") and index("0.4.0") and index("1.0.0") and index("1.1.0"))' \
		<<<"$said"
	must svad_stop
	must plugin VERSION '{ "cniVersion": "1.0.0" }' CNI_CONTAINERID=
	must svad_launch
}

errors() {
	netns_new n
	must_not plugin ADD "${simple/1.1.0/9.0.0}"
	code_is 1
	must_not plugin ADD "$simple" CNI_CONTAINERID=
	code_is 4
	must_not plugin ADD "$simple" CNI_CONTAINERID='../../x'
	code_is 4
	must_not plugin ADD "$simple" CNI_IFNAME=with/slash
	code_is 4
	must_not plugin NONSENSE "$simple"
	code_is 4
	must_not plugin ADD '{ "cniVersion": '
	code_is 6
	must_not plugin ADD "${simple/\}/, \"devices\": 7 \}}"
	code_is 7
	must matches "$said" 'devices'
	# which must not keep anything from ending
	must plugin DEL "${simple/\}/, \"devices\": 7 \}}"
	must_not plugin CHECK "$simple"
	code_is 103
	must containers_are 0
}

try_again() {
	netns_new n
	must plugin ADD "$simple"
	must svad_stop
	must_not plugin ADD "$simple" CNI_CONTAINERID=other
	code_is 11
	must_not plugin CHECK "$simple"
	code_is 11
	must_not plugin STATUS "$simple"
	code_is 50
	# a DEL that fails would strand the network
	must plugin DEL "$simple" CNI_NETNS=
	must svad_launch
	eventually containers_are 0
	must_not plugin CHECK "$simple"
	code_is 103
}

host_namespace() {
	# the suite's own network namespace is svad's
	must_not plugin ADD "$simple" CNI_NETNS=/proc/self/ns/net
	must containers_are 0
	must_not plugin ADD "$simple" CNI_NETNS=/run/netns/missing
	must_not plugin ADD "$simple" CNI_NETNS=/etc/passwd
	must containers_are 0
}

collect() {
	netns_new n
	netns_new m
	must plugin ADD "$simple" CNI_CONTAINERID=one
	must plugin ADD "$simple" CNI_CONTAINERID=two CNI_NETNS=/run/netns/m
	# neither a list nor null: only what is provably dead
	must plugin GC "$simple" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
	must containers_are 2
	must plugin GC "$(jq '. + { "cni.dev/valid-attachments": null }' <<<"$simple")" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
	must containers_are 2
	must plugin GC "$(jq '. + { "cni.dev/valid-attachments": [{ "containerID": "two", "ifname": "eth0" }] }' <<<"$simple")" \
		CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
	must containers_are 1
	must registered two
	must plugin GC "$(jq '. + { "cni.dev/valid-attachments": [] }' <<<"$simple")" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
	must containers_are 0
}

for version in 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0; do
	scenario "CNI $version, libcni 1.1, behind bridge and host-local" chained old "$version"
done
for version in 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0; do
	scenario "CNI $version, libcni 1.3, behind bridge and host-local" chained new "$version"
done
for version in 0.3.1 0.4.0 1.0.0 1.1.0; do
	scenario "CNI $version, libcni 1.3, the only plugin" alone new "$version"
done
scenario "the result of the plugin before it is passed on whole" result_is_kept
scenario "VERSION: with dummy arguments, with svad down" versions
scenario "errors: version, environment, content, configuration" errors
scenario "svad down: ADD and CHECK say try again, STATUS says so, DEL succeeds" try_again
scenario "svad's own network namespace, none, and what is none" host_namespace
scenario "GC: absent, null, a list, an empty list" collect
finish
