#!/bin/bash
# run.sh - coverage-guided fuzzing with AFL++ (Debian: afl++), for a while.
#
# usage: tests/fuzz/run.sh [--seconds N]     N for all targets together; default: 300
# Each input has 2 s and 500 MB. What ends the program otherwise than by its own exit status
# is kept in build/fuzz/found/, and the exit status is 1. Undefined behaviour ends it too.
# The last line says for how long which target ran, and how many inputs it tried.
set -eu
cd "$(dirname "$0")/../.."
home=$PWD
seconds=300
[ "${1:-}" != --seconds ] || seconds=$2
command -v afl-fuzz >/dev/null && command -v afl-clang-fast >/dev/null || {
	echo "skipped: no afl-fuzz; apt-get install afl++"
	exit 77
}
build=build/fuzz
mkdir -p $build
if ! { cmake -S . -B $build -G Ninja -DCMAKE_C_COMPILER=afl-clang-fast \
	-DCMAKE_BUILD_TYPE=RelWithDebInfo -DTIDEMARK_SIMULATOR=OFF \
	-DCMAKE_C_FLAGS="-fsanitize=undefined -fno-sanitize-recover=undefined" &&
	AFL_QUIET=1 cmake --build $build --target fuzz_recover fuzz_reader tidemark; } \
	>$build/build.log 2>&1; then
	tail -n 20 $build/build.log
	exit 1
fi
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1
export UBSAN_OPTIONS=abort_on_error=1 TIDEMARK_LIBRARY=/nonexistent
work=$build/work
rm -rf $work $build/found
mkdir -p $work $build/found

# seeds TARGET: an input to begin with, made here, beside what tests/fuzz/corpus holds
seeds() {
	mkdir -p $work/"$1".seeds
	cp tests/fuzz/corpus/"$1"/* $work/"$1".seeds/ 2>/dev/null || true
}
seeds recover
$build/tests/fuzz/fuzz_recover --seed $work/recover.seeds
seeds reader
python3 tests/make_trace.py $work/template.db --scenario evals
seeds config
seeds card

# fuzz TARGET PART COMMAND...: for a PART of the time, in hundredths
found=0
report=()
fuzz() {
	local name=$1 part=$2
	shift 2
	local out=$work/$name
	timeout $((seconds * part / 100 + 60)) afl-fuzz -V $((seconds * part / 100)) -m 500 \
		-t 2000 -i $work/"$name".seeds -o "$out" -- "$@" >"$out".log 2>&1 || {
		tail -n 5 "$out".log
		found=1
	}
	local stats=$out/default/fuzzer_stats
	report+=("$name $(sed -n 's/^run_time *: //p' "$stats") s, $(sed -n \
		's/^execs_done *: //p' "$stats") inputs")
	for bad in "$out"/default/crashes/id* "$out"/default/hangs/id*; do
		[ -e "$bad" ] || continue
		# On a busy machine two seconds pass without anybody's fault.
		case $bad in
		*/hangs/*) timeout 20 "${@/@@/$bad}" >/dev/null 2>&1 || [ $? -ne 124 ] && continue ;;
		esac
		cp "$bad" $build/found/"$name-$(basename "$bad" | cut -c 4-9)"
		found=1
	done
}
fuzz recover 35 $build/tests/fuzz/fuzz_recover @@
fuzz reader 45 $build/tests/fuzz/fuzz_reader "$home/$work/template.db" @@
fuzz config 10 $build/analysis/tidemark plan --json --config @@
fuzz card 10 $build/analysis/tidemark simulate --gpu @@ -- /bin/true
ls -l $build/found | sed 1d
(IFS=';'; echo "fuzzed: ${report[*]}")
exit $found
