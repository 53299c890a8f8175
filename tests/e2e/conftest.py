"""trace(): runs a script under the library on one of the devices, and reads what it wrote."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import once  # noqa: E402
import reading  # noqa: E402
import where  # noqa: E402
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
from where import (  # noqa: E402, F401
    BUILD, CACHE, COMMAND, LIBRARY, PYTHON, ROOT, SIMULATOR, clean_environment)

#: name of a device in these tests -> what setup.sh calls the PyTorch for it
TORCH = {"cpu": "venv", "cuda13": "torch-2.11.0", "cuda12": "torch-2.6.0", "debian": "debian"}


def need(device):
    """Skips with setup.sh's reason where this PyTorch could not be had."""
    where.need(TORCH[device])


def python_on(device):
    """The words before a script's name that run it on this device."""
    need(device)
    if device == "cpu":
        return [str(PYTHON)]
    if device == "debian":
        return [str(ROOT / "tests" / "debian-python.sh"), str(CACHE / "debian")]
    tree = CACHE / TORCH[device]
    simrun = str(SIMULATOR / "simrun.sh")
    return [simrun, "--gpu", "a100-80gb", str(tree), "--", str(PYTHON)]


class Run:
    """One finished process: code, stdout, stderr, the script's truth, the traces it left."""

    def __init__(self, folder, done):
        self.folder, self.code = folder, done.returncode
        self.stdout, self.stderr = done.stdout, done.stderr
        truth = folder / "truth.json"
        self.truth = json.loads(truth.read_text()) if truth.exists() else None

    @property
    def files(self):
        return sorted(self.folder.glob("*.db"))

    @property
    def left_over(self):
        """Rings, journals: whatever should not be there when a run has ended."""
        return sorted(p.name for p in self.folder.iterdir() if re.search(r"\.db-|-ring$", p.name))

    def open(self, path=None):
        if path is None:
            assert len(self.files) == 1, (self.files, self.stderr)
            path = self.files[0]
        return reading.Trace(path)


def execute(folder, script, *args, device="cpu", env=None, preload=True, timeout=300,
            python=(), **more):
    """Runs scripts/SCRIPT (or Python source with a line break in it) in `folder`."""
    folder = pathlib.Path(folder)
    words = python_on(device)
    if isinstance(script, str) and "\n" in script:
        (folder / "script.py").write_text(script)
        script = folder / "script.py"
    else:
        script = HERE / "scripts" / script
    settings = {
        "TIDEMARK_OUT": str(folder / "%p.db"),
        "TIDEMARK_TEST_TRUTH": str(folder / "truth.json"),
        "PYTHONPATH": str(HERE / "scripts"),
    }
    settings.update(env or {})
    if preload:
        settings["LD_PRELOAD"] = str(LIBRARY) + (
            ":" + settings["LD_PRELOAD"] if settings.get("LD_PRELOAD") else ""
        )
    more.setdefault("cwd", folder)
    done = subprocess.run(
        [*words, *python, str(script), *map(str, args)],
        env=clean_environment(**settings), text=True, timeout=timeout,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    )
    return finished(Run(folder, done))


LATE = re.compile(r"^tidemark: the writer needs more than 2 s; 'tidemark report' will finish "
                  r"'(.*)'\n", re.M)


def finished(run):
    """On a busy machine the two seconds that an exit waits for the writer may be too few. The
    library says so, and names the command that finishes the trace; these tests do what it says.
    A trace that is not whole without that sentence stays as it is."""
    for trace in LATE.findall(run.stderr):
        done = subprocess.run([str(COMMAND), "report", trace], capture_output=True, text=True,
                              cwd=run.folder, timeout=300, env=clean_environment())
        assert done.returncode == 0, done
    run.stderr = LATE.sub("", run.stderr)
    return run


@pytest.fixture(scope="session", autouse=True)
def built():
    if not LIBRARY.exists():
        pytest.exit(f"'{LIBRARY}' is not built; run tests/run.sh", 2)


@pytest.fixture
def trace(tmp_path):
    """trace("script.py", ..., device="cpu", env={}) -> Run, each in a folder of its own."""
    count = 0

    def run(script, *args, **options):
        nonlocal count
        count += 1
        folder = tmp_path / f"run{count}"
        folder.mkdir()
        return execute(folder, script, *args, **options)

    return run


@pytest.fixture(scope="session")
def shared_trace(tmp_path_factory, request):
    """The same, but a run that several tests look at is made once, by whichever of the
    parallel processes of the test run needs it first."""
    root = once.home(tmp_path_factory, request)

    def run(script, *args, device="cpu", timeout=300, **env):
        need(device)

        def make(folder):
            made = execute(folder, script, *args, device=device, env=env, timeout=timeout)
            return made.code, made.stdout, made.stderr
        folder, said = once.made(root, (script, args, device, sorted(env.items())), make)
        code, stdout, stderr = said
        return Run(folder, subprocess.CompletedProcess([], code, stdout, stderr))

    return run


@pytest.fixture
def tidemark(tmp_path):
    """tidemark("peak", file) -> CompletedProcess of the command."""
    if not COMMAND.exists():
        pytest.skip("the tidemark command is not built")

    def call(*words, **more):
        more.setdefault("cwd", tmp_path)
        return subprocess.run(
            [str(COMMAND), *map(str, words)], text=True, timeout=120, capture_output=True,
            env=clean_environment(LC_ALL="C", COLUMNS="80"), **more,
        )

    return call


@pytest.fixture(params=["cpu", "cuda13", "cuda12"])
def device(request):
    need(request.param)
    return request.param


@pytest.fixture(params=["cuda13", "cuda12"])
def cuda(request):
    need(request.param)
    return request.param
