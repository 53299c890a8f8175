#!/usr/bin/env python3
"""What one look of `tidemark live` costs, beside a writer that is halted with a trace of that many
events: none of them folded, which is the most that a trace can hold of them.

usage: look.py BUILD [EVENTS...]    (default: 100000 1000000)
"""
import json
import os
import pathlib
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

build = pathlib.Path(sys.argv[1]).resolve()
sizes = [int(n) for n in sys.argv[2:]] or [100_000, 1_000_000]
env = dict(os.environ, TIDEMARK_MAX_SIZE="1T", TIDEMARK_QUIET="1",
           TIDEMARK_LIBRARY=str(build / "hooks" / "libtidemark.so"))


def events(trace):
    try:
        with sqlite3.connect(f"file:{trace}?mode=ro", uri=True) as db:
            return db.execute("SELECT sum(events) FROM step").fetchone()[0] or 0
    except sqlite3.Error:
        return 0


for size in sizes:
    with tempfile.TemporaryDirectory() as folder:
        trace = f"{folder}/look.db"
        writer = subprocess.Popen([build / "tests/bench/bench_writer", trace, str(10 * size)],
                                  env=env, stdout=subprocess.DEVNULL)
        while events(trace) < size:
            time.sleep(0.02)
        writer.send_signal(signal.SIGSTOP)
        began = os.times()
        said = subprocess.run(
            [build / "analysis/tidemark", "live", "--json", "--count", "21", "--interval", "0.05",
             trace], env=env, capture_output=True, text=True, check=True).stdout
        used = os.times()
        looks = [json.loads(line)["look_cost_ns"] for line in said.splitlines()]
        cpu = (used.children_user + used.children_system - began.children_user
               - began.children_system) / len(looks)
        kept = sum(os.path.getsize(p) for p in pathlib.Path(folder).glob("look.db*"))
        print(f"{events(trace):>10,} events, {kept / 2**20:6.0f} MiB: the first look "
              f"{looks[0] / 1e6:.1f} ms, the next {statistics.median(looks[1:]) / 1e6:.1f} ms; "
              f"{cpu * 1e3:.1f} ms of CPU a look, with leaks")
        writer.kill()
        writer.wait()
