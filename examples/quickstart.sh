#!/bin/bash
# quickstart.sh - from nothing to the peak of a GPT-2 training. Run it again: it does only
# what is missing, and leaves a trace beside the earlier ones.
#
# With an NVIDIA GPU the training runs there; without one, on a simulated A100 (the real
# CUDA build of PyTorch on a device that computes nothing); failing that, on the CPU.
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
cache=${TIDEMARK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
cd "$home"
unset LD_PRELOAD

say() {
	printf '\n== %s\n' "$*"
}

say "what is needed"
tests/setup.sh --example
python=$cache/venv/bin/python

say "building (build/release)"
log=$(mktemp)
if ! { cmake --preset release && cmake --build --preset release; } >"$log" 2>&1; then
	tail -n 30 "$log"
	echo "the build failed; all of it is in $log"
	exit 1
fi
rm -f "$log"
library=$home/build/release/hooks/libtidemark.so
command=$home/build/release/analysis/tidemark

mkdir -p build/quickstart
cd build/quickstart
trace=tidemark-gpt2-$(date +%Y%m%d-%H%M%S).db
export TIDEMARK_OUT=$PWD/$trace
if [ -e /dev/nvidiactl ] && "$python" -c \
	'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
	say "training GPT-2 on this machine's GPU"
	LD_PRELOAD=$library "$python" ../../examples/gpt2.py --device cuda
elif [ -e "$cache/torch-2.11.0/.ready" ]; then
	say "training GPT-2 on a simulated A100"
	PYTHONPATH=$cache/torch-2.11.0 "$command" simulate -o "$TIDEMARK_OUT" \
		--gpu a100-80gb -- "$python" ../../examples/gpt2.py --device cuda
else
	say "training a small GPT-2 on the CPU"
	LD_PRELOAD=$library "$python" ../../examples/gpt2.py --device cpu --size tiny --batch 2
fi

say "what held the memory at the peak"
"$command" peak "$trace"
echo
echo "The trace is $PWD/$trace; go on with:"
echo "  $command report $PWD/$trace"
