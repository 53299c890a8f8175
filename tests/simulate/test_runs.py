"""`tidemark simulate` with a real CUDA build of PyTorch: the verdict, in JSON and in words."""
import json
import pathlib
import sqlite3

import pytest

from conftest import TRAIN

pytestmark = pytest.mark.turns(2)  # of the short form: tests/short.py

MIB = 1 << 20
KEYS = {"gpu", "verdict", "bound", "peak_allocated_bytes", "peak_reserved_bytes",
        "peak_device_bytes", "device_total_bytes", "headroom_bytes", "phase", "step"}


def weights(n):
    return 4 * (8 * n * n + 5 * n)


def test_what_fits_fits_with_its_peak_and_headroom(simulate, torch_dir):
    done = simulate(torch_dir, ["--gpu", "T4"], TRAIN, "2003")
    gpu = done.gpu
    assert done.status == 0 and "trained" in done.out, done.err
    assert KEYS <= set(gpu)
    assert (gpu["gpu"], gpu["verdict"], gpu["bound"]) == ("t4", "fits", "exact")
    # weights, gradients and two states; what else lives at the peak is small
    assert 4 * weights(2003) <= gpu["peak_allocated_bytes"] <= 4.4 * weights(2003)
    assert gpu["peak_allocated_bytes"] <= gpu["peak_reserved_bytes"] < gpu["peak_device_bytes"]
    assert gpu["device_total_bytes"] == 15835594752
    assert gpu["headroom_bytes"] == gpu["device_total_bytes"] - gpu["peak_device_bytes"]
    assert "fits" in done.err and "does not fit" not in done.err
    assert "SIMULATED" not in done.out


def test_the_verdict_is_that_of_the_trace(simulate, newest_torch, tmp_path):
    gpu = simulate(newest_torch, ["--gpu", "l4", "-o", tmp_path / "a.db"], TRAIN, "1001").gpu
    assert gpu["trace"] == str(tmp_path / "a.db")
    with sqlite3.connect(gpu["trace"]) as db:
        peak = db.execute("SELECT allocated_bytes, step, phase FROM v_peak").fetchall()
        assert peak == [(gpu["peak_allocated_bytes"], gpu["step"], gpu["phase"])]
        assert db.execute("SELECT simulated FROM run").fetchone() == (1,)


def test_what_does_not_fit_says_where_it_stopped(simulate, torch_dir):
    done = simulate(torch_dir, ["--gpu", "t4"], TRAIN, "12007")
    gpu = done.gpu
    # weights and gradients fit, the optimizer's states do not
    assert done.status == 1, done.err
    assert gpu["verdict"] == "does not fit"
    assert (gpu["phase"], gpu["step"]) == ("optimizer", 1)
    assert gpu["requested_bytes"] > 2 * 12007 ** 2
    assert (gpu["line"]["file"].endswith("/train.py"), gpu["line"]["line"]) == (True, 11)
    assert gpu["peak_device_bytes"] <= gpu["device_total_bytes"]
    assert "OutOfMemoryError" in done.err
    assert "ran out of memory in step 1, optimizer, at train.py:11" in done.err


def test_memory_and_outside_make_a_card_smaller(simulate, newest_torch):
    fits = simulate(newest_torch, ["--memory", "3000MiB"], TRAIN, "2003").gpu
    assert (fits["verdict"], fits["device_total_bytes"]) == ("fits", 3000 * MIB)
    less = simulate(newest_torch, ["--memory", "3000MiB", "--outside", "2300MiB"], TRAIN, "2003")
    assert less.status == 1 and less.gpu["verdict"] == "does not fit"


def test_several_cards_take_as_few_runs_as_can_be(simulate, newest_torch, tmp_path):
    done = simulate(newest_torch, ["--gpu", "l4,a100-80gb,l40s,a100-40gb",
                                   "-o", tmp_path / "x.db"], TRAIN, "15007")
    rows = {row["gpu"]: row for row in done.json["gpus"]}
    assert list(rows) == ["l4", "a100-80gb", "l40s", "a100-40gb"]
    assert {name: (row["verdict"], row["basis"]) for name, row in rows.items()} == {
        "a100-80gb": ("fits", "measured"), "a100-40gb": ("fits", "derived"),
        "l40s": ("fits", "measured"), "l4": ("does not fit", "derived")}
    assert rows["a100-40gb"]["based_on"] == "a100-80gb"
    assert rows["a100-40gb"]["peak_allocated_bytes"] == rows["a100-80gb"]["peak_allocated_bytes"]
    assert rows["l4"]["headroom_bytes"] < 0
    assert done.status == 1 and done.out == "trained\n" * 2
    assert sorted(p.name for p in tmp_path.glob("x*.db")) == ["x-a100-80gb.db", "x-l40s.db"]


