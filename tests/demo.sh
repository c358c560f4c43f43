#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The demonstration verifies what it shows; piped, it is plain text on one screen. Reports TAP.
set -u

out=$(mktemp "${TMPDIR:-/tmp}/svad-demo.XXXXXX") || exit 99
trap 'rm -f "$out"' EXIT
status=0
"$SVAD_BUILDDIR/svad-demo" --bindir "$SVAD_BUILDDIR" >"$out" 2>&1 </dev/null || status=$?

n=0
failed=0
check() {
	local what=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		failed=1
	fi
}

check "the demonstration verifies all that it shows" test "$status" = 0
check "its last line counts no violation" grep -qE '^[0-9]+ bonds bound, [0-9]+ drained, [0-9]+ quarantined, .* verified, 0 violations$' \
	<(tail -n 1 "$out")
check "piped, it writes no escape sequence" eval '! grep -q "$(printf "\033")" "$out"'
check "it fits 40 lines of 100 columns" awk 'length($0) > 100 { bad = 1 } END { exit bad || NR > 40 }' "$out"
((failed)) && sed 's/^/# /' "$out"
echo "1..$n"
exit "$failed"
