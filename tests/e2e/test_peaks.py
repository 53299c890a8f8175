"""Peaks are torch's own figures, to the byte; what is live there adds up to them."""

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
