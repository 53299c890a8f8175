"""What the tests of `tidemark export` and `import` share: the command, traces of known content, and
real trainings on the simulated device with the snapshots that PyTorch took of them."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import make_trace  # noqa: E402
import once  # noqa: E402
import where  # noqa: E402
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
from where import COMMAND, LIBRARY, PYTHON, SIMULATOR  # noqa: E402, F401

NEWEST = "torch-2.11.0"


@pytest.fixture
def tidemark(tmp_path):
    """tidemark("export", file) -> CompletedProcess, in an empty folder and no terminal."""
    def call(*words, check=True, text=True, env=None, **more):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith("TIDEMARK_") or k == "TIDEMARK_LIBRARY"}
        clean.update({"LC_ALL": "C", "COLUMNS": "80"}, **(env or {}))
        done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=text,
                              timeout=120, env=clean, cwd=tmp_path, **more)
        assert not check or done.returncode == 0, done.stderr
        return done
    return call


@pytest.fixture
def answer(tidemark):
    return lambda *words: json.loads(tidemark(*words, "--json").stdout)


@pytest.fixture
def trace(tmp_path):
    """trace(make_trace.gpt(), fold=True) -> a trace's file."""
    def make(recording, name="a.db", **options):
        recording.write(tmp_path / name, **options)
        return tmp_path / name
    return make


@pytest.fixture
def peaks(answer):
    """{device: allocated bytes at its peak}, as `tidemark peak` says."""
    return lambda file, *words: {d["device"]: d["allocated_bytes"]
                                 for d in answer("peak", file, *words)["devices"]}


@pytest.fixture(scope="session")
def trained(tmp_path_factory, request):
    """trained("torch-2.11.0", *words) -> (trace, PyTorch's snapshot, its most, its last): one run
    for each call, made once by whichever of the parallel processes needs it first."""
    if not (SIMULATOR / "simrun.sh").exists() or not LIBRARY.exists() and \
            "TIDEMARK_LIBRARY" not in os.environ:
        pytest.skip("the simulated device or the library is not built")
    root = once.home(tmp_path_factory, request)

    def run(torch=NEWEST, *words, script="train.py", **env):
        tree = where.need(torch)
        where.need("venv")

        def make(folder):
            done = subprocess.run(
                [SIMULATOR / "simrun.sh", "--gpu", "a100-80gb", tree, "--", PYTHON,
                 HERE / "programs" / script, folder / "snapshot.pickle", *words],
                env=where.clean_environment(
                    PYTHONDONTWRITEBYTECODE=1, TIDEMARK_OUT=folder / "a.db", LD_PRELOAD=
                    os.environ.get("TIDEMARK_LIBRARY") or LIBRARY, **env),
                capture_output=True, text=True, timeout=300, cwd=folder)
            assert done.returncode == 0, done.stderr
            return done.stdout.split()
        folder, (most, last) = once.made(root, (torch, words, script, sorted(env.items())), make)
        return folder / "a.db", folder / "snapshot.pickle", int(most), int(last)
    return run


@pytest.fixture(scope="session")
def memory_viz():
    """PyTorch's own module torch.cuda._memory_viz, which needs no torch."""
    file = where.need(NEWEST) / "torch" / "cuda" / "_memory_viz.py"
    spec = importlib.util.spec_from_file_location("memory_viz", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reader(module):
    """A package of the cache's folder readers; skips without it."""
    sys.path.append(str(where.need("readers")))
    return pytest.importorskip(module)