def test_a_card_that_this_torch_has_no_kernels_for_gets_no_verdict(simulate, newest_torch):
    # CUDA 13 builds begin at compute capability 7.5
    done = simulate(newest_torch, ["--gpu", "v100-16gb,a100-40gb,t4"], TRAIN, "101")
    assert [row["verdict"] for row in done.json["gpus"]] == [None, "fits", "fits"]
    assert done.status == 1 and "no verdict for v100-16gb" in done.err


def test_a_derived_verdict_is_what_a_run_gives(simulate, newest_torch):
    both = simulate(newest_torch, ["--gpu", "a100-80gb,a100-40gb"], TRAIN, "2003").json["gpus"]
    alone = simulate(newest_torch, ["--gpu", "a100-40gb"], TRAIN, "2003").gpu
    assert (both[1]["basis"], alone["basis"]) == ("derived", "measured")
    for key in KEYS:
        assert both[1][key] == alone[key], key


def test_sizes_of_masks_are_assumed(simulate, newest_torch):
    source = TRAIN + "x = torch.randn(1000, device='cuda')\nx[x > 0].sum()\n"
    line = source.count("\n")  # the last one
    gpu = simulate(newest_torch, [], source, "101").gpu
    assert (gpu["verdict"], gpu["bound"]) == ("fits", "assumed")
    assert [(one["use"], one["line"].split(":")[-1]) for one in gpu["assumed"]] == [
        ("size", str(line))]
    done = simulate(newest_torch, ["--known", "0"], source, "101")
    assert done.status == 0
    assert (done.gpu["verdict"], done.gpu["bound"]) == ("fits", "assumed")
    assert done.gpu["peak_allocated_bytes"] == gpu["peak_allocated_bytes"]
    assert done.gpu["sizes_from_values"] > 0
    assert done.gpu["first_size_from"].startswith("index_Tensor at ")
    assert done.gpu["first_size_from"].endswith(f"train.py:{line}"), done.gpu
    assert "DeviceReduce" in done.gpu["first_size_kernel"]
    assert done.gpu["assumption"].startswith("50 % of each mask is set")
    assert "bound: assumed" in done.err and f"train.py:{line}" in done.err
    assert "assumed: 50 %" in done.err


def test_the_line_is_found_under_pytorchs_own_frames_and_only_masks_are_assumed(
        simulate, newest_torch):
    source = ("import torch\nx = torch.randn(1000, device='cuda')\n"
              "def program():\n    return torch.unique(x)\nprogram()\n")
    done = simulate(newest_torch, ["--known", "0"], source)
    assert done.gpu["first_size_from"].endswith("train.py:4")
    assert "unique" in done.gpu["first_size_from"]
    assert (done.gpu["bound"], done.gpu["assumption"]) == ("lower", None)
    assert "assumed" not in done.err


@pytest.mark.parametrize("line, bound, share", [
    ("torch.unique(x)", "assumed", True), ("x[x == x.flip(0)]", "assumed", True),
    ("x.repeat_interleave(x)", "assumed", False), ("torch.bincount(x)", "lower", False),
    ("nn.functional.one_hot(x)", "lower", False), ("nn.functional.one_hot(x, 9)", "exact", False),
    ("torch.isin(x, x)", "exact", False), ("torch.combinations(x[:40])", "exact", False)])
def test_a_size_from_whole_numbers_that_nobody_knows(simulate, newest_torch, line, bound, share):
    source = f"{TRAIN}x = (model(x)[0] * 9).long()\n{line}\n"
    gpu = simulate(newest_torch, [], source, "601").gpu
    assert gpu["bound"] == bound, gpu["assumed"]
    assert (gpu["assumption"] is not None) == share
    at = source.count("\n")
    assert [one["line"].split(":")[-1] for one in gpu["assumed"]] == [str(at)] * (bound != "exact")


def test_a_value_that_decides_is_told_and_one_that_is_printed_is_not(simulate, newest_torch):
    source = TRAIN + "loss = model(x).mean()\nprint(loss.item(), torch.arange(9).cuda().max().item())\n"
    done = simulate(newest_torch, [], source, "101")
    assert (done.gpu["bound"], done.gpu["assumed"]) == ("exact", []), done.err
    assert done.gpu["numbers_looked_at"] == 1 and done.out.endswith("1.0 8\n")
    source += "while model(x).mean() > 0.9: pass\nbest = loss.item()\nif best < 2: print('less')\n"
    gpu = simulate(newest_torch, [], source, "101").gpu
    line = source.count("\n")
    assert gpu["bound"] == "assumed"
    assert [(one["use"], one["operator"], one["line"].split(":")[-1]) for one in gpu["assumed"]] == [
        ("branch", "__bool__", str(line - 2)), ("branch", "item", str(line - 1))]


def test_numbers_are_taken_to_be_finite(simulate, newest_torch):
    source = TRAIN + "if not torch.isfinite(model(x).mean()): raise SystemExit('never')\n"
    done = simulate(newest_torch, [], source, "101")
    assert (done.gpu["bound"], done.gpu["finite_assumed"]) == ("exact", True)
    assert "losses and gradients are finite" in done.err


