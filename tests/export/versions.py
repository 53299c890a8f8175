#!/usr/bin/env python3
"""versions.py - snapshots of one PyTorch after the other, imported and held against traces.

usage: versions.py [--python PYTHON] [--keep] FOLDER...
    each FOLDER with a CUDA build of PyTorch, by pip install --no-deps --target
For each it runs programs/train.py on the simulated device, traced, without and with expandable
segments; imports the snapshot that PyTorch took; and prints a row of docs/validation.md: whether
the peak, every block with its address and size, and the Python stack of each are those of the trace.
--keep writes snapshots/VERSION.pickle.gz and what the trace says beside it, VERSION.json, from
two steps and a refusal; there the folders of this machine are cut off the names of files."""
import argparse
import gzip
import json
import os
import pathlib
import pickle
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import where  # noqa: E402

EXPANDABLE = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
KEPT = HERE / "snapshots"


def blocks(file):
    """(address, bytes, ((function, file, line), ...)) of each block in the order of their making.
    PyTorch has a function's name alone, the trace its qualified name."""
    with sqlite3.connect(file) as db:
        above = {n: (parent, frame) for n, parent, frame in
                 db.execute("SELECT id, parent, frame FROM stack")}
        frames = {n: ((name or "").rpartition(".")[2], *rest) for n, name, *rest in
                  db.execute("SELECT id, function, file, line FROM frame")}

        def walk(stack):
            while stack:
                stack, frame = above[stack]
                yield frames[frame]
        return [(address, size, tuple(walk(stack))) for address, size, stack in db.execute(
            "SELECT a.address, a.bytes, s.python_stack FROM allocation a "
            "LEFT JOIN site s ON s.id = a.site ORDER BY a.born_ns, a.id")]


def said(file):
    """What the screens say of it: the peak, and each refusal."""
    def ask(command):
        out = subprocess.run([where.COMMAND, command, "--json", file], capture_output=True)
        return json.loads(out.stdout)
    [device] = ask("peak")["devices"]
    return {"allocated_bytes": device["allocated_bytes"], "reserved_bytes": device["reserved_bytes"],
            "refused": [[e[k] for k in ("requested_bytes", "allocated_bytes", "reserved_bytes",
                                        "device_free_bytes")] for e in ask("oom")["events"]]}


def run(tree, folder, python, *words, **env):
    """Runs the program in an empty folder -> what it printed; a.db and snapshot.pickle are there."""
    library = os.environ.get("TIDEMARK_LIBRARY") or where.LIBRARY
    done = subprocess.run(
        [where.SIMULATOR / "simrun.sh", "--gpu", "a100-80gb", tree, "--", python,
         HERE / "programs" / "train.py", folder / "snapshot.pickle", *words],
        env=where.clean_environment(TIDEMARK_OUT=folder / "a.db", LD_PRELOAD=library, **env),
        capture_output=True, text=True, timeout=600, cwd=folder)
    if done.returncode:
        raise OSError("did not run: " + done.stderr.strip().rpartition("\n")[2][:60])
    subprocess.run([where.COMMAND, "import", folder / "snapshot.pickle", "-o", folder / "b.db"],
                   capture_output=True, text=True, check=True)
    return done.stdout


def compare(tree, folder, python, env):
    printed = run(tree, folder, python, **env)
    ours, theirs = blocks(folder / "a.db"), blocks(folder / "b.db")
    ours = ours[:max(len(theirs), len(ours) - 1)]  # what is made after the snapshot is not in it
    equal = [s["allocated_bytes"] == int(printed.split()[0]) for s in
             (said(folder / "a.db"), said(folder / "b.db"))]
    return f"{'peak equal' if all(equal) else 'PEAK DIFFERS'}, {len(theirs)} blocks " + \
        ("equal" if [b[:2] for b in theirs] == [b[:2] for b in ours] else "DIFFER") + ", stacks " + \
        ("equal" if theirs == ours else "DIFFER")


def keep(tree, python, name, **env):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run(tree, folder, python, "short", "oom", **env)
        cuts = [(str(tree), "site-packages"), (str(where.ROOT), "tidemark")]

        def cut(value):
            if isinstance(value, str):
                for old, new in cuts:
                    value = value.replace(old, new)
                return value
            if isinstance(value, dict):
                return {k: cut(v) for k, v in value.items()}
            return type(value)(map(cut, value)) if isinstance(value, (list, tuple)) else value
        KEPT.mkdir(exist_ok=True)
        taken = cut(pickle.loads((folder / "snapshot.pickle").read_bytes()))
        (KEPT / f"{name}.pickle.gz").write_bytes(
            gzip.compress(pickle.dumps(shared(taken), protocol=4), 9, mtime=0))
        made = cut(blocks(folder / "a.db"))
        stacks = list(dict.fromkeys(stack for _, _, stack in made))
        frames = list(dict.fromkeys(frame for stack in stacks for frame in stack))
        answer = said(folder / "a.db")
        answer["frames"] = frames
        answer["stacks"] = [[frames.index(f) for f in stack] for stack in stacks]
        answer["blocks"] = [(a, size, stacks.index(stack)) for a, size, stack in made]
        (KEPT / f"{name}.json").write_text(json.dumps(answer, separators=(",", ":")) + "\n")


def shared(value, seen=None):
    """The same with equal parts written once, as PyTorch's pickle has its frames."""
    seen = {} if seen is None else seen
    if isinstance(value, dict):
        value = {k: shared(v, seen) for k, v in value.items()}
    elif isinstance(value, (list, tuple)):
        value = type(value)(shared(v, seen) for v in value)
    return seen.setdefault(repr(value), value)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--python", default=where.PYTHON)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("trees", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    if options.keep:
        for tree in options.trees:
            keep(tree.resolve(), options.python, where.torch_version(tree))
            keep(tree.resolve(), options.python, where.torch_version(tree) + "-expandable",
                 **EXPANDABLE)
        return
    print("| PyTorch | cudaMalloc | expandable segments | the snapshot has |")
    print("|---|---|---|---|")
    for tree in options.trees:
        cells, keys = [], []
        for env in {}, EXPANDABLE:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    cells.append(compare(tree.resolve(), pathlib.Path(folder), options.python, env))
                    keys = sorted(pickle.loads(
                        pathlib.Path(folder, "snapshot.pickle").read_bytes()))
                except (OSError, subprocess.CalledProcessError) as e:
                    cells.append(str(e))
        print(f"| {where.torch_version(tree)} | {' | '.join(cells)} | {', '.join(keys)} |",
              flush=True)


if __name__ == "__main__":
    main()
