#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Deliberate bugs in the order of a drain, each selected by SVAD_MUTATION in a build with --enable-mutations. Each must make its test fail; without
# one the same test must pass. The list: tests/mutations.list, lines of "MUTATION TEST [CASE...]". Reports TAP.
set -u

list=$SVAD_SRCDIR/tests/mutations.list
limit=300
n=0

if [[ ! -e $SVAD_BUILDDIR/config.status ]] || ! "$SVAD_BUILDDIR/config.status" --config | grep -q -e --enable-mutations; then
	echo "1..0 # SKIP this build has no mutations: configure --enable-mutations"
	exit 0
fi
if [[ ! -s $list ]]; then
	echo "1..1"
	echo "not ok 1 - $list lists mutations"
	exit 1
fi

# run NAME TEST [CASE...]: the test's own output becomes comments
run() {
	local mutation=$1 program=$2 patience=6

	# what a mutation keeps from coming is not waited for as long as what must come
	[[ -n $mutation ]] && patience=1
	shift 2
	SVAD_MUTATION=$mutation SVAD_TEST_PATIENCE=$patience timeout --kill-after=5 "$limit" "$SVAD_BUILDDIR/$program" "$@" 2>&1 </dev/null |
		sed 's/^/# /'
	return "${PIPESTATUS[0]}"
}

mapfile -t lines < <(grep -vE '^[[:space:]]*(#|$)' "$list")

# Each test that is named, as it is, must pass: else its failing proves nothing.
declare -A skipped=()
while read -r -a test; do
	n=$((n + 1))
	said=$(run "" "${test[@]}")
	r=$?
	printf '%s\n' "$said"
	if [[ $r == 0 && $said == *"# SKIP"* ]]; then
		skipped[${test[*]}]=1 # what cannot run here cannot fail here either
		echo "ok $n - without a mutation ${test[*]} passes # SKIP it is skipped here itself"
	elif [[ $r == 0 ]]; then
		echo "ok $n - without a mutation ${test[*]} passes"
	else
		echo "not ok $n - without a mutation ${test[*]} passes"
	fi
done < <(printf '%s\n' "${lines[@]}" | awk '{ $1 = ""; sub(/^ /, ""); print }' | sort -u)

for line in "${lines[@]}"; do
	read -r -a words <<<"$line"
	n=$((n + 1))
	if [[ -n ${skipped[${words[*]:1}]-} ]]; then
		echo "ok $n - ${words[0]} is caught by ${words[*]:1} # SKIP that test is skipped here"
		continue
	fi
	run "${words[@]}"
	r=$?
	case $r in
	1) echo "ok $n - ${words[0]} is caught by ${words[*]:1}" ;;
	0) echo "not ok $n - ${words[0]} is caught by ${words[*]:1}: it passed all the same" ;;
	*) echo "not ok $n - ${words[0]} is caught by ${words[*]:1}: it ended with status $r, which is no verdict" ;;
	esac
done
echo "1..$n"
