"""A few of the campaign's kills; run.sh has the many."""

import shutil

import kills
import pytest


@pytest.fixture(scope="module")
def nursery():
    made = kills.Nursery()
    yield made
    made.close()
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.mark.repeated(short=16)
@pytest.mark.parametrize("seed", range(40))
def test_what_the_witness_saw_return_is_in_the_trace_of_a_killed_run(nursery, seed):
    verdict = kills.kill_one(nursery, seed)
    assert not verdict.wrong, (verdict.program, verdict.reader, *verdict.wrong)
    assert not verdict.lost
