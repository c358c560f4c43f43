#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What libsvaclient exports: every function of its headers, each with its version, and nothing else. Reports TAP.
set -u
top=${SVAD_BUILDDIR:-.}
src=${SVAD_SRCDIR:-.}
lib=$top/.libs/libsvaclient.so
archive=$top/.libs/libsvaclient.a

echo 1..3
if [ ! -e "$lib" ]; then
	for i in 1 2 3; do echo "ok $i - exports # SKIP no shared library was built (--disable-shared)"; done
	exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/svad-symbols.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

result() { # STATUS NUMBER TEXT
	if [ "$1" = 0 ]; then
		echo "ok $2 - $3"
	else
		echo "not ok $2 - $3"
		failed=1
	fi
}
failed=0

# A function is declared at the start of a line: type, name, parenthesis. Typedefs are not.
cat "$src"/client/lib/sva/sva.h "$src"/client/lib/sva/queue.h "$src"/client/lib/sva/admin.h | grep -v '^typedef' |
	grep -oE '^[a-z].*[ *](sva_[a-z0-9_]+)\(' | grep -oE 'sva_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$work/declared"
nm -D --defined-only "$lib" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$work/exported"
diff "$work/declared" "$work/exported" | sed 's/^/# /'
cmp -s "$work/declared" "$work/exported"
result $? 1 "exported is what the headers declare ($(wc -l <"$work/exported") functions)"

# What <sva/admin.h> declares came with SVACLIENT_1.1.
nm -D --defined-only --with-symbol-versions "$lib" | awk '
	$2 != "T" { next }
	{ want = $3 ~ /^sva_(admin|netns)_/ ? "SVACLIENT_1.1" : "SVACLIENT_1"; split($3, a, "@@") }
	a[2] != want { print "# " $3; bad = 1 }
	END { exit bad }'
result $? 2 "every function has the version that it came with"

if [ -e "$archive" ]; then
	nm --defined-only "$archive" 2>/dev/null | awk '$2 == "T" { print $3 }' | sort -u >"$work/static"
	missing=$(comm -23 "$work/declared" "$work/static")
	[ -z "$missing" ]
	result $? 3 "the static library has them too"
else
	echo "ok 3 - the static library # SKIP none was built (--disable-static)"
fi
exit $failed
