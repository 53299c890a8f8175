#!/bin/bash
# run.sh - installs what is missing, builds, runs the tests, says how it went.
#
# usage: tests/run.sh [--quick | --all] [PYTEST ARGUMENTS...]
#	--quick  no sanitizer builds
#	--all    every test with every PyTorch and every repetition. Without it each test runs
#	         with one PyTorch for each of its other parameters: tests/short.py says which.
# The pytest arguments are for tests/e2e.
# The last line is "N passed, N failed, N skipped"; exit status 1 if anything failed.
# Every skip is listed with its reason. Works as root and as an ordinary user.
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
cache=${TIDEMARK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
cd "$home"
export PYTHONDONTWRITEBYTECODE=1
unset LD_PRELOAD PYTHONPATH
started=$SECONDS

say() {
	printf '\n== %s (%d min %02d s)\n' "$*" $(((SECONDS - started) / 60)) \
		$(((SECONDS - started) % 60))
}

presets="dev asan tsan"
export TIDEMARK_TESTS=short
# Whose turn it is: tests/short.py. Another number runs the others.
TIDEMARK_TURN=${TIDEMARK_TURN:-$(git rev-list --count HEAD 2>/dev/null || echo 0)}
export TIDEMARK_TURN
case ${1:-} in
--quick) presets=dev && shift ;;
--all) TIDEMARK_TESTS=all && shift ;;
esac

say "what the tests need"
tests/setup.sh
python=$cache/venv/bin/python
export TIDEMARK_TEST_PYTHON=$python
results=build/results
rm -rf $results
mkdir -p $results
broken=()

for preset in $presets; do
	say "building: $preset"
	if ! { cmake --preset "$preset" -DTIDEMARK_WERROR=ON -DPython3_EXECUTABLE="$python" &&
		cmake --build --preset "$preset"; } >$results/build-"$preset".log 2>&1; then
		tail -n 40 $results/build-"$preset".log
		echo "building '$preset' failed; all of it is in $results/build-$preset.log"
		"$python" tests/summary.py $results "the $preset build failed"
		exit 1
	fi
done

for preset in $presets; do
	say "unit tests: $preset"
	# What trains with PyTorch (label "pytorch") follows below, in lanes of its own.
	# The stack walkers are no part of what the sanitizers watch, what reads our sources is
	# none of theirs, and many batches are as good as a few; and the command has one
	# thread, while ThreadSanitizer holds back the signals that some of its tests send.
	only=()
	[ "$preset" != asan ] || only=(-E '^(stacks\.|docs/|analysis/layering|plan/properties)')
	[ "$preset" != tsan ] || only=(-R '^test_')
	ctest --test-dir build/"$preset" -LE pytorch -j "$(nproc)" "${only[@]}" --output-on-failure \
		--no-tests=ignore --output-junit "$home/$results/ctest-$preset.xml" |
		grep -v -e '^Internal' -e ' Passed ' -e '^ *Start ' || true
	[ -s $results/ctest-"$preset".xml ] || broken+=("ctest ($preset) ended before its time")
done

export TIDEMARK_TORCH_DIR=$cache TIDEMARK_SIM_HOME=$home/build/dev/simulator
export TIDEMARK_COMMAND=$home/build/dev/analysis/tidemark
export TIDEMARK_STUBS=$home/build/dev/simulator

# part NAME WHAT WORDS...: the tests of one folder, a lane for each core.
part() {
	local name=$1
	say "$2"
	shift 2
	"$python" -m pytest -p no:cacheprovider -n "$(nproc)" --dist=worksteal -rN --tb=short \
		--basetemp=$results/tmp-"$name" --junitxml=$results/pytest-"$name".xml "$@" || true
	[ -s $results/pytest-"$name".xml ] || broken+=("pytest of $name ended before its time")
	rm -rf $results/tmp-"$name"
}

part e2e "end to end, on PyTorch" -v tests/e2e "$@"
part diff "two runs, and the example for CI" -q tests/diff/test_ci.py
part ranks "jobs of real processes, and merged ones" -q tests/ranks/test_real.py \
	tests/ranks/test_merge.py
part live "a run that is watched, on terminals" -q tests/live
part simulate "programs under tidemark simulate" -q tests/simulate
part wheels "unmodified wheels on the simulated device" -q tests/sim/test_wheels.py \
	tests/sim/test_device.py tests/sim/test_known.py
mkdir -p $results/torches # what people train with goes with the newest alone
ln -sfn "$cache/torch-2.11.0" $results/torches/
TIDEMARK_TORCH_DIR=$home/$results/torches part libraries \
	"what people train with, on the simulated device" -q tests/sim/test_libraries.py
part plan "plan and reconcile against trainings" -q tests/plan/test_measure.py \
	tests/plan/test_saved_tensors.py
part export "what other tools open" -q tests/export
part reconcile "reconcile against trainings that count themselves" -q \
	tests/reconcile/test_workloads.py
part gpu "what compares with a real GPU, without one" -q tests/gpu/test_compare.py
part oom "runs that run out of memory" -q tests/oom
part page "the page in a browser" -q tests/page
part accuracy "the buckets against an oracle" -q tests/accuracy
part howto "the commands of docs/howto" -q tests/howto
part faults "the campaign of faults, in short" -q tests/faults
part package "the wheel" -q -n 0 tests/package # which is built once

if [ "$presets" != dev ]; then
	say "fuzzing: five minutes of it, in two lanes"
	tests/fuzz/run.sh --seconds "${TIDEMARK_FUZZ_SECONDS:-300}" || {
		[ $? -eq 77 ] || broken+=("fuzzing: see build/fuzz/found and build/fuzz/work")
	}
fi

say "done"
"$python" tests/summary.py $results "${broken[@]}"
