"""The long form: kills for as long as asked, then every fault, and the table of both.

usage: campaign.py [--hours N] [--kills N] [--seed N]
Ends after N hours or N kills, whichever comes first. Exit status 1 if anything was lost
unsaid or harmed."""

import argparse
import collections
import datetime
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

import faults
import kills
import runner


def run_kills(until, count, seed):
    """Verdicts, each printed where something is wrong."""
    nursery, verdicts = kills.Nursery(), []
    while len(verdicts) < count and time.monotonic() < until:
        number = seed + len(verdicts)
        verdict = kills.kill_one(nursery, number)
        verdicts.append(verdict)
        if verdict.wrong:
            print(f"seed {number}: {verdict.program}, {verdict.reader}:", *verdict.wrong,
                  f"kept in {verdict.folder}", sep="\n\t", flush=True)
        else:
            shutil.rmtree(verdict.folder, ignore_errors=True)
        if nursery.full():
            nursery.close()
            nursery = kills.Nursery()
    nursery.close()
    return verdicts


def run_faults():
    """[(name, what it is, "survived", or why not)]"""
    results = []
    for fault in faults.FAULTS:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="fault-"))
        try:
            wrong = faults.judge(fault, folder)
            results.append((fault, "; ".join(wrong) or None, None))
        except faults.Skip as why:
            results.append((fault, None, str(why)))
        if results[-1][1]:
            print(f"{fault.name}: {results[-1][1]}", flush=True)
    return results


def print_table(verdicts, results):
    versions = subprocess.run(
        [runner.PYTHON, "-c", "import torch, sys; print(torch.__version__, sys.version.split()[0])"],
        text=True, capture_output=True).stdout.split()
    print(f"\n{datetime.date.today()}, PyTorch {versions[0]}, Python {versions[1]}, "
          f"Linux {platform.release()}\n")
    print("| killed | times | events seen | calls cut | lost | runs in which something was "
          "wrong |")
    print("|---|---|---|---|---|---|")
    for key in ("program", "reader"):
        by = collections.defaultdict(list)
        for verdict in verdicts:
            by[getattr(verdict, key)].append(verdict)
        for name, some in sorted(by.items()):
            print(f"| {name} | {len(some)} | {sum(v.seen for v in some):,} | "
                  f"{sum(v.cut for v in some)} | "
                  f"{sum(v.lost for v in some)} | {sum(bool(v.wrong) for v in some)} |")
    print("\n| fault | program | outcome |\n|---|---|---|")
    for fault, wrong, why in results:
        outcome = f"not run: {why}" if why else wrong or "survived"
        print(f"| {fault.name.replace('_', ' ')} | {fault.program[0]} | {outcome} |")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1000)
    asked = parser.parse_args()
    verdicts = run_kills(time.monotonic() + asked.hours * 3600, asked.kills, asked.seed)
    results = run_faults()
    print_table(verdicts, results)
    return any(v.wrong or v.lost for v in verdicts) or any(wrong for _, wrong, _ in results)


if __name__ == "__main__":
    sys.exit(main())
