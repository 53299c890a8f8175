"""The libraries that people train with run on the simulated device, unmodified. What a
package does not offer for a PyTorch is skipped with what it says itself."""
import json, os, subprocess, sys

import pytest

from conftest import HERE, HOME, LIBRARIES, TORCHES, torch_version

pytestmark = pytest.mark.turns(3)  # of the short form: tests/short.py

MIB = 1 << 20


@pytest.fixture
def library(simulate, torch_dir):
    def run(*words, **env):
        own = os.path.join(LIBRARIES, "torch-" + torch_version(torch_dir))
        done = simulate(torch_dir, "libraries.py", *words, python=[own, str(LIBRARIES)], **env)
        if done.status == 77:
            pytest.skip(done.out.strip().splitlines()[-1])
        return done
    return run


# Weights, gradients and AdamW's two states, in fp32; under autocast copies besides
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "t5", "vit"])
def test_hugging_faces_trainer(library, kind):
    r = library("trainer", kind).result
    assert r["steps"] == 3
    assert 4 * r["parameters"] < r["peak"] < 10 * r["parameters"]


def test_resnet_50_of_torchvision(library):
    r = library("resnet").result
    assert r["parameters"] == 4 * 25557032
    assert 2 * r["parameters"] < r["allocated"] < 2 * r["parameters"] + 32 * MIB
    assert r["peak"] > 3 * r["parameters"] + 200 * MIB  # activations of eight images


def test_lightning(library):
    r = library("lightning").result
    assert r["steps"] == 3 and 4 * r["parameters"] < r["peak"] < 6 * r["parameters"]


def test_lora_keeps_states_of_the_adapters_alone(library):
    r = library("lora").result
    assert r["trained"] == 3 * 2 * 2 * 8 * 256  # layers, projections, A and B, rank, width
    assert r["parameters"] < r["peak"] < 4 * r["parameters"]


def test_qlora_end_to_end(library):
    r = library("qlora", "AdamW8bit").result
    paged = library("qlora", "PagedAdamW8bit").result
    # half a byte a number in linear layers; embedding and head in 16 bits
    assert 0.5 * r["numbers"] < r["parameters"] < 1.1 * r["numbers"]
    # two states of one byte each, in managed memory or in the device's
    assert r["peak"] - paged["peak"] == pytest.approx(2 * r["trained"], rel=0.1)


def test_torchaos_8_bit_adamw_is_smaller(library):
    r = library("torchao").result
    full = library("saveload").result
    # allocated there: two models, two times two states, and the loaded copy of all three
    assert r["peak"] < full["peak"]


def test_accelerate(library):
    r = library("accelerate").result
    assert 3 * r["parameters"] < r["allocated"] < 3 * r["parameters"] + 32 * MIB


@pytest.mark.parametrize("stage", ["1", "2", "3"])
def test_deepspeed_shards_what_its_stage_says(library, stage):
    run = library("deepspeed", stage)
    if "NameError" in run.err and "deepspeed/" in run.err:
        pytest.skip("this DeepSpeed lacks a name of its own on this PyTorch")
    assert run.result["peak"] > run.result["parameters"]


def test_activations_leave_the_device(library):
    kept, host, hooks = (library("offload", where).result for where in ("device", "host", "hooks"))
    assert host["peak"] == hooks["peak"] < 0.7 * kept["peak"]


def test_save_and_load_give_back_the_bytes(library):
    r = library("saveload").result
    # weights and two states; what is left of blocks that are not split
    assert 3 * r["parameters"] <= r["loaded"] < 3 * r["parameters"] + 8 * MIB


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compile_with_triton(library, tmp_path, mode):
    run = library("compile", mode, TORCHINDUCTOR_CACHE_DIR=str(tmp_path),
                  TRITON_CACHE_DIR=str(tmp_path / "triton"))
    assert (run.result["graphs"], run.result["breaks"]) == (1, 0)
    # fused: no more than eager training of the same layers takes
    eager = library("offload", "device").result
    assert run.result["peak"] < eager["peak"] + 3 * run.result["parameters"]


@pytest.mark.parametrize("kind", ["ddp", "fsdp1", "fsdp2"])
def test_two_real_ranks_equal_one_that_poses(simulate, torch_dir, tmp_path, kind):
    posing = simulate(torch_dir, "ranks.py", kind, "2").result
    script, store = os.path.join(HERE, "scripts", "ranks.py"), str(tmp_path / "store")
    env = {**os.environ, "PYTHONPATH": f"{TORCHES}/deps"}
    ranks = [subprocess.Popen(
        [f"{HOME}/simrun.sh", "--count", "2", torch_dir, "--", sys.executable, script, kind,
         "2", str(rank), store], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True) for rank in range(2)]
    first, second = (rank.communicate(timeout=600)[0] for rank in ranks)
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert json.loads(first.splitlines()[-1]) == posing
    assert json.loads(second.splitlines()[-1])["parameters"] == posing["parameters"]
