"""Every allocation's phase is what the script's own account of the same run says."""

import pytest
from reading import between_marks

WORKLOADS = [
    "mlp", "mlp_zero_last", "mlp_zero_in_place", "gpt", "gpt_reentrant", "gpt_nonreentrant",
    "lbfgs", "accumulation", "evaluation", "autograd_grad", "clipping", "gan", "exception",
    "create_graph",
]  # fmt: skip


def kind(device):
    return "cpu" if device == "cpu" else "cuda"


def name(device):
    return "cpu" if device == "cpu" else "cuda:0"


def assert_phases(run, device, allowed=()):
    assert run.code == 0, run.stderr
    trace = run.open()
    pairs = between_marks(trace.births(name(device)), run.truth)
    assert len(pairs) > 50
    wrong = [
        f"step {b.born_step} event {b.born}: {b.bytes} bytes {b.shape} {b.dtype} by {b.op} in "
        f"{b.module}: the script says {said}, the trace {b.phase}"
        for said, b in pairs
        if said != b.phase and (said, b.phase, b.op) not in allowed
    ]
    assert not wrong, f"{len(wrong)} of {len(pairs)} are wrong\n" + "\n".join(wrong[:25])
    return pairs


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_allocation_is_in_the_phase_the_script_says(shared_trace, workload, device):
    run = shared_trace("workloads.py", workload, kind(device), device=device)
    assert_phases(run, device)


def test_a_skipped_step_of_a_grad_scaler_is_in_the_right_phases(shared_trace, cuda):
    run = shared_trace("workloads.py", "scaler_skips", "cuda", device=cuda)
    assert_phases(run, cuda)


@pytest.mark.parametrize("workload", ["gpt_reentrant", "gpt_nonreentrant"])
def test_recomputation_is_seen_and_told_from_backward(shared_trace, workload, device):
    run = shared_trace("workloads.py", workload, kind(device), device=device)
    phases = {b.phase for _, b in assert_phases(run, device)}
    assert {"recompute", "backward", "forward", "optimizer"} <= phases


@pytest.mark.parametrize("workload", WORKLOADS)
def test_nothing_is_lost_and_every_sum_agrees(shared_trace, workload, device):
    run = shared_trace("workloads.py", workload, kind(device), device=device)
    assert run.open().losses == {}
    assert run.left_over == []
    assert run.stderr == ""
