# targets.sh - what is fuzzed, for run.sh and replay.sh, which set $build and $work.

# A sanitizer's own end has an exit status that a command may have too: it aborts instead.
export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1
export TIDEMARK_LIBRARY=/nonexistent

# prepare: what the targets need beside an input, and inputs to begin with that are made here.
prepare() {
	mkdir -p "$work/recover.seeds"
	"$build"/tests/fuzz/fuzz_recover --seed "$work/recover.seeds" &&
		python3 tests/fuzz/template.py "$work/template.db"
}

# inputs TARGET: one a line; what it begins with and what was found with it.
inputs() {
	local file
	for file in "$work/$1".seeds/* tests/fuzz/{corpus,regress}/"$1"/*; do
		[ ! -f "$file" ] || echo "$file"
	done
	[ "$1" != card ] || ls simulator/devices/*.conf
	[ "$1" != config ] || ls tests/plan/configs/*.json
}

# target NAME: sets command; an input follows as its last word.
target() {
	case $1 in
	recover) command=("$build"/tests/fuzz/fuzz_recover) ;;
	reader) command=("$build"/tests/fuzz/fuzz_reader "$work/template.db") ;;
	config) command=("$build"/analysis/tidemark plan --json --config) ;;
	import) command=("$build"/tests/fuzz/fuzz_import) ;;
	card) command=("$build"/tests/fuzz/fuzz_card) ;;
	esac
}

# answered STATUS: the program ended by itself, with one of its own exit statuses.
answered() {
	[ "$1" -le 3 ]
}
