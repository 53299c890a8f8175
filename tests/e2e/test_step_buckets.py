"""What step_bucket says is what a replay of the allocations' rows says."""

import collections
import json
import sqlite3

import pytest
from conftest import LIBRARY
from reading import Trace, recover
from test_phases import kind, name

LEAK = """
import os, signal, sys
import torch

device = sys.argv[1]
model = torch.nn.Sequential(torch.nn.Linear(60, 90), torch.nn.ReLU(), torch.nn.Linear(90, 30))
model.to(device)
optimizer = torch.optim.AdamW(model.parameters())
kept, held_out = [], torch.randn(17, 60, device=device)
for step in range(12):
    x = torch.randn(33, 60, device=device)
    y = model(x)
    y.square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    if step >= 3:
        kept.append(y.detach().clone())
    if step % 5 == 4:
        with torch.no_grad():
            model(held_out)
if len(sys.argv) > 2:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def replayed(trace, device, step):
    """{(phase, bucket): most bytes} of one step, from the rows that stand for it."""
    pattern = trace.one("SELECT coalesce(same_as, id) FROM step WHERE id = ?", step)
    level = collections.Counter()
    events = []
    for a in trace.births(device):
        through = a.born_step < step and (a.died_step is None or a.died_step > step)
        ours = a.born_step == pattern or (a.born_step < pattern and a.died_step == pattern)
        if through and a.born_step != pattern:
            level[a.bucket] += a.bytes
        elif ours:
            if a.born_step < pattern:
                level[a.bucket] += a.bytes
            else:
                events.append((a.born, a.phase, a.bucket, a.bytes))
                if through:  # of the pattern's own, one that lives on: counted as both
                    level[a.bucket] += a.bytes
            if a.died_step == pattern:
                events.append((a.died, phase_of_death(trace, a.id), a.bucket, -a.bytes))
    most = collections.Counter()
    for _, phase, bucket, change in sorted(events):
        for b, bytes_ in level.items():
            most[phase, b] = max(most[phase, b], bytes_)
        level[bucket] += change
        most[phase, bucket] = max(most[phase, bucket], level[bucket])
    return {key: bytes_ for key, bytes_ in most.items() if bytes_ > 0}


def phase_of_death(trace, allocation):
    return trace.one("SELECT p.name FROM allocation a JOIN phase p ON p.id = a.died_phase "
                     "WHERE a.id = ?", allocation)


def stored(trace, device, step):
    return {
        (phase, bucket): bytes_ for phase, bucket, bytes_ in trace.all(
            "SELECT phase, bucket, bytes FROM v_step_bucket WHERE device = ? AND step = ?",
            device, step)
    }


def assert_stored(trace, device):
    steps = trace.all("SELECT id, same_as FROM step WHERE complete ORDER BY id")
    assert len(steps) == 12 and any(same is not None for _, same in steps)
    # Python names what it knows by the end of the second step: until then blocks change
    # their bucket after the step that they were born in.
    for step, _ in steps[2:]:
        assert stored(trace, device, step) == replayed(trace, device, step), step
    # what is kept from step to step is there in folded steps, too
    folded = [stored(trace, device, step) for step, same in steps[4:] if same is not None]
    sums = [sum(n for (phase, _), n in most.items() if phase == "backward") for most in folded]
    assert len(sums) >= 2 and all(a < b for a, b in zip(sums, sums[1:])), sums


def test_the_most_of_each_bucket_in_each_phase_is_that_of_a_replay(trace, device):
    run = trace(LEAK, kind(device), device=device)
    assert run.code == 0, run.stderr
    opened = run.open()
    assert opened.losses == {}
    assert_stored(opened, name(device))


def test_after_a_kill_it_is_the_same(trace, device):
    run = trace(LEAK, kind(device), "kill", device=device)
    (path,) = run.files
    rc, message = recover(LIBRARY, path)
    assert rc == 0, message
    assert_stored(Trace(path), name(device))


@pytest.mark.parametrize("workload", ["gpt", "accumulation"])
def test_at_a_steps_peak_no_bucket_holds_more_than_is_stored(shared_trace, workload, device):
    trace = shared_trace("workloads.py", workload, kind(device), device=device).open()
    for step in [s for s, *_ in trace.steps() if s > 2]:
        ordinal = trace.one(
            "SELECT sd.peak FROM step_device sd JOIN device d ON d.id = sd.device "
            "WHERE d.name = ? AND sd.step = ?", name(device), step)
        held = collections.Counter()
        for a in trace.live_at(name(device), step, ordinal):
            held[a.bucket] += a.bytes
        most = collections.Counter()
        for (_, bucket), bytes_ in stored(trace, name(device), step).items():
            most[bucket] = max(most[bucket], bytes_)
        assert all(most[b] >= n for b, n in held.items()), (step, held, most)


def test_maxima_of_thinned_steps_are_told_from_what_was_kept(trace, tidemark):
    run = trace(LEAK, "cpu")
    (path,) = run.files

    def answer():
        done = tidemark("buckets", "--json", "--at", "step:12", path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["devices"][0]

    def maxima(device):
        return [(b["bucket"], b["maximum_bytes"]) for b in device["buckets"]
                if "maximum_bytes" in b]

    before = answer()
    db = sqlite3.connect(path)
    thinned = db.execute(
        "SELECT id, first_allocation, last_allocation FROM step WHERE id > 2 AND id < 12 "
        "AND same_as IS NULL AND first_allocation NOTNULL").fetchall()
    assert thinned
    for step, first, last in thinned:  # what thin.c does
        db.execute("DELETE FROM allocation WHERE id BETWEEN ? AND ? AND born_step = ? "
                   "AND died_step = born_step", (first, last, step))
        db.execute("UPDATE step SET thinned = 1 WHERE id = ?", (step,))
    db.commit()
    after = answer()
    assert maxima(after) == maxima(before)
    assert after["maxima_complete"] is True
    db.execute("DELETE FROM step_bucket WHERE step = ?", thinned[0][:1])
    db.commit()
    assert answer()["maxima_complete"] is False
