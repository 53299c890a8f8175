#!/usr/bin/env python3
"""Programs measured side by side: they take turns, so that what slows the machine down
slows all of them.

usage: pairs.py ROUNDS NAME=COMMAND...
Each command is a shell line whose program prints "ready", and then for every line on its
stdin one number, the nanoseconds that it measured. The first is what the others are
compared with. Prints for each the least and the median, and the median of what it took
more than the first did in the same round.
"""

import statistics
import subprocess
import sys


def main(rounds, *named):
    programs = {}
    for each in named:
        name, command = each.split("=", 1)
        programs[name] = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for name, program in programs.items():
        while (line := program.stdout.readline()) != "ready\n":
            if not line:
                sys.exit(f"pairs.py: '{name}' ended with {program.wait()} before it was ready")
    taken = {name: [] for name in programs}
    for _ in range(int(rounds)):
        for name, program in programs.items():
            program.stdin.write("go\n")
            program.stdin.flush()
            taken[name].append(int(program.stdout.readline()))
    for program in programs.values():
        program.stdin.close()
        program.wait()
    first = next(iter(taken))
    print(f"{'':12}{'least':>14}{'median':>14}{'more than ' + first:>20}")
    for name, ns in taken.items():
        more = statistics.median(a - b for a, b in zip(ns, taken[first]))
        print(f"{name:12}{min(ns):11,} ns{statistics.median(ns):11,.0f} ns"
              + (f"{more:17,.0f} ns" if name != first else ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
