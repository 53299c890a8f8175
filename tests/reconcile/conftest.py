"""What the tests of `tidemark reconcile` share; runs are made as tests/e2e makes them."""
import importlib.util
import json
import pathlib
import re
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
spec = importlib.util.spec_from_file_location("e2e", HERE.parent / "e2e" / "conftest.py")
e2e = importlib.util.module_from_spec(spec)
spec.loader.exec_module(e2e)
tidemark = e2e.tidemark

BUCKETS = ("parameter buffer gradient optimizer activation input temporary workspace "
           "communication cache context").split()

# No cause may be worded so that it could hold anything.
VAGUE = re.compile(r"\bother\b(?! processes)|misc|unknown|various|unaccounted|remainder")


@pytest.fixture
def answer(tidemark):
    """The JSON answer about a trace, its sums checked."""
    def call(path, *words):
        done = tidemark("reconcile", path, *words, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        for device in found["devices"]:
            check_sums(device)
        return found
    return call


def check_sums(device):
    """The causes of each row are its difference; the buckets are what is allocated."""
    rows = {row["bucket"]: row for row in device["rows"]}
    assert list(rows) == BUCKETS
    left = 0
    for row in device["rows"]:
        causes = sum(cause["bytes"] for cause in row["causes"])
        left += abs(row["measured_bytes"] - row["predicted_bytes"] - causes)
        assert all(cause["bytes"] and cause["cause"] for cause in row["causes"])
        texts = [cause["cause"] for cause in row["causes"]]
        assert len(set(texts)) == len(texts)
        assert not any(VAGUE.search(text) for text in texts)
    inside = sum(rows[b]["measured_bytes"] for b in BUCKETS[:9])
    assert left + abs(device["allocated_bytes"] - inside) == device["unexplained_bytes"]


def cuda_or_cpu(found, name):
    return next(d for d in found["devices"] if d["device"] == name)


def rows_of(device):
    return {row["bucket"]: row for row in device["rows"]}


def cause(row, part):
    """Bytes of the one cause whose text has this part; 0 without one."""
    hits = [c["bytes"] for c in row["causes"] if part in c["cause"]]
    assert len(hits) <= 1, (part, row["causes"])
    return hits[0] if hits else 0
