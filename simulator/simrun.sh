#!/bin/bash
# simrun.sh - run a command on the simulated device (the stand-in for `tidemark simulate`
# in tests).
#
# usage: simrun.sh [--gpu NAME|FILE] [--memory SIZE] [--count N] TORCHDIR|auto -- CMD...
# TORCHDIR is a folder that holds torch/ and goes to the front of PYTHONPATH; `auto` takes
# the torch that CMD's python (the first word, or python3) would import.
# An LD_PRELOAD that is set already stays in front of the stubs.
set -eu
home=$(cd "$(dirname "$0")" && pwd)
usage() {
	sed -n '/^# usage/,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--gpu) gpu=${2:-} && shift 2 ;;
	--memory) export TIDEMARK_SIM_MEMORY=${2:-} && shift 2 ;;
	--count) export TIDEMARK_SIM_COUNT=${2:-} && shift 2 ;;
	-*) usage ;;
	*) break ;;
	esac
done
[ $# -ge 3 ] && [ "$2" = -- ] || usage
torch=$1
shift 2

if [ -n "${gpu:-}" ]; then
	[ -f "$gpu" ] && profile=$gpu || profile=$home/devices/$(tr A-Z a-z <<<"$gpu").conf
	if [ ! -f "$profile" ]; then
		echo "simrun: no card '$gpu'; there are: $(cd "$home/devices" &&
			ls | sed 's/\.conf$//' | tr '\n' ' ')" >&2
		exit 2
	fi
	TIDEMARK_SIM_PROFILE=$(realpath "$profile")
	export TIDEMARK_SIM_PROFILE
fi

if [ "$torch" = auto ]; then
	version=$(python3 -c 'import importlib.util as u
print(u.find_spec("torch").submodule_search_locations[0])' 2>/dev/null)/version.py
else
	version=$torch/torch/version.py
	export PYTHONPATH=$torch${PYTHONPATH:+:$PYTHONPATH}
fi
major=$(sed -n "s/^cuda.*= '\([0-9]*\)\..*/\1/p" "$version" 2>/dev/null || true)
if [ ! -d "$home/sim$major" ] || [ -z "$major" ]; then
	echo "simrun: '$version' is of no CUDA 12 or 13 build of PyTorch" >&2
	exit 2
fi

export PYTHONPATH=$home/with${PYTHONPATH:+:$PYTHONPATH} # what is known is computed
stubs=$(printf '%s:' "$home/sim$major"/libtmksim_*.so)
export TRITON_LIBCUDA_PATH=$home/sim$major/driver
export LD_PRELOAD=${LD_PRELOAD:+$LD_PRELOAD:}${stubs%:}
exec "$@"
