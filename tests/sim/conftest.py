"""What the tests of the simulated device share: where it was built, which wheels there
are, and how to run a script on it."""
import glob, json, os, re, subprocess, sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.environ.get("TIDEMARK_SIM_HOME") or os.path.join(HERE, "../../build/simulator")
TORCHES = os.environ.get("TIDEMARK_TORCH_DIR", "")
CACHE = os.environ.get("TIDEMARK_TEST_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tidemark")
#: What trains with PyTorch, by `pip install --target`; a subfolder torch-VERSION holds what
#: goes with that PyTorch alone (triton, torchvision, torchao).
LIBRARIES = os.environ.get("TIDEMARK_LIBRARIES") or os.path.join(CACHE, "libraries")


def wheels():
    """Folders that hold a CUDA 12 or 13 build of PyTorch."""
    found = []
    for version in glob.glob(f"{TORCHES}/*/torch/version.py") if TORCHES else []:
        if re.search(r"^cuda.*= '1[23]\.", open(version).read(), re.M):
            found.append(os.path.dirname(os.path.dirname(version)))
    return sorted(found, key=lambda f: [int(n) for n in re.findall(r"\d+", os.path.basename(f))])


def pytest_generate_tests(metafunc):
    if "torch_dir" in metafunc.fixturenames:
        skip = pytest.mark.skip(reason="TIDEMARK_TORCH_DIR names no folder with CUDA wheels")
        params = wheels() or [pytest.param("", marks=skip)]
        metafunc.parametrize("torch_dir", params, ids=lambda f: os.path.basename(f) or "none")


def torch_version(torch_dir):
    with open(f"{torch_dir}/torch/version.py") as file:
        return re.search(r"__version__ = '([\d.]+)", file.read())[1]


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
