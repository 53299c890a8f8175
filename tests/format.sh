#!/bin/sh
# format.sh - is the C code as .clang-format has it? Skips (77) without clang-format 14.
cd "$(dirname "$0")/.." || exit 1
format=$(command -v clang-format-14) || {
	echo "skipped: no clang-format-14 on PATH"
	exit 77
}
git ls-files '*.c' '*.h' | xargs "$format" --dry-run --Werror
