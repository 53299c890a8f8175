#!/bin/bash
# run.sh - coverage-guided fuzzing with AFL++ (Debian: afl++), for a while.
#
# usage: tests/fuzz/run.sh [--seconds N]     N for all targets together; default: 300
# Two lanes go side by side, so that it takes half of that by the clock. Each input has 2 s
# and 500 MB. What ends the program otherwise than by its own exit status is kept in
# build/fuzz/found/ and told: how it ended, what it said, and the input where that is short.
# The exit status is 1 then. Undefined behaviour ends the program too.
# The last line says for how long which target ran, and how many inputs it tried.
set -eu
cd "$(dirname "$0")/../.."
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
	AFL_QUIET=1 cmake --build $build --target fuzz_recover fuzz_reader fuzz_card fuzz_import \
		tidemark; } \
	>$build/build.log 2>&1; then
	tail -n 20 $build/build.log
	exit 1
fi
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1
work=$build/work
found=$build/found
rm -rf $work $found
mkdir -p $work $found
FUZZ_FOLDER=$(mktemp -d /dev/shm/fuzz-XXXXXX)
export FUZZ_FOLDER TMPDIR=$FUZZ_FOLDER
trap 'rm -rf "$FUZZ_FOLDER"' EXIT
. tests/fuzz/targets.sh
prepare

# fuzz TARGET PART: for a PART of the time, in hundredths
fuzz() {
	local input count=0 time=$((seconds * $2 / 100)) in=$work/$1.in
	target "$1"
	mkdir -p "$in"
	while read -r input; do
		count=$((count + 1))
		cp "$input" "$in/$count-$(basename "$input")"
	done < <(inputs "$1")
	timeout $((time + 300)) afl-fuzz -V $time -m 500 -t 2000 -i "$in" -o "$work/$1" \
		-- "${command[@]}" @@ >"$work/$1.log" 2>&1 || {
		echo "afl-fuzz ended with status $?" >>"$work/$1.log"
		touch "$work/$1.failed"
	}
}

# try INPUT: runs the command on it alone; sets status and says. Time is the program's own:
# on a busy machine two seconds pass without anybody's fault.
try() {
	status=0
	said=$( (ulimit -v 512000 -t 2 && exec timeout 20 "${command[@]}" "$1") 2>&1 |
		tail -n 16 | cut -c -160 | tr -d '\0'; exit "${PIPESTATUS[0]}") || status=$?
}

# tell TARGET INPUT KIND
tell() {
	local kept=$found/$1-$3-$(basename "$2" | cut -c 4-9)
	cp "$2" "$kept"
	echo "FOUND $kept: $3 of $1, $(stat -c %s "$kept") bytes, alone exit status $status"
	echo "$said" | sed 's/^/    /'
	[ "$(stat -c %s "$kept")" -gt 1024 ] || echo "    base64 -d <<<$(base64 -w 0 "$kept") >$kept"
	echo "    ${command[*]} $kept"
}

# judge TARGET: what AFL++ has kept of it
judge() {
	local bad slow=0
	target "$1"
	for bad in "$work/$1"/default/{crashes,hangs}/id*; do
		[ -e "$bad" ] || continue
		try "$bad"
		if ! answered $status; then
			tell "$1" "$bad" "$([ $status -ge 134 ] && [ $status -ne 137 ] &&
				[ $status -ne 152 ] && echo crash || echo hang)"
		elif [[ $bad == */crashes/* ]]; then
			tell "$1" "$bad" crash-once
		else
			slow=$((slow + 1))
		fi
	done
	[ $slow -eq 0 ] || echo "$1: $slow inputs took over 2 s by the clock, and less of their own"
	if [ -e "$work/$1.failed" ]; then
		echo "FOUND $1: afl-fuzz itself did not end well"
		tail -n 5 "$work/$1.log"
	fi
}

began=$SECONDS
fuzz reader 50 &
lane=$!
[ "$(nproc)" -gt 1 ] || wait $lane
for target in 'recover 25' 'config 8' 'card 7' 'import 10'; do
	fuzz $target
done
wait $lane
report=
for name in recover reader config card import; do
	judge $name
	report+="$(sed -n 's/^run_time *: //p' $work/$name/default/fuzzer_stats) s of $name, $(sed -n \
		's/^execs_done *: //p' $work/$name/default/fuzzer_stats) inputs; "
done >$work/judged
cat $work/judged
echo "fuzzed: ${report}$((SECONDS - began)) s by the clock"
! grep -q ^FOUND $work/judged
