"""The wheel, built once from this checkout, and a fresh virtual environment that has it."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import where  # noqa: E402
from where import CACHE, PYTHON, ROOT, clean_environment  # noqa: E402

TRAIN = """
import torch
model = torch.nn.Linear(33, 101)
optimizer = torch.optim.AdamW(model.parameters())
for _ in range(4):
    model(torch.randn(7, 33)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
print("trained")
"""


def run(*words, **more):
    """Standard output of a command that has to succeed."""
    more.setdefault("env", clean_environment())
    done = subprocess.run([str(w) for w in words], text=True, capture_output=True, **more)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def packages_of(python):
    """The folder site-packages of an interpreter."""
    return run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()


@pytest.fixture(scope="session")
def tools():
    """The Python that setup.sh has put the tools of pyproject.toml into."""
    return where.need("package") / "bin" / "python"


@pytest.fixture(scope="session")
def wheel(tools, tmp_path_factory):
    """Its path. Objects are kept in build/package, so that the next time costs less."""
    folder = tmp_path_factory.mktemp("dist")
    cache = CACHE / "package" / "cache"
    run(tools, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder,
        "-C", f"build-dir={ROOT / 'build' / 'package'}",
        "-C", f"cmake.define.TIDEMARK_SQLITE_SOURCE={CACHE / 'package' / 'sqlite'}",
        ROOT, env=clean_environment(ZIG_GLOBAL_CACHE_DIR=cache, ZIG_LOCAL_CACHE_DIR=cache))
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


class Environment:
    """A virtual environment with the wheel and nothing else."""

    def __init__(self, folder):
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        self.command = self.bin / "tidemark"
        self.folder = folder

    def run(self, program, *words, beside=(), **more):
        """A program of this environment; it sees the packages of the folders `beside` too."""
        more.setdefault("cwd", self.folder)
        env = clean_environment(
            COLUMNS="80", LC_ALL="C.UTF-8",
            PATH=f"{self.bin}:{os.environ['PATH']}",
            PYTHONPATH=":".join(map(str, beside)) or None)
        return subprocess.run([str(self.bin / program), *map(str, words)], text=True,
                              capture_output=True, timeout=600, env=env, **more)


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("venv") / "venv"
    run(PYTHON, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    return Environment(folder)


@pytest.fixture(scope="session")
def torch_for_cpu():
    """A folder to put beside: PyTorch for the CPU, and pytest."""
    where.need("venv")
    return packages_of(PYTHON)


@pytest.fixture(scope="session")
def needs_binutils():
    if not shutil.which("readelf"):
        pytest.skip("needs readelf")


@pytest.fixture(scope="session")
def traced(installed, torch_for_cpu, tmp_path_factory):
    """The trace of a training, made by tidemark_torch.run()."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "train.py").write_text(TRAIN)
    done = installed.run(
        "python", "-c", "import sys, tidemark_torch as t\n"
        "done = t.run([sys.executable, 'train.py'], output='t.db', capture_output=True)\n"
        "assert done.returncode == 0, done\n"
        "print(done.stdout.decode(), *done.traces)",
        beside=[torch_for_cpu], cwd=folder)
    assert (done.returncode, done.stdout.split()) == (0, ["trained", "t.db"]), done
    return folder / "t.db"
