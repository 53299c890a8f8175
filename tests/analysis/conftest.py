"""What the tests of the command share: the command itself, and traces of known content."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import make_trace  # noqa: E402
from where import COMMAND  # noqa: E402


@pytest.fixture
def tidemark(tmp_path):
    """tidemark("peak", file) -> CompletedProcess, in an empty folder and no terminal."""
    def call(*words, env=None, check=False, **more):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
        clean.update({"LC_ALL": "C", "COLUMNS": "80"}, **(env or {}))
        more.setdefault("cwd", tmp_path)
        done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True,
                              timeout=120, env=clean, **more)
        assert not check or done.returncode == 0, done.stderr
        return done
    return call


@pytest.fixture
def answer(tidemark):
    """The JSON answer of a command that must succeed."""
    def call(*words, **more):
        return json.loads(tidemark(*words, "--json", check=True, **more).stdout)
    return call


@pytest.fixture
def trace(tmp_path):
    """trace("gpt", fold=True) -> (Recording, file)."""
    def make(scenario="gpt", name="a.db", **options):
        recording = (make_trace.SCENARIOS[scenario]() if isinstance(scenario, str)
                     else scenario)
        path = tmp_path / name
        recording.write(path, **options)
        return recording, path
    return make


@pytest.fixture
def commoner():
    """(folder, keywords): a folder, and what makes a command run by somebody whom file
    permissions bind; for root that is another user."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-test-"))
    other = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    folder.chmod(0o755)
    try:
        subprocess.run([COMMAND, "--version"], capture_output=True, cwd=folder, **other)
    except PermissionError:
        shutil.rmtree(folder)
        pytest.skip("the command lies where other users can't reach it")
    yield folder, {"cwd": folder, **other}
    folder.chmod(0o755)
    shutil.rmtree(folder)
