"""Where there is no peak over time, the sum is said to be one, and no card is said to fit by it."""
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


SMALL = {"vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 128, "max_position_embeddings": 512}
T5 = {"model_type": "t5", "vocab_size": 1000, "d_model": 64, "num_layers": 2, "num_heads": 4,
      "d_ff": 128, "d_kv": 16}
BERT = {**SMALL, "model_type": "bert"}
LLAMA = {**SMALL, "model_type": "llama"}
FALCON = {**SMALL, "model_type": "falcon"}
SPARSE = {**SMALL, "model_type": "mixtral", "num_local_experts": 4, "num_key_value_heads": 4}
RUNS = "; --measure runs it"
#: words that ask for a sum: a card is judged by it
SUMS = ("--activation-bytes", "--activation-formula", "--overhead", "--inference")

#: A config, the words after it, the reason, and whether --measure runs it.
GAPS = [
    (LLAMA, "--checkpoint selective", "'--checkpoint selective' is not gone through", False),
    (LLAMA, "--checkpoint sqrt", "'--checkpoint sqrt' is not gone through", False),
    (LLAMA, "--zero 2 --world 4", "'--zero 2' is not gone through", False),
    (LLAMA, "--zero 3 --world 4 --accumulate 2", "'--accumulate' under '--zero 3'", True),
    (LLAMA, "--zero 3 --world 4 --lora-rank 4", "adapters under '--zero 3'", True),
    (LLAMA, "--offload params", "'--offload params' is not gone through", False),
    (LLAMA, "--param-dtype int8 --lora-rank 4", "matmuls by int8 weights", False),
    (LLAMA, "--lora-params 1000", "where the adapters of '--lora-params' stand", False),
    (LLAMA, "--master-dtype fp32", "an optimizer with a master copy", False),
    (LLAMA, "--activation-bytes 1MiB", "activations whose size is given", False),
    (LLAMA, "--activation-formula rough", "'--activation-formula rough' is one of sums", True),
    (LLAMA, "--overhead 1.1", "'--overhead' multiplies a sum", True),
    (LLAMA, "--inference", "inference is not gone through", False),
    ({**LLAMA, "num_hidden_layers": 1025}, "", "more than 1,024 layers", True),
    ({**FALCON, "alibi": True}, "", "'alibi' is true, which is not gone through", True),
    ({**FALCON, "bias": True}, "", "'bias' is true, which is not gone through", True),
    (T5, "--checkpoint full", "T5's layers under '--checkpoint full'", True),
    (T5, "--zero 3 --world 2", "models of two stacks under '--zero 3'", True),
    (T5, "--lora-rank 4", "adapters in models of two stacks", True),
    (BERT, "--zero 3 --world 2", "encoders under '--zero 3'", True),
    ({**BERT, "architectures": ["BertForQuestionAnswering"]}, "", "the head of its class", True),
    ({**SPARSE, "output_router_logits": True}, "", "the router's own loss ('output_router", True),
]


@pytest.mark.parametrize("content, words, reason, runs", GAPS, ids=lambda x: str(x)[:40])
def test_what_is_not_gone_through_is_said_and_fits_no_card_but_by_a_sum_that_is_asked_for(plan, tmp_path, content, words, reason,
                                                          runs):
    (tmp_path / "config.json").write_text(json.dumps(content))
    asked = ["--config", tmp_path / "config.json", "--seq", "64", *words.split(),
             "--gpu", "b300,1074MB", "--context", "1GiB"]
    asked = asked[:2] + asked[4:] if "--activation-bytes" in words else asked
    screen = plan(*asked, env={"LC_ALL": "C.UTF-8"}).stdout
    told = " ".join(screen.split())
    asked_for = any(word in words for word in SUMS)
    assert f"no peak over time: {reason}" in told and (RUNS in told) == runs
    assert ("The answer is by the sum" if asked_for else "A card is ? where the sum") in told
    assert f"{'✓' if asked_for else '?'} b300" in screen and "✗ 1074MB" in screen
    assert asked_for or "✓" not in screen
    assert all(len(line) <= 80 for line in screen.splitlines())
    said = json.loads(plan(*asked, "--json").stdout)
    assert [(fit["fits"], fit["basis"]) for fit in said["fits"]] == [
        (True if asked_for else None, "sum"), (False, "sum")]
    assert said["peak"] is None and any(reason in note for note in said["notes"])


def test_a_sweep_by_the_sum_has_no_mark_that_it_fits(plan):
    asked = ("--model", "gpt2", "--checkpoint", "sqrt", "--seq", "128", "--gpu", "4GB",
             "--sweep", "batch=1,2,4096")
    table = plan(*asked, env={"LC_ALL": "C.UTF-8"}).stdout.split("SWEEP")[1]
    marks = [line[-1] for line in table.splitlines() if line.endswith(("?", "✗", "✓"))]
    assert marks == ["?", "?", "✗"]
    rows = json.loads(plan(*asked, "--json").stdout)["sweep"]["rows"]
    assert [row["fits"] for row in rows] == [[], [], []]
    assert [row["may_fit"] for row in rows] == [["4GB"], ["4GB"], []]


def test_a_card_of_older_kernels_is_named(plan, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SPARSE))
    for cards in ("t4,l4", "l4,t4"):
        said = plan("--config", tmp_path / "config.json", "--seq", "64", "--gpu", cards,
                    env={"LC_ALL": "C.UTF-8"}).stdout
        assert "no peak over time on t4: a card before Ampere" in " ".join(said.split())
        assert "? t4" in said and "✓ l4" in said


def test_a_config_of_mamba_that_cannot_be(plan, tmp_path):
    whole = json.loads(MAMBA.read_text())
    for change, part in (({"expand": 3}, "are not 'expand' times 'hidden_size'"),
                         ({"n_groups": 0}, "'n_groups'"), ({"state_size": -1}, "'state_size'"),
                         ({"conv_kernel": 2**40}, "'conv_kernel'")):
        (tmp_path / "config.json").write_text(json.dumps({**whole, **change}))
        done = plan("--config", tmp_path / "config.json")
        assert done.returncode == 2 and part in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
