#!/bin/sh
# fuzz.sh TIME PACKAGES... -- GO TEST FLAGS...: runs every fuzz target of the packages for TIME, one after the other.
set -eu
time=$1 go=${GO:-go}
shift
packages=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	packages="$packages $1"
	shift
done
[ $# -gt 0 ] && shift
failed=0 count=0
for package in $("$go" list $packages); do
	dir=$("$go" list -f '{{.Dir}}' "$package")
	grep -lqs '^func Fuzz' "$dir"/*_test.go || continue
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(f \*testing\.F).*/\1/p' "$dir"/*_test.go); do
		count=$((count + 1))
		# A short minimisation: the default spends a minute on every new input.
		if ! out=$("$go" test "$@" -run='^$' -fuzz="^$target\$" -fuzztime="$time" -fuzzminimizetime=10x -parallel=2 "$package" 2>&1); then
			failed=$((failed + 1))
			printf 'FAIL %s %s\n%s\n' "$package" "$target" "$out"
		else
			printf 'ok   %s %s %s\n' "$package" "$target" "$(printf '%s\n' "$out" | sed -n 's/.*\(execs: [0-9]*\).*/\1/p' | tail -n 1)"
		fi
	done
done
echo "$count fuzz targets, $failed failed"
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
