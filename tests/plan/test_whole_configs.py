"""A config.json with every field that transformers writes, for each family: one from the Hub has
them too, and shorter ones written by hand hide what such a field does."""
import json
import pathlib

import pytest

HERE = pathlib.Path(__file__).resolve().parent
COUNTED = json.loads((HERE / "counted.json").read_text())
# Their parameters are counted, while their step is not known: DeepSeek-V2's own defaults have experts
# and no shared one, and what Mamba 2 keeps depends on the kernels that are installed.
WITHOUT_STEP = {"deepseek_v2", "mamba2"}


def test_every_config_is_counted_and_every_family_has_one():
    from configs import FAMILIES
    assert {path.stem for path in (HERE / "configs").iterdir()} == set(COUNTED) == set(FAMILIES)


def test_every_family_that_plan_names_has_a_config(plan, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "none of them"}')
    sentence = plan("--config", "config.json").stderr
    named = sentence.split("not one of ")[1].split(";")[0].replace(" or ", ", ").strip(" .")
    named = {name.strip() for name in named.split(",") if name.strip()}
    assert len(named) > 30
    assert named - {"nanogpt"} == set(COUNTED)


@pytest.mark.parametrize("family", sorted(COUNTED))
def test_a_whole_config_has_the_parameters_of_the_model(answer, family):
    got = answer("--config", HERE / "configs" / f"{family}.json")
    assert got["parameters"] == COUNTED[family]
    if family in WITHOUT_STEP:
        assert got["peak_allocated_bytes"] is None
    else:
        assert got["peak_allocated_bytes"] > 4 * COUNTED[family]
