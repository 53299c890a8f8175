#!/usr/bin/env python3
"""long.py - what a run of weeks costs, and what its trace answers after it.

Three runs are made of records alone, without PyTorch, so that a week goes by in minutes: ten
million steps that are alike (one in a hundred leaks a block), a hundred thousand steps that are all
unlike, a million blocks that live from the start to the end. Then a model of 4,096 modules is
trained with PyTorch, with and without the library in turns.

usage: long.py BUILD [DIVISOR]    (DIVISOR makes the runs shorter by it; default 1)
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(sys.argv[1]).resolve()
DIVISOR = int(sys.argv[2]) if len(sys.argv) > 2 else 1
WEEK = 7 * 24 * 3600
ENV = dict(os.environ, TIDEMARK_QUIET="1", TIDEMARK_LIBRARY=str(BUILD / "hooks/libtidemark.so"))
#: what it is, steps, words for bench_steps behind the steps
RUNS = (("steps that are alike", 10_000_000, (100,)),
        ("steps that are unlike", 100_000, (0, 1)),
        ("live blocks", 100, (0, 0, 1_000_000)))
ANSWERS = (("report",), ("peak",), ("buckets",), ("leaks",), ("timeline",), ("html", "-o"))

MODULES = '''
import time
began = time.perf_counter()
import torch
torch.set_num_threads(1)
model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(4096)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
took = []
for step in range(8):
    at = time.process_time()
    model(torch.randn(4, 8)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    took.append(time.process_time() - at)
import sys, resource
print(time.perf_counter() - began, sorted(took)[len(took) // 2],
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
'''


def answer(words, trace, folder):
    """Seconds, and MiB at most, of a command."""
    command = [BUILD / "analysis/tidemark", words[0], trace, *words[1:]]
    if len(words) > 1:
        command.append(f"{folder}/page.html")
    at = time.monotonic()
    process = subprocess.Popen(command, env=ENV, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{words[0]}: {said}")
    return f"{words[0]} {time.monotonic() - at:.2f} s {used.ru_maxrss // 1024} MiB"


def records(name, steps, words, folder):
    trace = f"{folder}/long.db"
    steps = max(steps // DIVISOR, 10)
    at = time.monotonic()
    said = subprocess.run([BUILD / "tests/bench/bench_steps", trace, str(steps),
                           *map(str, words)], env=ENV, capture_output=True, text=True,
                          check=True).stdout
    took = time.monotonic() - at
    pace = float(re.search(r"([0-9.]+) us of writer", said)[1])
    print(f"# {name}\n{said.strip()}; {took:.0f} s in all")
    if steps > 1000:
        print(f"spread over a week, the writer has {100 * steps * pace / 1e6 / WEEK:.3f} % of a core")
    print("; ".join(answer(words, trace, folder) for words in ANSWERS), flush=True)


def modules(folder):
    script = pathlib.Path(folder) / "modules.py"
    script.write_text(MODULES)
    seen = {"bare": [], "traced": []}
    for turn in range(10):
        kind = ("bare", "traced")[turn % 2]
        env = dict(ENV, TIDEMARK_OUT=f"{folder}/modules{turn}.db")
        if kind == "traced":
            env["LD_PRELOAD"] = ENV["TIDEMARK_LIBRARY"]
        said = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True,
                              check=True).stdout
        seen[kind].append([float(word) for word in said.split()])
    print("# a model of 4,096 modules: whole run, a step's CPU, memory at most; medians of five")
    bare, traced = ([statistics.median(column) for column in zip(*seen[kind])]
                    for kind in ("bare", "traced"))
    print(f"bare {bare[0]:.2f} s, {1e3 * bare[1]:.1f} ms, {bare[2]:.0f} MiB; traced "
          f"{traced[0]:.2f} s, {1e3 * traced[1]:.1f} ms, {traced[2]:.0f} MiB: "
          f"{traced[0] / bare[0]:.2f}, {traced[1] / bare[1]:.2f} and {traced[2] / bare[2]:.2f} "
          "times as much")
    print(answer(("peak",), f"{folder}/modules1.db", folder))


with tempfile.TemporaryDirectory() as home:
    for run in RUNS:
        records(*run, home)
        for left in pathlib.Path(home).iterdir():
            left.unlink()
    modules(home)
