"""What the tests of the simulated device share: where it was built, which wheels there
are, and how to run a script on it."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
from where import LIBRARIES, SIMULATOR, TORCHES, torch_version, wheels  # noqa: E402, F401

HOME = str(SIMULATOR)


def pytest_generate_tests(metafunc):
    if "torch_dir" in metafunc.fixturenames:
        skip = pytest.mark.skip(reason="TIDEMARK_TORCH_DIR names no folder with CUDA wheels")
        params = wheels() or [pytest.param("", marks=skip)]
        metafunc.parametrize("torch_dir", params, ids=lambda f: os.path.basename(f) or "none")


class Run:
    """A finished run: its status, what it said, and the JSON object of its last line."""

    def __init__(self, process, log):
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr
        self.log = log

    @property
    def result(self):
        assert self.status == 0, self.err[-3000:]
        return json.loads(self.out.strip().splitlines()[-1])


@pytest.fixture
def simulate(tmp_path):
    def run(torch_dir, script, *args, options=(), python=(), timeout=600, **env):
        path = os.path.join(HERE, "scripts", script)
        log = tmp_path / "sim.log"
        paths = [f"{TORCHES}/deps", *python]
        process = subprocess.run(
            [f"{HOME}/simrun.sh", *options, torch_dir, "--", sys.executable, path, *args],
            env={**os.environ, "PYTHONPATH": ":".join(paths), "TIDEMARK_SIM_LOG": str(log), **env},
            capture_output=True, text=True, timeout=timeout)
        return Run(process, log.read_text() if log.exists() else "")
    return run