def test_little_headroom_is_said(simulate, newest_torch):
    source = "import torch\ntorch.empty(1 << 30, dtype=torch.uint8, device='cuda')\n"
    done = simulate(newest_torch, ["--gpu", "rtx-3090", "--outside", "22400MiB"], source)
    gpu = done.gpu
    assert done.status == 0 and gpu["barely"] and "fits, barely" in done.err
    # what others hold is counted once
    assert 0 < gpu["headroom_bytes"] < 0.03 * gpu["device_total_bytes"]
    assert gpu["peak_device_bytes"] < (22400 + 1024 + 512) * MIB


@pytest.mark.parametrize("status, told", [(1, 4), (2, 4), (3, 4), (7, 7)])
def test_a_programs_own_failure_is_no_answer_of_ours(simulate, newest_torch, status, told):
    assert simulate(newest_torch, [], f"import torch, os\nos._exit({status})\n").status == told


def test_a_program_that_catches_an_oom_and_goes_on_fits(simulate, newest_torch):
    source = ("import torch\ntry:\n    torch.empty(1 << 50, device='cuda')\n"
              "except torch.OutOfMemoryError:\n    print('caught')\n") + TRAIN
    done = simulate(newest_torch, [], source, "101")
    assert done.status == 0 and done.gpu["verdict"] == "fits"
    assert done.gpu["caught_ooms"] == 1 and "and went on" in done.err


def test_a_failure_that_is_not_for_memory_is_no_verdict(simulate, newest_torch):
    source = TRAIN + "raise SystemExit(5)\n"
    done = simulate(newest_torch, ["--gpu", "t4,l4"], source, "101")
    assert done.status == 5 and done.out == "trained\n"
    assert "the program ended with status 5" in done.err
    assert [row["verdict"] for row in done.json["gpus"]] == [None, None]


def test_several_devices_are_judged_by_the_fullest(simulate, newest_torch):
    source = ("import torch\nassert torch.cuda.device_count() == 3\n"
              "a = torch.empty(10001 << 10, device='cuda:0')\n"
              "b = torch.empty(90001 << 10, device='cuda:2')\n")
    gpu = simulate(newest_torch, ["--count", "3"], source).gpu
    assert gpu["device"] == "cuda:2" and gpu["peak_allocated_bytes"] >= 90001 << 12


RANKS = """
import os, torch, torch.distributed as dist
from torch import nn
dist.init_process_group("nccl")
torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
model = nn.parallel.DistributedDataParallel(nn.Linear(2003, 2003).cuda())
optimizer = torch.optim.AdamW(model.parameters())
for step in range(3):
    model(torch.randn(7, 2003, device="cuda")).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
dist.barrier()
print("rank", dist.get_rank(), "of", dist.get_world_size())
dist.destroy_process_group()
"""


def test_one_process_poses_as_a_rank_of_many(simulate, torch_dir):
    first = simulate(torch_dir, ["--rank", "0", "--world", "8"], RANKS)
    other = simulate(torch_dir, ["--rank", "5", "--world", "8"], RANKS)
    assert (first.status, first.out) == (0, "rank 0 of 8\n"), first.err
    assert (other.status, other.out) == (0, "rank 5 of 8\n"), other.err
    assert first.gpu["peak_allocated_bytes"] == other.gpu["peak_allocated_bytes"]


SCRIPTS = pathlib.Path(__file__).parents[1] / "sim" / "scripts"


@pytest.mark.parametrize("rank", [0, 3])
def test_gloo_beside_nccl_waits_for_nobody(simulate, torch_dir, tmp_path, rank):
    # the program's own sitecustomize runs as well
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import os; os.environ['PROGRAMS_OWN'] = 'ran'\n")
    done = simulate(torch_dir, ["--rank", rank, "--world", 8], (SCRIPTS / "gloo.py").read_text(),
                    env={"PYTHONPATH": f"{own}:{torch_dir}"})
    assert done.status == 0, done.err
    mine = {"rank": rank}
    assert json.loads(done.out) == {
        "groups": ["gloo", 8, 4, rank // 2], "all_gather_object": [mine] * 8,
        "gather_object": [mine] * 4 if rank == 0 else [None] * 4,
        "broadcast_object_list": ["kept"], "on_device": ["kept"],
        "all_gather": [[1.0, 2.0, 3.0]] * 8, "sum": [80, 8, 80],
        "mesh": [[0, rank], 4, 8], "sitecustomize": "ran"}


def test_another_rank_than_the_first_gathers_what_it_gave(simulate, torch_dir):
    done = simulate(torch_dir, ["--rank", "3", "--world", "8"],
                    (SCRIPTS / "collectives.py").read_text())
    said = json.loads(done.out)
    assert said["all_gather_object"] == [{"rank": 3, "text": "x" * 10001}] * 8
    assert said["gather_object"] is None
    assert (said["broadcast"], said["sum"], said["scattered"]) == (12.5, [80.0, 80.0, 80], [24.0] * 2)
