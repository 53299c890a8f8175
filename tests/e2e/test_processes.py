"""Forks, threads, workers, other programs: each process is itself, inert until it allocates."""

import subprocess

import pytest
from conftest import LIBRARY, clean_environment
from exits import but_for_torchs_race

pytestmark = pytest.mark.turns(2)  # of the short form: tests/short.py

MODEL = """
import os, subprocess, sys, threading, torch
def train(steps=3, width=101):
    model = torch.nn.Linear(33, width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for i in range(steps):
        model(torch.randn(7, 33)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
"""

WORKERS = MODEL + """
import torch.utils.data as data
class Numbers(data.Dataset):
    def __len__(self):
        return 21
    def __getitem__(self, i):
        return torch.randn(33)
if __name__ == "__main__":
    loader = data.DataLoader(
        Numbers(), batch_size=7, num_workers=2, multiprocessing_context=sys.argv[1]
    )
    model = torch.nn.Linear(33, 101)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x in loader:
        model(x).sum().backward()
        optimizer.step()
    print("pid", os.getpid())
"""


def good(trace):
    assert trace.one("PRAGMA integrity_check") == "ok"
    assert trace.one("SELECT ended FROM run") == "exit"
    assert trace.losses == {}
    return trace


def test_a_forked_child_that_trains_has_a_trace_of_its_own(trace):
    run = trace(MODEL + """
train(3)
pid = os.fork()
if not pid:
    torch.set_num_threads(1)
    train(5, 103)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
train(2)
print(os.getpid(), pid)
""")
    assert run.code == 0, run.stderr
    parent, child = (good(run.open(run.folder / f"{p}.db")) for p in run.stdout.split())
    steps = "SELECT count(*) FROM step WHERE complete"
    assert (parent.one(steps), child.one(steps)) == (5, 5)
    assert [b for b in child.births() if b.shape == "[103, 33]"]
    assert not [b for b in parent.births() if b.shape == "[103, 33]"]
    assert len(run.files) == 2 and run.left_over == []


def test_a_forked_child_that_does_not_touch_torch_makes_no_file(trace):
    run = trace(MODEL + """
train(3)
pid = os.fork()
if not pid:
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
train(2)
""")
    assert run.code == 0, run.stderr
    assert good(run.open()).one("SELECT count(*) FROM step WHERE complete") == 5


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_workers_of_a_data_loader_do_no_harm(trace, method):
    run = trace(WORKERS, method)
    assert run.code == 0, run.stderr
    assert run.stderr == ""
    main = good(run.open(run.folder / (run.stdout.split()[1] + ".db")))
    assert main.one("SELECT count(*) FROM step WHERE complete") == 3
    for path in run.files:
        other = run.open(path)
        assert other.one("PRAGMA integrity_check") == "ok"
        # a forked worker has what its parent had made, and says so
        assert set(other.losses) <= {"before_tracing"}


@pytest.mark.parametrize("allocates", [False, True], ids=["frees alone", "allocates too"])
def test_a_forked_worker_has_a_trace_where_it_allocates_and_no_other(trace, allocates):
    """A child that frees what it inherited, as a worker does when it collects garbage, has
    nothing to tell: it left an empty trace for each worker and epoch."""
    run = trace("""
import os, sys, torch
inherited = [torch.ones(1001) for _ in range(3)]
for epoch in range(2):
    pid = os.fork()
    if not pid:
        inherited.clear()
        if sys.argv[1] == "True":
            kept = torch.ones(20002)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
print(len(inherited))
""", str(allocates))
    assert (run.code, run.stderr, run.stdout) == (0, "", "3\n")
    assert len(run.files) == (3 if allocates else 1)
    sizes = [[b.bytes for b in run.open(path).births()] for path in run.files]
    assert sum(80008 in s for s in sizes) == (2 if allocates else 0)


def test_threads_that_train_at_once_lose_nothing(trace):
    run = trace(MODEL + """
torch.set_num_threads(1)
train(1, 99)
def work(i):
    for _ in range(20):
        train(1, 101 + i)
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
""")
    assert run.code == 0, run.stderr
    t = good(run.open())
    for i in range(4):
        assert [b for b in t.births() if b.shape == f"[{101 + i}, 33]"]
    assert t.one("SELECT count(DISTINCT thread) FROM site") >= 4
    peak = t.peak("cpu")
    assert t.one("SELECT sum(bytes) FROM v_peak_live") == peak


def test_names_are_looked_for_while_other_threads_train(trace):
    """Each look reads every parameter while four threads run their engines without the GIL;
    reading .grad then killed the process within seconds."""
    run = trace(MODEL + """
import time
torch.set_num_threads(1)
stop = time.monotonic() + 10
def work(i):
    while time.monotonic() < stop:
        train(1, 101 + i)
train(1, 99)
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]
while time.monotonic() < stop:
    time.sleep(0.001)
[t.join() for t in threads]
""", env={"TIDEMARK_ENRICH": "each"})
    assert run.code == 0, run.stderr
    t = good(run.open())
    # the first model was the main thread's alone; of the others' only C speaks
    assert t.one("SELECT count(*) FROM tensor WHERE kind = 'gradient'") == 2


def test_hundreds_of_threads_that_come_and_go_are_all_recorded(trace):
    run = trace(MODEL + """
def work(i):
    torch.empty(20001 + i, dtype=torch.uint8)
for i in range(600):
    t = threading.Thread(target=work, args=(i,))
    t.start()
    t.join()
""")
    assert run.code == 0, run.stderr
    t = good(run.open())
    sizes = {b.requested for b in t.births() if b.dtype == "uint8"}
    assert sizes >= set(range(20001, 20601))


