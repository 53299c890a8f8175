"""`tidemark plan --measure`: two steps on the simulated device, held against the formula.

Runs need the CUDA build of PyTorch and the transformers that tests/setup.sh fetched. The models
are small and have odd sizes; their dtypes, optimizers and shapes are those of large ones.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from where import COMMAND, LIBRARIES, PYTHON, clean_environment, need

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 96,
         "intermediate_size": 260, "num_hidden_layers": 3, "num_attention_heads": 6,
         "num_key_value_heads": 2, "vocab_size": 531, "max_position_embeddings": 128}
GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 96, "n_layer": 3,
        "n_head": 6, "n_positions": 128, "vocab_size": 531}
BERT = {"model_type": "bert", "architectures": ["BertForSequenceClassification"],
        "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 6,
        "intermediate_size": 260, "vocab_size": 531, "max_position_embeddings": 128}
ALBERT = {**BERT, "model_type": "albert", "architectures": ["AlbertForSequenceClassification"],
          "embedding_size": 32}
T5 = {"model_type": "t5", "d_model": 96, "d_kv": 16, "d_ff": 260, "num_layers": 2, "num_heads": 6,
      "vocab_size": 531}
MIXTRAL = {**LLAMA, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"],
           "intermediate_size": 256, "num_local_experts": 7}
QWEN_MOE = {**LLAMA, "model_type": "qwen2_moe", "architectures": ["Qwen2MoeForCausalLM"],
            "moe_intermediate_size": 64, "shared_expert_intermediate_size": 160,
            "num_experts": 9, "mlp_only_layers": [1]}
DEEPSEEK = {**LLAMA, "model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"],
            "num_key_value_heads": 6, "moe_intermediate_size": 64, "n_routed_experts": 12,
            "n_group": 3, "topk_group": 2, "num_experts_per_tok": 3, "first_k_dense_replace": 1,
            "q_lora_rank": 48, "kv_lora_rank": 40, "qk_rope_head_dim": 16,
            "qk_nope_head_dim": 24, "v_head_dim": 32}
LLAMA4 = {**LLAMA, "model_type": "llama4_text", "architectures": ["Llama4ForCausalLM"],
          "head_dim": 16, "intermediate_size": 128, "intermediate_size_mlp": 260,
          "num_local_experts": 5, "no_rope_layers": [1, 0, 1], "moe_layers": [0, 2]}
PEGASUS = {"model_type": "pegasus", "d_model": 96, "encoder_layers": 2, "decoder_layers": 2,
           "encoder_ffn_dim": 260, "decoder_ffn_dim": 260, "encoder_attention_heads": 6,
           "decoder_attention_heads": 6, "vocab_size": 531, "max_position_embeddings": 128}


def without(config):
    return {key: value for key, value in config.items() if key != "architectures"}


#: an environment in which torch and transformers are found
BOTH = ("torch-2.11.0", "libraries")


@pytest.fixture
def call(tmp_path):
    """call("--config", {...}, ..., path=BOTH) -> CompletedProcess, in an empty folder."""
    work, scratch = tmp_path / "work", tmp_path / "scratch"
    work.mkdir(), scratch.mkdir()

    def run(*words, path=BOTH, python=PYTHON, **env):
        words = list(words)
        for i, word in enumerate(words):
            if isinstance(word, dict):
                words[i] = tmp_path / f"{word['model_type']}.json"
                words[i].write_text(json.dumps(word))
        folders = [str(LIBRARIES if p == "libraries" else need(p)) for p in path if need(p)]
        env = clean_environment(LC_ALL="C", COLUMNS=80, TMPDIR=scratch,
                                PYTHONPATH=os.pathsep.join(folders), **env)
        python = ["--python", python] if python else []
        done = subprocess.run([COMMAND, "plan", "--measure", *python, *map(str, words)],
                              capture_output=True, text=True, timeout=600, env=env, cwd=work)
        assert not list(scratch.iterdir()), "the temporary folder is left"
        assert not list(work.iterdir()), "something was written into the user's folder"
        return done
    need("venv")
    return run


@pytest.fixture
def measured(call):
    """The answer to a question that must be good."""
    def run(*words, **env):
        done = call(*words, "--json", **env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return run


def refused(done, status, part):
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert done.stderr.startswith("tidemark: ") and done.stderr.count("\n") == 1, done.stderr
    assert part in done.stderr


CASES = {
    "gpt2": (GPT2, "--batch", 8),
    "llama, checkpoints": (LLAMA, "--batch", 16, "--checkpoint", "full"),
    "llama, bf16": (LLAMA, "--batch", 16, "--precision", "bf16"),
    "llama, autocast": (LLAMA, "--batch", 16, "--precision", "bf16-mixed"),
    "llama, fp16 and a scaler": (LLAMA, "--batch", 16, "--precision", "fp16-mixed"),
    "llama, lion": (LLAMA, "--batch", 16, "--optimizer", "lion"),
    "llama, muon": (LLAMA, "--batch", 16, "--optimizer", "muon"),
    "llama, adafactor": (LLAMA, "--batch", 16, "--optimizer", "adafactor"),
    "llama, 8 bits": (LLAMA, "--batch", 16, "--optimizer", "adam8bit"),
    "llama, fused": (LLAMA, "--batch", 16, "--optimizer-impl", "fused"),
    "gpt2, one by one": (GPT2, "--batch", 8, "--optimizer-impl", "for-loop", "--clip"),
    "gpt2, accumulated": (GPT2, "--batch", 64, "--accumulate", 3, "--precision", "bf16-mixed"),
    "llama, momentum": (LLAMA, "--batch", 16, "--optimizer", "sgd-momentum"),
    "bert": (BERT, "--batch", 8),
    "bert, adapters": ({**BERT, "architectures": ["BertForMaskedLM"], "vocab_size": 5310},
                       "--batch", 8, "--lora-rank", 4),
    "bert, adapters and checkpoints": (BERT, "--batch", 256, "--lora-rank", 4, "--checkpoint",
                                       "full"),
    "albert, adapters everywhere": (ALBERT, "--batch", 8, "--lora-rank", 4, "--lora-targets", "all"),
    "phi, adapters everywhere": ({**LLAMA, "model_type": "phi",
                                  "architectures": ["PhiForCausalLM"]}, "--batch", 8,
                                 "--lora-rank", 4, "--lora-targets", "all"),
    "gpt2, adapters": (GPT2, "--batch", 8, "--lora-rank", 4, "--precision", "bf16"),
    "t5, adapters": (T5, "--batch", 8, "--lora-rank", 4),
    "t5, adapters everywhere": ({**T5, "feed_forward_proj": "gated-gelu"}, "--batch", 8,
                                "--lora-rank", 4, "--lora-targets", "all"),
    "llama, adapters everywhere": (LLAMA, "--batch", 16, "--lora-rank", 8, "--lora-targets", "all",
                                   "--precision", "bf16-mixed", "--checkpoint", "full"),
    "llama, packed": (LLAMA, "--batch", 16, "--lora-rank", 8, "--param-dtype", "nf4"),
    "mixtral, adafactor": (MIXTRAL, "--batch", 16, "--optimizer", "adafactor"),
    "mixtral, 8 bits": (MIXTRAL, "--batch", 16, "--optimizer", "adam8bit", "--precision",
                        "bf16-mixed"),
    "qwen2-moe, muon": (QWEN_MOE, "--batch", 16, "--optimizer", "muon", "--attention", "math"),
    "qwen2-moe, packed": (QWEN_MOE, "--batch", 16, "--lora-rank", 8, "--param-dtype", "nf4",
                          "--precision", "bf16"),
    "llama-4, checkpoints": (LLAMA4, "--batch", 16, "--checkpoint", "full", "--precision",
                             "bf16-mixed", "--optimizer", "adafactor"),
    "deepseek-v3, checkpoints": (DEEPSEEK, "--batch", 16, "--checkpoint", "full", "--precision",
                                 "bf16"),
    "qwen2-moe, adapters everywhere": (QWEN_MOE, "--batch", 16, "--lora-rank", 8,
                                       "--lora-targets", "all", "--optimizer", "adafactor"),
    "deepseek-v3, adapters on experts": (DEEPSEEK, "--batch", 16, "--lora-rank", 8,
                                         "--lora-targets", "all", "--optimizer", "adafactor"),
    "deepseek-v3, adapters": (DEEPSEEK, "--batch", 16, "--lora-rank", 8, "--lora-targets", "q,o",
                              "--attention", "math"),
    "llama, packed twice": (LLAMA, "--batch", 16, "--lora-rank", 8, "--param-dtype", "nf4",
                            "--double-quant", "--precision", "bf16-mixed"),
}


@pytest.mark.turns(3)
@pytest.mark.parametrize("case", CASES)
def test_what_a_model_is_made_of_is_the_formula(measured, case):
    config, *words = CASES[case]
    a = measured("--config", config, *words)
    m = a["measured"]
    for bucket in ("parameter", "gradient", "optimizer"):
        wanted = a[f"{bucket}_bytes"]
        if bucket == "optimizer" and "adam8bit" in words:
            wanted += 2 * 256 * 4  # two tables of what the bytes mean, whatever the model
        assert m[f"{bucket}_bytes"] == pytest.approx(wanted, rel=0.001), bucket
    assert sum(b["bytes"] for b in m["by_bucket"]) == m["peak_allocated_bytes"]
    assert m["peak_allocated_bytes"] <= m["peak_reserved_bytes"]
    if a["peak_allocated_bytes"] is not None:  # the walk knows it
        assert a["peak_allocated_bytes"] == pytest.approx(m["peak_allocated_bytes"], rel=0.02,
                                                          abs=1 << 20)
        assert a["peak_phase"] == m["peak_phase"]


SHARED = {
    "FSDP2": (LLAMA, "--batch", 16, "--zero", 3, "--world", 8),
    "FSDP2, mixed": (LLAMA, "--batch", 16, "--zero", 3, "--world", 2, "--precision", "bf16-mixed"),
    "FSDP2, checkpoints": (GPT2, "--batch", 8, "--zero", 3, "--world", 64, "--checkpoint", "full",
                           "--precision", "bf16"),
    "DDP": (GPT2, "--batch", 8, "--zero", 0, "--world", 8),
}


#: the training, and the cards whose kernels differ: without flash attention, without any for bf16
CARDS = {
    "t4, bf16": (BERT, "t4", "--precision", "bf16-mixed"),
    "t4, fp16, fewer keys": (LLAMA, "t4", "--precision", "fp16-mixed"),
    "t4, fp32": (GPT2, "t4", "--precision", "fp32"),
    "h100, experts": (MIXTRAL, "h100-80gb", "--precision", "bf16"),
    "h100": (LLAMA, "h100-80gb", "--precision", "bf16"),
}


@pytest.mark.parametrize("case", CARDS)
def test_each_card_runs_the_kernels_that_it_has(measured, case):
    config, card, *words = CARDS[case]
    a = measured("--config", config, "--batch", 16, "--seq", 128, "--gpu", card, *words)
    m = a["measured"]
    assert a["peak_allocated_bytes"] == pytest.approx(m["peak_allocated_bytes"], rel=0.005)
    assert a["peak"]["reserved_bytes"] == pytest.approx(m["peak_reserved_bytes"], rel=0.02)


@pytest.mark.parametrize("case", SHARED)
def test_what_one_of_several_devices_takes(measured, tmp_path, case):
    config, *words = SHARED[case]
    kept = tmp_path / "kept.db"
    a = measured("--config", config, *words, "-o", kept)
    m = a["measured"]
    assert subprocess.run([COMMAND, "reconcile", kept, "--check"],
                          stdout=subprocess.DEVNULL).returncode == 0
    done = subprocess.run([COMMAND, "plan", "--trace", kept, "--json"], capture_output=True)
    again = json.loads(done.stdout)
    assert again["peak_allocated_bytes"] == m["peak_allocated_bytes"]
    assert again["traced"]["walk_peak_bytes"] == a["peak_allocated_bytes"]
    assert again["parameters"] == a["parameters"]
    for bucket in ("parameter", "optimizer"):
        assert m[f"{bucket}_bytes"] == pytest.approx(a[f"{bucket}_bytes"], rel=0.01, abs=1 << 20)
    assert a["peak_allocated_bytes"] == pytest.approx(m["peak_allocated_bytes"], rel=0.02,
                                                      abs=1 << 20)
    assert a["peak_phase"] == m["peak_phase"]


@pytest.mark.parametrize("config, words, made", [
    (without(BERT), "", "BertForMaskedLM"),
    (BERT, "--task token-classification", "BertForTokenClassification"),
    (LLAMA, "--task sequence-classification", "LlamaForSequenceClassification"),
    (T5, "--target-seq 40", "T5ForConditionalGeneration"),
], ids=["bert", "tokens", "samples", "t5"])
def test_the_head_that_is_trained_is_the_one_that_is_predicted(measured, config, words, made):
    a = measured("--config", config, "--batch", 4, "--seq", 64, *words.split())
    m = a["measured"]
    assert m["model_class"] == made
    assert m["parameter_bytes"] == pytest.approx(4 * a["parameters"], rel=0.001)
    assert a["peak_allocated_bytes"] == pytest.approx(m["peak_allocated_bytes"], rel=0.02,
                                                      abs=1 << 20)


@pytest.mark.parametrize("key", ["torch_dtype", "dtype"])
def test_the_weights_have_the_dtype_of_the_training_and_not_the_published_one(measured, key):
    """transformers' classifiers make the model in them by the config, which has a dtype."""
    a = measured("--config", {**without(LLAMA), key: "bfloat16"}, "--task",
                 "sequence-classification", "--precision", "bf16-mixed", "--batch", 2)
    assert a["measured"]["parameter_bytes"] == a["parameter_bytes"]


