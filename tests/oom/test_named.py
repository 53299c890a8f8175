"""Causes that a trace cannot prove, because the run died in its first forward or in a backward that
lets go of nothing: the known fix is named all the same, with the user's line and why it is no ✓."""
import pathlib

import pytest

import levers
import where

pytestmark = pytest.mark.turns(2)  # of the short form: tests/short.py

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def refused():
    """refused(program[, memory]) -> the fatal refusal as `tidemark oom --json` tells it."""
    where.need("torch-2.11.0")
    runs = levers.Runs(False)

    def call(name, memory=None):
        program = levers.from_head(HERE / "programs" / f"{name}.py")
        base = runs.run(program, memory or program.memory, ({}, program.words, []), trace=True)
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


def at(lever):
    return pathlib.Path(lever["file"]).read_text().splitlines()[lever["line"] - 1]


def test_a_loop_that_keeps_two_values_names_the_line_that_makes_most(refused):
    """The score of a beam and its state: who detaches only the newest of them runs out again."""
    first, second = refused("beam_validation")["levers"][:2]
    assert (first["id"], first["mark"]) == ("no_grad", "fits")
    assert (second["id"], second["mark"]) == ("stop_leak", "fits")
    assert "F.log_softmax(self.out(h), -1)" in at(second)
    assert second["saves_bytes"] < first["saves_bytes"] * 0.8


def test_copies_that_pile_up_name_each_line_and_are_no_batch(refused):
    told = refused("ewc_tasks")["levers"]
    assert (told[0]["id"], told[0]["mark"]) == ("stop_leak", "fits")
    assert "ewc_tasks.py:40 and ewc_tasks.py:47 make" in told[0]["change"]
    assert ".cpu()" in told[0]["change"] and "loss.item()" not in told[0]["change"]
    assert not any("instead of 4096" in lever["change"] for lever in told)
    told = refused("best_weights")["levers"]
    assert "state.clone()" in at(told[0]) and ".cpu()" in told[0]["change"]
    assert not any("instead of 2048" in lever["change"] for lever in told)


def test_models_that_pile_up_with_their_optimizers_are_no_loss(refused):
    first = refused("federated_clients")["levers"][0]
    assert (first["id"], first["mark"]) == ("stop_leak", "fits")
    assert "models and optimizers" in first["change"] and "federated_clients.py:21" in first["change"]


def test_gradients_that_a_hook_keeps_have_the_line_of_their_forward(refused):
    first = refused("gradient_hooks")["levers"][0]
    assert (first["id"], first["mark"]) == ("stop_leak", "fits")
    assert "gradients" in first["change"] and "net(x)" in at(first)


def test_an_evaluation_with_a_larger_batch_needs_a_smaller_one_and_no_accumulation(refused):
    told = refused("large_eval_batch")["levers"]
    assert told[0]["id"] == "smaller_batch" and told[0]["change"].startswith("evaluate with a batch")
    assert "accumulate" not in [lever["id"] for lever in told]


@pytest.mark.parametrize("program, text", [("sinkhorn_rounds", "torch.logsumexp(cost"),
                                           ("crf_forward", "torch.logsumexp(alpha[")])
def test_rounds_of_a_loop_can_have_checkpoints(refused, program, text):
    told = {lever["id"]: lever for lever in refused(program)["levers"]}
    assert told["checkpoint_turns"]["mark"] == "unknown" and text in at(told["checkpoint_turns"])
    assert told["smaller_batch"]["change"].endswith(
        "instead of 64" if program == "crf_forward" else "instead of 2048")


def test_what_is_larger_than_any_parameter_is_no_gradient_to_let_go_of(refused):
    told = [lever["id"] for lever in refused("jacobian_rows")["levers"]]
    assert "optimizer_in_backward" not in told and told[0] == "smaller_batch"


def test_a_gradient_on_its_way_through_a_backward_shrinks_with_the_batch():
    where.need("torch-2.11.0")
    program = levers.from_head(HERE / "programs" / "jacobian_rows.py")
    result = levers.evaluate(levers.Runs(False), program, False)
    smaller = next(row for row in result["levers"] if row["id"] == "smaller_batch")
    assert smaller["mark"] == "fits" and smaller["fits"] and abs(smaller["off"]) < 0.05, smaller


def test_factors_of_a_matrix_have_no_8_bit_form(refused):
    event = refused("shampoo_factors")
    small = next(lever for lever in event["levers"] if lever["id"] == "8bit_optimizer")
    assert small["mark"] == "unknown" and "no 8-bit form" in small["why"], small
    event = refused("adam_foreach")
    small = next(lever for lever in event["levers"] if lever["id"] == "8bit_optimizer")
    assert small["mark"] == "fits", small


def test_a_forward_that_complete_steps_trained_is_no_fault(refused):
    told = [lever["id"] for lever in refused("reinforce_long_episode", "1350MiB")["levers"]]
    assert "no_grad" not in told and "stop_leak" not in told, told


def test_nothing_is_promised_where_each_step_makes_more_than_the_one_before(refused):
    marks = {lever["id"]: lever["mark"] for lever in refused("reinforce_long_episode")["levers"]}
    assert "smaller_batch" in marks and "fits" not in marks.values(), marks


def test_a_model_that_gets_larger_is_no_leak(refused):
    event = refused("gaussian_densify")
    lever = next(lever for lever in event["levers"] if lever["id"] == "stop_leak")
    assert lever["mark"] == "unknown" and "larger" in lever["change"], lever


def test_models_in_use_are_not_let_go_of(refused):
    event = refused("progressive_columns")
    lever = next(lever for lever in event["levers"] if lever["id"] == "stop_leak")
    assert lever["mark"] == "unknown" and "stay" in lever["why"], lever
    assert "optimizers" in lever["change"] and "models" not in lever["change"], lever


def test_gradients_filled_with_zeros_are_nobodys_no_more_than_others(refused):
    levers_told = {lever["id"]: lever for lever in refused("zero_grad_zeros")["levers"]}
    assert "unowned_gradients" not in levers_told
    assert "set_to_none=True" in levers_told["zero_grad_first"]["change"]


def test_models_that_take_turns_are_no_stages(refused):
    event = refused("rlhf_four_models")
    assert event["levers"][0]["id"] != "old_optimizer"
    assert not any(lever["fault"] for lever in event["levers"] if lever["id"] == "old_optimizer")


def test_a_graph_that_stays_after_its_backward_is_named(refused):
    lever = refused("retain_graph_last")["levers"][0]
    assert lever["id"] == "stop_leak" and lever["mark"] == "fits", lever
    assert "retain_graph" in lever["change"]
    line = pathlib.Path(lever["file"]).read_text().splitlines()[lever["line"] - 1]
    assert "b(x)" in line or "trunk(images)" in line, line


def test_an_average_of_the_weights_that_is_kept_by_hand_is_named(refused):
    lever, = [lever for lever in refused("ema_swap_eval")["levers"]
              if lever["id"] == "frozen_copy_elsewhere"]
    assert lever["mark"] == "unknown" and "copy of the weights" in lever["why"], lever
    line = pathlib.Path(lever["file"]).read_text().splitlines()[lever["line"] - 1]
    assert "clone()" in line, line


def test_rounds_of_modules_that_are_in_no_list_have_a_checkpoint(refused):
    lever = refused("raft_corr")["levers"][0]
    assert lever["id"] == "checkpoint_turns" and lever["mark"] == "unknown", lever
