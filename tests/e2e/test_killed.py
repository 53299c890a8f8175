"""SIGKILL at any moment loses nothing that a hook returned from."""

import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import time

import pytest
import test_alive
from conftest import HERE, LIBRARY, PYTHON, clean_environment, execute, need
from reading import Trace, recover

# 100 runs: one process imports torch, its forked children are the ones that are killed.
# A child begins a trace of its own when it touches torch's memory.
NURSERY = """
import os, sys, torch, torch._dynamo  # an optimizer would import it, two seconds a child
torch.set_num_threads(1)
def child(line):
    folder, out = line.split()
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    os.chdir(folder)
    model = torch.nn.Sequential(torch.nn.Linear(33, 101), torch.nn.Linear(101, 13))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    kept, step = [], 0
    while True:
        x = torch.randn(7, 33)
        model(x).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 10 == 0:
            kept.append(torch.empty(3001, dtype=torch.uint8))
        os.write(1, b"%d %d\\n" % (step, len(kept)))
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        child(line)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("gone", flush=True)
"""

STEP_THREE = """
import os, signal, torch
from oracle import Oracle
o = Oracle("cpu", marks=False)
model = torch.nn.Linear(33, 101)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(7, 33)
for step in range(1, 6):
    loss = model(x).sum()
    if step == 3:
        big = torch.empty(5000001, dtype=torch.uint8)
        os.kill(os.getpid(), signal.SIGKILL)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    need("cpu")
    folder = tmp_path_factory.mktemp("killed")
    (folder / "nursery.py").write_text(NURSERY)
    process = subprocess.Popen(
        [str(PYTHON), str(folder / "nursery.py")], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(LD_PRELOAD=LIBRARY, TIDEMARK_OUT="%p.db", TIDEMARK_STACKS="python"),
    )
    yield process, folder
    process.stdin.close()
    process.wait(30)


@pytest.mark.repeated(short=20)
@pytest.mark.parametrize("moment", range(100))
def test_what_a_killed_run_had_printed_is_in_its_trace(nursery, moment):
    process, parent = nursery
    folder = parent / str(moment)
    folder.mkdir()
    printed = folder / "printed"
    process.stdin.write(f"{folder} {printed}\n")
    process.stdin.flush()
    pid = int(process.stdout.readline())
    # Moments differ by chance and by count of steps: from before the first event on.
    chance = random.Random(moment)
    if moment % 4:
        want = chance.randrange(1, 200)
        for _ in range(4000):
            if printed.exists() and printed.read_bytes().count(b"\n") >= want:
                break
            time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.05))
    os.kill(pid, signal.SIGKILL)
    assert process.stdout.readline() == "gone\n"

    lines = printed.read_bytes().split(b"\n")[:-1] if printed.exists() else []
    steps, kept = map(int, lines[-1].split()) if lines else (0, 0)
    files = sorted(folder.glob("*.db"))
    if not files:
        assert steps == 0
        return
    code, message = recover(LIBRARY, files[0])
    assert code in (0, 1), message
    assert sorted(p.name for p in folder.iterdir() if "ring" in p.name) == []
    trace = Trace(files[0])
    if not trace.all("SELECT * FROM sqlite_master"):
        assert steps == 0, "killed before the file had its tables"
        return
    complete = trace.one("SELECT count(*) FROM step WHERE complete")
    assert steps <= complete <= steps + 1
    assert trace.one("PRAGMA integrity_check") == "ok"
    assert trace.one("SELECT ended FROM run") == "killed"
    assert trace.losses == {}
    # The one tensor kept in ten steps: none is missing, none too many.
    live = [b for b in trace.births("cpu") if b.shape == "[3001]" and b.died_step is None]
    assert kept <= len(live) <= kept + 1
    for device, step in trace.all("SELECT device, step FROM v_peak"):
        peak = trace.one("SELECT allocated_bytes FROM v_peak WHERE device = ?", device)
        assert trace.one("SELECT sum(bytes) FROM v_peak_live WHERE device = ?", device) == peak


def test_killed_while_its_files_were_made(tmp_path, tidemark):
    (tmp_path / "t.db").touch()
    (tmp_path / "t.db-ring").write_bytes(bytes(4096))
    done = tidemark("report", "t.db")
    assert done.returncode == 3
    assert done.stderr == "tidemark: 't.db' is empty: the run that made it recorded no event\n"
    assert [p.name for p in tmp_path.iterdir()] == ["t.db"]


def test_killed_in_the_middle_of_step_three_the_peak_is_that_of_what_happened(trace):
    run = trace(STEP_THREE)
    assert run.code == -signal.SIGKILL
    assert [n for n in run.left_over if "ring" in n], "a killed run leaves its ring"
    code, message = recover(LIBRARY, run.files[0])
    assert (code, message) == (0, "")
    assert run.left_over == []
    t = run.open()
    assert t.one("SELECT count(*) FROM step WHERE complete") == 2
    step, phase, peak = t.one("SELECT step, phase, allocated_bytes FROM v_peak")
    assert step == 3
    live = t.all("SELECT bytes, shape FROM v_peak_live ORDER BY bytes DESC")
    assert live[0] == (5000001, "[5000001]")
    assert sum(b for b, _ in live) == peak


def test_the_command_says_the_peak_of_a_killed_run(trace, tidemark):
    run = trace(STEP_THREE)
    done = tidemark("peak", run.files[0], "--json")
    assert done.returncode == 0, done.stderr
    assert '"step":3' in done.stdout.replace(" ", "")
    assert "5000001" in done.stdout


def test_recovering_twice_changes_nothing(trace):
    run = trace(STEP_THREE)
    assert recover(LIBRARY, run.files[0])[0] == 0
    before = run.open().all("SELECT * FROM v_peak_live")
    assert recover(LIBRARY, run.files[0])[0] == 1
    assert run.open().all("SELECT * FROM v_peak_live") == before


BY_HAND = """
import os, signal, sys, time, torch
device, kind, steps, killed = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "killed"
model = torch.nn.Sequential(torch.nn.Linear(33, 101), torch.nn.Tanh(), torch.nn.Linear(101, 13))
momentum = [torch.zeros_like(p) for p in model.parameters()]
for step in range(steps):
    x = torch.randn(7 + step, 33) * 2  # a step like no other: none is folded
    y = model(x).square().mean()
    if kind == "given":
        g = torch.autograd.grad(y, list(model.parameters()))
    else:
        y.backward()
        g = [p.grad for p in model.parameters()]
    if kind == "data":
        for p, d in zip(model.parameters(), g):
            p.data = p.data - 0.1 * d
    else:
        with torch.no_grad():
            for p, d, m in zip(model.parameters(), g, momentum):
                m.mul_(0.9).add_(d)
                p -= 0.1 * m
    del g, d, y
    for p in model.parameters():
        p.grad = None
    if step < 40:
        time.sleep(0.02)  # several commits
