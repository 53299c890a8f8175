"""`tidemark oom --verify`: the recorded command runs again with each lever, and what is said of
it is what the lever written into the program does."""
import contextlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

import once
import where
from where import COMMAND, PYTHON

pytestmark = pytest.mark.turns(3)  # of the short form: tests/short.py

PROGRAMS = pathlib.Path(__file__).resolve().parent.parent / "simulate" / "programs"

# A small program that runs out in its second step, and fits with a batch of half the size.
SMALL = """
import sys, torch
from torch import nn
with torch.device("cuda"):
    model = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(3)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range({steps}):
    {before}
    x = torch.randn(2048 if step < 1 else 8192, 1024, device="cuda")
    model(x).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
"""


@pytest.fixture
def verify(tmp_path, tmp_path_factory, request):
    """verify.trace(...) records a run; verify.small() has the trace of a small one, recorded once
    for all tests; verify(...) -> CompletedProcess of oom --verify."""
    path = f"{where.need('torch-2.11.0')}:{where.CACHE / 'libraries'}"
    env = where.clean_environment(LC_ALL="C", COLUMNS="100", PYTHONPATH=path,
                                  PYTHONDONTWRITEBYTECODE=1)

    def call(*words, **more):
        return subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True,
                              timeout=600, cwd=tmp_path, stdin=subprocess.DEVNULL,
                              env={**env, **more})

    def simulate(memory, *words, options=(), **more):
        return call("simulate", "--memory", memory, *options, "-o", tmp_path / "a.db", "--json",
                    tmp_path / "v.json", "--", PYTHON, *words, **more)

    def trace(*words, **more):
        for file in tmp_path.glob("a*.db*"):
            file.unlink()
        done = simulate(*words, **more)
        assert done.returncode == 1, done.stderr
        return tmp_path / "a.db"

    def record(folder, text):
        script = folder / "small.py"
        script.write_text(text)
        file = trace("720MiB", script)
        if folder != tmp_path:
            shutil.copy(file, folder)

    def small(steps=3, before="pass"):
        text = SMALL.format(steps=steps, before=before)
        if (steps, before) != (3, "pass"):
            record(tmp_path, text)
        else:
            folder, _ = once.made(once.home(tmp_path_factory, request), text,
                                  lambda folder: record(folder, text))
            shutil.copy(folder / "a.db", tmp_path)
        return tmp_path / "a.db"

    def levers(file, *words):
        done = call("oom", "--verify", "--yes", "--json", *words, file)
        assert done.returncode == 0, done.stderr
        event = json.loads(done.stdout)["events"][-1]
        return {lever["id"]: lever for lever in event["levers"]}, done

    def outcome(*words, **more):
        done = simulate(*words, **more)
        gpu, = json.loads((tmp_path / "v.json").read_text())["gpus"]
        return done.returncode, gpu["peak_allocated_bytes"]

    @contextlib.contextmanager
    def terminal(file):
        """(process, its terminal's other end) of `oom --verify FILE`."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen([COMMAND, "oom", "--verify", file], cwd=tmp_path, env=env,
                                   stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True,
                                   start_new_session=True)
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            process.communicate()
            os.close(ours)

    call.trace, call.small, call.levers, call.outcome = trace, small, levers, outcome
    call.terminal = terminal
    return call


def heard(terminal, text, seconds=120):
    """What a terminal shows up to a text; with text None until it is closed."""
    seen, end = "", time.monotonic() + seconds
    while text is None or text not in seen:
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            raise AssertionError(f"no {text!r} within {seconds} s: {seen[-300:]!r}")
        try:
            seen += os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            assert text is None, seen[-300:]
            break
    return seen


@pytest.mark.parametrize("program, memory, options", [
    (["gpt.py", "2", "--loader"], "900MiB", []),
    (["others.py", "cnn"], "620MiB", []),
    (["others.py", "ddp"], "620MiB", ["--rank", "1", "--world", "4"]),
    (["others.py", "trainer"], "900MiB", []),
    (["others.py", "lora"], "900MiB", []),
], ids=lambda value: value[1] if isinstance(value, list) and value[1:] else "")
def test_what_is_said_is_what_the_program_does(verify, program, memory, options):
    if program[-1] in ("trainer", "lora"):
        where.need("libraries")
    words = [PROGRAMS / program[0], *program[1:]]
    levers, done = verify.levers(verify.trace(memory, *words, options=options))
    assert "This runs the recorded command" in done.stderr
    compared = 0
    for name in ("checkpointing", "bf16_autocast", "foreach_off"):
        seen = levers.get(name, {}).get("verified")
        if not seen or (program[-1], name) == ("lora", "bf16_autocast"):
            continue  # not offered, or not written into the program
        by_hand = ["--by-hand", name] if program[0] == "gpt.py" else [name]
        if (program[-1], name) in [("cnn", "bf16_autocast"), ("ddp", "bf16_autocast")]:
            continue
        status, peak = verify.outcome(memory, *words, *by_hand, options=options)
        assert seen["fits"] == (status == 0), name
        assert seen["peak_allocated_bytes"] == peak, name
        compared += 1
    assert compared, {k: v["verified"] for k, v in levers.items()}


def test_the_page_has_what_was_seen(verify):
    done = verify("oom", "--verify", "--yes", verify.small())
    said = " ".join(done.stdout.split())
    assert done.returncode == 0 and "run and fits, peak" in said, done.stderr
    assert "% off" in said
    assert "with smaller_batch=" in done.stderr and "small.py" in done.stderr


def test_without_a_terminal_nothing_runs(verify):
    file = verify.small()
    before = sorted(file.parent.iterdir())
    done = verify("oom", "--verify", file)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith("needs '--yes'")
    assert sorted(file.parent.iterdir()) == before


def test_a_terminal_is_asked(verify):
    file = verify.small()
    before = sorted(file.parent.iterdir())
    with verify.terminal(file) as (process, terminal):
        assert "small.py" in heard(terminal, "[y/N]")
        os.write(terminal, b"no\n")
        assert "nothing was run" in heard(terminal, "was run")
        assert process.wait(60) == 2 and process.stdout.read() == ""
    assert sorted(file.parent.iterdir()) == before
    with verify.terminal(file) as (process, terminal):
        heard(terminal, "[y/N]")
        os.write(terminal, b"y\n")
        heard(terminal, None, 300)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "run and fits, peak" in " ".join(out.split())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_interrupted(verify, number):
    file = verify.small(steps=10 ** 9)
    before = sorted(file.parent.iterdir())
    with verify.terminal(file) as (process, terminal):
        heard(terminal, "[y/N]")
        os.write(terminal, b"y\n")
        heard(terminal, "smaller_batch=")
        time.sleep(3)
        os.kill(process.pid, number)
        heard(terminal, None)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(file.parent / "small.py") not in left
    assert sorted(file.parent.iterdir()) == before


def test_what_ran_and_fits_comes_first(verify):
    done = verify("oom", "--verify", "--yes", "--json", verify.small())
    levers = json.loads(done.stdout)["events"][-1]["levers"]
    seen = [lever["verified"]["fits"] for lever in levers
            if lever["verified"] and not lever["fault"]]
    assert len(seen) > 1 and seen == sorted(seen, reverse=True), levers


@pytest.mark.parametrize("change, text", [
    ("host = 'elsewhere'", "another machine (elsewhere)"),
    ("cwd = '/gone/away'", "'/gone/away' in which it ran is gone"),
    ("argv = '[\"/gone/python\", \"x.py\"]'", "'/gone/python' is no longer there"),
    ("argv = NULL", "no command line"),
])
def test_what_cannot_be_run_is_one_sentence(verify, change, text):
    file = verify.small()
    with sqlite3.connect(file) as db:
        db.execute(f"UPDATE run SET {change}")
    done = verify("oom", "--verify", *["--yes"] * ("host" not in change), file)
    assert done.returncode == 2 and done.stdout == ""
    assert text in done.stderr.splitlines()[-1]


def test_a_program_that_wants_input(verify):
    before = "step and sys.stdin.isatty() and input()"
    file = verify.small(before=before)
    script = file.parent / "small.py"
    script.write_text(script.read_text().replace(before, "step and input()"))
    levers, _ = verify.levers(file)
    assert all(lever["verified"] is None for lever in levers.values())
    done = verify("oom", "--verify", "--yes", file)
    assert "EOFError: EOF when reading a line" in done.stdout


def test_a_python_without_this_torch(verify):
    done = verify("oom", "--verify", "--yes", verify.small(), PYTHONPATH="/nowhere")
    assert done.returncode == 2
    assert "nothing can be verified: " in done.stderr.splitlines()[-1]


def test_a_run_without_end_is_ended(verify):
    file = verify.small(steps=10 ** 9)
    for limit in "12", "60", "240":  # on a busy machine no step may be over after the first
        levers, done = verify.levers(file, "--time-limit", limit)
        seen = levers["smaller_batch"]["verified"]
        if seen:
            break
    assert seen and seen["fits"] and seen["ended_after_step"] > 2, done.stderr
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(file.parent / "small.py") not in left


def test_no_scratch_folder_is_left(verify, tmp_path):
    file = verify.small()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = verify("oom", "--verify", "--yes", file, TMPDIR=str(scratch))
    assert done.returncode == 0
    assert list(scratch.glob("tidemark-*")) == []
