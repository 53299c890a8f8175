"""What must hold for every model and configuration, tried on many."""
import itertools
import random

import pytest

MODELS = ["gpt2", "llama-3.2-1b", "bert-base", "opt-125m", "pythia-160m", "qwen3-0.6b"]
PRECISIONS = ["fp32", "bf16", "fp16", "bf16-mixed"]
FORMULAS = ["torch", "korthikanti", "notes"]
BUCKETS = ["parameter_bytes", "gradient_bytes", "optimizer_bytes", "activation_bytes",
           "overhead_bytes"]


def activations(answer, *words):
    """Bytes that grow with the batch."""
    return answer(*words)["sample_bytes"]


@pytest.mark.parametrize("model", MODELS)
def test_terms_add_up(answer, model):
    for precision, formula in itertools.product(PRECISIONS, FORMULAS):
        a = answer(f"--model {model} --precision {precision} --seq 128 --batch 3 "
                   f"--activation-formula {formula} --attention math")
        assert sum(a[b] for b in BUCKETS) == a["total_bytes"]
        for bucket in ("parameter", "gradient", "optimizer", "activation"):
            assert a[bucket + "_bytes"] == sum(
                t["bytes"] for t in a["terms"] if t["bucket"] == bucket)
        assert a["total_bytes"] == a["fixed_bytes"] + 3 * a["sample_bytes"]


@pytest.mark.parametrize("model", MODELS)
def test_twice_the_batch_is_twice_the_activations_and_nothing_else(answer, model):
    for checkpoint in ("none", "full", "selective", "sqrt"):
        one, two = (answer(f"--model {model} --seq 256 --attention math --batch {b} "
                           f"--checkpoint {checkpoint}") for b in (4, 8))
        fixed = one["fixed_bytes"]
        assert two["total_bytes"] - fixed == 2 * (one["total_bytes"] - fixed)
        for bucket in BUCKETS[:3]:
            assert one[bucket] == two[bucket]


