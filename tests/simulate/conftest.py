"""What the tests of `tidemark simulate` share: the command, and PyTorches real and fake."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
from where import COMMAND, PYTHON, need  # noqa: E402, F401

#: A network whose parameters, gradients and states take 16 bytes for each of 8 n² numbers.
TRAIN = """
import sys, torch
from torch import nn
n = int(sys.argv[1])
with torch.device("cuda"):
    model = nn.Sequential(nn.Linear(n, 4 * n), nn.ReLU(), nn.Linear(4 * n, n))
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
for step in range(3):
    x = torch.randn(64, n, device="cuda")
    model(x).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
print("trained")
"""


class Done:
    def __init__(self, process, verdict):
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr
        self.json = json.loads(verdict.read_text()) if verdict.exists() else None

    @property
    def gpu(self):
        assert len(self.json["gpus"]) == 1, self.json
        return self.json["gpus"][0]


@pytest.fixture
def call(tmp_path):
    """call("doctor", "--simulate", env={}) -> CompletedProcess, in an empty folder."""
    def run(*words, env=None, **more):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("TIDEMARK_", "PYTORCH_", "LD_PRELOAD", "PYTHONPATH"))}
        clean.update({"LC_ALL": "C", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}, **(env or {}))
        return subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True,
                              timeout=300, env=clean, cwd=tmp_path, **more)
    return run


@pytest.fixture
def fake_torch(tmp_path):
    """fake_torch(cuda) -> a PYTHONPATH with a torch that has a version and nothing else."""
    def make(cuda, name="fake"):
        folder = tmp_path / name / "torch"
        (folder / "lib").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise ImportError('nobody imports this')\n")
        (folder / "version.py").write_text(f"__version__ = '2.9.9'\ncuda = {cuda!r}\n")
        return folder.parent
    return make


@pytest.fixture(params=["torch-2.11.0", "torch-2.6.0"])
def torch_dir(request):
    return need(request.param)


@pytest.fixture
def newest_torch():
    return need("torch-2.11.0")


@pytest.fixture
def simulate(call, tmp_path):
    """simulate(torch_dir, ["--gpu", "t4"], source, *arguments) -> Done."""
    def run(torch, options, source=TRAIN, *arguments, env=None):
        script = tmp_path / "train.py"
        script.write_text(source)
        verdict = tmp_path / "verdict.json"
        process = call("simulate", *options, "--json", verdict, "--",
                       PYTHON if PYTHON.exists() else sys.executable, script, *arguments,
                       env={"PYTHONPATH": str(torch), **(env or {})})
        return Done(process, verdict)
    return run
