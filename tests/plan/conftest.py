"""What the tests of `tidemark plan` share."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
from where import COMMAND  # noqa: E402


@pytest.fixture
def plan(tmp_path):
    """plan("--params", "7B") -> CompletedProcess, in an empty folder and no terminal."""
    def call(*words, env=None):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
        clean.update({"LC_ALL": "C", "COLUMNS": "80"}, **(env or {}))
        if len(words) == 1:
            words = words[0].split()
        return subprocess.run([COMMAND, "plan", *map(str, words)], capture_output=True,
                              text=True, timeout=60, env=clean, cwd=tmp_path)
    return call


@pytest.fixture
def answer(plan):
    """The JSON answer to a question that must be good: answer("--params 7B")."""
    def call(*words):
        done = plan(*(words[0].split() if len(words) == 1 else words), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return call
