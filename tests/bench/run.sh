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
rounds=${ROUNDS:-6x8}

echo "# the hook alone, without torch: ns per event (25 native frames)"
for stacks in none native; do
	echo "stacks=$stacks"
	TIDEMARK_STACKS=$stacks TIDEMARK_OUT=hook.db LD_PRELOAD=$library \
		"$build/tests/bench/bench_hook"
	rm -f hook.db*
done

traced() { # STACKS COMMAND: the command with the library in front
	echo "TIDEMARK_STACKS=$1 TIDEMARK_OUT=$work/$1-%p.db LD_PRELOAD=$library $2"
}

echo "# torch.empty(64) and its free, 13 Python frames deep: ns a pair"
loop="$python $home/tests/bench/loop.py"
"$python" "$home/tests/bench/pairs.py" "$rounds" bare="exec $loop" \
	none="$(traced none "exec $loop")" python="$(traced python "exec $loop")" \
	native="$(traced native "exec $loop")" all="$(traced all "exec $loop")"
rm -f ./*.db*

if command -v gdb >/dev/null; then
	echo "# the same, in instructions"
	"$python" "$home/tests/bench/instructions.py" "$library"
fi

echo "# the writer"
for _ in 1 2 3 4 5; do # a busy neighbour halves it
	rm -f writer.db*
	"$build/tests/bench/bench_writer" writer.db
done
"$build/tests/bench/bench_steps" steps.db
"$build/tests/bench/bench_steps" leak.db 100000 1
echo "# what a ring holds, checked by a recovery"
"$build/tests/bench/bench_check"
echo "# the block around an address: ns a look-up"
for devices in 8 32; do
	"$build/tests/bench/bench_live" $devices
done

echo "# 300 parameters beside 20,000 live tensors, each its own memory or all views into one: ms a step"
flat="$python $home/tests/bench/flat.py"
"$python" "$home/tests/bench/pairs.py" 6x2 bare-plain="exec $flat plain" \
	bare-flat="exec $flat flat" plain="$(traced all "exec $flat plain")" \
	flat="$(traced all "exec $flat flat")"

rm -f ./*.db*
echo "# peak on a trace of ten million events"
TIDEMARK_MAX_SIZE=1T "$build/tests/bench/bench_writer" big.db 5000000 >/dev/null
"$python" - "$build/analysis/tidemark" big.db <<-'END'
	import os, resource, sqlite3, subprocess, sys, time
	command, trace = sys.argv[1:]
	def timed(what):
	    for _ in range(2):  # the first reads the file from the disk
	        began = time.monotonic()
	        subprocess.run([command, what, trace], check=True, stdout=subprocess.DEVNULL)
	        took = time.monotonic() - began
	    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
	    print(f"{took * 1e3:.0f} ms, {most / 1024:.0f} MiB at most; "
	          f"the file has {os.path.getsize(trace) / 2**20:.0f} MiB")
	timed("peak")
	print("# oom on it, with a refusal in its last step")
	with sqlite3.connect(trace) as db:
	    db.execute("UPDATE device SET total_bytes = 55000000000")
	    db.execute("INSERT INTO oom (device, step, ordinal, time_ns, site, source, "
	               "requested_bytes, allocated_bytes, reserved_bytes, device_free_bytes, "
	               "device_total_bytes) SELECT device, born_step, 1500, born_ns, site, "
	               "'allocator', 5000000000, 30000000000, 50000000000, 1000000, 55000000000 "
	               "FROM allocation WHERE id = (SELECT max(id) FROM allocation)")
	timed("oom")
END
rm -f ./*.db*

echo "# one look of tidemark live at a run with a trace of 100,000 and of 1,000,000 events"
"$python" "$home/tests/bench/look.py" "$build"

watched() { # COMMAND: the same as traced all, with tidemark live beside it until it ends
	echo "(export TIDEMARK_LIBRARY=$library; while kill -0 \$\$; do" \
		"$build/analysis/tidemark live --interval 0.5 \$\$ && break; sleep 0.2; done)" \
		">watched.out 2>&1 & $(traced all "$1")"
}

if [ -e "$cache/torch-2.11.0/.ready" ]; then
	echo "# a training step on simulated CUDA: ns of CPU; history is PyTorch's own"
	step="$build/simulator/simrun.sh $cache/torch-2.11.0 -- $python $home/tests/bench/step.py cuda"
	"$python" "$home/tests/bench/pairs.py" "$rounds" bare="exec $step bare 10" \
		tidemark="$(traced all "exec $step bare 10")" history="exec $step history 10"
	echo "# the same, traced, with nobody looking and with tidemark live beside it"
	"$python" "$home/tests/bench/pairs.py" "$rounds" \
		alone="$(traced all "exec $step bare 10")" watched="$(watched "exec $step bare 10")"
	tail -n 1 watched.out
fi
echo "# a training step on the CPU: ns of CPU; profiler is PyTorch's own"
step="$python $home/tests/bench/step.py cpu"
"$python" "$home/tests/bench/pairs.py" "$rounds" bare="exec $step bare 5" \
	tidemark="$(traced all "exec $step bare 5")" profiler="exec $step profiler 5"