@pytest.mark.parametrize("world", [2, 3, 8, 1000])
def test_each_zero_stage_divides_its_bucket_by_the_devices(answer, world):
    whole = answer("--params 1234567 --optimizer adam")
    for stage in (1, 2, 3):
        part = answer(f"--params 1234567 --optimizer adam --zero {stage} --world {world}")
        for bucket, least in (("optimizer_bytes", 1), ("gradient_bytes", 2),
                              ("parameter_bytes", 3)):
            want = -(-whole[bucket] // world) if stage >= least else whole[bucket]
            assert part[bucket] == want


def test_one_device_shares_nothing(answer):
    assert (answer("--model gpt2 --seq 64 --zero 3 --world 1")["total_bytes"]
            == answer("--model gpt2 --seq 64")["total_bytes"])


@pytest.mark.parametrize("model", MODELS[:3])
def test_more_of_anything_is_never_less_memory(answer, model):
    least = 0
    for batch, seq in ((1, 64), (1, 128), (2, 128), (2, 512), (7, 512)):
        total = answer(f"--model {model} --batch {batch} --seq {seq} "
                       "--attention math")["total_bytes"]
        assert total > least
        least = total


@pytest.mark.parametrize("model", MODELS)
def test_every_lever_saves(answer, model):
    base = f"--model {model} --batch 16 --seq 512 --attention math --precision "
    for precision in PRECISIONS:
        full = answer(base + precision)["total_bytes"]
        for lever in ("--checkpoint full", "--checkpoint sqrt", "--checkpoint selective",
                      "--optimizer adam8bit", "--optimizer sgd", "--optimizer adafactor",
                      "--zero 1 --world 4", "--zero 2 --world 4", "--zero 3 --world 4",
                      "--offload optimizer", "--offload params", "--lora-rank 4"):
            assert answer(f"{base}{precision} {lever}")["total_bytes"] < full, lever


def test_bytes_moved_to_the_host_are_not_lost(answer):
    here = answer("--params 7e9 --master-dtype fp32 --param-dtype bf16")
    there = answer("--params 7e9 --master-dtype fp32 --param-dtype bf16 --offload optimizer")
    assert there["host_bytes"] == here["optimizer_bytes"] and there["optimizer_bytes"] == 0
    assert there["total_bytes"] + there["host_bytes"] == here["total_bytes"]


def test_the_largest_batch_is_the_largest(answer):
    for model in MODELS:
        asked = f"--model {model} --seq 256 --gpu 16GB,a100-40gb "
        for i, fit in enumerate(answer(asked)["fits"]):
            largest = fit["max_batch"]
            if not largest:
                assert not answer(asked)["fits"][i]["fits"]
                continue
            assert answer(f"{asked} --batch {largest}")["fits"][i]["fits"]
            assert not answer(f"{asked} --batch {largest + 1}")["fits"][i]["fits"]


def test_precisions_are_what_torch_does(answer):
    """Bytes a parameter: weights, gradient, states."""
    want = {"fp32": (4, 4, 8), "bf16": (2, 2, 4), "fp16": (2, 2, 4),
            "bf16-mixed": (4, 4, 8), "fp16-mixed": (4, 4, 8)}
    for precision, bytes_ in want.items():
        a = answer(f"--params 1 --precision {precision}")
        assert tuple(a[b] for b in BUCKETS[:3]) == bytes_


def test_optimizers_keep_what_they_keep(answer):
    want = {"sgd": 0, "sgd-momentum": 4, "adam": 8, "adamw": 8, "lion": 4, "muon": 4}
    for optimizer, bytes_ in want.items():
        assert answer(f"--params 1 --optimizer {optimizer}")["optimizer_bytes"] == bytes_


def test_the_published_34sbh_and_5as2b(answer):
    a = answer("--model gpt3-175b --seq 2048 --precision fp16 --attention math "
               "--activation-formula korthikanti")
    terms = {t["term"]: t["bytes"] for t in a["terms"]}
    assert terms["layers, 34 sbh"] == 96 * 34 * 2048 * 12288
    assert terms["attention, 5 as^2b"] == 96 * 5 * 96 * 2048**2


def test_random_questions_are_answered_or_refused_in_one_sentence(plan):
    """Options put together blindly: an answer, or status 2 and a sentence, nothing else."""
    rng = random.Random(7)
    strange = ["0", "-1", "1e18", "9223372036854775807", "x", "1e30", "", "2.5"]
    numbers = ["1", "2", "4", "8", "64", "512", "1024", "7B", *strange[:rng.randint(0, 8)]]
    values = {
        "--model": ["gpt2", "llama-3-8b", "nope", ""], "--params": numbers,
        "--precision": [*PRECISIONS, "fp64"], "--optimizer": ["adamw", "adam8bit", "muon", "q"],
        "--param-dtype": ["nf4", "int8", "fp8", "bf16", "none"],
        "--grad-dtype": ["fp32", "none", "nf4"], "--master-dtype": ["fp32", "none"],
        "--state-dtype": ["fp32", "int8", "none"], "--batch": numbers, "--seq": numbers,
        "--layers": numbers, "--hidden": numbers, "--ffn": numbers, "--heads": numbers,
        "--kv-heads": numbers, "--vocab": numbers, "--zero": ["0", "1", "2", "3", "4"],
        "--world": numbers, "--offload": ["optimizer", "params", "disk"],
        "--lora-rank": numbers, "--lora-targets": ["q", "all", ",", "x"],
        "--lora-params": numbers, "--gpu": ["h200", "24GB", "0", ",", "x,y"],
        "--overhead": ["1", "2.5", "0", "x"], "--context": ["0", "1GiB", "9e18", "-1"],
        "--checkpoint": ["full", "sqrt", "none", "some"], "--attention": ["math", "flash"],
        "--activation-formula": [*FORMULAS, "rough"], "--activation-bytes": ["1GB", "0", "9e18"],
        "--activation-elements": numbers, "--activation-dtype": ["fp32", "nf4"],
    }
    flags = ["--tied", "--inference", "--explain", "--json", "--double-quant", "--no-dropout"]
    answered = 0
    for _ in range(400):
        words = rng.choice([["--model", "gpt2"], ["--params", "1e9"], []])
        words = words + (["--layers", "2", "--hidden", "64"] if not words else [])
        for name in rng.sample(sorted(values), rng.randint(0, 5)):
            words += [name, rng.choice(values[name])]
        words += rng.sample(flags, rng.randint(0, 2))
        done = plan(*words, "--quiet")
        assert done.returncode in (0, 2), (words, done.returncode, done.stderr)
        if done.returncode:
            assert done.stdout == "" and done.stderr.count("\n") == 1, (words, done.stderr)
            assert done.stderr.startswith("tidemark: "), words
        else:
            answered += 1
            assert done.stderr == "", words
    assert answered > 20
