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


def test_a_part_that_was_never_trained_makes_no_evaluation(refused):
    event = refused("dreamer_imagine")
    for name in ("no_grad", "stop_leak"):
        lever = next(lever for lever in event["levers"] if lever["id"] == name)
        assert lever["mark"] == "unknown" and not lever["fault"]
        assert "has not been trained yet" in lever["why"]
    assert event["levers"][0]["id"] not in ("no_grad", "stop_leak")


def test_distances_to_a_codebook_are_no_logits(refused):
    levers_told = {lever["id"]: lever for lever in refused("vq_codebook")["levers"]}
    assert "chunked_loss" not in levers_told and "smaller_batch" in levers_told


def test_what_is_made_of_weights_is_no_batch(refused):
    told = {lever["id"]: lever for lever in refused("bayes_samples")["levers"]}
    assert "instead of 512" in told["smaller_batch"]["change"]
    assert told["backward_each"]["mark"] == "unknown"
    assert "turn before" in told["backward_each"]["why"]


def test_a_length_is_found_in_the_step_that_the_rest_is_told_from(refused):
    told = {lever["id"]: lever for lever in refused("bert_long_batch")["levers"]}
    assert 16 <= told["shorter_sequence"]["value"] < 512


def test_a_gradient_that_passes_through_a_model_is_left_to_it(refused):
    """No optimizer has the network, and the picture learns through it."""
    event = refused("style_image")
    first = event["levers"][0]
    assert (first["id"], first["mark"]) == ("unowned_gradients", "fits"), first
    assert "no_grad" not in [lever["id"] for lever in event["levers"]]


def test_a_forward_whose_like_had_a_backward_in_this_step_is_no_evaluation(refused):
    told = [(lever["id"], lever["mark"]) for lever in refused("guided_sampling")["levers"]]
    assert told[0] == ("stop_leak", "fits") and "no_grad" not in dict(told)
