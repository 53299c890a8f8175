#!/bin/sh
# memory.sh - does a training need more memory than it did? For CI, without a GPU.
#
# usage: memory.sh record BASELINE.db -- CMD...   keep what the training needs now
#        memory.sh check BASELINE.db -- CMD...    fail if it needs more than that
#
# CMD is a short form of the training (a few steps), run on a simulated card. What can be set:
#   CARD       the card (rtx-4090)
#   TOLERANCE  by how much the peak may be above the baseline's (1%)
#   TIDEMARK   the command (tidemark)
# `check` writes memory.xml (JUnit) and, inside GitHub Actions, annotations. Exit status: 0 it
# needs no more, 1 it does or that cannot be told, 2 usage, 3 a trace cannot be read; or the
# training's own, where it failed.
set -eu
tidemark=${TIDEMARK:-tidemark}
card=${CARD:-rtx-4090}

usage() {
	sed -n 's/^# \(usage.*\|       memory.*\)/\1/p' "$0" >&2
	exit 2
}

[ $# -ge 4 ] && [ "$3" = -- ] || usage
what=$1 baseline=$2
shift 3
case $what in
record)
	"$tidemark" simulate --quiet --gpu "$card" -o "$baseline" -- "$@"
	;;
check)
	[ -e "$baseline" ] || {
		echo "memory.sh: no baseline '$baseline'; make one with 'memory.sh record'" >&2
		exit 2
	}
	now=memory-now.db
	rm -f "$now"
	"$tidemark" simulate --quiet --gpu "$card" -o "$now" -- "$@"
	"$tidemark" check "$now" --baseline "$baseline" --tolerance "${TOLERANCE:-1%}" \
		--fits "$card" --junit memory.xml ${GITHUB_ACTIONS:+--github} || {
		status=$?
		"$tidemark" diff "$baseline" "$now"
		exit $status
	}
	;;
*)
	usage
	;;
esac
