"""What the tests of answers about a job share: the command, posed jobs, real ones."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import make_trace  # noqa: E402
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
from where import COMMAND  # noqa: E402

MIB = 1 << 20


def clean(**more):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("TIDEMARK_", "PYTORCH_", "LD_PRELOAD", "PYTHONPATH", "SLURM_"))}
    return {**env, "LC_ALL": "C", "COLUMNS": "100", "OMP_NUM_THREADS": "1", **more}


@pytest.fixture(scope="session")
def tidemark():
    def call(*words, env=None, **more):
        return subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True,
                              timeout=300, env=clean(**(env or {})), **more)
    return call


@pytest.fixture(scope="session")
def answer(tidemark):
    def call(*words):
        done = tidemark(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)
    return call


def stage(layers, batch=8, extra=0, hidden=512, steps=5, leak=0):
    """A training of these layers. extra: bytes of an average of the weights that only some ranks
    keep. leak: bytes that each step keeps."""
    r = make_trace.Recording()
    r.begin()
    for i in layers:
        r.alloc(4 * hidden * hidden, "setup", "parameter", op="aten::empty",
                shape=f"[{hidden}, {hidden}]", name=f"h.{i}.weight", stack=("/p/train.py:10 main",))
    if extra:
        r.alloc(extra, "setup", "buffer", op="aten::clone", shape=f"[{extra // 4}]",
                name="ema.weight", stack=("/p/train.py:14 main",))
    for _ in range(steps):
        r.begin()
        x = r.alloc(8 * 64 * batch, "data", "input", shape=f"[{batch}, 64]", dtype="int64",
                    op="aten::to", stack=("/p/train.py:20 main",))
        acts = [r.alloc(4 * batch * 64 * hidden, "forward", "activation", module=f"h.{i}",
                        op="aten::gelu", shape=f"[{batch}, 64, {hidden}]",
                        stack=("/p/model.py:31 forward",)) for i in layers]
        if leak:
            r.alloc(leak, "forward", "activation", op="aten::add", shape=f"[{leak // 4}]",
                    stack=("/p/train.py:27 main",))
        for a in acts:
            r.free(a, "backward")
        r.free(x, "optimizer")
    return r


@pytest.fixture
def written(tmp_path):
    """written(recording) -> a trace's file, to be posed with."""
    made = []

    def write(recording, **run):
        folder = tmp_path / "models"
        folder.mkdir(exist_ok=True)
        path = folder / f"{len(made)}.db"
        recording.write(path, script="train.py", cwd="/p", **run)
        made.append(path)
        return path
    return write
