"""Debian 12's own PyTorch 1.13: another ABI, another Python layout of calls, no CUDA."""

import pytest
from conftest import need
from test_phases import assert_phases


@pytest.fixture(autouse=True)
def debian():
    need("debian")


@pytest.mark.parametrize("workload", ["mlp", "gpt", "accumulation", "clipping", "lbfgs"])
def test_every_allocation_is_in_the_phase_the_script_says(shared_trace, workload):
    run = shared_trace("workloads.py", workload, "cpu", device="debian")
    pairs = assert_phases(run, "cpu", "debian")
    assert {"forward", "backward", "optimizer"} <= {b.phase for _, b in pairs}


def test_nothing_is_lost_shapes_and_modules_are_there(shared_trace):
    run = shared_trace("workloads.py", "mlp", "cpu", device="debian")
    trace = run.open()
    assert trace.losses == {}
    assert trace.one("SELECT torch_version FROM run").startswith("1.13")
    made = [b for b in trace.births("cpu") if b.shape == "[7, 101]" and b.phase == "forward"]
    assert {b.module for b in made} >= {"fc1", "act1"}
    peak = trace.peak("cpu")
    assert trace.one("SELECT sum(bytes) FROM v_peak_live") == peak
