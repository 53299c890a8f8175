#!/usr/bin/env python3
"""golden.py - what every command says of ten stored traces, compared byte for byte.

Five traces are built by make_trace.py; five are of real trainings on the simulated device,
stored as SQL in golden/NAME.sql.xz and put into tables made from today's schema.sql. What
the commands print, and their exit statuses, stand in golden/NAME.txt.xz, in the order in
which they are asked. "no-trace" holds the answers that need no trace.

    golden.py COMMAND                    compare; prints each difference, exit status 1
    golden.py COMMAND --update           store what the command says now
    golden.py --store FILE.db NAME [--hide OWN=OTHER ...]
                                         store a trace, without the names of its machine
"""
import argparse
import difflib
import lzma
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
sys.path.insert(0, str(HERE.parent))
import make_trace  # noqa: E402

MADE = {
    "gpt": lambda path: make_trace.gpt().write(path),
    "unfolded": lambda path: make_trace.gpt(steps=3, queue=2).write(path, fold=False),
    "leak": lambda path: make_trace.gpt(steps=9, leak=30003, queue=3).write(path),
    "thinned": lambda path: make_trace.gpt(steps=9, evals=3, queue=2, before=12345).write(
        path, thin=(4,)),
    "devices": lambda path: make_trace.gpt(steps=5, devices=2).write(path, ended="killed"),
}
STORED = ("real-gpt", "real-llama", "real-batch", "real-fragmentation", "real-leak")
TRACES = (*MADE, *STORED)
WITHOUT = "no-trace"
MOST = 400  # lines of difference that are printed

# Options of the commands that read a trace. Each line is asked as a screen and with --json.
QUESTIONS = """
report
peak
peak --by phase
peak --by bucket,module --top 5
peak --by stack,shape --top 3
peak --step 2
peak --device cuda:0
timeline
timeline --step 2
timeline --steps
buckets
buckets --at oom
buckets --at step:2 --by phase
buckets --at 0.1ms --by stack --top 3
buckets --by module,parameter
buckets --by dtype --top 2
buckets --by scope
oom
oom --top 2
leaks
leaks --step 3
fragmentation
fragmentation --at step:1 --top 2
reconcile
reconcile --top 2
reconcile --model gpt2 --batch 4 --seq 1024
plan --trace
peak --device cuda:7
peak --step 1000
""".strip().splitlines()

# Asked in one form alone.
OTHERS = """
report --quiet
report --color always
peak --color always --quiet
buckets --color always
peak --folded
timeline --csv
plan --explain --trace
""".strip().splitlines()

WIDE = "report peak oom timeline buckets reconcile".split()

PLANS = """
--model gpt2
--model gpt2 --explain
--model gpt2-xl --batch 4 --seq 512 --precision bf16-mixed --explain
--model llama-3.2-1b --precision bf16 --zero 3 --world 8 --explain
--model llama-3.2-1b --param-dtype nf4 --double-quant --lora-rank 16 --lora-targets all --explain
--model llama-3.2-1b --checkpoint full --attention math --explain
--model llama-3.2-1b --checkpoint sqrt --activation-formula korthikanti --explain
--model gpt2 --checkpoint selective --attention math --explain
--model gpt2 --checkpoint full --activation-formula notes --explain
--model gpt2 --activation-formula rough --explain
--model gpt2 --inference --explain
--model gpt2 --inference --activation-formula notes --explain
--model gpt2 --optimizer adam8bit --explain
--model gpt2 --optimizer adafactor --explain
--model gpt2 --optimizer muon --explain
--model gpt2 --optimizer lion --offload params --explain
--model gpt2 --optimizer sgd-momentum --offload optimizer --master-dtype fp32 --explain
--params 7B
--params 7e9 --zero 2 --world 4 --gpu a100-80gb,24GB
--params 7B --activation-bytes 1GiB --overhead 1.2 --context 300MiB
--params 7B --lora-params 20M --lora-dtype bf16
--layers 12 --hidden 768 --vocab 50257
--layers 12 --hidden 768 --heads 5
--config gpt2.json
--config llama.json --no-dropout
--config nothing.json
--model gtp2
--model gpt2 --optimizer adma
--model gpt2 --optimizer nothing
--model gpt2 --gpu a100-80g
--model gpt2 --gpu nothing
--model gpt2 --batch 0
--model gpt2 --batch 1.5
--model gpt2 --batch 99999999999999999999
--model gpt2 --params 7B
--model gpt2 --inference --optimizer adam
--model gpt2 --zero 3
--params 9000000000000000000
gpt2
""".strip().splitlines()

