"""examples/ci on simulated runs: a change that takes 64 MiB more fails, one that takes none
passes. The traces that this leaves are compared too: they are real trainings."""
import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import MIB
from where import COMMAND, PYTHON, ROOT, SIMULATOR, need

TRAIN = """
import torch
from torch import nn


def main(batch=8, extra=0):
    with torch.device("cuda"):
        model = nn.Sequential(nn.Linear(512, 2048), nn.GELU(), nn.Linear(2048, 512))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for step in range(4):
        x = torch.randn(batch, 256, 512, device="cuda")
        y = model(x)
        if extra:
            mask = torch.zeros(extra // 4, device="cuda")
        y.pow(2).mean().backward()
        mask = None
        optimizer.step()
        optimizer.zero_grad()


main(CHANGED)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A repository: the example's script, a training, what it needed before."""
    folder = tmp_path_factory.mktemp("repository")
    torch = need("torch-2.11.0")
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("TIDEMARK_", "GITHUB_", "LD_PRELOAD"))}
    env.update(PYTHONPATH=str(torch), TIDEMARK=str(COMMAND), CARD="rtx-4090", LC_ALL="C",
               OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")

    def ci(what, changed="", **more):
        (folder / "train.py").write_text(TRAIN.replace("CHANGED", changed))
        return subprocess.run(
            [ROOT / "examples/ci/memory.sh", what, "baseline.db", "--", PYTHON, "train.py"],
            cwd=folder, capture_output=True, text=True, timeout=300, env={**env, **more})
    if not SIMULATOR.exists():
        pytest.skip("no simulated device in this build")
    done = ci("record")
    assert done.returncode == 0, done.stderr
    return folder, ci


def test_a_change_that_needs_no_more_passes(folder):
    place, ci = folder
    done = ci("check")
    assert done.returncode == 0, done.stdout + done.stderr
    suite = ElementTree.parse(place / "memory.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    assert "::error" not in done.stdout


def test_a_change_that_needs_64_mib_more_fails(folder):
    place, ci = folder
    done = ci("check", f"extra={64 * MIB}", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(place))
    assert done.returncode == 1, done.stdout + done.stderr
    [error] = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert "file=train.py,line=14," in error
    assert "+64.00 MiB" in done.stdout and "only B has 1 block [16777216] float32" in done.stdout
    suite = ElementTree.parse(place / "memory.xml").getroot().find("testsuite")
    assert suite.get("failures") == "1"


def test_another_batch_of_a_real_training_is_called_one(folder):
    place, ci = folder
    assert ci("check", "batch=16").returncode == 1
    got = json.loads(subprocess.run([COMMAND, "diff", "baseline.db", "memory-now.db", "--json"],
                                    cwd=place, capture_output=True, check=True).stdout)
    [one] = got["devices"]
    assert (one["dimension"]["name"], one["dimension"]["a"], one["dimension"]["b"]) == (
        "batch", 8, 16)
    weights = [c for c in one["by_bucket"] if c["bucket"] in ("parameter", "gradient")]
    assert [c["change_bytes"] for c in weights] == [0, 0]


def test_a_missing_baseline_is_no_pass(folder):
    place, ci = folder
    (place / "baseline.db").rename(place / "other.db")
    try:
        done = ci("check")
    finally:
        (place / "other.db").rename(place / "baseline.db")
    assert done.returncode == 2 and "no baseline" in done.stderr
