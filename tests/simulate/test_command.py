"""`tidemark simulate` before anything runs: cards, settings, and what it refuses."""
import os
import sys

import pytest

HELLO = ["--", sys.executable, "-c", "print('hello')"]


def refused(done, *texts):
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for text in texts:
        assert text in lines[0], lines[0]


def test_a_torch_without_cuda_is_refused(call, fake_torch):
    refused(call("simulate", *HELLO, env={"PYTHONPATH": str(fake_torch(None))}),
            "torch 2.9.9", "built without CUDA")
    refused(call("simulate", *HELLO, env={"PYTHONPATH": str(fake_torch("11.8", "old"))}),
            "CUDA 11.8", "CUDA 12 and 13")


def test_a_python_without_torch_is_refused(call, tmp_path):
    python = tmp_path / "python-bare"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -S -I \"$@\"\n")
    python.chmod(0o755)
    refused(call("simulate", "--", python, "-c", "1"), "has no torch")


@pytest.mark.parametrize("options, text", [
    (["--memory", "lots"], "'--memory' takes a size"),
    (["--memory", "1MB"], "between 64 MiB and 4 TiB"),
    (["--memory", "8GB", "--gpu", "t4,l4"], "'--gpu' names 2"),
    (["--memory", "200MiB"], "leave nothing"),
    (["--outside", "much"], "'--outside' takes a size"),
    (["--outside", "100GB"], "leave nothing"),
    (["--count", "0"], "between 1 and 64"),
    (["--count", "two"], "'--count' takes a number"),
    (["--values", "random"], "one of plausible, computed, memory, zero, nan"),
    (["--density", "200"], "percentage"),
    (["--rank", "1"], "needs '--world N'"),
    (["--rank", "8", "--world", "8"], "no rank 8 of 8"),
    (["--json", "/nowhere/v.json"], "/nowhere/v.json"),
    (["--stacks", "some"], "'--stacks' is"),
    (["--gpu", ","], "names no card"),
])
def test_a_wrong_option_is_named(call, fake_torch, options, text):
    refused(call("simulate", *options, *HELLO, env={"PYTHONPATH": str(fake_torch("12.4"))}),
            text)


PROFILE = """name = Test card
compute_capability = 8.0
multiprocessors = 108
memory_bytes = 4GiB
context_bytes = 100MiB
l2_bytes = 40MiB
shared_per_multiprocessor = 167936
shared_per_block = 166912
threads_per_multiprocessor = 2048
blocks_per_multiprocessor = 32
clock_khz = 1410000
memory_clock_khz = 1593000
bus_bits = 5120
"""


@pytest.mark.parametrize("line, text", [
    ("multiprocessors = none", "'multiprocessors' can't be 'none'"),
    ("memory_bytes = 3", "'memory_bytes' can't be '3'"),
    ("compute_capability = 3.5", "'compute_capability' can't be '3.5'"),
    ("l2_bytes", "is not 'key = value'"),
    ("", "'bus_bits' is missing"),
])
def test_an_impossible_profile_is_refused(call, fake_torch, tmp_path, line, text):
    key = line.split(" ")[0] or "bus_bits"
    path = tmp_path / "mine.conf"
    path.write_text("".join(f"{line}\n" if row.startswith(key + " ") else row
                            for row in PROFILE.splitlines(True)))
    refused(call("simulate", "--gpu", path, *HELLO,
                 env={"PYTHONPATH": str(fake_torch("12.4"))}), str(path), text)


def test_a_profile_that_is_not_there_is_refused(call):
    refused(call("simulate", "--gpu", "./mine.conf", *HELLO), "./mine.conf")


def test_no_program_is_refused(call):
    refused(call("simulate"), "name a program")
    done = call("simulate", "--", "nosuchprogram")
    assert done.returncode == 127 and "no such program" in done.stderr


def test_the_python_of_a_script_is_its_interpreter(call, fake_torch, tmp_path):
    python = tmp_path / "python-other"
    python.write_text(f"#!/bin/sh\nPYTHONPATH={fake_torch('11.1')} exec {sys.executable} \"$@\"\n")
    script = tmp_path / "train"
    script.write_text(f"#!{python} -u\n")
    for path in (python, script):
        path.chmod(0o755)
    refused(call("simulate", "--", script), "CUDA 11.1")
    refused(call("simulate", "--", "env", "A=1", python, "x.py"), "CUDA 11.1")


def test_the_program_finds_the_simulated_device_behind_what_was_preloaded(call, fake_torch):
    show = "import os, sys; print(os.environ['LD_PRELOAD']); sys.exit(9)"
    done = call("simulate", "--gpu", "l4", "--count", "2", "--", sys.executable, "-c", show,
                env={"PYTHONPATH": str(fake_torch("12.4")), "LD_PRELOAD": "/nowhere/other.so"})
    first, second, *stubs = done.stdout.strip().split(":")
    assert os.path.basename(first) == "libtidemark.so"
    assert second == "/nowhere/other.so"
    assert len(stubs) > 15 and all("/sim12/libtmksim_" in stub for stub in stubs)


def test_a_program_that_fails_by_itself_keeps_its_status(call, fake_torch):
    env = {"PYTHONPATH": str(fake_torch("13.0"))}
    done = call("simulate", "--", sys.executable, "-c", "raise SystemExit(9)", env=env)
    assert done.returncode == 9
    assert "the program ended with status 9" in done.stderr
    done = call("simulate", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 15)",
                env=env)
    assert done.returncode == 128 + 15 and "signal 15" in done.stderr


def test_a_program_that_uses_no_device_gets_no_verdict(call, fake_torch, tmp_path):
    done = call("simulate", "--json", "v.json", *HELLO,
                env={"PYTHONPATH": str(fake_torch("13.0"))})
    assert done.returncode == 3
    assert done.stdout == "hello\n"
    assert "never allocated device memory" in done.stderr
    assert '"verdict": null' in (tmp_path / "v.json").read_text()
