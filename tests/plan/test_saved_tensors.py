"""The formula `torch` beside what torch saves for backward, byte for byte.

Needs torch and transformers. saved_tensors.py makes small models with random weights,
runs a forward, and adds up the storages that autograd keeps.
"""
import json
import os
import pathlib
import subprocess

import pytest

from where import LIBRARIES, PYTHON, SIMULATOR, need

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def measured():
    need("venv"), need("libraries")  # which fit this PyTorch, on the CPU as well
    done = subprocess.run([SIMULATOR / "simrun.sh", need("torch-2.11.0"), "--", PYTHON,
                           HERE / "saved_tensors.py"], capture_output=True, text=True,
                          timeout=600, env={**os.environ, "TRANSFORMERS_VERBOSITY": "error",
                                            "PYTHONPATH": str(LIBRARIES)})
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_case_is_the_formula(measured, answer, tmp_path):
    wrong = []
    for case in measured:
        config = tmp_path / "config.json"
        config.write_text(json.dumps(case["config"]))
        a = answer("--config", config, "--precision", case["precision"], "--attention",
                   case["attention"], "--batch", case["batch"], "--seq", case["seq"],
                   "--no-dropout")
        skipped = {"logits", "backward of the loss"}  # alive at the peak, but not saved
        formula = sum(t["bytes"] for t in a["terms"]
                      if t["bucket"] == "activation" and t["term"] not in skipped)
        if abs(formula - case["saved"]) > case["allowed"]:
            wrong.append((case["name"], case["precision"], case["attention"],
                          formula, case["saved"]))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(measured) >= 40
