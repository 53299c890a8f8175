"""Where activations are not counted, what fits without them is not known to fit with them."""
import json
import pathlib

import pytest

MAMBA = pathlib.Path(__file__).resolve().parent / "configs" / "mamba2.json"


@pytest.mark.parametrize("words", [("--params", "7e9"), ("--config", MAMBA)])
def test_what_fits_without_activations_is_not_known_to_fit(plan, words):
    said = plan(*words, "--gpu", "b300,a100-80gb", env={"LC_ALL": "C.UTF-8"}).stdout
    assert "? b300" in said and "✗ a100-80gb" in said and "✓" not in said
    assert "activations are not counted" in said
    counted = plan(*words, "--gpu", "b300", "--activation-bytes", "1GiB",
                   env={"LC_ALL": "C.UTF-8"}).stdout
    assert "✓ b300" in counted


def test_a_config_of_mamba_that_cannot_be(plan, tmp_path):
    whole = json.loads(MAMBA.read_text())
    for change, part in (({"expand": 3}, "are not 'expand' times 'hidden_size'"),
                         ({"n_groups": 0}, "'n_groups'"), ({"state_size": -1}, "'state_size'"),
                         ({"conv_kernel": 2**40}, "'conv_kernel'")):
        (tmp_path / "config.json").write_text(json.dumps({**whole, **change}))
        done = plan("--config", tmp_path / "config.json")
        assert done.returncode == 2 and part in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
