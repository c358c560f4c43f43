#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The demonstration: verified, one screen, plain through a pipe; and interrupted, it leaves nothing behind.
set -u
build=${SVAD_BUILDDIR:-.}
fails=0
n=0

result() { # STATUS NAME
	n=$((n + 1))
	if [[ $1 == 0 ]]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		fails=1
	fi
}

echo 1..4
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work

"$build/svad-demo" --bindir "$build" >"$work/out" 2>"$work/err"
result $? "every scene is verified"
sed 's/^/# /' "$work/out" "$work/err"
tail -n 1 "$work/out" | grep -Eq '^[0-9]+ bonds bound, [0-9]+ drained, 1 quarantined, [0-9]+ MiB verified, 0 violations$'
result $? "the last line says so"
(($(wc -l <"$work/out") <= 40)) && ! LC_ALL=C.UTF-8 grep -Eq '^.{101}' "$work/out" && ! grep -q $'\033' "$work/out"
result $? "it is one screen of plain text"

# Interrupted as soon as the first scene was shown.
coproc demo { exec "$build/svad-demo" --bindir "$build" 2>/dev/null; }
# shellcheck disable=SC2154 # coproc sets it
pid=$demo_PID
exec 3<&"${demo[0]}"
while read -r line <&3 && [[ $line != *'1. '* ]]; do :; done
kill -INT "$pid"
cat <&3 >/dev/null
wait "$pid"
[[ $? == 1 && -z $(find "$work" -maxdepth 1 -name 'svad-demo-*') ]]
result $? "interrupted, it cleans up and does not claim success"
exit $fails