PLAIN = """

--help
--version
help
help environment
help --man
help nothing
completion bash
completion zsh
completion fish
help run
help simulate
help report
help peak
help timeline
help buckets
help oom
help leaks
help fragmentation
help reconcile
help diff
help check
help plan
help doctor
help library
help completion
help help
peek
--peek
peak --devcie x
peak --json=1
peak --device
peak nothing.db
peak a.db b.db
diff a.db
check a.db
peak
report empty.db
report foreign.db
report .
simulate --gpu list
simulate --gpu nothing -- true
simulate --memory much -- true
simulate --count 0 -- true
simulate
simulate -- ./nothing
run
run --stacks some -- true
run -- ./nothing
""".strip("\n").splitlines()


def environment(folder, **more):
    clean = {k: v for k, v in os.environ.items()
             if not k.startswith(("TIDEMARK_", "LD_PRELOAD", "NO_COLOR", "PYTHON"))}
    return {**clean, "LC_ALL": "C", "COLUMNS": "80", "HOME": str(folder),
            "TMPDIR": str(folder), "TERM": "xterm", **more}


def ask(command, words, folder, **more):
    """The answer as one text: the question, the status, what was printed."""
    done = subprocess.run([command, *words], capture_output=True, timeout=300, cwd=folder,
                          stdin=subprocess.DEVNULL, env=environment(folder, **more))
    said = done.stdout.decode(errors="backslashreplace")
    errors = done.stderr.decode(errors="backslashreplace")
    title = " ".join(["tidemark", *words] + [f"[{k}={v}]" for k, v in more.items()])
    text = f"$ {title}\n= {done.returncode}\n" + said
    if errors:
        text += ("" if text.endswith("\n") else "\n") + "! " + errors
    return text if text.endswith("\n") else text + "\n"


def build(name, path):
    if name in MADE:
        MADE[name](path)
        return
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode = OFF;" + make_trace.SCHEMA)
    db.executescript("BEGIN;" + read(f"{name}.sql.xz") + "COMMIT;")
    db.close()


def about_trace(command, name, folder):
    build(name, folder / "a.db")
    for question in QUESTIONS:
        words = [*question.split(), "a.db"]
        yield ask(command, words, folder)
        yield ask(command, [*words, "--json"], folder)
    for question in OTHERS:
        yield ask(command, [*question.split(), "a.db"], folder)
    for width, locale in (("60", "C"), ("120", "C.UTF-8")):
        for question in WIDE:
            yield ask(command, [question, "a.db"], folder, COLUMNS=width, LC_ALL=locale)


def without_trace(command, folder):
    (folder / "empty.db").touch()
    (folder / "foreign.db").write_text("this is no database at all\n")
    (folder / "nothing.json").write_text("no JSON\n")
    for config in (HERE.parent / "fuzz" / "corpus" / "config").glob("*.json"):
        (folder / config.name).write_bytes(config.read_bytes())
    for line in PLAIN:
        yield ask(command, line.split(), folder)
    for line in PLANS:
        yield ask(command, ["plan", *line.split()], folder)
        yield ask(command, ["plan", *line.split(), "--json"], folder)


def answers(command, name):
    """All that is said about one trace, or without any, as one text."""
    with tempfile.TemporaryDirectory(prefix="tidemark-golden-") as folder:
        asked = without_trace if name == WITHOUT else about_trace
        extra = [] if name == WITHOUT else [name]
        text = "".join(asked(command, *extra, pathlib.Path(folder)))
        return text.replace(folder, "FOLDER")


