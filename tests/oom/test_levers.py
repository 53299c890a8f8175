"""Of the programs that levers.py holds the advice against (docs/advice.md), some of each run of the
tests: what is ✓ there comes true, and the known fix is named first."""
import json
import pathlib
import subprocess
import sys

import pytest
import where

HERE = pathlib.Path(__file__).resolve().parent

PROGRAMS = ["segment_validation", "gpt_float_logits", "retry_in_handler", "memory_fraction",
            "resume_on_gpu", "hook_feature_maps", "fold_models"]


@pytest.mark.turns(2)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_advice_comes_true(program):
    where.need("torch-2.11.0")
    done = subprocess.run([sys.executable, HERE / "levers.py", "--only", program, "--json"],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result, = json.loads(done.stdout)["programs"]
    assert "problem" not in result, result
    assert result["fix_rank"] == 1, [row["id"] for row in result["levers"]]
    wrong = [row["id"] for row in result["levers"]
             if row["tried"] and row["mark"] == "fits" and not row["fits"]]
    assert wrong == []
