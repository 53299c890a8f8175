"""Jobs of real processes under torchrun: what the recorder says of them, and the answers."""
import json
import sqlite3
import subprocess

import pytest
from conftest import clean
from exits import but_for_torchs_race
from where import COMMAND, LIBRARY, PYTHON, SIMULATOR, need

TORCHRUN = ["-m", "torch.distributed.run", "--standalone"]

#: On two simulated cards. Rank 1 keeps a block of 64 MiB with every step until it is refused.
STOPPED = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.cuda.set_device(rank)
model = torch.nn.Linear(512, 512, device="cuda")
optimizer = torch.optim.SGD(model.parameters(), lr=.1)
kept = []
for step in range(100):
    model(torch.randn(8 + 16 * (rank == 0), 512, device="cuda")).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    if rank:
        kept.append(torch.zeros(16 << 20, device="cuda"))
    dist.barrier()
dist.destroy_process_group()
"""

#: Of four on the CPU, with groups. The last two have other layers than the first two.
GROUPS = """
import os, torch, torch.distributed as dist
from torch import nn
dist.init_process_group("gloo")
rank = dist.get_rank()
for ranks, name in (([0, 1], "tensor"), ([2, 3], "tensor"), ([0, 2], "data"), ([1, 3], "data")):
    dist.new_group(ranks, group_desc=name)
layers = {str(i): nn.Linear(256, 256) for i in (range(0, 2) if rank < 2 else range(2, 4))}
model = nn.ModuleDict({"stage": nn.ModuleDict(layers)})
optimizer = torch.optim.SGD(model.parameters(), lr=.1)
for step in range(2):
    x = torch.randn(16, 256)
    for layer in layers.values():
        x = layer(x)
    x.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