def read(file):
    path = GOLDEN / file
    return lzma.decompress(path.read_bytes()).decode() if path.exists() else ""


def write(file, text):
    (GOLDEN / file).write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def sections(text):
    """{question: answer}, so that a difference names its question."""
    parts = re.split(r"(?m)^(?=\$ tidemark)", text)
    return {part.split("\n", 1)[0]: part for part in parts if part}


def differing(old, new):
    """The lines between the first and the last that differ, a bounded number of them."""
    first = last = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    return (lines[first:len(lines) - last][:MOST] for lines in (old, new))


def differences(stored, said):
    """Lines that show where the two differ, each under the question it belongs to."""
    old, new = sections(stored), sections(said)
    shown = []
    for question in [*old, *(q for q in new if q not in old)]:
        if old.get(question) != new.get(question):
            shown += difflib.unified_diff(
                *differing(old.get(question, "").splitlines(),
                           new.get(question, "").splitlines()),
                f"stored: {question[2:]}", f"now: {question[2:]}", lineterm="", n=0)
    return shown


def compare(command, name, update=False):
    """The differences of one trace; stores the new answers where that is wanted. Where the
    simulator was not built, `simulate` has no cards, and is left out."""
    said, stored = answers(command, name), read(f"{name}.txt.xz")
    if not (command.parent.parent / "simulator").exists():
        said, stored = (re.sub(r"(?ms)^\$ tidemark simulate .*?(?=^\$ )", "", text)
                        for text in (said, stored))
    elif update and said != stored:
        write(f"{name}.txt.xz", said)
    return differences(stored, said)


def store(path, name, hidden):
    """Rows alone, every column by its name, and nothing of the machine that made them."""
    db = sqlite3.connect(path)
    cwd, = db.execute("SELECT cwd FROM run").fetchone()
    tables = [t for t, in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
              if t not in ("phase", "bucket", "carry", "spill")]
    lines = []
    for table in tables:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        rows = ["(" + ",".join(row) + ")" for row in db.execute(
            "SELECT %s FROM %s" % (", ".join(f"quote({c})" for c in columns), table))]
        for first in range(0, len(rows), 400):
            lines.append("INSERT INTO %s (%s) VALUES\n%s;\n" % (
                table, ", ".join(columns), ",\n".join(rows[first:first + 400])))
    (host,), (token,) = (db.execute(f"SELECT {what}").fetchone() for what in (
        "host FROM run", "value FROM meta WHERE key = 'token'"))
    lines.append("UPDATE run SET pid = 41822, started_unix_ns = 1790000000000000000;\n")
    text = "".join(lines)
    for own, other in (*(pair.split("=") for pair in hidden),
                       (cwd, "/home/me/work"), (str(pathlib.Path.home()), "/home/me"),
                       (f"'{host}'", "'node07'"), (f"'{token}'", "'0'")):
        text = text.replace(own, other)
    write(f"{name}.sql.xz", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", nargs="?", type=pathlib.Path)
    parser.add_argument("--update", action="store_true", help="store what it says now")
    parser.add_argument("--only", choices=[*TRACES, WITHOUT], help="this trace alone")
    parser.add_argument("--store", nargs=2, metavar=("FILE", "NAME"), help="a new trace")
    parser.add_argument("--hide", action="append", default=[], metavar="OWN=OTHER",
                        help="with --store: a path that is written otherwise")
    options = parser.parse_args()
    if options.store:
        store(*options.store, options.hide)
        return 0
    if not options.command:
        parser.error("name the tidemark command to ask")
    different = False
    for name in [options.only] if options.only else [*TRACES, WITHOUT]:
        shown = compare(options.command.resolve(), name, options.update)
        print("\n".join([f"{name}: {len(shown)} lines of difference", *shown[:MOST]]))
        different = different or bool(shown)
    return int(different and not options.update)


if __name__ == "__main__":
    sys.exit(main())
