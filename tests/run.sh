#!/bin/bash
# run.sh - installs what is missing, builds, runs every test, says how it went.
#
# usage: tests/run.sh [--quick] [PYTEST ARGUMENTS...]
#	--quick  no sanitizer builds
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
if [ "${1:-}" = --quick ]; then
	presets=dev
	shift
fi

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
	# The stack walkers are no part of what the sanitizers watch; and the command has one
	# thread, while ThreadSanitizer holds back the signals that some of its tests send.
	only=()
	[ "$preset" != asan ] || only=(-E '^(stacks\.|docs/)')
	[ "$preset" != tsan ] || only=(-R '^test_')
	ctest --test-dir build/"$preset" -j "$(nproc)" "${only[@]}" --output-on-failure \
		--no-tests=ignore --output-junit "$home/$results/ctest-$preset.xml" |
		grep -v -e '^Internal' -e ' Passed ' -e '^ *Start ' || true
	[ -s $results/ctest-"$preset".xml ] || broken+=("ctest ($preset) ended before its time")
done

say "end to end, on PyTorch"
"$python" -m pytest tests/e2e -n "$(nproc)" -v -rN --tb=short \
	--basetemp=$results/tmp --junitxml=$results/pytest.xml "$@" || true
[ -s $results/pytest.xml ] || broken+=("pytest ended before its time")
say "unmodified wheels on the simulated device"
TIDEMARK_TORCH_DIR=$cache TIDEMARK_SIM_HOME=$home/build/dev/simulator \
	"$python" -m pytest -p no:cacheprovider tests/sim/test_wheels.py -n "$(nproc)" -q -rN \
	--basetemp=$results/tmp-wheels --junitxml=$results/pytest-wheels.xml || true
say "what people train with, on the simulated device"
mkdir -p $results/torches
ln -sfn "$cache/torch-2.11.0" $results/torches/
TIDEMARK_TORCH_DIR=$home/$results/torches TIDEMARK_SIM_HOME=$home/build/dev/simulator \
	"$python" -m pytest -p no:cacheprovider tests/sim/test_libraries.py -n "$(nproc)" -q -rN \
	--basetemp=$results/tmp-libraries --junitxml=$results/pytest-libraries.xml || true
say "runs that run out of memory"
"$python" -m pytest -p no:cacheprovider tests/oom -n "$(nproc)" --dist=loadfile -q -rN \
	--basetemp=$results/tmp-oom --junitxml=$results/pytest-oom.xml || true
say "the buckets against an oracle"
"$python" -m pytest -p no:cacheprovider tests/accuracy -n "$(nproc)" -q -rN \
	--basetemp=$results/tmp-accuracy --junitxml=$results/pytest-accuracy.xml || true
[ -s $results/pytest-accuracy.xml ] || broken+=("pytest of tests/accuracy ended before its time")
say "the campaign of faults, in short"
"$python" -m pytest -p no:cacheprovider tests/faults -n "$(nproc)" -q -rN \
	--basetemp=$results/tmp-faults --junitxml=$results/pytest-faults.xml || true
[ -s $results/pytest-faults.xml ] || broken+=("pytest of tests/faults ended before its time")
say "the wheel"
"$python" -m pytest -p no:cacheprovider tests/package -q -rN \
	--basetemp=$results/tmp-package --junitxml=$results/pytest-package.xml || true
[ -s $results/pytest-package.xml ] || broken+=("pytest of tests/package ended before its time")

if [ "$presets" != dev ]; then
	say "fuzzing: five minutes of it, in two lanes"
	tests/fuzz/run.sh --seconds "${TIDEMARK_FUZZ_SECONDS:-300}" || {
		[ $? -eq 77 ] || broken+=("fuzzing: see build/fuzz/found and build/fuzz/work")
	}
fi

say "done"
"$python" tests/summary.py $results "${broken[@]}"