dist.barrier()
dist.destroy_process_group()
"""


def run(folder, script, processes, before, **env):
    (folder / "train.py").write_text(script)
    return subprocess.run(
        [*before, PYTHON, *TORCHRUN, f"--nproc-per-node={processes}", "train.py"],
        cwd=folder, capture_output=True, text=True, timeout=300,
        env=clean(TIDEMARK_LIBRARY=str(LIBRARY), **env))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    torch, folder = need("torch-2.11.0"), tmp_path_factory.mktemp("stopped")
    if not SIMULATOR.exists():
        pytest.skip("no simulated device in this build")
    done = run(folder, STOPPED, 2,
               [COMMAND, "simulate", "--quiet", "--gpu", "rtx-4090", "--count", "2", "--memory",
                "900MiB", "-o", "rank%r.db", "--"], PYTHONPATH=str(torch))
    assert done.returncode != 0
    return folder


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    if not PYTHON.exists():
        pytest.skip("no PyTorch: run tests/setup.sh")
    folder = tmp_path_factory.mktemp("groups")
    done = but_for_torchs_race(
        lambda: run(folder, GROUPS, 4, [COMMAND, "run", "--cpu", "-o", "rank%r.db", "--"]),
        lambda: run(folder, GROUPS, 4, []))
    assert done.returncode == 0, done.stderr
    return folder


def test_the_rank_that_was_refused_is_the_first_to_end(stopped, answer, tidemark):
    got = answer("oom", stopped)
    assert (got["job"]["world_size"], got["job"]["traces"], got["job"]["first_to_end"]) == (2, 2, 1)
    assert got["job"]["name"].startswith("torchrun ")
    of = {r["rank"]: r for r in got["ranks"]}
    assert of[1]["out_of_memory"]["requested_bytes"] == 64 << 20
    assert of[1]["out_of_memory"]["line"] == "train.py:14" and of[0]["out_of_memory"] is None
    assert of[1]["device"] == "cuda:1"
    screen = tidemark("report", stopped).stdout
    assert "rank 1" in screen and "ran out of memory in step" in screen


def test_what_one_rank_keeps_makes_the_spread(stopped, answer):
    got = answer("peak", stopped)
    assert got["job"]["highest_rank"] == 1
    largest = got["by_place"][0]
    assert largest["ranks"] == [1] and largest["line"] == "train.py:14"


def test_a_rank_without_a_trace_is_missing(stopped, answer, tmp_path):
    (tmp_path / "rank1.db").write_bytes((stopped / "rank1.db").read_bytes())
    got = answer("report", tmp_path)
    assert got["job"]["missing_ranks"] == [0]


def test_the_recorder_keeps_job_rank_and_groups(groups):
    names = set()
    for rank in range(4):
        db = sqlite3.connect(groups / f"rank{rank}.db")
        assert db.execute("SELECT rank, local_rank, world_size FROM run").fetchone() == (rank, rank, 4)
        meta = dict(db.execute("SELECT key, value FROM meta WHERE key GLOB 'job.*'"))
        assert meta["job.restart"] == "0" and meta["job.master"].startswith("localhost:")
        names.add(meta["job.torchrun"])
        told = {(g["what"], g["ranks"]) for g in (
            json.loads(v) for v, in db.execute("SELECT value FROM meta WHERE key GLOB 'group.*'"))}
        tensor, data = ("0,1", "2,3")[rank // 2], ("0,2", "1,3")[rank % 2]
        assert told == {("default_pg", "0-3"), ("tensor", tensor), ("data", data)}
    assert len(names) == 1


def test_four_ranks_and_their_groups_are_one_answer(groups, answer):
    got = answer("report", groups)
    assert (got["job"]["world_size"], got["job"]["traces"], got["job"]["missing_ranks"]) == (4, 4, [])
    assert got["groups"] == [{"what": "data", "ranks": "0,2"}, {"what": "data", "ranks": "1,3"},
                             {"what": "tensor", "ranks": "0,1"}, {"what": "tensor", "ranks": "2,3"}]
    layers = [p["sentence"] for p in got["by_place"]
              if p["other_layers"] and p["bucket"] == "parameter"]
    assert any("0-1 on ranks 0, 1; 2-3 on ranks 2, 3" in sentence for sentence in layers), layers


LIVING = """
import sys, torch
kept = [torch.ones(1001, 1001) for _ in range(3)]
print("ready", flush=True)
sys.stdin.readline()
print("done", len(kept))
"""


def test_a_rank_that_goes_on_is_read_and_left_alone(groups, tmp_path, answer, tidemark):
    (tmp_path / "train.py").write_text(LIVING)
    for rank in (1, 2):
        (tmp_path / f"rank{rank}.db").write_bytes((groups / f"rank{rank}.db").read_bytes())
    db = sqlite3.connect(tmp_path / "rank1.db")
    name, = db.execute("SELECT value FROM meta WHERE key = 'job.torchrun'").fetchone()
    db.close()
    run = subprocess.Popen(
        [PYTHON, "train.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=clean(LD_PRELOAD=str(LIBRARY), TIDEMARK_CPU="1", TIDEMARK_OUT="rank0.db", RANK="0",
                  WORLD_SIZE="4", TORCHELASTIC_RUN_ID=name))
    try:
        assert run.stdout.readline() == "ready\n"
        got = json.loads(tidemark("report", tmp_path, "--json",
                                  env={"TIDEMARK_LIBRARY": str(LIBRARY)}).stdout)
        assert {r["rank"]: r["running"] for r in got["ranks"]} == {0: True, 1: False, 2: False}
        assert got["job"]["missing_ranks"] == [3]
        assert run.poll() is None
    finally:
        out, _ = run.communicate("\n", timeout=60)
    assert (run.returncode, out) == (0, "done 3\n")
    assert answer("peak", tmp_path / "rank0.db")["devices"][0]["allocated_bytes"] >= 3 * 4 * 1001 ** 2


#: Whoever starts it, rank and world are those of the innermost launcher.
LAUNCHERS = [
    ({"OMPI_COMM_WORLD_RANK": 3, "OMPI_COMM_WORLD_LOCAL_RANK": 1, "OMPI_COMM_WORLD_SIZE": 8,
      "PMIX_NAMESPACE": "prterun-1"}, (3, 1, 8), {"job.mpi": "prterun-1"}),
    ({"PMI_RANK": 2, "PMI_SIZE": 4, "MPI_LOCALRANKID": 0}, (2, 0, 4), {}),
    ({"SLURM_JOB_ID": 77, "SLURM_STEP_ID": 0, "SLURM_PROCID": 5, "SLURM_LOCALID": 1,
      "SLURM_STEP_NUM_TASKS": 16}, (5, 1, 16), {"job.slurm": "77", "job.slurm_step": "0"}),
    # a batch script is no task of a step
    ({"SLURM_JOB_ID": 77, "SLURM_PROCID": 0, "SLURM_NTASKS": 16}, (None, None, None),
     {"job.slurm": "77"}),
    ({"SLURM_JOB_ID": 77, "SLURM_PROCID": 0, "SLURM_STEP_NUM_TASKS": 2, "RANK": 9, "LOCAL_RANK": 1,
      "WORLD_SIZE": 16, "TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "n0", "MASTER_PORT": 29500},
     (9, 1, 16), {"job.slurm": "77", "job.torchrun": "none", "job.master": "n0:29500"}),
]


def test_every_launcher_is_understood(tmp_path):
    """All at once, as importing torch is what costs: a child of each environment."""
    if not PYTHON.exists():
        pytest.skip("no PyTorch: run tests/setup.sh")
    script = tmp_path / "all.py"
    script.write_text(f"""
