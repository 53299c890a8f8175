#!/bin/bash
# replay.sh - what fuzzing began with and what it has found, once more: each ends by itself.
#
# usage: replay.sh BUILD    the folder that holds tests/fuzz/ and analysis/
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/recover"
ASAN_OPTIONS=detect_leaks=0 "$build"/tests/fuzz/fuzz_recover --seed "$work/recover" || exit 1
python3 tests/make_trace.py "$work/template.db" --scenario evals || exit 1
count=0
bad=0

# each PROGRAM... -- FILE...
each() {
	local program=()
	while [ "$1" != -- ]; do
		program+=("$1")
		shift
	done
	shift
	for input in "$@"; do
		[ -e "$input" ] || continue
		ASAN_OPTIONS=detect_leaks=0 TIDEMARK_LIBRARY=/nonexistent timeout 60 "${program[@]}" "$input" \
			>"$work/out" 2>&1
		local status=$?
		count=$((count + 1))
		if [ $status -gt 3 ]; then
			echo "${program[*]} $input: exit status $status"
			tail -n 5 "$work/out"
			bad=1
		fi
	done
}
each "$build"/tests/fuzz/fuzz_recover -- "$work"/recover/* tests/fuzz/regress/recover/*
each "$build"/tests/fuzz/fuzz_reader "$work/template.db" -- tests/fuzz/corpus/reader/* \
	tests/fuzz/regress/reader/*
each "$build"/analysis/tidemark plan --json --config -- tests/fuzz/corpus/config/* \
	tests/fuzz/regress/config/*
[ $count -ge 10 ] || { echo "only $count inputs"; bad=1; }
echo "$count inputs replayed"
exit $bad
