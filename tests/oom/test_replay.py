"""With nothing edited, the replay has the bytes that the run had, at each sample: on training
loops of several kinds, several versions, with and without expandable segments."""
import subprocess

import pytest
import where
from conftest import HERE, PYTHON, SIMULATOR, clean, tree

pytestmark = pytest.mark.turns(2)  # of the short form: tests/short.py

SCRIPTS = HERE / "replays"
SETTINGS = {"plain": "", "expandable": "expandable_segments:True",
            "divisions": "roundup_power2_divisions:4", "split": "max_split_size_mb:40"}
COLLECTS = "garbage_collection_threshold:0.5"
OWN = ["torch-2.6.0", "torch-2.11.0"]
OTHERS = [v for v in map(where.torch_version, where.wheels()) if f"torch-{v}" not in OWN]


def replayed(script, torch, folder, answer, **env):
    done = subprocess.run(
        [SIMULATOR / "simrun.sh", "--gpu", "a100-80gb", "--memory", "1500MiB", tree(torch), "--",
         PYTHON, SCRIPTS / script],
        env=clean(TIDEMARK_OUT=str(folder / "a.db"), LD_PRELOAD=str(where.LIBRARY), **env),
        capture_output=True, text=True, timeout=300, cwd=folder)
    assert "OutOfMemoryError" in done.stderr, done.stderr
    event, = answer("oom", folder / "a.db")["events"]
    return event["replay"]


@pytest.mark.parametrize("torch", OWN + OTHERS)
@pytest.mark.parametrize("setting", sorted(SETTINGS))
@pytest.mark.parametrize("script", sorted(p.name for p in SCRIPTS.glob("*.py")))
def test_the_replay_has_what_the_run_had(script, setting, torch, tmp_path, answer):
    env = {"PYTORCH_CUDA_ALLOC_CONF": SETTINGS[setting]} if SETTINGS[setting] else {}
    replay = replayed(script, torch, tmp_path, answer, **env)
    assert replay["samples"] > 10
    assert replay["differing_samples"] == 0, replay
    assert replay["doubt"] is None


@pytest.mark.parametrize("torch", OWN + OTHERS)
@pytest.mark.parametrize("more", ["", ",max_split_size_mb:40", ",expandable_segments:True"])
@pytest.mark.parametrize("fraction", [None, "0.8", "1.0"])
def test_the_replay_collects_what_the_run_collected(fraction, more, torch, tmp_path, answer):
    """garbage_collection_threshold: with a memory fraction, and only then; 2.6 collects with a
    fraction of 1 too, which reads as none."""
    replay = replayed("collected.py", torch, tmp_path, answer,
                      PYTORCH_CUDA_ALLOC_CONF=COLLECTS + more,
                      **({"FRACTION": fraction} if fraction else {}))
    version = where.torch_version(tree(torch)).split(".")
    if list(map(int, version[:2])) < [2, 6]:
        assert "does not have the memory fraction" in replay["doubt"]
        return
    assert replay["differing_samples"] == 0, replay
    assert replay["doubt"] is None
