"""What is known on the simulated device is computed, and what is not is plausible."""
import os
import pathlib
import re
import subprocess

import pytest

from conftest import LIBRARIES, torch_version

SCRIPTS = pathlib.Path(__file__).parent / "scripts"


def test_what_follows_from_the_host_is_what_the_host_computes(simulate, torch_dir):
    run = simulate(torch_dir, "known.py")
    assert run.result == [] and "assumed" not in run.log


def test_loops_go_on_by_plausible_values(simulate, torch_dir):
    run = simulate(torch_dir, "steered.py")
    said = run.result
    assert 60 <= said.pop("waited") <= 80
    assert said == {"scaled": [2, 65536.0], "clipped": [2, 65536.0], "history": 5,
                    "tokens of an expert": 32, "a token": [True] * 8, "finite": [True, False],
                    "half of a mask": 20,
                    "of comparisons": [[[n // 2] * 4] * 5 for n in (40, 3000)],
                    "any, all": [[False, True]] * 2, "none, as was said": [False, 0, 3000],
                    "turns": 0, "known": [67, 9880], "a function of the program's own is called": 1}
    assert "assumed finite: GradScaler at " in run.log
    assert "assumed size: where at " in run.log


@pytest.mark.parametrize("arguments", [("--checkpoint", "--precision", "bf16"),
                                       ("--optimizer", "fused", "--precision", "fp16")])
def test_memory_is_what_it_is_without(simulate, torch_dir, arguments):
    with_it = simulate(torch_dir, "gpt.py", *arguments).result
    without = simulate(torch_dir, "gpt.py", *arguments, TIDEMARK_SIM_KNOWN="0").result
    for key in ("after_model", "allocated", "peak", "reserved", "free"):
        assert with_it[key] == without[key], key


def test_a_generated_text_ends(simulate, torch_dir):
    own = LIBRARIES / f"torch-{torch_version(torch_dir)}"
    if not (LIBRARIES / "transformers").exists() or not own.exists():
        pytest.skip("no transformers, or no torchvision, for this PyTorch")
    run = simulate(torch_dir, "generate.py", python=map(str, (LIBRARIES, own)))
    assert run.result == {"greedy": [8, [2, 24]], "sampled": [8, [2, 24]], "beams": [8, [2, 24]],
                          "static cache": [8, [2, 24]]}
    assert "assumed branch: __bool__ at " in run.log
    assert "not known inside of torch.compile" in run.log


def test_what_is_done_with_a_number_is_told(simulate, torch_dir):
    run = simulate(torch_dir, "used.py")
    assert run.result == "done"
    lines = (SCRIPTS / "used.py").read_text().splitlines()
    wanted = {at: line.split("# ")[1] for at, line in enumerate(lines, 1) if "  # " in line}
    told = re.findall(r"assumed (\w+): [a-z_ ]+ at .*used\.py:(\d+)", run.log)
    assert {int(at): use for use, at in told if use != "share"} == wanted


def test_a_program_that_ends_as_autograd_still_lets_go_ends_well(simulate, torch_dir, tmp_path):
    late = tmp_path / "late.so"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", late, SCRIPTS / "late.c"],
                   check=True)
    for _ in range(4):  # without the wait at the end every second one fails
        assert simulate(torch_dir, "leaving.py", LD_PRELOAD=str(late)).result == []
