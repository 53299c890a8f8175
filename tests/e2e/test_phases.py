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


def rng_state_of_a_checkpoint(said, b):
    """A non-reentrant checkpoint saves and restores the CPU generator's state around the
    recomputed function, where the script's mark cannot stand; it is part of it all the same."""
    return (said, b.phase) == ("backward", "recompute") and (b.shape, b.dtype) == (
        "[5056]", "uint8",
    )  # fmt: skip


def batch_after_a_failed_backward(said, b):
    """Made by hand between a backward and zero_grad, with no optimizer's step between: nothing
    tells it from arithmetic on the result, which is the more frequent by far."""
    return (said, b.phase) == ("data", "other") and b.shape in ("[7, 33]", "[7]")


def handle_of_a_scope(said, b):
    """PyTorch 1.x keeps the handle of a record_function in a tensor of its own, made before
    the scope is open: two small blocks at the border of each step and zero_grad."""
    return said in ("optimizer", "zero_grad") and (b.shape, b.dtype) in (
        ("[1]", "float32"), ("[288]", "uint8"),
    )  # fmt: skip


#: Edges that cannot be decided or where the mark stands beside the thing, by workload.
EDGES = {
    "gpt_nonreentrant": rng_state_of_a_checkpoint,
    "exception": batch_after_a_failed_backward,
    "debian": handle_of_a_scope,
}


def assert_phases(run, device, workload):
    assert run.code == 0, run.stderr
    trace = run.open()
    pairs = between_marks(trace.births(name(device)), run.truth)
    assert len(pairs) > 50
    edge = EDGES.get(workload, lambda said, b: False)
    wrong = [
        f"step {b.born_step} event {b.born}: {b.bytes} bytes {b.shape} {b.dtype} by {b.op} in "
        f"{b.module}: the script says {said}, the trace {b.phase}"
        for said, b in pairs
        if said != b.phase and not edge(said, b)
    ]
    assert not wrong, f"{len(wrong)} of {len(pairs)} are wrong\n" + "\n".join(wrong[:25])
    return pairs


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_allocation_is_in_the_phase_the_script_says(shared_trace, workload, device):
    run = shared_trace("workloads.py", workload, kind(device), device=device)
    assert_phases(run, device, workload)


def test_a_skipped_step_of_a_grad_scaler_is_in_the_right_phases(shared_trace, cuda):
    run = shared_trace("workloads.py", "scaler_skips", "cuda", device=cuda)
    assert_phases(run, cuda, "scaler_skips")


@pytest.mark.parametrize("workload", ["gpt_reentrant", "gpt_nonreentrant"])
def test_recomputation_is_seen_and_told_from_backward(shared_trace, workload, device):
    run = shared_trace("workloads.py", workload, kind(device), device=device)
    phases = {b.phase for _, b in assert_phases(run, device, workload)}
    assert {"recompute", "backward", "forward", "optimizer"} <= phases


@pytest.mark.parametrize("workload", WORKLOADS)
def test_nothing_is_lost_and_every_sum_agrees(shared_trace, workload, device):
    run = shared_trace("workloads.py", workload, kind(device), device=device)
    assert run.open().losses == {}
    assert run.left_over == []
    assert run.stderr == ""
