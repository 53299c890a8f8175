#!/usr/bin/env python3
"""versions.py - snapshots of one PyTorch after the other, imported and held against traces.

usage: versions.py FOLDER...    each with a CUDA build of PyTorch, by pip install --no-deps --target
For each it runs programs/train.py on the simulated device, traced, without and with expandable
segments; imports the snapshot that PyTorch took; and prints a row of docs/validation.md: whether
the peak, and every block with its address and size, are those of the trace."""
import json
import pathlib
import pickle
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import os  # noqa: E402

import where  # noqa: E402

EXPANDABLE = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}


def blocks(file):
    with sqlite3.connect(file) as db:
        return db.execute("SELECT address, bytes FROM allocation ORDER BY born_ns, id").fetchall()


def peak(file):
    out = subprocess.run([where.COMMAND, "peak", "--json", file], capture_output=True, check=True)
    return json.loads(out.stdout)["devices"][0]["allocated_bytes"]


def compare(tree, folder, env):
    snapshot = folder / "snapshot.pickle"
    library = os.environ.get("TIDEMARK_LIBRARY") or where.LIBRARY
    done = subprocess.run(
        [where.SIMULATOR / "simrun.sh", "--gpu", "a100-80gb", tree, "--", where.PYTHON,
         HERE / "programs" / "train.py", snapshot],
        env=where.clean_environment(TIDEMARK_OUT=folder / "a.db", LD_PRELOAD=library, **env),
        capture_output=True, text=True, timeout=600, cwd=folder)
    if done.returncode:
        return "did not run: " + done.stderr.strip().rpartition("\n")[2][:60], None
    made = subprocess.run([where.COMMAND, "import", snapshot, "-o", folder / "b.db"],
                          capture_output=True, text=True)
    if made.returncode:
        return made.stderr.strip(), None
    ours, theirs = blocks(folder / "a.db"), blocks(folder / "b.db")
    same = theirs == ours[:len(theirs)] and len(ours) - len(theirs) <= 1
    equal = peak(folder / "b.db") == peak(folder / "a.db") == int(done.stdout.split()[0])
    keys = sorted(pickle.loads(snapshot.read_bytes()))
    return f"{'peak equal' if equal else 'PEAK DIFFERS'}, {len(theirs)} blocks " + \
        ("equal" if same else "DIFFER"), keys


def main(trees):
    print("| PyTorch | cudaMalloc | expandable segments | the snapshot has |")
    print("|---|---|---|---|")
    for tree in trees:
        cells, keys = [], None
        for env in {}, EXPANDABLE:
            with tempfile.TemporaryDirectory() as folder:
                cell, found = compare(pathlib.Path(tree).resolve(), pathlib.Path(folder), env)
                cells.append(cell)
                keys = keys or found
        version = where.torch_version(tree)
        print(f"| {version} | {' | '.join(cells)} | {', '.join(keys or [])} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
