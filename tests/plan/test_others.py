"""The formulas of other estimators, against figures that they print themselves."""
import others
import pytest

GPT2_XL = {"parameters": 1_557_611_200, "largest_layer": 80_411_200, "bytes": 6_230_444_800,
           "hidden": 1600, "heads": 25, "kv_heads": None, "head_width": None, "rms": False,
           "gated": False, "feed_forward": 6400, "vocabulary": 50257, "tied": True, "layers": 48,
           "stacks": 1, "repeated": False}
WORDS = ["--precision", "bf16", "--optimizer", "adamw", "--checkpoint", "none", "--attention",
         "flash", "--batch", "1", "--seq", "1024"]


def test_accelerate_as_its_page_says():
    """docs/source/usage_guides/model_size_estimator.md: bert-base-cased, and resnet50."""
    mib = 2**20
    assert others.accelerate(413.18 * mib, False) / 2**30 == pytest.approx(1.61, abs=0.005)
    assert others.accelerate(413.18 * mib, True) / mib == pytest.approx(826.36, abs=0.005)
    assert others.accelerate(97.7 * mib, False) / mib == pytest.approx(390.78, abs=0.05)


def test_deepspeed_zero3_as_its_page_says():
    """docs/code-docs/source/memory.rst: t5-3b on 8 devices, t5-large on 4."""
    assert others.deepspeed_zero3(2851e6, 32e6, 8) / 2**30 == pytest.approx(6.09, abs=0.005)
    assert int(others.deepspeed_zero3(737.67e6, 32.9e6, 4)) >> 20 == 3291


def test_deepspeed_zero2_as_its_comment_says():
    """stage_1_and_2.py: 2 bytes of weights, and 18 that the devices share. (Its page still has the
    figures of the formula before: 4 and 16.)"""
    assert others.deepspeed_zero2(1000, 1) == 20_000
    assert others.deepspeed_zero2(1000, 8) == 4_250


def test_megatron_as_it_prints():
    """A log of pretrain_gpt.py with GPT-2 XL, one device, batch 1: 26699.47 MB and 2785.59 MB."""
    weights, activations = others.megatron(GPT2_XL, 1, 1024)
    assert weights / 2**20 == pytest.approx(26699.47, abs=0.005)
    assert activations / 2**20 == pytest.approx(2785.59, abs=0.005)


@pytest.mark.parametrize("sizes, batch, length, given, gib", [
    ({"layers": 44, "hidden": 6144, "heads": 64, "feed_forward": 24576, "vocabulary": 51200}, 1,
     2048, {"checkpoint": True, "stage": 1}, 362.45),
    ({"layers": 44, "hidden": 6144, "heads": 64, "feed_forward": 24576, "vocabulary": 51200,
      "gated": True, "kv_heads": 8}, 1, 2048, {"stage": 3, "devices": 8}, 126.27),
    ({"layers": 12, "hidden": 768, "heads": 12, "feed_forward": 3072}, 4, 1024, {"mixed": False},
     7.04)])
def test_eleuther_as_it_prints(sizes, batch, length, given, gib):
    """calc_transformer_mem.py: the 20B of its README; the same with --zero-stage=3 --num-gpus=8
    --num-mlp-linears=3 --kv-size-ratio=0.125; and GPT-2 with --disable-mixed-precision."""
    got = others.eleuther(GPT2_XL | sizes, batch, length, **given)
    assert got / 2**30 == pytest.approx(gib, abs=0.005)


def test_who_has_an_answer():
    everybody = others.of_formulas(WORDS, GPT2_XL)
    assert None not in everybody.values()
    adapters = others.of_formulas([*WORDS, "--lora-rank", "4"], GPT2_XL)
    assert set(adapters.values()) == {None}
    sharded = others.of_formulas([*WORDS, "--zero", "3", "--world", "8"], GPT2_XL)
    assert {name for name, says in sharded.items() if says} == {"deepspeed", "eleuther"}
    lion = others.of_formulas([word.replace("adamw", "lion") for word in WORDS], GPT2_XL)
    assert lion["eleuther"] is None and lion["megatron"] == everybody["megatron"]
    two_stacks = others.of_formulas(WORDS, GPT2_XL | {"stacks": 2})
    assert {name for name, says in two_stacks.items() if says} == {"accelerate", "deepspeed"}


def test_no_model_no_answer():
    nothing = {"none": "KeyError"}
    says = others.answers(WORDS, {"shape": nothing, "kitsune": nothing, "memtracker": nothing})
    assert list(says) == list(others.PAGE_OF) and set(says.values()) == {None}
    says = others.answers(WORDS, {"shape": GPT2_XL, "kitsune": 5, "memtracker": {"none": "x"}})
    assert says["kitsune"] == 5 and says["memtracker"] is None and says["accelerate"]
    assert "memtracker" not in others.answers(WORDS, {"shape": GPT2_XL, "kitsune": 5})
