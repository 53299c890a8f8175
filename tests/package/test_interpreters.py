"""The wheel under each CPython that this machine has: installed, imported, a run traced and read.

TIDEMARK_TORCH_314 names a folder with a CUDA build of PyTorch for CPython 3.14 and what it imports
(pip install --target; setup.sh does not fetch it, it has 1.3 GB): a training is traced there too."""

import glob
import json
import os
import pathlib
import re
import shutil

import pytest
import where
from conftest import TRAIN, Environment, run


def interpreters():
    """{"3.9": path}: 3.8 and later, of PATH and pyenv, one for each version."""
    found = {}
    paths = [shutil.which(f"python3.{minor}") for minor in range(8, 20)]
    paths += glob.glob(str(pathlib.Path.home() / ".pyenv/versions/*/bin/python3.*"))
    for path in filter(None, paths):
        version = re.fullmatch(r"python(3\.\d+)t?", os.path.basename(path))
        if version and int(version[1].split(".")[1]) >= 8:
            found[version[1]] = path
    return found


@pytest.mark.parametrize("version", sorted(interpreters(), key=lambda v: int(v.split(".")[1])))
def test_it_is_installed_into_a_bare_environment(version, wheel, traced, tmp_path):
    python = interpreters()[version]
    try:
        run(python, "-m", "venv", tmp_path / "venv")
    except AssertionError:
        pytest.skip(f"{python} makes no virtual environment")
    env = Environment(tmp_path / "venv")
    run(env.bin / "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    done = env.run("python", "-c", "import json, sys, tidemark_torch\n"
                   "rows = tidemark_torch.load(sys.argv[1])['v_peak']\n"
                   "print(json.dumps([sys.version_info[:2], rows[0]['device']]))", traced)
    assert json.loads(done.stdout) == [[int(n) for n in version.split(".")], "cpu"], done
    assert "PEAK  cpu" in env.run("tidemark", "peak", traced).stdout
    # Without torch there is nothing to trace, and the program is not harmed.
    done = env.run("tidemark", "run", "--cpu", "--", env.python, "-c", "print(6 * 7)")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "42"), done


def test_a_training_is_traced_on_python_3_14(unpacked, tmp_path):
    torch = os.environ.get("TIDEMARK_TORCH_314")
    if not torch:
        pytest.skip("TIDEMARK_TORCH_314 names no PyTorch for CPython 3.14")
    # Beside its own C library it needs the C++ library of this system.
    python, text = tmp_path / "python", (where.need("python3.14") / "python").read_text()
    python.write_text(text.replace("$(dirname \"$0\")", str(where.CACHE / "python3.14")).replace(
        "/lib/x86_64-linux-gnu\"", "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu\""))
    python.chmod(0o755)
    (tmp_path / "train.py").write_text(TRAIN.replace("import torch", "import sys, torch\n"
                                       "torch.set_default_device('cuda')\nprint(sys.version)"))
    command = unpacked / "tidemark_torch" / "bin" / "tidemark"
    command.chmod(0o755)
    said = run(command, "simulate", "--gpu", "t4", "-o", "a.db", "--", python, "train.py",
               cwd=tmp_path, env=where.clean_environment(PYTHONPATH=torch))
    assert said.startswith("3.14.") and said.endswith("trained\n")
    report = json.loads(run(command, "report", "--json", "a.db", cwd=tmp_path))
    assert report["mismatches"] == 0 and report["lost_events"] == 0
    assert not [c for c in report["capabilities"] if c["state"] != "live"]
    peak = run(command, "peak", "a.db", cwd=tmp_path)
    assert "optimizer" in peak and "train.py:" in peak
