"""Steps that repeat are one row each; what they stand for is what happened.

Without markers the steps of a workload repeat, with markers (each of its own size) they
cannot: the same program run both ways must give the same figures.
"""

import pytest
from test_phases import kind, name

STEPS = 12

LEAK = """
import sys, torch
from oracle import Oracle
device = sys.argv[1]
o = Oracle(device, marks=False)
model = torch.nn.Linear(33, 101).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(7, 33, device=device)
o.step(complete=False)
kept = []
for i in range(40):
    kept.append(torch.empty(3001, device=device))
    model(x).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    o.step()
o.write()
"""

TINY = """
import sys, torch
model = torch.nn.Linear(33, 11)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(7, 33)
for i in range(2000):
    model(x).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
"""


def folded(trace):
    return [s for s in trace.steps() if s[1] is not None]


@pytest.fixture(params=["mlp", "gpt_unwatched", "accumulation"])
def workload(request):
    return request.param


@pytest.fixture
def both(shared_trace, workload, device):
    """(trace with folded steps, trace without, the folded run's truth)"""
    if workload == "gpt_unwatched":
        workload = "gpt"
    runs = [
        shared_trace("workloads.py", workload, kind(device), STEPS, *more, device=device)
        for more in (["--unmarked"], [])
    ]
    assert [r.code for r in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    return runs[0].open(), runs[1].open(), runs[0].truth


def test_most_steps_fold_and_none_does_where_each_differs(both):
    with_folds, without, _ = both
    assert len(folded(with_folds)) >= STEPS - 4
    assert folded(without) == []


def test_each_steps_peak_is_that_of_the_run_without_folds(both, device):
    """Markers are small beside a step's peak; in the setup and after the end they show."""
    with_folds, without, _ = both
    a, b = (t.step_device(name(device)) for t in (with_folds, without))
    assert [a[i][2] for i in range(1, STEPS + 1)] == [b[i][2] for i in range(1, STEPS + 1)]


@pytest.mark.beside("cpu")  # for which torch keeps no peak
def test_a_folded_steps_peak_is_torchs_own(both, device):
    trace, _, truth = both
    steps = trace.step_device("cuda:0")
    told = [row["peak_allocated"] for row in truth["steps"]]
    assert [steps[i][2] for i in range(len(told))] == told


def test_what_was_live_at_any_folded_steps_peak_adds_up_to_it(both, device):
    trace, _, _ = both
    for step, *_ in folded(trace):
        peak, ordinal = trace.one(
            "SELECT peak_allocated, peak FROM step_device sd JOIN device d ON d.id = sd.device "
            "WHERE step = ? AND d.name = ?", step, name(device),
        )
        assert sum(a.bytes for a in trace.live_at(name(device), step, ordinal)) == peak


def test_a_folded_step_has_the_events_of_its_pattern_and_of_the_run_without_folds(both):
    with_folds, without, _ = both
    steps = {s[0]: s for s in with_folds.steps()}
    for step, same_as, events, micro_steps, complete in folded(with_folds):
        assert (events, micro_steps, complete) == steps[same_as][2:]
        assert steps[same_as][1] is None, "a pattern is itself never folded"
    marked = {s[0]: s for s in without.steps()}
    assert {k: s[3:] for k, s in steps.items()} == {k: s[3:] for k, s in marked.items()}


def test_a_leak_of_one_tensor_a_step_across_folded_steps_is_all_there(trace, device):
    run = trace(LEAK, kind(device), device=device)
    assert run.code == 0, run.stderr
    t = run.open()
    assert len(folded(t)) > 30
    leaked = [b for b in t.births(name(device)) if b.shape == "[3001]"]
    assert len(leaked) == 40
    assert t.losses == {}
    peak = t.peak(name(device))
    assert t.one("SELECT sum(bytes) FROM v_peak_live WHERE device = ?", name(device)) == peak
    if device != "cpu":
        assert peak == max(row["peak_allocated"] for row in run.truth["steps"])


def test_two_thousand_steps_of_a_tiny_model_stay_small(trace):
    run = trace(TINY)
    assert run.code == 0, run.stderr
    t = run.open()
    assert t.one("SELECT count(*) FROM step WHERE complete") == 2000
    assert t.one("SELECT count(*) FROM allocation") < 400
    assert run.files[0].stat().st_size < 1_500_000
    assert t.losses == {}