def test_the_peak_is_one_of_a_step_and_not_of_the_building(measured):
    """A head that is tied is made first, and stands beside the embedding for an instant."""
    a = measured("--config", {**LLAMA, "tie_word_embeddings": True, "vocab_size": 400_001},
                 "--precision", "bf16", "--optimizer", "sgd", "--lora-rank", 2, "--seq", 2)
    assert a["measured"]["peak_step"] >= 1 and a["measured"]["peak_phase"] != "setup"
    assert a["peak_allocated_bytes"] == pytest.approx(a["measured"]["peak_allocated_bytes"], rel=.02)


def test_activations_are_what_the_formula_counts(measured):
    a = measured("--config", LLAMA, "--batch", 64, "--precision", "bf16")
    assert a["measured"]["activation_bytes"] == pytest.approx(a["activation_bytes"], rel=0.02)


def test_the_keys_of_the_answer(measured, answer):
    a, plain = measured("--config", GPT2, "--gpu", "t4"), answer("--model gpt2 --gpu t4")
    assert set(plain) < set(a) and set(plain["fits"][0]) < set(a["fits"][0])
    m = a["measured"]
    for key in ("peak_allocated_bytes", "peak_reserved_bytes", "peak_phase", "context_bytes",
                "by_bucket", "torch", "transformers", "seconds"):
        assert m[key] is not None, key
    assert m["needed_bytes"] == m["peak_reserved_bytes"] + m["context_bytes"]
    assert a["fits"][0]["basis"] == "measured" and plain["fits"][0]["basis"] == "predicted"
    assert m["model_class"] == "GPT2LMHeadModel" and m["torch"].startswith("2.11.0")


