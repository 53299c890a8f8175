#!/usr/bin/env python3
"""Programs measured side by side: they take turns, so that what slows the machine down
slows all of them.

usage: pairs.py ROUNDS[xSTARTS] NAME=COMMAND...
Each command is a shell line whose program prints "ready", and then for every line on its
stdin one number, the nanoseconds that it measured. The first is what the others are
compared with. They are all started STARTS times, for ROUNDS rounds each: where a process's
memory happens to lie makes it some percent faster or slower for as long as it lives. Prints
for each the least and the median, the median of what it took more than the first did in the
same round, and between what bounds that median lies for half of the starts.
"""

import statistics
import subprocess
import sys


def start(named):
    programs = {}
    for name, command in named.items():
        programs[name] = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for name, program in programs.items():
        while (line := program.stdout.readline()) != "ready\n":
            if not line:
                sys.exit(f"pairs.py: '{name}' ended with {program.wait()} before it was ready")
    return programs


def measure(named, rounds):
    """name -> what it measured in each round, all by processes of their own."""
    programs = start(named)
    taken = {name: [] for name in programs}
    for i in range(rounds):
        for name in list(programs) if i % 2 else reversed(programs):
            programs[name].stdin.write("go\n")
            programs[name].stdin.flush()
            taken[name].append(int(programs[name].stdout.readline()))
    for program in programs.values():
        program.stdin.close()
        program.wait()
    return taken


def main(count, *named):
    rounds, _, starts = count.partition("x")
    named = dict(each.split("=", 1) for each in named)
    runs = [measure(named, int(rounds)) for _ in range(int(starts or 1))]
    first = next(iter(named))
    print(f"{'':12}{'least':>14}{'median':>14}{'more than ' + first:>20}")
    for name in named:
        every = [ns for run in runs for ns in run[name]]
        line = f"{name:12}{min(every):11,} ns{statistics.median(every):11,.0f} ns"
        if name != first:
            more = [statistics.median(a - b for a, b in zip(run[name], run[first]))
                    for run in runs]
            line += f"{statistics.median(more):17,.0f} ns"
            if len(more) > 1:
                low, _, high = statistics.quantiles(more, n=4)
                line += f"  ({low:,.0f} to {high:,.0f})"
        print(line)


main(*sys.argv[1:])
