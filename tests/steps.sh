# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For bootstrap and run-all: saying what is being done, and what went wrong. They set top, the source directory, and logs.
: "${top:?}" "${logs:?}"

if [[ -t 1 && -z ${NO_COLOR-} ]]; then
	bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'
else
	bold='' red='' green='' dim='' plain=''
fi

say() {
	printf '%s==>%s %s\n' "$bold" "$plain" "$*"
}

note() {
	printf '    %s\n' "$*"
}

# step NAME REMEDY COMMAND...: runs it quietly. Its output goes to $logs/NAME.log; when it fails the end of that is shown, with
# the remedy. SVAD_VERBOSE=1 shows all of it as it comes.
step() {
	local name=$1 remedy=$2 log start=$SECONDS r=0
	shift 2

	mkdir -p "$logs"
	log=$logs/${name//[^A-Za-z0-9]/-}.log
	if [[ ${SVAD_VERBOSE-0} = 1 ]]; then
		say "$name"
		"$@" 2>&1 | tee "$log"
		r=${PIPESTATUS[0]}
	else
		printf '%s==>%s %s ... ' "$bold" "$plain" "$name"
		"$@" >"$log" 2>&1 || r=$?
	fi
	if ((r == 0)); then
		printf '%sok%s %s(%d s)%s\n' "$green" "$plain" "$dim" $((SECONDS - start)) "$plain"
		return 0
	fi
	printf '%sfailed%s (status %d, %d s)\n' "$red" "$plain" "$r" $((SECONDS - start))
	tail -n 30 "$log" | sed 's/^/    | /'
	note "step that failed: $name"
	note "what to do:       $remedy"
	note "all of its output: $log"
	return "$r"
}

# configured DIR OPTIONS...: a build directory with these options of configure; configured again only when they changed.
configured() {
	local dir=$1 options
	shift
	options="$* CC=${CC-} CXX=${CXX-} CPPFLAGS=${CPPFLAGS-} CFLAGS=${CFLAGS-} CXXFLAGS=${CXXFLAGS-} LDFLAGS=${LDFLAGS-}"

	mkdir -p "$dir"
	if [[ -e $dir/Makefile && -e $dir/.options && $(<"$dir/.options") = "$options" ]]; then
		return 0
	fi
	rm -f "$dir/.options" "$dir/config.cache"
	(cd "$dir" && "$top/configure" -C "$@") && printf '%s' "$options" >"$dir/.options"
}

# The build system itself, when it is not there or older than what it is made from.
generated() {
	local f

	if [[ -x $top/configure && -e $top/Makefile.in && -e $top/build-aux/tap-driver.sh ]]; then
		for f in "$top/configure.ac" "$top"/Makefile.am "$top"/*/local.mk "$top"/tests/*/local.mk "$top"/tests/*/*/local.mk; do
			[[ $f -nt $top/Makefile.in ]] && break
			f=
		done
		[[ -z $f ]] && return 0
	fi
	(cd "$top" && autoreconf -fi)
}
