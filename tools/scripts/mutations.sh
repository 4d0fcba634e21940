#!/bin/sh
# mutations.sh [SEEDS [NAME...]]: breaks the quorum's code on purpose, one way after the other (kraft/testdata/mutations/*.patch), each in a copy of the tree, and
# runs up to SEEDS (4000) simulated clusters on it, with the seeds 1, 2, 3 and so on. It says which seed was the first to notice, and what. A mutation that
# nothing notices is reported, and the exit status is 1. Each is built first, so that a patch that does not fit any more is an error.
set -eu
cd "$(dirname "$0")/../.."
seeds=${1:-4000}
[ $# -eq 0 ] || shift
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
all=$(cd kraft/testdata/mutations && ls ./*.patch | sed 's,^\./,,; s,\.patch$,,')
status=0
for name in ${*:-$all}; do
	rm -rf "$copy/tree"
	mkdir "$copy/tree"
	git ls-files -z | tar -c --null -T - | tar -x -C "$copy/tree"
	(cd "$copy/tree" && GIT_CEILING_DIRECTORIES=$copy git apply "kraft/testdata/mutations/$name.patch" &&
		go test -c -vet=off -ldflags=-checklinkname=0 -tags=invariants -o "$copy/kraft.test" ./kraft)
	out=$copy/out
	if (cd "$copy/tree/kraft" && RINGMQ_SOAK=1 timeout 1h "$copy/kraft.test" -test.run='^TestSoakSimulation$' -test.timeout=0 -sim.first=1 -sim.seeds="$seeds") >"$out" 2>&1; then
		echo "$name: NOT NOTICED in $seeds seeds"
		status=1
		continue
	fi
	seed=$(sed -n 's/.*-kraft\.seed=\([0-9]*\).*/\1/p' "$out" | head -n 1)
	what=$(grep -E '^ *(sim_|panic)|panic:' "$out" | head -n 1 | sed 's/^ *//')
	echo "$name: seed ${seed:-?}: $what"
done
exit $status
