"""What compare.sh does without a GPU: it says so, and it tells two recordings apart."""
import json, os, subprocess, sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from where import CACHE, SIMULATOR, need  # noqa: E402

HOME = str(SIMULATOR)


def compare(*words, torch=None):
    python = f"{CACHE}/venv/bin/python"
    env = {**os.environ, "TIDEMARK_SIM_HOME": HOME,
           "PYTHON": python if os.path.exists(python) else sys.executable}
    if torch:
        env["TIDEMARK_TORCH"] = torch
    return subprocess.run([f"{HERE}/compare.sh", *map(str, words)], env=env,
                          capture_output=True, text=True, timeout=600)


@pytest.fixture
def recording(tmp_path):
    """recording(folder, card): two workloads on a simulated card."""
    need("torch-2.11.0")

    def make(folder, card="a100-80gb"):
        done = compare("simulate", tmp_path / folder, "--gpu", card, "--only",
                       "gpt-bf16,out-of-memory", torch=f"{CACHE}/torch-2.11.0")
        assert done.returncode == 0 and not done.stderr, done.stderr
        return tmp_path / folder
    return make


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a GPU here")
def test_without_a_gpu_it_skips_and_says_why(tmp_path):
    for words in (["record", tmp_path], []):
        done = compare(*words)
        assert done.returncode == 77 and "skipped: this machine has no NVIDIA GPU" in done.stderr


def test_equal_runs_are_equal_and_what_is_changed_is_found(recording):
    first, second = recording("first"), recording("second")
    done = compare("compare", first, second)
    assert done.returncode == 0, done.stdout
    assert "2 of 2 workloads equal" in done.stdout and "part at number" not in done.stdout
    path = second / "gpt-bf16.json"
    run = json.loads(path.read_text())
    run["allocations"][7:8] = [10001]
    run["reserved"] += 1 << 20
    path.write_text(json.dumps(run))
    done = compare("compare", first, second, "--markdown")
    assert done.returncode == 1 and "1 of 2 workloads equal" in done.stdout
    assert "gpt-bf16: the allocations part at number 7" in done.stdout
    row = next(l for l in done.stdout.splitlines() if l.startswith("| gpt-bf16"))
    assert " / 2 |" in row  # one size on each side


def test_another_card_is_another_sequence(recording):
    # Hopper's cuBLAS workspace is 32 MiB, Ampere's 8.125
    done = compare("compare", recording("ampere"), recording("hopper", "h100-80gb"))
    assert done.returncode == 1
    assert "[8519680] / [33554432]" in done.stdout


def test_the_card_is_found_by_the_gpus_name(recording, tmp_path):
    folder = recording("l4", "l4")
    found = subprocess.run([sys.executable, f"{HERE}/compare.py", "--card", f"{HOME}/devices",
                            str(folder)], capture_output=True, text=True)
    assert found.stdout.strip() == "l4"


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    done = compare("compare", tmp_path / "a", tmp_path / "a")
    assert done.returncode == 1 and "no recordings in" in done.stderr
