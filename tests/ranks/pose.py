#!/usr/bin/env python3
"""pose.py - the traces of a wide job, posed: copies of one trace, or of a few, each a rank.

    pose.py FOLDER --world N [--trace FILE ...] [--missing R ...]

Without --trace they are of make_trace.py's training. Rank r is a copy of the r-th of them, in
turn. What a recorder would have written differently for each rank is written: rank, world, host,
process, times, and torchrun's name for the job.
"""
import argparse
import pathlib
import shutil
import sqlite3
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import make_trace  # noqa: E402

STARTED = 1790000000000000000
PER_HOST = 8


def meta(db, **values):
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)",
                   [(k.replace("__", "."), v) for k, v in values.items() if v is not None])


def rank_of(path, rank, world, job="b6e0", restart=0, started=STARTED, groups=(), **run):
    """Makes a trace one of a job's. groups: (name, ranks). run: columns of the table."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA journal_mode = OFF")
    values = {"rank": rank, "local_rank": rank % PER_HOST, "world_size": world,
              "host": f"node{rank // PER_HOST:03}", "pid": 1000 + rank,
              "started_unix_ns": started + rank * 1000, "ring": None, **run}
    db.execute("UPDATE run SET " + ", ".join(f"{k} = ?" for k in values), tuple(values.values()))
    db.execute("DELETE FROM meta WHERE key GLOB 'job.*' OR key GLOB 'group.*' OR key = 'run_id'")
    meta(db, job__torchrun=job, job__restart=str(restart))
    for number, (name, ranks) in enumerate(groups):
        meta(db, **{f"group__{number}": '{"what": "%s", "ranks": "%s"}' % (name, ranks)})
    db.commit()
    db.close()
    return path


def pose(folder, world, traces, missing=(), **more):
    """The files of a job of `world` ranks; rank r is a copy of traces[r % len(traces)]."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for rank in sorted(set(range(world)) - set(missing)):
        path = folder / f"tidemark-node{rank // PER_HOST:03}-{1000 + rank}.db"
        shutil.copyfile(traces[rank % len(traces)], path)
        made[rank] = rank_of(path, rank, world, **more)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--world", type=int, default=1024)
    parser.add_argument("--trace", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--missing", type=int, nargs="*", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if not options.trace:
            options.trace.append(pathlib.Path(place, "one.db"))
            make_trace.gpt().write(options.trace[0])
        pose(options.folder, options.world, options.trace, options.missing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
