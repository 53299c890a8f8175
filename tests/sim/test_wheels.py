"""Unmodified CUDA wheels of PyTorch train on the simulated device."""
import os, re, subprocess, sys

import pytest

from conftest import HERE

MIB = 1 << 20


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "pure-bf16"])
def test_gpt_trains(simulate, torch_dir, precision):
    r = simulate(torch_dir, "gpt.py", "--precision", precision).result
    # parameters are there (embedding tied), and what is left of blocks too small to split
    assert r["parameters"] <= r["after_model"] < r["parameters"] + 2 * MIB
    assert r["peak"] > 3 * r["parameters"]
    assert r["reserved"] + r["free"] < r["total"]  # and the context
    assert r["rss_kib"] < 1024 * 1024


@pytest.mark.parametrize("optimizer", ["fused", "sgd"])
def test_optimizers(simulate, torch_dir, optimizer):
    r = simulate(torch_dir, "gpt.py", "--optimizer", optimizer).result
    assert r["peak"] > (2 if optimizer == "sgd" else 3) * r["parameters"]


def test_two_runs_give_the_same_bytes(simulate, torch_dir):
    first, second = (simulate(torch_dir, "gpt.py", "--precision", "bf16").result for _ in "12")
    for key in ("allocated", "peak", "reserved", "free"):
        assert first[key] == second[key]


def test_checkpointing_saves_memory(simulate, torch_dir):
    plain = simulate(torch_dir, "gpt.py", "--layers", "6", "--batch", "8").result
    saved = simulate(torch_dir, "gpt.py", "--layers", "6", "--batch", "8", "--checkpoint").result
    assert saved["peak"] < plain["peak"]


@pytest.mark.parametrize("conf", ["expandable_segments:True", "backend:cudaMallocAsync"])
def test_other_allocators(simulate, torch_dir, conf):
    r = simulate(torch_dir, "gpt.py", PYTORCH_CUDA_ALLOC_CONF=conf).result
    native = simulate(torch_dir, "gpt.py").result
    assert abs(r["peak"] - native["peak"]) < 0.06 * native["peak"]


def test_out_of_memory_is_pytorchs_own(simulate, torch_dir):
    run = simulate(torch_dir, "gpt.py", "--batch", "64", options=["--memory", "4GiB"])
    assert run.status == 1
    assert re.search(r"torch\.(cuda\.)?OutOfMemoryError: CUDA out of memory. Tried to allocate "
                     r".* GPU 0 has a total capacity of 4.00 GiB", run.err)


def test_features(simulate, torch_dir):
    r = simulate(torch_dir, "features.py", options=["--gpu", "a100-80gb"]).result
    oom = r.pop("out_of_memory")
    assert "CUDA out of memory" in oom and "79.15 GiB" in oom
    assert r == {
        "queries": ["NVIDIA A100-SXM4-80GB", 8, 0, 108, 84987740160, 1, [8, 0]],
        "snapshot": [True, True], "save_and_load": "cuda:0", "copies": [True, True, 0.0],
        "pinned": [True, False, 1000.0], "loader": 2016, "streams": [True, True],
        "checkpointing": True, "convolution": [4, 8, 64, 64], "profiler": True,
        "afterwards": [4]}


def test_cuda_graphs(simulate, torch_dir):
    r = simulate(torch_dir, "graphs.py").result
    assert r.pop("private_segments") > 0
    assert "captur" in r.pop("item")
    assert r == {"side_captures": True, "captures_after": False, "usable": True}


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_one_rank_of_eight_takes_the_same_bytes_each_time(simulate, torch_dir, kind):
    first, *others = (simulate(torch_dir, "ranks.py", kind).result for _ in range(3))
    assert others == [first, first]
    sharded = 8 if kind == "fsdp2" else 1
    # parameters, two states, and for DDP the buckets that gradients travel in
    assert 3 * first["parameters"] / sharded < first["allocated"] < 4.5 * first["parameters"] / sharded + 64 * MIB


def test_a_posing_rank_gathers_what_it_gave(simulate, torch_dir):
    said = simulate(torch_dir, "collectives.py", timeout=120).result
    mine = {"rank": 0, "text": "x" * 10001}
    assert said == {
        "all_gather_object": [mine] * 8, "again": [[7]] * 8, "gather_object": [mine] * 8,
        "all_gather": [10001] * 8, "all_gather_into_tensor": [20002] * 8,
        "broadcast": 12.5, "mine": "kept", "sum": [80.0, 80.0, 80], "max": 10, "mean": 2.5,
        "scattered": [24.0, 24.0], "computed": 1.0}


def test_values_are_plausible(simulate, torch_dir):
    run = simulate(torch_dir, "values.py")
    assert run.result == {"allclose": True, "any_nan": False, "finite": True, "loss": 1.0,
                          "masked": [2048], "nonzero": [2048, 2]}
    assert "assumed size: " in run.log
    without = simulate(torch_dir, "values.py", TIDEMARK_SIM_KNOWN="0")
    assert without.result == run.result
    # one mask, counted twice: the second count is remembered
    assert "size from a value" in without.log and "of which sizes: 1" in without.log


def test_density_of_masks_can_be_set(simulate, torch_dir):
    r = simulate(torch_dir, "values.py", TIDEMARK_SIM_DENSITY="25").result
    assert r["masked"] == [1024]


def test_every_symbol_is_covered(torch_dir):
    check = os.path.join(HERE, "../../simulator/coverage.py")
    process = subprocess.run([sys.executable, "-B", check, torch_dir], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize("gpu, works", [("h100-80gb", True), ("t4", True), ("v100-16gb", None)])
def test_kernels_exist_or_not_as_on_the_card(simulate, torch_dir, gpu, works):
    run = simulate(torch_dir, "gpt.py", options=["--gpu", gpu])
    if works is None:  # Volta: left out of the wheels from CUDA 13 on
        works = "cu12" in open(f"{torch_dir}/torch/version.py").read()
    if works:
        assert run.result["peak"]
    else:
        assert "no kernel image is available" in run.err


def test_hidden_devices_are_hidden_from_pytorch(simulate, torch_dir):
    said = simulate(torch_dir, "devices.py", "3,0,9", options=["--count", "4"]).result
    assert said["counts"] == [4, 2, 2] and said["buses"] == [4, 1]
    none = simulate(torch_dir, "devices.py", "", options=["--count", "4"]).result
    assert none["counts"] == [4, 0, 0] and none["available"] is False


def test_a_tensor_goes_to_another_process(simulate, torch_dir):
    said = simulate(torch_dir, "ipc.py", timeout=200).result
    assert said["received"] == [[1001, 3003], "cuda:0", "torch.float32"]
    assert said["given_back"] == [[7]]
    # the owner has the memory; the other process a context and what it allocated itself
    assert said["owner_holds"] >= 4 * 1001 * 3003 and said["other_allocated"] == 0
    assert said["other_used"] < said["owner_used"]


def test_unknown_cards_are_named(simulate, torch_dir):
    run = simulate(torch_dir, "gpt.py", options=["--gpu", "a1000"])
    assert run.status == 2 and "a100-80gb" in run.err
