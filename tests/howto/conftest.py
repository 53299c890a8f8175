"""What the tests of docs/howto share: a folder with small programs and traces, made once on the
simulated device, and a shell in it as a reader of the pages has one."""
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import make_trace  # noqa: E402
import once  # noqa: E402
import where  # noqa: E402
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401

@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """A PATH whose `tidemark` and `python` are this build's and the tests', a PyTorch for CUDA and
    what people train with."""
    where.need("venv")
    torch = where.need("torch-2.11.0")
    if not where.SIMULATOR.exists():
        pytest.skip("this build has no simulated device")
    bin = tmp_path_factory.mktemp("bin")
    # A reader has one PyTorch, for a card. Here the bare runs need one that goes without.
    cuda = f'[ "$1" != simulate ] || export PYTHONPATH="{torch}:$PYTHONPATH"\n'
    for name, text in (("tidemark", f'{cuda}exec "{where.COMMAND}" "$@"'),
                       ("python", f'exec "{where.PYTHON}" "$@"'),
                       ("python3", f'exec "{where.PYTHON}" "$@"'),
                       ("torchrun", f'exec "{where.PYTHON}" -m torch.distributed.run "$@"')):
        (bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin / name).chmod(0o755)
    more = [*(where.CACHE / name for name in ("libraries", "readers")), where.ROOT / "python"]
    return where.clean_environment(
        PATH=f"{bin}:{os.environ['PATH']}", PYTHONPATH=":".join(map(str, more)), LC_ALL="C.UTF-8",
        COLUMNS="100", PYTHONDONTWRITEBYTECODE="1", HF_HUB_OFFLINE="1",
        TIDEMARK_LIBRARY=os.environ.get("TIDEMARK_LIBRARY"))


def _rank(path, rank, world):
    make_trace.gpt(steps=3, leak=30003 * rank).write(path)
    db = sqlite3.connect(path)
    db.execute("UPDATE run SET rank = ?, local_rank = ?, world_size = ?, pid = ?",
               (rank, rank, world, 1000 + rank))
    db.commit()
    db.close()


@pytest.fixture(scope="session")
def traces(environment, tmp_path_factory, request):
    """A folder with the programs and with traces: a run that has died on the simulated card, and
    posed ones, which take no time to make: of two versions of a program and of a job's ranks."""
    def make(folder):
        shutil.copytree(HERE / "programs", folder, dirs_exist_ok=True)
        done = subprocess.run(
            ["tidemark", "simulate", "--gpu", "t4", "--memory", "900MiB", "-o", "died.db", "--",
             "python", "train.py", "16384"],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1 and (folder / "died.db").exists(), done.stderr
        make_trace.gpt(steps=5).write(folder / "main.db")
        make_trace.gpt(steps=5, leak=3000003).write(folder / "now.db")
        (folder / "job").mkdir()
        for rank in range(2):
            _rank(folder / "job" / f"node0-rank{rank}.db", rank, 2)
        return True
    return once.made(once.home(tmp_path_factory, request), "howto", make)[0]


@pytest.fixture
def shell(environment, traces, tmp_path):
    """shell(text) -> the process that has run it, in a copy of the folder, as a reader would."""
    shutil.copytree(traces, tmp_path, dirs_exist_ok=True)

    def run(text):
        return subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=tmp_path,
                              env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=300)
    return run
