"""sim(): runs a script of this folder under the library on the simulated device."""
import collections
import json
import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("TIDEMARK_BUILD", ROOT / "build" / "dev")).resolve()
CACHE = pathlib.Path(
    os.environ.get("TIDEMARK_TEST_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tidemark")
COMMAND = BUILD / "analysis" / "tidemark"
TORCH = "torch-2.11.0"

Run = collections.namedtuple("Run", "code stderr file truth")


def tree(name):
    """A folder that holds torch/: one that setup.sh made, or from TIDEMARK_TORCH_DIR a version
    ("2.15.0"); skips without it."""
    if name.startswith("torch-"):
        if not (CACHE / name / ".ready").exists():
            why = CACHE / f"{name}.why"
            pytest.skip(why.read_text().strip() if why.exists()
                        else f"no {name}: run tests/setup.sh")
        return CACHE / name
    folder = os.environ.get("TIDEMARK_TORCH_DIR")
    if not folder or not (pathlib.Path(folder) / name / "torch").exists():
        pytest.skip(f"TIDEMARK_TORCH_DIR names no folder with PyTorch {name}")
    return pathlib.Path(folder) / name


def clean(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TIDEMARK_", "PYTORCH_"))}
    for name in ("LD_PRELOAD", "PYTHONPATH"):
        env.pop(name, None)
    return {**env, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}


@pytest.fixture(scope="session")
def sim(tmp_path_factory):
    """sim("batch.py", memory="4GiB", then="kill", ...) -> Run; made once for each call."""
    if not (CACHE / "venv" / ".ready").exists():
        pytest.skip("no venv: run tests/setup.sh")
    if not (BUILD / "hooks" / "libtidemark.so").exists():
        pytest.skip("the library is not built")
    runs = {}

    def run(script, *arguments, memory, torch=TORCH, **env):
        key = (script, arguments, memory, torch, tuple(sorted(env.items())))
        if key not in runs:
            folder = tmp_path_factory.mktemp(script.split(".")[0])
            truth = folder / "truth.json"
            done = subprocess.run(
                [BUILD / "simulator" / "simrun.sh", "--gpu", "a100-80gb", "--memory", memory,
                 tree(torch), "--", CACHE / "venv" / "bin" / "python",
                 HERE / "scripts" / script, *map(str, arguments)],
                env=clean(TIDEMARK_OUT=str(folder / "a.db"), TRUTH=str(truth),
                          LD_PRELOAD=str(BUILD / "hooks" / "libtidemark.so"), **env),
                capture_output=True, text=True, timeout=300, cwd=folder)
            runs[key] = Run(done.returncode, done.stderr, folder / "a.db",
                            json.loads(truth.read_text()) if truth.exists() else None)
        return runs[key]

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