if killed:
    os.kill(os.getpid(), signal.SIGKILL)
os._exit(0)
"""


@pytest.mark.parametrize("kind", ["accumulated", "given", "data"])
@pytest.mark.parametrize("steps", [1, 2, 7, 43])
def test_a_loop_by_hand_has_the_steps_and_phases_that_it_would_have_had(trace, kind, steps):
    names = "id, complete, micro_steps, events"
    told = []
    for end in ("killed", "over"):
        run = trace(BY_HAND, "cpu", kind, steps, end)
        assert run.code == (-signal.SIGKILL if end == "killed" else 0), run.stderr
        if end == "killed":
            code, message = recover(LIBRARY, run.files[0])
            assert code in (0, 1), message
        t = run.open()
        assert t.losses == {}
        told.append((
            t.all(f"SELECT {names} FROM step ORDER BY id"),
            t.all("SELECT state, why FROM capability WHERE name = 'steps'"),
            # that a run is over without a step of an optimizer says what a first momentum is
            [(b.born_step, b.born, b.shape, b.phase, steps > 2 and b.bucket)
             for b in t.births("cpu")],
        ))
    for killed, over in zip(*told):
        assert killed == over


AT_ONCE = """
import ctypes, sys, threading
lib = ctypes.CDLL(sys.argv[1])
answers = set()
def finish(trace, copies):
    together.wait()
    for copy in copies:
        text = ctypes.create_string_buffer(1024)
        rc = lib.tidemark_recover(trace.encode(), copy.encode(), text, ctypes.c_size_t(1024))
        answers.add((rc, text.value))
