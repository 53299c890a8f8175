#!/bin/bash
# replay.sh - what fuzzing began with and what it has found, once more: each ends by itself.
#
# usage: replay.sh BUILD    the folder that holds tests/fuzz/ and analysis/
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export FUZZ_FOLDER=$work ASAN_OPTIONS=detect_leaks=0:abort_on_error=1
. tests/fuzz/targets.sh
prepare || exit 1
# What the fuzzers allow. Sanitizers take address space by the terabyte, and their time.
limit=(ulimit -v 512000 -t 2)
grep -q -e __asan_init -e __tsan_init "$build/tests/fuzz/fuzz_recover" && limit=(true)
count=0
bad=0
for name in recover reader config card import; do
	target $name
	while read -r input; do
		("${limit[@]}" && exec timeout 60 "${command[@]}" "$input") >"$work/out" 2>&1
		status=$?
		count=$((count + 1))
		answered $status && continue
		echo "${command[*]} $input: exit status $status"
		tail -n 5 "$work/out"
		bad=1
	done < <(inputs $name)
done
[ $count -ge 30 ] || { echo "only $count inputs"; bad=1; }
echo "$count inputs replayed"
exit $bad
