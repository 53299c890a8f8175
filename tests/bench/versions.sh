#!/bin/bash
# versions.sh - two builds side by side: is anything dearer than it was? They take turns.
#
# usage: tests/bench/versions.sh OLD_BUILD NEW_BUILD    (release builds; after tests/setup.sh)
set -eu
home=$(cd "$(dirname "$0")/../.." && pwd)
old=$(cd "$1" && pwd)
new=$(cd "$2" && pwd)
cache=${TIDEMARK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
python=$cache/venv/bin/python
rounds=${ROUNDS:-6x4}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

for build in "$old" "$new" "$old" "$new" "$old" "$new"; do
	echo "$build"
	"$build/tests/bench/bench_writer" writer.db
	"$build/tests/bench/bench_steps" steps.db
	for stacks in none native; do
		echo "stacks=$stacks"
		TIDEMARK_STACKS=$stacks TIDEMARK_OUT=hook.db LD_PRELOAD=$build/hooks/libtidemark.so \
			"$build/tests/bench/bench_hook"
	done
	rm -f ./*.db*
done
for build in "$old" "$new"; do
	echo "$build"
	"$python" "$home/tests/bench/instructions.py" "$build/hooks/libtidemark.so"
done
traced() { # BUILD COMMAND
	echo "TIDEMARK_STACKS=all TIDEMARK_OUT=$work/%p.db LD_PRELOAD=$1/hooks/libtidemark.so exec $2"
}
compare() { # WHAT COMMAND [MORE]
	echo "# $1"
	"$python" "$home/tests/bench/pairs.py" "$rounds" bare="exec $2" old="$(traced "$old" "$2")" \
		new="$(traced "$new" "$2")" "${@:3}"
	rm -f ./*.db*
}
compare "torch.empty(64) and its free" "$python $home/tests/bench/loop.py"
step="$new/simulator/simrun.sh $cache/torch-2.11.0 -- $python $home/tests/bench/step.py cuda"
compare "a training step on simulated CUDA; history is PyTorch's own" "$step bare 10" \
	history="exec $step history 10"
compare "a training step on the CPU" "$python $home/tests/bench/step.py cpu bare 5"