together = threading.Barrier(4)
threads = [threading.Thread(target=finish, args=(sys.argv[2 + i % 2], sys.argv[4 + i::4]))
           for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(answers)
"""


def test_threads_that_finish_traces_at_once_take_turns(tmp_path, trace):
    """Neither SQLite as it is set here nor the rest of recovery has locks; a program may call
    tidemark_recover() from any thread."""
    runs = [trace(STEP_THREE), trace(STEP_THREE.replace("step == 3", "step == 5"))]
    copies = [tmp_path / f"{number}.db" for number in range(40)]
    done = subprocess.run([PYTHON, "-c", AT_ONCE, LIBRARY, *(r.files[0] for r in runs), *copies],
                          text=True, capture_output=True, env=clean_environment(), timeout=300)
    assert (done.returncode, done.stdout) == (0, "{(0, b'')}\n"), done.stderr
    traces = [Trace(copy) for copy in copies]
    assert [t.losses for t in traces] == [{}] * len(copies)
    assert [t.one("SELECT max(id) FROM step") for t in traces] == [3, 5] * (len(copies) // 2)


IN_TURN = """
import os, signal, threading, torch
def work(first):
    for n in range(20): kept.append(torch.empty(first + n, dtype=torch.uint8))
    done.set()
    threading.Event().wait()
kept = []
for first in 5000, 6000, 7000:
    done = threading.Event()
    threading.Thread(target=work, args=(first,), daemon=True).start()
    done.wait()
os.kill(os.getpid(), signal.SIGKILL)
"""


def cut_a_ring(path, records):
    """As of a thread that was killed between taking its numbers and writing the records, while others
    went on: the last records of the ring that ends first."""
    with open(path, "r+b") as f:
        ends = []
        for at, head, tail, size in test_alive.rings_of(f):
            numbered = []
            while tail < head:
                f.seek(at + 4096 + tail % size)
                length, number = struct.unpack("<I4xQ", f.read(16))
                numbered.append((number, tail))
                tail += length
            if len(numbered) > 20:
                ends.append((numbered[-1][0], at, numbered[-records][1]))
        _, at, tail = min(ends)
        f.seek(at)
        f.write(struct.pack("<Q", tail))


@pytest.mark.parametrize("records", [1, 9])
def test_a_call_that_was_cut_is_no_loss(tmp_path, records):
    need("cpu")
    run = execute(tmp_path, IN_TURN, env={"TIDEMARK_CPU": "1"})
    assert run.code == -signal.SIGKILL
    ring, = tmp_path.glob("*.db-ring")
    cut_a_ring(ring, records)
    recover(LIBRARY, run.files[0])
    trace = Trace(run.files[0])
    born = {row[0] for row in trace.all("SELECT bytes FROM allocation")}
    assert set(range(6000, 6020)) | set(range(7000, 7020)) <= born
    assert 5000 in born and 5019 not in born
    if records == 1:
        assert trace.losses == {}
    else:  # one call of each thread may have been cut, but not nine of them
        assert set(trace.losses) == {"gap"} and 1 <= trace.losses["gap"] < 9, trace.losses


def test_the_next_reader_removes_an_empty_log_too(tmp_path, tidemark):
    """As three readers at once have left it: the one that finished the trace was not the last."""
    need("cpu")
    (tmp_path / "run").mkdir()
    run = execute(tmp_path / "run", IN_TURN, env={"TIDEMARK_CPU": "1"})
    assert tidemark("report", run.files[0]).returncode == 0
    db = sqlite3.connect(run.files[0])
    assert db.execute("PRAGMA journal_mode = WAL").fetchall() == [("wal",)]
    db.execute("SELECT count(*) FROM run").fetchall()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "run", copy)
    db.close()
    trace, = copy.glob("*.db")
    beside = {p.name: p.stat().st_size for p in copy.glob("*.db-*")}
    assert beside == {f"{trace.name}-wal": 0, f"{trace.name}-shm": 32768}
    done = tidemark("report", trace)
    assert done.returncode == 0 and done.stderr == "" and not list(copy.glob("*.db-*"))