import os, torch
for number, env in enumerate({[{k: str(v) for k, v in e.items()} for e, _, _ in LAUNCHERS]}):
    if not os.fork():
        os.environ.update(env)
        torch.ones(101).sum()
        os._exit(0)
    os.wait()
""")
    done = subprocess.run([PYTHON, script], cwd=tmp_path, capture_output=True, text=True,
                          env=clean(LD_PRELOAD=str(LIBRARY), TIDEMARK_CPU="1",
                                    TIDEMARK_OUT="%p.db"), timeout=120)
    assert done.returncode == 0, done.stderr
    # Processes were numbered in the order in which they were started.
    files = sorted(tmp_path.glob("*.db"), key=lambda p: p.stat().st_mtime_ns)
    assert len(files) == len(LAUNCHERS), done.stderr
    for path, (_, run, meta) in zip(files, LAUNCHERS):
        subprocess.run([COMMAND, "report", path], capture_output=True,
                       env=clean(TIDEMARK_LIBRARY=str(LIBRARY)))
        db = sqlite3.connect(path)
        assert db.execute("SELECT rank, local_rank, world_size FROM run").fetchone() == run
        assert dict(db.execute("SELECT key, value FROM meta WHERE key GLOB 'job.*'")) == meta


def test_ranks_that_are_simulated_one_by_one_are_one_job(tmp_path, answer):
    """Each `simulate` has a store at a port of its own, which is no name of a job."""
    torch = need("torch-2.11.0")
    (tmp_path / "train.py").write_text(
        "import os, torch\nm = torch.nn.Linear(64, 64 * (1 + int(os.environ['RANK']))).cuda()\n"
        "m(torch.randn(8, 64, device='cuda')).sum().backward()\n")
    (tmp_path / "job").mkdir()
    for rank in "0", "1":
        done = subprocess.run(
            [COMMAND, "simulate", "--gpu", "t4", "--rank", rank, "--world", "2", "-o",
             f"job/{rank}.db", "--", PYTHON, "train.py"], cwd=tmp_path, capture_output=True,
            text=True, timeout=300, env=clean(TIDEMARK_LIBRARY=str(LIBRARY), PYTHONPATH=str(torch)))
        assert done.returncode == 0, done.stderr
    job = answer("report", tmp_path / "job")["job"]
    assert job["traces"] == 2 and job["name"].startswith("simulate "), job
