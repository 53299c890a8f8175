"""The command on traces of real runs: what it says is what the script knows."""

import json

import pytest
from conftest import PYTHON
from test_phases import kind, name


def answer(tidemark, *words):
    done = tidemark(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_peak_it_says_is_torchs_own(shared_trace, tidemark, cuda):
    run = shared_trace("workloads.py", "gpt", "cuda", device=cuda)
    (device,) = answer(tidemark, "peak", run.files[0])["devices"]
    assert device["device"] == "cuda:0"
    assert device["allocated_bytes"] == max(s["peak_allocated"] for s in run.truth["steps"])


@pytest.mark.parametrize("workload", ["mlp", "gpt_nonreentrant", "accumulation"])
def test_phases_and_buckets_each_add_up_to_the_peak(shared_trace, tidemark, workload, device):
    run = shared_trace("workloads.py", workload, kind(device), device=device)
    (found,) = answer(tidemark, "peak", run.files[0])["devices"]
    assert found["device"] == name(device)
    for split in ("by_phase", "by_bucket"):
        assert sum(row["bytes"] for row in found[split]) == found["allocated_bytes"]


def test_the_report_counts_steps_and_says_that_nothing_was_lost(shared_trace, tidemark, device):
    run = shared_trace("workloads.py", "mlp", kind(device), device=device)
    report = answer(tidemark, "report", run.files[0])
    assert (report["steps"], report["lost_events"], report["mismatches"]) == (3, 0, 0)


def test_run_traces_a_program_and_ends_as_it_does(tidemark, tmp_path, shared_trace):
    need_torch = shared_trace("workloads.py", "mlp", "cpu", device="cpu")
    assert need_torch.code == 0
    program = "import sys, torch; torch.ones(10001); print('hello'); sys.exit(5)"
    done = tidemark("run", "-o", tmp_path / "t.db", "--", PYTHON, "-c", program)
    assert (done.returncode, done.stdout) == (5, "hello\n")
    assert (tmp_path / "t.db").exists()
    found = answer(tidemark, "peak", tmp_path / "t.db")
    assert found["devices"][0]["allocated_bytes"] >= 40004


def test_a_run_that_makes_no_file_is_said(tidemark, tmp_path):
    done = tidemark("run", "-o", tmp_path / "t.db", "--", "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert not list(tmp_path.glob("*.db"))
