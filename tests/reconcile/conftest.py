"""What the tests of `tidemark reconcile` share; runs are made as tests/e2e makes them."""
import importlib.util
import json
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from causes import check_sums  # noqa: E402
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
spec = importlib.util.spec_from_file_location("e2e", HERE.parent / "e2e" / "conftest.py")
e2e = importlib.util.module_from_spec(spec)
spec.loader.exec_module(e2e)
tidemark = e2e.tidemark

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


def cuda_or_cpu(found, name):
    return next(d for d in found["devices"] if d["device"] == name)


def rows_of(device):
    return {row["bucket"]: row for row in device["rows"]}


def cause(row, part):
    """Bytes of the one cause whose text has this part; 0 without one."""
    hits = [c["bytes"] for c in row["causes"] if part in c["cause"]]
    assert len(hits) <= 1, (part, row["causes"])
    return hits[0] if hits else 0
