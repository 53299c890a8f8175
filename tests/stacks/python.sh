#!/bin/sh
# python.sh MINOR SCRIPT...: runs SCRIPT with a Python 3.MINOR ("any": any), or skips (77).
# Looks among TIDEMARK_TEST_PYTHON (a:b:c) first, then on PATH, among pyenv's, and for what
# tests/setup.sh has unpacked.
# TIDEMARK_TEST_IMPORT: a module that the interpreter must have.
# TIDEMARK_TEST_PRELOAD: a library for the interpreter's LD_PRELOAD.
minor=$1
shift
name=python3.$minor
[ "$minor" = any ] && name=python3
has="import ctypes, importlib.util as u, sys
assert u.find_spec('${TIDEMARK_TEST_IMPORT:-ctypes}')
print(sys.version_info[1])"
cache=${TIDEMARK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
pyenv=$(echo "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python3)
IFS=:
for python in $TIDEMARK_TEST_PYTHON "$name" "$pyenv" "$cache/$name/python"; do
	v=$("$python" -c "$has" 2>/dev/null) || continue
	[ "$v" = "$minor" ] || [ "$minor" = any ] || continue
	[ -z "$TIDEMARK_TEST_PRELOAD" ] || export LD_PRELOAD="$TIDEMARK_TEST_PRELOAD"
	exec "$python" "$@"
done
echo "skipped: no $name${TIDEMARK_TEST_IMPORT:+ with $TIDEMARK_TEST_IMPORT}" \
	"on PATH, with pyenv or in TIDEMARK_TEST_PYTHON"
exit 77
