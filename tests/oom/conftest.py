"""sim(): runs a script of this folder under the library on the simulated device."""
import collections
import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import once  # noqa: E402
import where  # noqa: E402
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
from where import COMMAND, LIBRARY, PYTHON, SIMULATOR  # noqa: E402, F401

TORCH = "torch-2.11.0"

Run = collections.namedtuple("Run", "code stderr file truth")


def tree(name):
    """A folder that holds torch/: one that setup.sh made, or from TIDEMARK_TORCH_DIR a version
    ("2.15.0"); skips without it."""
    if name.startswith("torch-"):
        return where.need(name)
    for folder in where.wheels():
        if where.torch_version(folder) == name:
            return folder
    pytest.skip(f"TIDEMARK_TORCH_DIR names no folder with PyTorch {name}")


def clean(**more):
    return where.clean_environment(PYTHONDONTWRITEBYTECODE=1, **more)


@pytest.fixture(scope="session")
def sim(tmp_path_factory, request):
    """sim("batch.py", memory="4GiB", then="kill", ...) -> Run; made once for each call, by
    whichever of the parallel processes of the test run needs it first."""
    where.need("venv")
    if not LIBRARY.exists():
        pytest.skip("the library is not built")
    root = once.home(tmp_path_factory, request)

    def run(script, *arguments, memory, torch=TORCH, **env):
        def make(folder):
            done = subprocess.run(
                [SIMULATOR / "simrun.sh", "--gpu", "a100-80gb", "--memory", memory,
                 tree(torch), "--", PYTHON,
                 HERE / "scripts" / script, *map(str, arguments)],
                env=clean(TIDEMARK_OUT=str(folder / "a.db"), TRUTH=str(folder / "truth.json"),
                          LD_PRELOAD=str(LIBRARY), **env),
                capture_output=True, text=True, timeout=300, cwd=folder)
            return done.returncode, done.stderr
        key = script, arguments, memory, torch, sorted(env.items())
        folder, (code, stderr) = once.made(root, key, make)
        truth = folder / "truth.json"
        return Run(code, stderr, folder / "a.db",
                   json.loads(truth.read_text()) if truth.exists() else None)

    return run


@pytest.fixture
def tidemark(tmp_path):
    def call(*words, check=True):
        done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True,
                              timeout=120, cwd=tmp_path, env=clean(LC_ALL="C", COLUMNS="80"))
        assert not check or done.returncode == 0, done.stderr
        return done
    return call


@pytest.fixture
def answer(tidemark):
    return lambda *words: json.loads(tidemark(*words, "--json").stdout)
