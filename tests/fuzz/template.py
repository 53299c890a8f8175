#!/usr/bin/env python3
"""The trace that fuzz_reader changes: a training with evaluations that ends in a refused
request, with rows in each table that a reading command looks at.

usage: tests/fuzz/template.py FILE
"""
import pathlib
import sqlite3
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import make_trace

SEGMENT = 20 * make_trace.MIB
MESSAGE = ("CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of 24.00 "
           "GiB of which 0 bytes is free. Process 41 has 2.50 GiB memory in use. Including "
           "non-PyTorch memory, this process has 21.50 GiB memory in use.")
CONFIG = (ROOT / "fuzz/corpus/config/gpt2.json").read_text()


def insert(db, table, **columns):
    db.execute(f"INSERT INTO {table} ({', '.join(columns)}) "
               f"VALUES ({', '.join('?' * len(columns))})", tuple(columns.values()))


def add_segments(db):
    """One after the other under the blocks, so that each block lies in one or two."""
    places = {address // SEGMENT for address, in db.execute("SELECT address FROM allocation")}
    for place in sorted(places):
        insert(db, "segment", device=1, kind="cudaMalloc", host=0, address=place * SEGMENT,
               bytes=SEGMENT, born_step=1, born=0, born_ns=0)


def refuse(db):
    """The last step asks for more than there is."""
    step, events = db.execute("SELECT id, events FROM step ORDER BY id DESC").fetchone()
    level, = db.execute("SELECT end_allocated FROM step_device WHERE step = ?", (step,)).fetchone()
    site, = db.execute("SELECT max(id) FROM site").fetchone()
    insert(db, "oom", device=1, step=step, ordinal=events, time_ns=1 << 60, site=site,
           source="allocator", requested_bytes=1 << 30, allocated_bytes=level,
           reserved_bytes=level, device_free_bytes=0,
           device_total_bytes=level + make_trace.CONTEXT, message=MESSAGE)
    db.execute("UPDATE run SET exit_status = 1, model_config = ?", (CONFIG,))


def main():
    path = sys.argv[1]
    make_trace.SCENARIOS["evals"]().write(path, fold=True)
    db = sqlite3.connect(path)
    add_segments(db)
    refuse(db)
    insert(db, "meta", key="memory_fraction.cuda:0", value="1")
    insert(db, "lost", name="ring_full", count=3, what="records that found no room")
    insert(db, "thread", id=1, tid=41, name="python")
    insert(db, "scope", id=1, kind="phase", name="warm")
    db.execute("UPDATE site SET scope = 1, thread = 1 WHERE id % 3 = 0")
    db.commit()
    db.close()


if __name__ == "__main__":
    main()
