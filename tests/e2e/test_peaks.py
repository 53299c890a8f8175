"""Peaks are torch's own figures, to the byte; what is live there adds up to them."""

import json

import pytest
from test_phases import WORKLOADS, kind, name


def peaks_by_step(figures):
    """The script resets torch's counter just before the first forward, and a marker follows:
    the setup and the first step are one figure."""
    return [max(figures[0], figures[1]), *figures[2:]]


@pytest.mark.parametrize("workload", [*WORKLOADS, "scaler_skips"])
def test_the_peak_of_each_step_is_torchs_max_memory_allocated(shared_trace, workload, cuda):
    run = shared_trace("workloads.py", workload, "cuda", device=cuda)
    assert run.code == 0, run.stderr
    steps = run.open().step_device("cuda:0")
    told = [row["peak_allocated"] for row in run.truth["steps"]]
    assert peaks_by_step([steps[i][2] for i in range(len(told))]) == peaks_by_step(told)
    ends = [row["end_allocated"] for row in run.truth["steps"]]
    assert [steps[i][1] for i in range(len(told))] == ends


@pytest.mark.parametrize("workload", WORKLOADS)
def test_what_was_live_at_the_peak_adds_up_to_it(shared_trace, workload, device):
    run = shared_trace("workloads.py", workload, kind(device), device=device)
    trace = run.open()
    peak = trace.peak(name(device))
    assert peak > 0
    assert trace.one("SELECT sum(bytes) FROM v_peak_live WHERE device = ?", name(device)) == peak


@pytest.mark.parametrize("workload", ["mlp", "gpt", "gpt_nonreentrant"])
@pytest.mark.parametrize("allocator", ["expandable_segments:True", "backend:cudaMallocAsync"])
def test_other_allocators_peaks_are_right_too(shared_trace, workload, allocator, cuda):
    run = shared_trace(
        "workloads.py", workload, "cuda", device=cuda, PYTORCH_CUDA_ALLOC_CONF=allocator
    )
    assert run.code == 0, run.stderr
    trace = run.open()
    told = [row["peak_allocated"] for row in run.truth["steps"]]
    steps = trace.step_device("cuda:0")
    assert peaks_by_step([steps[i][2] for i in range(len(told))]) == peaks_by_step(told)
    assert trace.losses == {}
    assert trace.one("SELECT sum(bytes) FROM v_peak_live") == max(told)


EXPANDING = """
import json, sys, torch
blocks = [torch.empty(n << 10, dtype=torch.uint8, device="cuda")
          for n in (3, 700, 2500, 30000, 17, 9000, 41000, 800)]
del blocks[3], blocks[1]
try:
    torch.empty(2 << 30, dtype=torch.uint8, device="cuda")
except torch.cuda.OutOfMemoryError:
    print(json.dumps([
        [s["address"], s["total_size"],
         [[b["address"], b["size"]] for b in s["blocks"] if b["state"] == "active_allocated"]]
        for s in torch.cuda.memory_snapshot()]))
"""


def test_expandable_segments_lie_where_pytorch_has_them(trace, cuda, tidemark):
    run = trace(EXPANDING, device=cuda, env={
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "TIDEMARK_SIM_MEMORY": "1GiB"})
    assert run.code == 0, run.stderr
    told = json.loads(run.stdout)
    answer = tidemark("fragmentation", "--at", "oom", "--json", run.files[0])
    device, = json.loads(answer.stdout)["devices"]
    assert device["expandable"] and device["state"] == "exact"
    found = [[s["address"], s["bytes"], [[b["address"], b["bytes"]] for b in s["blocks"]]]
             for s in device["segments"]]
    assert len(found) == 2 and found == sorted(told)
