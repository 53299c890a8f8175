#!/bin/sh
# python.sh MINOR SCRIPT...: runs SCRIPT with a Python 3.MINOR, or skips (77).
# Looks among TIDEMARK_TEST_PYTHON (a:b:c) first, then for python3.MINOR on PATH.
# TIDEMARK_TEST_PRELOAD: a library for the interpreter's LD_PRELOAD.
minor=$1
shift
IFS=:
for python in $TIDEMARK_TEST_PYTHON python3."$minor"; do
	v=$("$python" -c 'import ctypes, sys; print(sys.version_info[1])' 2>/dev/null) || continue
	[ "$v" = "$minor" ] || continue
	[ -z "$TIDEMARK_TEST_PRELOAD" ] || export LD_PRELOAD="$TIDEMARK_TEST_PRELOAD"
	exec "$python" "$@"
done
echo "skipped: no Python 3.$minor on PATH or in TIDEMARK_TEST_PYTHON"
exit 77
