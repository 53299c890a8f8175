"""Parameters that are views into one buffer cost the writer what others cost it."""

import pytest
from conftest import ROOT


@pytest.mark.parametrize("memory", ["plain", "flat"])
def test_nothing_is_lost_beside_many_live_tensors(trace, memory):
    run = trace(ROOT / "tests" / "bench" / "flat.py", memory, 35, env={"TIDEMARK_CPU": "1"})
    assert run.code == 0, run.stderr
    db = run.open()
    lost = db.all("SELECT name, count FROM lost WHERE count AND name <> 'before_tracing'")
    steps = db.all("SELECT count(*) FROM step WHERE complete")[0][0]
    assert (lost, steps) == ([], 35)
