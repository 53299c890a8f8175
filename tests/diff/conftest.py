"""What the tests of `diff` and `check` share: the command, and traces of known content."""
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


@pytest.fixture
def tidemark(tmp_path):
    """tidemark("diff", a, b) -> CompletedProcess, in an empty folder and no terminal."""
    def call(*words, env=None, **more):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("TIDEMARK_", "GITHUB_"))}
        clean.update({"LC_ALL": "C", "COLUMNS": "100"}, **(env or {}))
        more.setdefault("cwd", tmp_path)
        return subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True,
                              timeout=120, env=clean, **more)
    return call


@pytest.fixture
def answer(tidemark):
    def call(*words, status=0):
        done = tidemark(*words, "--json")
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout)
    return call


@pytest.fixture
def trace(tmp_path):
    """trace("gpt", name, ended="killed") or trace(a Recording, name) -> its file."""
    def make(scenario="gpt", name="a.db", **run):
        recording = (make_trace.SCENARIOS[scenario]() if isinstance(scenario, str)
                     else scenario)
        path = tmp_path / name
        recording.write(path, **run)
        return path
    return make


def training(steps=5, batch=8, extra=0, layers=3, shift=0, root="/home/a/project", leak=0,
             peak_at="forward", hidden=1024, dtype="float32", order=1):
    """A training whose every block is known. extra: bytes of a block in each forward, made at
    train.py:77. shift: lines that were put in above everything. root: where the program lies.
    order: the sign of the way in which layers come, for the same blocks."""
    r = make_trace.Recording()
    size = {"float32": 4, "bfloat16": 2}[dtype]

    def line(number, function="main", file="train.py"):
        return (f"{root}/{file}:{number + shift} {function}", f"{root}/train.py:{99 + shift} run")

    r.begin()
    weights = [r.alloc(4 * hidden * hidden, "setup", "parameter", module=None, op="aten::empty",
                       shape=f"[{hidden}, {hidden}]", name=f"h.{i}.weight",
                       stack=line(10, "__init__")) for i in range(layers)[::order]]
    assert weights
    for _ in range(steps):
        r.begin()
        x = r.alloc(8 * 64 * batch, "data", "input", shape=f"[{batch}, 64]", dtype="int64",
                    op="aten::to", stack=line(20))
        acts = [r.alloc(size * batch * 64 * hidden, "forward", "activation", module=f"h.{i}",
                        op="aten::gelu", shape=f"[{batch}, 64, {hidden}]", dtype=dtype,
                        stack=line(31, "forward", "net/model.py"))
                for i in range(layers)[::order]]
        more = [r.alloc(extra, "forward", "activation", op="aten::zeros",
                        shape=f"[{extra // 4}]", stack=line(77))] if extra else []
        if leak:
            r.alloc(leak, "forward", "activation", op="aten::add", shape=f"[{leak // 4}]",
                    stack=line(88))
        t = r.alloc(64 * MIB, peak_at, "temporary", op="aten::mm", shape="[4096, 4096]",
                    stack=line(40))
        r.free(t, peak_at)
        for a in acts + more:
            r.free(a, "backward")
        r.free(x, "optimizer")
    return r
