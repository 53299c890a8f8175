#!/bin/sh
# run.sh - the long form of the campaign: see campaign.py.
#
# usage: tests/faults/run.sh [--hours N] [--kills N] [--seed N]
# Needs a build (build/dev, or TIDEMARK_BUILD) and what tests/setup.sh puts in place. The
# last thing it prints are the tables that docs/reliability.md has.
cd "$(dirname "$0")" || exit 1
unset LD_PRELOAD PYTHONPATH
cache=${TIDEMARK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
PYTHONDONTWRITEBYTECODE=1 exec "$cache/venv/bin/python" campaign.py "$@"
