"""Causes that a trace cannot prove, because the run died in its first forward or in a backward that
lets go of nothing: the known fix is named all the same, with the user's line and why it is no ✓."""
import pathlib

import pytest

import levers
import where

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def refused():
    """refused(program) -> the fatal refusal as `tidemark oom --json` tells it."""
    where.need("torch-2.11.0")
    runs = levers.Runs(False)

    def call(name):
        program = levers.from_head(HERE / "programs" / f"{name}.py")
        base = runs.run(program, program.memory, ({}, program.words, []), trace=True)
        assert not base["fits"] and "error" not in base, base
        return levers.oom_of(base["trace"])

    return call


@pytest.mark.parametrize("program, fix, text", [
    ("dataset_on_gpu", "load_on_cpu", "images = torch.empty(90_000"),
    ("gan_undetached", "no_grad", "fake = G(torch.randn("),
    ("hessian_cycle", "stop_leak", "sum(g.square().sum() for g in grads)"),
    ("ppo_rollout_graph", "no_grad", "h = self.trunk(obs)"),
])
def test_the_known_fix_is_named_first_and_not_promised(refused, program, fix, text):
    lever = refused(program)["levers"][0]
    assert lever["id"] == fix and lever["mark"] == "unknown" and lever["why"], lever
    line = pathlib.Path(lever["file"]).read_text().splitlines()[lever["line"] - 1]
    assert text in line, lever


def test_a_peak_that_may_be_higher_says_so(refused):
    event = refused("dataset_on_gpu")
    assert all(lever["peak_is_least"] for lever in event["levers"] if lever["peak_bytes"])
    event = refused("adam_foreach")
    assert not any(lever["peak_is_least"] for lever in event["levers"])
    fused = next(lever for lever in event["levers"] if lever["id"] == "fused_optimizer")
    assert fused["peak_phase"] in ("forward", "backward", "optimizer") and fused["peak_step"] >= 1