def test_the_screen_says_which_figure_is_which(call):
    out = call("--config", LLAMA, "--gpu", "t4,1GiB").stdout
    for word in ("predicted", "measured", "off", "at the peak", "by formula", "peak reserved",
                 "context", "LlamaForCausalLM", "by what was measured"):
        assert word in out, word
    assert all(len(line) <= 80 and line == line.rstrip() for line in out.splitlines()), out


def test_the_trace_is_kept_where_it_is_asked_for(measured, tmp_path):
    kept = tmp_path / "kept.db"
    a = measured("--config", GPT2, "-o", kept, "--gpu", "t4")
    assert a["measured"]["trace"] == str(kept)
    done = subprocess.run([COMMAND, "reconcile", kept], capture_output=True, text=True)
    assert "0 B unexplained" in done.stdout, done.stderr


def test_a_card_that_is_too_small_says_where(measured):
    a = measured("--config", LLAMA, "--batch", 256, "--gpu", "700MiB")
    fit, = a["fits"]
    assert fit["fits"] is False and "ran out in step 1" in fit["where"]


def test_a_model_that_the_formula_does_not_know_is_measured_alone(measured):
    a = measured("--config", PEGASUS, "--batch", 2, "--seq", 64)
    assert a["parameters"] is None and a["total_bytes"] is None
    assert a["measured"]["model_class"] == "PegasusForConditionalGeneration"
    assert any("no prediction" in note for note in a["notes"])


SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 96}


@pytest.mark.parametrize("config, made", [
    ({"model_type": "mamba2", "vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 2,
      "num_heads": 4, "head_dim": 32, "state_size": 16, "n_groups": 1}, "Mamba2ForCausalLM"),
    ({"model_type": "resnet", "architectures": ["ResNetForImageClassification"],
      "embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"},
     "ResNetForImageClassification"),
    ({"model_type": "clip", "architectures": ["CLIPModel"], "text_config": SMALL,
      "vision_config": SMALL}, "CLIPModel"),
], ids=lambda value: value if isinstance(value, str) else value["model_type"])
def test_models_without_attention_and_pairs_of_images_and_texts_are_measured(measured, config, made):
    a = measured("--config", config, "--batch", 2, "--gpu", "t4")
    assert a["measured"]["model_class"] == made
    assert a["measured"]["gradient_bytes"] == a["measured"]["parameter_bytes"] > 0


def test_the_script_is_shown_and_not_run(call):
    done = call("--config", GPT2, "--print-script", python="/nowhere/python3", path=())
    assert done.returncode == 0
    compile(done.stdout, "script", "exec")
    assert '"batch": 1' in done.stdout and "gpt2.json" in done.stdout


def test_the_script_runs_by_itself(call, tmp_path):
    script = tmp_path / "shown.py"
    script.write_text(call("--model", "gpt2", "--layers", "2", "--seq", "64", "--print-script").stdout)
    env = clean_environment(PYTHONPATH=os.pathsep.join([str(need("torch-2.11.0")), str(LIBRARIES)]))
    done = subprocess.run([COMMAND, "simulate", "-o", tmp_path / "a.db", "--", PYTHON, script],
                          capture_output=True, text=True, timeout=600, env=env, cwd=tmp_path)
    assert json.loads(done.stdout)["model_class"] == "GPT2LMHeadModel", done.stderr


