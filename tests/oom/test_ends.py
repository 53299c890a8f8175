"""What a run that ends out of memory says at its end, and what one that did not must not say."""
import pathlib
import re
import signal
import subprocess

import pytest

import where
from where import COMMAND, LIBRARY, PYTHON, SIMULATOR

LINE = re.compile(r"^tidemark: out of memory in step (\d+), (\w+) \((\w+\.py):(\d+)\); "
                  r"tidemark oom (\S+)$", re.M)

# Asks for more than there is on line 7, in a way of its own to end.
PROGRAM = """
import os, sys, torch
x = torch.zeros(1000, device="cuda")
def ask():
    return torch.empty(1 << 34, dtype=torch.uint8, device="cuda")
try:
    ask()
except torch.OutOfMemoryError as error:
    kept = error
{then}
"""
ENDS = {
    "raises it": "raise kept",
    "raises another from it": "raise RuntimeError('no more') from kept",
    "goes on and ends well": "print('done')",
    "goes on and allocates": "y = torch.zeros(1000, device='cuda')",
    "goes on and fails otherwise": "{}['something else']",
    "leaves by itself": "sys.exit(3)",
    "leaves at once": "os._exit(3)",
}


@pytest.fixture
def died(tmp_path):
    """died(how it ends, words before python) -> CompletedProcess"""
    tree = where.need("torch-2.11.0")

    def run(end, *before, preload=True, **env):
        script = tmp_path / "program.py"
        script.write_text(PROGRAM.format(then=ENDS[end]))
        return subprocess.run(
            [SIMULATOR / "simrun.sh", "--gpu", "a100-80gb", "--memory", "4GiB", tree, "--",
             *before, PYTHON, script],
            env=where.clean_environment(
                TIDEMARK_OUT=tmp_path / "a.db", LC_ALL="C", COLUMNS="100",
                LD_PRELOAD=LIBRARY if preload else None, **env),
            capture_output=True, text=True, timeout=120, cwd=tmp_path)
    return run


@pytest.mark.parametrize("end", ENDS)
def test_a_line_where_it_ended_the_program_and_nowhere_else(died, tmp_path, end):
    done = died(end)
    told = LINE.findall(done.stderr)
    assert told == ([("0", "setup", "program.py", "5", str(tmp_path / "a.db"))]
                    if end.startswith("raises") else []), done.stderr
    bare = died(end, preload=False)
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout)
    assert LINE.sub("", done.stderr).rstrip("\n") == bare.stderr.rstrip("\n")


def test_quiet_says_nothing(died):
    assert "tidemark: out of memory" not in died("raises it", TIDEMARK_QUIET="1").stderr


def test_without_python_of_ours_nothing_is_known(died):
    assert "tidemark: out of memory" not in died("raises it", TIDEMARK_ENRICH="0").stderr


def test_in_a_backward_the_line_is_the_one_that_began_it(sim, answer):
    run = sim("leak.py", memory="4GiB", THEN="raise")
    (step, phase, file, line, trace), = LINE.findall(run.stderr)
    event, = answer("oom", run.file)["events"]
    assert (int(step), phase) == (event["step"], event["phase"])
    assert event["phase"] == "backward"
    assert (file, int(line)) == (pathlib.Path(event["line"]["file"]).name, event["line"]["line"])
    assert trace == str(run.file)


def test_a_process_that_is_killed_says_nothing(sim):
    run = sim("batch.py", memory="4GiB", THEN="kill")
    assert run.code == -signal.SIGKILL and "tidemark: out of memory" not in run.stderr


def test_run_ends_with_why(died, tmp_path):
    done = died("raises it", COMMAND, "run", "-o", tmp_path / "b.db", "--", preload=False)
    said = done.stderr[done.stderr.rindex("OUT OF MEMORY"):]
    assert done.returncode == 1
    assert "cuda:0, step 0, setup; the run ended there" in said
    assert "program.py:5 < program.py:7" in said and "verdict" in said
    assert said.splitlines()[-1] == "tidemark: next   tidemark oom b.db"
    assert not LINE.search(done.stderr)  # once is enough


@pytest.mark.parametrize("end", [e for e in ENDS if e.startswith("goes")])
def test_run_does_not_say_so_of_what_went_on(died, tmp_path, end):
    done = died(end, COMMAND, "run", "-o", tmp_path / "b.db", "--", preload=False)
    assert "OUT OF MEMORY" not in done.stderr
    assert done.stderr.splitlines()[-1] == "tidemark: next   tidemark report b.db"


def test_report_begins_with_it(sim, tidemark, answer):
    run = sim("batch.py", memory="4GiB", THEN="raise")
    event, = answer("oom", run.file)["events"]
    said = tidemark("report", run.file).stdout
    assert said.startswith("OUT OF MEMORY  cuda:0, step ")
    assert event["verdict"] in said and f"tidemark oom {run.file}" in said
    told = answer("report", run.file)["out_of_memory"]
    assert (told["step"], told["phase"], told["line"]) == \
        (event["step"], event["phase"], event["line"])
    assert told["lever"] == event["levers"][0]["id"]


def test_report_of_what_grows_points_to_leaks(sim, tidemark, answer):
    run = sim("leak.py", memory="4GiB", THEN="raise")
    said = tidemark("report", run.file).stdout
    assert "GROWS" in said and "tidemark leaks" in said
    assert answer("report", run.file)["growth_bytes_per_step"] > 0


def test_report_of_a_run_that_fits_says_neither(sim, tidemark, answer):
    run = sim("fits.py", 8, memory="4GiB")
    said = tidemark("report", run.file).stdout
    assert "OUT OF MEMORY" not in said and "GROWS" not in said
    assert answer("report", run.file)["out_of_memory"] is None
