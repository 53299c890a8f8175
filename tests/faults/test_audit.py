"""The judge is judged: a trace that lacks an event which came before its end is found out,
also where a sentence has said that it ends early."""

import collections
import types

import audit
import pytest

ONE = [(7, 0x10, 100), (7, 0x20, 200), (7, 0x10, -100), (7, 0x30, 300), (7, 0x40, 400)]
TWO = [(7, 0x10, 100), (8, 0x20, 200), (7, 0x10, -100), (8, 0x30, 300), (7, 0x40, 400),
       (8, 0x20, -200), (8, 0x50, 500)]


def seen(events):
    return [audit.Seen(ptr, size, 1, 1, 1, tid, 0, 0, audit.RETURNED)
            for tid, ptr, size in events]


def trace(events, **lost):
    live = {}
    for _, ptr, size in events:
        live[ptr] = size
    told = [audit.Told(size, ptr, tid if size > 0 else None) for tid, ptr, size in events]
    return types.SimpleNamespace(
        events=told, lost=lost, dropped=sum(lost.values()), integrity="ok",
        live=collections.Counter((p, n) for p, n in live.items() if n > 0))


def without(events, *places):
    return [e for i, e in enumerate(events) if i not in places]


@pytest.mark.parametrize("events", [ONE, TWO], ids=["one thread", "two threads"])
def test_a_trace_that_ends_early_has_what_came_before(events):
    for end in range(len(events) + 1):
        assert audit.stopped_short(seen(events), trace(events[:end])) == []


@pytest.mark.parametrize("events, missing", [
    (ONE, (0,)), (ONE, (1,)), (ONE, (2,)), (ONE, (3,)), (ONE, (1, 4)), (TWO, (0,)), (TWO, (1,)),
    (TWO, (2,)), (TWO, (3,)), (TWO, (5,)), (TWO, (3, 4))])
def test_an_event_missing_before_the_end_is_found(events, missing):
    assert audit.stopped_short(seen(events), trace(without(events, *missing)))


def test_what_a_trace_counts_as_lost_may_be_missing_anywhere_but_its_rest_is_in_order():
    events = without(TWO, 1, 5)
    assert audit.stopped_short(seen(TWO), trace(events, ring_full=2)) == []
    assert audit.differences(seen(TWO), trace(events, ring_full=2)) == []
    events[0], events[3] = events[3], events[0]
    assert audit.stopped_short(seen(TWO), trace(events, ring_full=2))
    assert audit.differences(seen(TWO), trace(events, ring_full=2))