# ------------------------------------------------------------------ what cannot be measured

@pytest.mark.parametrize("options, part", [
    ("--params 7B", "'--params' cannot be measured"),
    ("--model gpt2 --zero 2 --world 8", "what is measured is FSDP2"),
    ("--model gpt2 --offload optimizer", "'--offload' cannot be measured"),
    ("--model gpt2 --lora-params 1e6", "adapters are made by rank and targets"),
    ("--model gpt2 --inference", "two steps of training"),
    ("--model gpt2 --state-dtype fp32 --precision bf16", "'--state-dtype' cannot be measured"),
    ("--model gpt2 --checkpoint sqrt", "recomputes whole layers"),
    ("--model gpt2 --param-dtype fp8", "fp32, bf16, fp16, or nf4 under adapters"),
    ("--layers 12 --hidden 768", "a plain transformer cannot be measured"),
    ("--model gpt2 --timeout 0", "at least 1"),
])
def test_what_cannot_be_measured_is_one_sentence(call, options, part):
    refused(call(*options.split(), path=()), 2, part)


@pytest.mark.parametrize("option", ["--python python3", "--timeout 5", "--print-script", "-o a.db"])
def test_options_of_a_measurement_need_one(plan, option):
    refused(plan("--model", "gpt2", *option.split()), 2, "needs '--measure'")


def test_a_shape_beside_a_config_is_refused(call):
    refused(call("--config", GPT2, "--layers", 2, path=()), 2, "write it into the config")


def test_no_such_python(call):
    refused(call("--model", "gpt2", python="/nowhere/python3", path=()), 2, "/nowhere/python3")


def test_no_torch(call):
    need("venv")
    bare = f"{sys.base_prefix}/bin/python3"
    if subprocess.run([bare, "-c", "import torch"], capture_output=True).returncode == 0:
        pytest.skip(f"{bare} has a torch")
    refused(call("--model", "gpt2", python=bare, path=()), 2, "has no torch")


def test_a_torch_without_cuda(call, tmp_path):
    fake = tmp_path / "fake" / "torch"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("raise ImportError('nobody imports this')\n")
    (fake / "version.py").write_text("__version__ = '2.9.9'\ncuda = None\n")
    link = tmp_path / "python3"
    link.write_text(f"#!/bin/sh\nPYTHONPATH={fake.parent} exec {PYTHON} \"$@\"\n")
    link.chmod(0o755)
    refused(call("--model", "gpt2", python=link, path=()), 2, "built without CUDA")


def test_no_transformers(call):
    refused(call("--model", "gpt2", path=("torch-2.11.0",)), 2, "cannot import transformers")


def test_a_kind_that_nobody_knows(call):
    refused(call("--config", {"model_type": "unheard_of"}), 2,
            "does not know the model_type 'unheard_of'")


def test_a_training_that_fails(call):
    refused(call("--config", dict(LLAMA, hidden_act="unheard_of")), 3, "the training failed")


def test_one_that_takes_too_long(call):
    refused(call("--config", GPT2, "--timeout", 1), 3, "more than 1 second")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_nothing_behind(tmp_path, number):
    need("venv")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = clean_environment(TMPDIR=scratch, PYTHONPATH=os.pathsep.join(
        [str(need("torch-2.11.0")), str(LIBRARIES)]))
    process = subprocess.Popen([COMMAND, "plan", "--measure", "--model", "gpt2", "--python", PYTHON],
                               env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    mark = str(scratch).encode()

    def theirs():
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "cmdline").read_bytes():
                    found.append(folder.name)
            except OSError:
                pass
        return found

    while len(theirs()) < 2 and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert not theirs() and not list(scratch.iterdir())
