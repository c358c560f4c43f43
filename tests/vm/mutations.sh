# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by tests/vm/run --mutations, whose boot, stop_guest and verdict it uses. Each deliberate fault of mutations.list, in a guest of its
# own, must make one of its scenarios fail; without a fault, on the same build, all of them must pass, or else their failing would prove
# nothing.

mutation_limit=900 # s, for the few scenarios of one guest

# Reads what one guest says: sets caught (the first scenario that failed and why), ran (how many had a verdict), ended.
one_guest() {
	local line deadline=$((SECONDS + mutation_limit)) in=''

	caught='' ran=0 ended=''
	while IFS= read -r -t $((deadline > SECONDS ? deadline - SECONDS : 1)) line <&"$guest"; do
		line=${line%$'\r'}
		case $line in
		"# start "*) in=${line#\# start } && in=${in%% *} ;;
		"not ok "*)
			ran=$((ran + 1))
			[[ -n $caught ]] || caught=${line#not ok }
			;;
		"ok "* | "skip "*) ran=$((ran + 1)) && in='' ;;
		"svad-vm: end "*) ended=${line##* } ;;
		esac
	done
	# a fault may take the kernel down: that is caught too, where the kernel says so
	[[ -z $ended && -z $caught && -n $in && -n $(first_splat) ]] && caught="$in: the kernel ended: $(first_splat)"
	return 0
}

mutations() {
	local list=$here/mutations.list name scenarios every

	# The list and the module know the same faults.
	if ! diff <(sed -n 's/^[[:space:]]*\[SVAB_MUT_[A-Z_]*\] = "\([a-z-]*\)",$/\1/p' "$top/kmod/mutation.c" | grep -vx none | sort) \
		<(sed -n 's/^\([a-z][a-z-]*\) .*/\1/p' "$list" | sort) >&2; then
		verdict not "mutations.list and kmod/mutation.c differ, above"
		return
	fi
	every=$(sed -n 's/^[a-z][a-z-]* //p' "$list" | tr ' ' '\n' | sort -u | paste -sd,)
	if ! boot scenarios --only "$every"; then
		verdict not "the guest could not be started"
		return
	fi
	one_guest
	stop_guest
	if [[ $ended != 0 || -n $caught ]]; then
		verdict not "without a mutation all pass: ${caught:-the guest ended with ${ended:-nothing}}"
		keep_logs no-mutation
		return
	fi
	verdict ok "without a mutation all $ran scenarios pass"

	while read -r name scenarios; do
		[[ $name =~ ^[a-z] ]] || continue
		if ! boot scenarios --mutation "$name" --only "${scenarios// /,}"; then
			verdict not "$name: the guest could not be started"
			continue
		fi
		one_guest
		stop_guest
		if [[ -n $caught ]]; then
			verdict ok "$name is caught by $caught"
		elif ((ran == 0)); then
			verdict not "$name: no scenario was run"
			keep_logs "mutation-$name"
		else
			verdict not "$name is not caught by $scenarios"
			keep_logs "mutation-$name"
		fi
	done <"$list"
}
