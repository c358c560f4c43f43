#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples in the documentation do what it says. In README.md, doc/*.md and packaging/man/*:
#
#   C that has a main()       is compiled against what make install installs, with warnings as errors, and run beside a daemon; it must
#                             exit with 0
#   other C                   is not a program: skipped, unless it is in a file whose name says it compiles
#   INI ([section])           passes svadctl config check
#   svad commands             run with --check (they would stay), and with the configuration that make install installs
#   svadctl commands          (lines that begin with "svadctl" or "$ svadctl") run beside a daemon with the simulated devices; a device or
#                             a bond that is not there may be reported (status 1), bad usage (2) and no daemon (3) are failures
#   blocks after a line "<!-- run: NAME -->" need real container runtimes: tests/system/containers/docs.sh runs them
#
# Reports TAP.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL # of the make that runs the tests

cd "$SVAD_BUILDDIR" || exit 99
work=$(mktemp -d "${TMPDIR:-/tmp}/svad-doc.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
n=0
failed=0

# result STATUS DESCRIPTION OUTPUT-FILE
result() {
	n=$((n + 1))
	if (($1 == 0)); then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		sed 's/^/# /' "$3" | tail -n 30
		failed=1
	fi
}

# The blocks of a document, one file each: FILE-NUMBER.KIND in $work/blocks
blocks() {
	local file=$1 base
	base=$work/blocks/$(basename "$file" | tr '#' '-')

	case $file in
	*.md)
		awk -v base="$base" '
			/^<!-- run: / { elsewhere = 1; next }
			/^```/ { if (open) { close(out); open = 0; elsewhere = 0 } else { n++; open = 1; out = base "-" n ".txt"; printf "" >out }; next }
			open && elsewhere { next }
			open { print >out }' "$file"
		;;
	*)
		# mdoc(7) literal displays and man(7) examples, as a reader sees them
		awk -v base="$base" '
			/^\.Bd -literal/ || /^\.EX/ || /^\.nf/ { n++; open = 1; out = base "-" n ".txt"; printf "" >out; next }
			/^\.Ed/ || /^\.EE/ || /^\.fi/ { if (open) close(out); open = 0; next }
			open && /^\./ { next }
			open { gsub(/\\&/, ""); gsub(/\\-/, "-"); gsub(/\\e/, "\\"); gsub(/\\\(dq/, "\""); gsub(/\\f[BIRP]/, ""); print >out }
			/^\.Dl / { n++; out = base "-" n ".txt"; sub(/^\.Dl /, ""); gsub(/\\-/, "-"); print >out; close(out) }' "$file"
		;;
	esac
}

mkdir "$work/blocks"
for file in "$SVAD_SRCDIR"/README.md "$SVAD_SRCDIR"/doc/*.md "$SVAD_SRCDIR"/packaging/man/*.[1-8]; do
	[[ -e $file ]] && blocks "$file"
done

if ! make -s install DESTDIR="$work/stage" >"$work/out" 2>&1; then
	result 1 "make install for the examples" "$work/out"
	echo "1..$n"
	exit 1
fi
libdir=$(make -s --no-print-directory print-libdir)
includedir=$(make -s --no-print-directory print-includedir)
sysconfdir=$(make -s --no-print-directory print-pkgsysconfdir)

compile_and_run() {
	local program=$1.program

	# -x c: the block has no name that says so. The variant's own flags are in CFLAGS of the build.
	# shellcheck disable=SC2086
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror ${SVAD_VARIANT_CFLAGS-} -I"$work/stage$includedir" -x c "$1" -x none \
		-L"$work/stage$libdir" -Wl,-rpath,"$work/stage$libdir" -lsvaclient -pthread -o "$program" &&
		timeout 1200 ./with-daemon "$program"
}

commands_run() {
	local line r

	while IFS= read -r line; do
		r=0
		PATH=$SVAD_BUILDDIR:$PATH timeout 120 bash -c "$line" </dev/null || r=$?
		echo "status $r: $line"
		((r == 2 || r == 3 || r > 5)) && return 1
	done
	return 0
}

for block in "$work"/blocks/*.txt; do
	[[ -e $block ]] || continue
	name=$(basename "$block" .txt)
	if grep -qE '^(int[[:space:]]+)?main[[:space:]]*\(' "$block"; then
		compile_and_run "$block" >"$work/out" 2>&1
		result $? "$name: the program compiles against the installed library and runs" "$work/out"
	elif grep -qE '^[[:space:]]*\[(daemon|limits|drain|sim|device|policy)\b' "$block"; then
		./svadctl config check "$block" >"$work/out" 2>&1
		result $? "$name: the configuration is valid" "$work/out"
	elif grep -qE '^[^#]*(^|[ /])svad --' "$block"; then
		sed -nE -e "s,/etc/svad,$work/stage$sysconfdir,g" -e 's/--check//' -e 's/^[[:space:]]*([$#] )?([^#]*svad --.*)$/\2 --check/p' \
			"$block" >"$work/commands"
		PATH=$SVAD_BUILDDIR:$PATH timeout 120 bash -e "$work/commands" >"$work/out" 2>&1 </dev/null
		result $? "$name: the svad commands are understood" "$work/out"
	elif grep -qE '^[[:space:]]*([$#] )?svadctl ' "$block"; then
		# endless commands are cut short by what they offer themselves; a comment after a command is none of it
		sed -nE 's/^[[:space:]]*([$#] )?(svadctl .*)$/\2/p' "$block" |
			grep -vE '^svadctl (watch|top|cdi)\b' >"$work/commands"
		if [[ -s $work/commands ]]; then
			# shellcheck disable=SC2016
			./with-daemon bash -c "$(declare -f commands_run); commands_run <\"\$1\"" - "$work/commands" >"$work/out" 2>&1
			result $? "$name: the svadctl commands are understood" "$work/out"
		fi
	fi
done
if ((n == 0)); then
	echo "1..0 # SKIP the documentation has no examples yet"
	exit 0
fi
echo "1..$n"
exit "$failed"
