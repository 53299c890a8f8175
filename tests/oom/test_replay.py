"""With nothing edited, the replay has the bytes that the run had, at each sample: on training
loops of several kinds, several versions, with and without expandable segments."""
import subprocess

import pytest
import where
from conftest import HERE, PYTHON, SIMULATOR, clean, tree

SCRIPTS = HERE / "replays"
SETTINGS = {"plain": "", "expandable": "expandable_segments:True",
            "divisions": "roundup_power2_divisions:4"}
OWN = ["torch-2.6.0", "torch-2.11.0"]
OTHERS = [v for v in map(where.torch_version, where.wheels()) if f"torch-{v}" not in OWN]


@pytest.mark.parametrize("torch", OWN + OTHERS)
@pytest.mark.parametrize("setting", sorted(SETTINGS))
@pytest.mark.parametrize("script", sorted(p.name for p in SCRIPTS.glob("*.py")))
def test_the_replay_has_what_the_run_had(script, setting, torch, tmp_path, answer):
    env = {"PYTORCH_CUDA_ALLOC_CONF": SETTINGS[setting]} if SETTINGS[setting] else {}
    done = subprocess.run(
        [SIMULATOR / "simrun.sh", "--gpu", "a100-80gb", "--memory", "1500MiB", tree(torch), "--",
         PYTHON, SCRIPTS / script],
        env=clean(TIDEMARK_OUT=str(tmp_path / "a.db"), LD_PRELOAD=str(where.LIBRARY), **env),
        capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert "OutOfMemoryError" in done.stderr, done.stderr
    event, = answer("oom", tmp_path / "a.db")["events"]
    assert event["replay"]["samples"] > 10
    assert event["replay"]["differing_samples"] == 0, event["replay"]
    assert event["replay"]["doubt"] is None
