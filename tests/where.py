"""where.py - where the build, the caches and the PyTorches lie that the tests use.

One place for all test folders; each conftest.py puts this folder on sys.path. What the
environment can change:
  TIDEMARK_BUILD        a build folder (default: build/dev)
  TIDEMARK_SIM_HOME     the simulated device of another build
  TIDEMARK_COMMAND      the command of another build
  TIDEMARK_TEST_CACHE   what tests/setup.sh installed (default: the user's cache folder)
  TIDEMARK_TORCH_DIR    folders that each hold a CUDA wheel of PyTorch, by pip install --target
  TIDEMARK_LIBRARIES    what trains with PyTorch; subfolders torch-VERSION go with that alone
"""
import glob
import os
import pathlib
import re


def _folder(variable, default):
    return pathlib.Path(os.environ.get(variable) or default)


ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = _folder("TIDEMARK_BUILD", ROOT / "build" / "dev").resolve()
SIMULATOR = _folder("TIDEMARK_SIM_HOME", BUILD / "simulator")
COMMAND = _folder("TIDEMARK_COMMAND", BUILD / "analysis" / "tidemark")
LIBRARY = BUILD / "hooks" / "libtidemark.so"
_user = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
CACHE = _folder("TIDEMARK_TEST_CACHE", _user / "tidemark")
PYTHON = CACHE / "venv" / "bin" / "python"
LIBRARIES = _folder("TIDEMARK_LIBRARIES", CACHE / "libraries")
TORCHES = os.environ.get("TIDEMARK_TORCH_DIR", "")


def why_not(name):
    """Why tests/setup.sh could not have this folder of the cache; None where it is there."""
    if (CACHE / name / ".ready").exists():
        return None
    why = CACHE / f"{name}.why"
    return why.read_text().strip() if why.exists() else f"no {name}: run tests/setup.sh"


def need(name):
    """The folder of the cache with this name; skips the test where there is none."""
    import pytest
    why = why_not(name)
    if why:
        pytest.skip(why)
    return CACHE / name


def torch_version(folder):
    text = pathlib.Path(folder, "torch", "version.py").read_text()
    return re.search(r"__version__ = '([\d.]+)", text)[1]


def wheels():
    """The folders in TIDEMARK_TORCH_DIR with a CUDA 12 or 13 build of PyTorch, oldest first."""
    found = []
    for version in glob.glob(f"{TORCHES}/*/torch/version.py") if TORCHES else []:
        if re.search(r"^cuda.*= '1[23]\.", pathlib.Path(version).read_text(), re.M):
            found.append(os.path.dirname(os.path.dirname(version)))
    return sorted(found, key=lambda f: [int(n) for n in torch_version(f).split(".")])


def clean_environment(**more):
    """This process's environment without what would change a run; one thread for BLAS, and
    the same bits in each run, which MKL promises only where it is asked for them."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("TIDEMARK_", "PYTORCH_")) and k not in ("LD_PRELOAD", "PYTHONPATH")}
    env.update(OMP_NUM_THREADS="1", MKL_CBWR="COMPATIBLE")
    env.update({k: str(v) for k, v in more.items() if v is not None})
    return env
