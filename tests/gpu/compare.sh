#!/bin/bash
# compare.sh - the same scripts on a real GPU and on the simulated device, side by side.
#
# usage: compare.sh record FOLDER [--only NAME,...]     on a machine with a GPU
#        compare.sh simulate FOLDER [--gpu CARD] [--only NAME,...]
#        compare.sh compare REAL SIMULATED [--markdown] folders that those two filled
#        compare.sh [--markdown]                        all three here
# PYTHON (default python3) has the PyTorch to use. Recording needs PyTorch and this folder
# of the sources, nothing built. `simulate` takes the simulated device from
# TIDEMARK_SIM_HOME (default build/dev/simulator) and the same PyTorch, or the one in
# TIDEMARK_TORCH (a folder that holds torch/).
# Exit status: 0 done and equal, 1 different, 77 skipped with its reason.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${TIDEMARK_SIM_HOME:-$here/../../build/dev/simulator}
python=${PYTHON:-python3}

# NAME SETTINGS SCRIPT ARGUMENTS; settings are PYTORCH_CUDA_ALLOC_CONF or -
workloads() {
	cat <<-'END'
	gpt-fp32         -                          gpt.py --precision fp32
	gpt-bf16         -                          gpt.py --precision bf16
	gpt-fp16         -                          gpt.py --precision fp16
	gpt-pure-bf16    -                          gpt.py --precision pure-bf16
	gpt-fused        -                          gpt.py --optimizer fused
	gpt-sgd          -                          gpt.py --optimizer sgd
	gpt-12-layers    -                          gpt.py --layers 12 --batch 8 --precision bf16
	checkpointing    -                          gpt.py --layers 6 --batch 8 --checkpoint
	convolutions     -                          convolutions.py
	expandable       expandable_segments:True   gpt.py --precision bf16
	malloc-async     backend:cudaMallocAsync    gpt.py --precision bf16
	out-of-memory    -                          gpt.py --batch 4096
	END
}

skip() {
	echo "compare: skipped: $*" >&2
	exit 77
}

# each FOLDER WRAPPER...: runs every workload through the wrapper, a JSON file each
each() {
	local folder=$1 name settings script arguments
	shift
	mkdir -p "$folder"
	workloads | while read -r name settings script arguments; do
		[ -z "$only" ] || [[ ",$only," == *",$name,"* ]] || continue
		[ "$settings" != - ] || settings=
		[ -f "$here/scripts/$script" ] && script=$here/scripts/$script ||
			script=$here/../sim/scripts/$script
		# shellcheck disable=SC2086 # arguments are words
		PYTORCH_CUDA_ALLOC_CONF=$settings "$@" "$python" "$here/record.py" \
			"$folder/$name.json" "$script" $arguments \
			>"$folder/$name.log" 2>&1 </dev/null ||
			echo "compare: '$name' failed: $(tail -n 1 "$folder/$name.log")" >&2
	done
}

record() {
	[ -e /dev/nvidiactl ] || skip "this machine has no NVIDIA GPU (no /dev/nvidiactl)"
	"$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null ||
		skip "'$python' has no PyTorch that sees the GPU"
	each "$1" env
}

simulated() {
	[ -x "$home/simrun.sh" ] || skip "no simulated device in '$home'"
	each "$1" "$home/simrun.sh" --gpu "$gpu" "${TIDEMARK_TORCH:-auto}" --
}

command=
case ${1:-} in
record | simulate | compare) command=$1 && shift ;;
esac
only= gpu=a100-80gb markdown=
folders=()
while [ $# -gt 0 ]; do
	case $1 in
	--only) only=$2 && shift 2 ;;
	--gpu) gpu=$2 && shift 2 ;;
	--markdown) markdown=$1 && shift ;;
	-*) sed -n '/^# usage/,/^# Exit/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
	*) folders+=("$1") && shift ;;
	esac
done
case $command in
record) record "${folders[0]:?a folder}" ;;
simulate) simulated "${folders[0]:?a folder}" ;;
compare)
	"$python" "$here/compare.py" $markdown "${folders[0]:?}" "${folders[1]:?}"
	;;
*)
	[ -e /dev/nvidiactl ] || skip "this machine has no NVIDIA GPU (no /dev/nvidiactl)"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	record "$work/real"
	gpu=$("$python" "$here/compare.py" --card "$home/devices" "$work/real")
	simulated "$work/simulated"
	"$python" "$here/compare.py" $markdown "$work/real" "$work/simulated"
	;;
esac
