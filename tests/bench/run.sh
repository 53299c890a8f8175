#!/bin/bash
# run.sh - the benchmarks, each figure beside what it is compared with, in one run. Nothing
# is asserted: machines are noisy, and the ratios are what to look at.
#
# usage: tests/bench/run.sh [BUILD]    (default build/release; after tests/setup.sh)
set -eu
home=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$home/build/release}" && pwd)
cache=${TIDEMARK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
python=$cache/venv/bin/python
library=$build/hooks/libtidemark.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
rounds=${ROUNDS:-3}

echo "# the hook alone, without torch: ns per event (25 native frames)"
for stacks in none native; do
	echo "stacks=$stacks"
	TIDEMARK_STACKS=$stacks TIDEMARK_OUT=hook.db LD_PRELOAD=$library \
		"$build/tests/bench/bench_hook"
	rm -f hook.db*
done

echo "# torch.empty(64) and its free, 13 Python frames deep: ns, least of bursts"
for _ in $(seq "$rounds"); do
	printf 'bare %s' "$("$python" "$home/tests/bench/loop.py")"
	for stacks in none python all; do
		printf '  stacks=%s %s' $stacks "$(TIDEMARK_STACKS=$stacks TIDEMARK_OUT=loop.db \
			LD_PRELOAD=$library "$python" "$home/tests/bench/loop.py")"
		rm -f loop.db*
	done
	echo
done

echo "# the writer"
"$build/tests/bench/bench_writer" writer.db
"$build/tests/bench/bench_steps" steps.db
"$build/tests/bench/bench_steps" leak.db 100000 1

step() { # DEVICE MODE: least and median milliseconds of CPU per training step
	if [ "$1" = cuda ]; then
		"$build/simulator/simrun.sh" "$cache/torch-2.11.0" -- "$python" \
			"$home/tests/bench/step.py" cuda "$2" 100 2>/dev/null
	else
		"$python" "$home/tests/bench/step.py" cpu "$2" 60 2>/dev/null
	fi
}

for pair in "cuda history" "cpu profiler"; do
	read -r device other <<<"$pair"
	[ "$device" = cpu ] || [ -e "$cache/torch-2.11.0/.ready" ] || continue
	echo "# a training step on $device: ms of CPU, least and median; $other is PyTorch's own"
	for _ in $(seq "$rounds"); do
		printf 'bare %s' "$(step "$device" bare)"
		printf '  %s %s' "$other" "$(step "$device" "$other")"
		printf '  tidemark %s\n' "$(LD_PRELOAD=$library TIDEMARK_OUT=$work/step.db \
			step "$device" bare)"
		rm -f step.db*
	done
done
