"""known.py [--only TEXT] [--computed] - is memory the same with known values computed and without?

Runs every workload of the list twice on the simulated card and prints both peaks, and the time
that each took. With --computed the first run computes everything (`--values computed`). Exit
status 1 if a peak differs anywhere.
"""
import argparse
import pathlib
import resource
import sqlite3
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import runs  # noqa: E402

STEPS = "steps=3"


def peak(name, **env):
    """(allocated, reserved, seconds of CPU) of a workload."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        _, trace = runs.run(name, pathlib.Path(folder), words=[STEPS], **env)
        with sqlite3.connect(trace) as db:
            allocated, reserved = db.execute(
                "SELECT allocated_bytes, reserved_bytes FROM v_peak WHERE device LIKE 'cuda%'"
            ).fetchone()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return allocated, reserved, after.ru_utime - before.ru_utime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--computed", action="store_true")
    asked = parser.parse_args()
    only, more = asked.only, {"TIDEMARK_SIM_VALUES": "computed"} if asked.computed else {}
    differ = 0
    for name in runs.WORKLOADS:
        if only not in name:
            continue
        try:
            on, off = peak(name, **more), peak(name, TIDEMARK_SIM_KNOWN="0")
        except (runs.Missing, RuntimeError) as why:
            print(f"{name}: {why}", flush=True)
            continue
        same = on[:2] == off[:2]
        differ += not same
        print(f"{'same' if same else 'DIFFERS'}  {on[0]:>13,} {off[0]:>13,}  "
              f"{on[2]:.1f} s, {off[2]:.1f} s  {name}", flush=True)
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