def test_other_programs_that_are_started_make_no_file(trace):
    run = trace(MODEL + """
train(1)
subprocess.run(["sh", "-c", "ls / | wc -l"], check=True)
subprocess.run([sys.executable, "-c", "print(1)"], check=True)
subprocess.run(["gcc", "--version"], check=True)
train(1)
""")
    assert run.code == 0, run.stderr
    assert good(run.open()).one("SELECT count(*) FROM step WHERE complete") == 2


def test_exec_leaves_a_trace_that_can_be_read(trace):
    run = trace(MODEL + """
train(3)
os.execv("/bin/echo", ["echo", "gone over"])
""")
    assert (run.code, run.stdout, run.stderr) == (0, "gone over\n", "")
    from reading import recover

    assert recover(LIBRARY, run.files[0])[0] == 0
    assert run.open().one("SELECT count(*) FROM step WHERE complete") == 3


@pytest.mark.parametrize("words", [["true"], ["sh", "-c", "exit 3"], ["gcc", "--version"]])
def test_a_program_that_is_not_python_runs_as_always(tmp_path, words):
    run = subprocess.run(
        words, cwd=tmp_path, env=clean_environment(LD_PRELOAD=LIBRARY), capture_output=True
    )
    plain = subprocess.run(words, cwd=tmp_path, env=clean_environment(), capture_output=True)
    assert (run.returncode, run.stdout, run.stderr) == (
        plain.returncode, plain.stdout, plain.stderr,
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


RANKS = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(33, 101))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    model(torch.randn(7, 33)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
os.write(1, b"rank %d\\n" % dist.get_rank())  # whole: both ranks write to one pipe
dist.destroy_process_group()
"""


TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]


def ranks(trace):
    return but_for_torchs_race(
        lambda: trace(RANKS, python=TORCHRUN, env={"TIDEMARK_OUT": "rank%r.db"}),
        lambda: trace(RANKS, python=TORCHRUN, preload=False))


def test_each_rank_of_torchrun_has_a_trace_and_the_launcher_none(trace):
    run = ranks(trace)
    assert run.code == 0, run.stderr
    assert sorted(run.stdout.splitlines()) == ["rank 0", "rank 1"]
    assert [p.name for p in run.files] == ["rank0.db", "rank1.db"]
    for rank, path in enumerate(run.files):
        t = run.open(path)
        assert t.one("SELECT rank, world_size FROM run") == (rank, 2)
        assert t.one("SELECT count(*) FROM step WHERE complete") == 3
        assert t.losses == {}


FORKS = MODEL + """
import signal, time
torch.set_num_threads(1)
device, forks, patience = sys.argv[1], 220, 120
if device == "cuda":  # a child has neither its parent's context nor its engine's threads
    def train(steps=3, width=101):
        x = torch.randn(7, 33, device=device, requires_grad=True)
        for i in range(steps):
            (x @ torch.randn(33, width, device=device)).sum().backward()
over = False
ready = threading.Barrier(4)
def work(i):
    train(1, 101 + i)
    ready.wait()
    while not over:
        train(2, 101 + i)
def count(i):
    # Of a bare torch's children some hang where modules, random numbers or an operator's first
    # call take a lock that another thread had.
    for n in range(20):
        torch.empty(1000 + n)
    return int(torch.arange(i + 1000).sum()) == (i + 999) * (i + 1000) // 2
count(0)
train(2)
def child(i):
    right = count(i)
    if right and i % 11:  # to name all functions of a trace takes longer than all else here
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(7 if right else 8)
def ended(pid):  # no alarm in the child: it may hang where all signals are blocked
    until = time.monotonic() + patience
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            return "hangs"
        time.sleep(0.002)
bad = []
def fork_often():
    # A thread's first operator takes torch's lock on its callbacks [seen: a bare torch's
    # child hangs there]: this one's and the others' come before the first fork.
    ready.wait()
    count(0)
    for i in range(forks):
        pid = os.fork()
        if not pid:
            child(i)
        code = ended(pid)
        if code != (-9 if i % 11 else 7):
            bad.append(code)
        if len(bad) > 2:
            break
threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
forker = threading.Thread(target=fork_often)
[t.start() for t in [*threads, forker]]
forker.join()
over = True
[t.join() for t in threads]
print(os.getpid(), bad)
"""


@pytest.mark.parametrize("where", ["cpu", "cuda13"])
def test_children_forked_while_other_threads_train_end_by_themselves(trace, where):
    """What a thread of the parent has locked, in the library or by its doing, is locked in a
    child for ever: in libunwind, in the loader, in torch's own account of CPU memory."""
    run = trace(FORKS, where[:4].rstrip("1"), device=where, timeout=1500,
                env={"TIDEMARK_STACKS": "all", "TIDEMARK_CPU": "1"})
    assert run.code == 0, run.stderr
    parent, bad = run.stdout.split(maxsplit=1)
    assert bad == "[]\n"
    assert "not tracing" not in run.stderr
    assert len(run.files) == 221
    finished = [path for path in run.files if not path.with_name(path.name + "-ring").exists()]
    assert len(finished) == 21
    for path in finished:
        t = run.open(path)
        assert t.one("PRAGMA integrity_check") == "ok"
        assert t.one("SELECT ended FROM run") == "exit"
        # three threads that do nothing but allocate may be ahead of the parent's writer
        assert path.stem == parent or set(t.losses) <= {"before_tracing"}
