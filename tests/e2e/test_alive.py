"""A living run is known to be alive, whatever its program does with files; a reader changes
nothing that a writer may hold, and what a killed reader began the next one finishes."""

import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import time

import pytest
from conftest import COMMAND, LIBRARY, PYTHON, clean_environment, execute, need
from reading import Trace, recover

TRAIN = """
import os, sys, time, torch
torch.set_num_threads(1)
model = torch.nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
def step():
    model(torch.randn(16, 64)).sum().backward(); optimizer.step(); optimizer.zero_grad()
for _ in range(20): step()
"""
# What a program does to its output folder, then it trains on until it is told to stop.
GO_ON = """
print("ready", flush=True)
steps = 20
while not os.path.exists("stop"):
    step(); steps += 1; time.sleep(0.002)
print("done", steps, flush=True)
"""
READS = {
    "archives the folder": """
import tarfile
tarfile.open("../backup.tar", "w").add(".")
""",
    "reads every file": """
for name in os.listdir("."): open(name, "rb").read()
""",
    "reads the ring alone": """
open(next(n for n in os.listdir(".") if n.endswith("-ring")), "rb").read()
""",
    "opens and closes the trace twenty times": """
for _ in range(20):
    for name in os.listdir("."): os.close(os.open(name, os.O_RDWR))
""",
    "copies the folder": """
import shutil; shutil.copytree(".", "../copy")
""",
    "forks a child that outlives nothing": """
if not os.fork(): os._exit(0)
os.wait()
""",
    "does nothing": "",
}


class Living:
    """A program under the library that trains until it is told to stop."""

    def __init__(self, folder, between, **env):
        need("cpu")
        self.folder = folder
        folder.mkdir()
        (folder / "train.py").write_text(TRAIN + between + GO_ON)
        self.process = subprocess.Popen(
            [str(PYTHON), "train.py"], cwd=folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(LD_PRELOAD=env.pop("preload", "") + str(LIBRARY),
                                  TIDEMARK_OUT=str(folder / "x.db"), TIDEMARK_CPU="1", **env),
        )
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()
        self.trace = folder / "x.db"

    def stop(self):
        (self.folder / "stop").touch()
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, int(out.split()[1]), err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.mark.parametrize("what", READS)
def test_a_report_beside_a_living_run_says_so_and_leaves_it_alone(tmp_path, tidemark, what):
    with Living(tmp_path / "out", READS[what]) as run:
        for command in ("report", "peak", "buckets"):
            done = tidemark(command, run.trace)
            assert done.returncode == 0, done.stderr
            assert done.stderr == "tidemark: still running: as of now\n"
        # sqlite3's own program changes nothing either: it sees the writer's locks
        other = sqlite3.connect(run.trace)
        assert other.execute("SELECT count(*) FROM step").fetchone()[0] > 0
        other.close()
        time.sleep(0.3)
        code, steps, err = run.stop()
    assert (code, err) == (0, "")
    assert sorted(p.name for p in run.folder.glob("x.db*")) == ["x.db"]
    trace = Trace(run.trace)
    assert trace.one("SELECT count(*) FROM step WHERE complete") == steps
    assert trace.losses == {} and trace.one("SELECT ended FROM run") == "exit"


def test_a_copy_of_a_living_run_is_whole_up_to_its_moment(tmp_path):
    with Living(tmp_path / "out", READS["does nothing"], TIDEMARK_RING_SIZE="64K") as run:
        ends = []
        for i in range(12):
            copy = tmp_path / f"copy{i}.db"
            assert recover_into(run.trace, copy) == (0, "")
            trace = Trace(copy)
            assert trace.losses == {}
            assert trace.one("PRAGMA integrity_check") == "ok"
            ends.append(trace.one("SELECT count(*) FROM step WHERE complete"))
            time.sleep(0.05)
        assert ends == sorted(ends) and ends[-1] > ends[0]
        code, steps, err = run.stop()
    assert (code, err) == (0, "") and steps >= ends[-1]


def recover_into(path, into):
    code = (
        "import ctypes, sys\nlib = ctypes.CDLL(sys.argv[1])\n"
        "text = ctypes.create_string_buffer(1024)\n"
        "print(lib.tidemark_recover(sys.argv[2].encode(), sys.argv[3].encode(), text,"
        " ctypes.c_size_t(1024)), text.value.decode())\n"
    )
    done = subprocess.run([str(PYTHON), "-c", code, str(LIBRARY), str(path), str(into)],
                          text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rc, _, message = done.stdout.strip().partition(" ")
    return int(rc), message


CLOSES = TRAIN + """
import threading
time.sleep(0.2)
os.closerange(3, 4096)
files = [open(f"mine{i}", "w+b") for i in range(40)]
for f in files: f.write(b"mine" * 10); f.flush()
def work():
    for _ in range(50): torch.empty(1001)
for _ in range(40):
    step()
    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]; [t.join() for t in threads]
    time.sleep(0.005)
places = [f.tell() for f in files]
print(all(open(f.name, "rb").read() == b"mine" * 10 for f in files), set(places))
"""


@pytest.mark.parametrize("stacks", ["all", "python"])
def test_a_program_that_closes_all_descriptors_finds_nothing_in_its_own_files(
        tmp_path, tidemark, stacks):
    run = execute(tmp_path, CLOSES, env={"TIDEMARK_STACKS": stacks})
    assert (run.code, run.stdout) == (0, "True {40}\n")
    assert run.stderr.startswith("tidemark: the program closed the trace's file descriptors")
    assert run.stderr.count("\n") == 1
    done = tidemark("report", run.files[0])
    assert done.returncode == 0 and "stopped" in done.stdout
    assert Trace(run.files[0]).losses == {}


NO_LOCKS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
static int refuses(int command)
{
	return command == F_SETLK || command == F_SETLKW || (ALL && (command == 37 || command == 38));
}
#define WRAP(name) int name(int fd, int command, ...) { \
	va_list v; va_start(v, command); void *a = va_arg(v, void *); va_end(v); \
	static int (*next)(int, int, ...); \
	if (!next) *(void **)&next = dlsym(RTLD_NEXT, #name); \
	if (refuses(command) && ((struct flock *)a)->l_type != F_UNLCK) { errno = ENOLCK; return -1; } \
	return next(fd, command, a); }
WRAP(fcntl)
WRAP(fcntl64)
"""
THREADS = """
import sys, threading, time, torch
def work():
    for _ in range(400): torch.empty(1000)
for _ in range(25):
    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]; [t.join() for t in threads]
print("done", flush=True)
open("over", "w").close()
"""


@pytest.mark.parametrize("kinds", ["POSIX locks", "all locks"])
def test_where_locks_are_refused_the_program_goes_on(tmp_path, kinds):
    (tmp_path / "nolock.c").write_text(NO_LOCKS)
    built = subprocess.run(["cc", "-shared", "-fPIC", "-w", f"-DALL={kinds == 'all locks':d}",
                            "-o", tmp_path / "nolock.so", tmp_path / "nolock.c", "-ldl"])
    if built.returncode:
        pytest.skip("no C compiler")
    folder = tmp_path / "run"
    folder.mkdir()
    run = execute(folder, THREADS, env={"TIDEMARK_RING_SIZE": "64K", "TIDEMARK_CPU": "1",
                                        "LD_PRELOAD": str(tmp_path / "nolock.so")})
    leaving = time.time() - (folder / "over").stat().st_mtime
    assert (run.code, run.stdout) == (0, "done\n")
    assert leaving < 8  # two seconds are the bound, the rest is for a busy machine
    if kinds == "all locks":
        assert run.stderr.startswith("tidemark: cannot write '") and run.stderr.count("\n") == 1
        assert list(folder.glob("*.db*")) == []
    else:
        assert run.stderr == "" and len(run.files) == 1 and run.left_over == []


# ---- runs that are over ------------------------------------------------------------------

KILLED = TRAIN + """
import signal, threading
def work():
    for _ in range(300): torch.empty(1001)
for _ in range(180):
    step()
    if _ % 20 == 0:
        threads = [threading.Thread(target=work) for _ in range(3)]
        [t.start() for t in threads]; [t.join() for t in threads]
kept = [torch.empty(3001, dtype=torch.uint8) for _ in range(7)]
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The files that a killed run left, with a ring of 64 KiB, so that some of it is in the
    trace, some spilled and some in the rings."""
    need("cpu")
    folder = tmp_path_factory.mktemp("killed")
    run = execute(folder, KILLED, env={"TIDEMARK_OUT": str(folder / "x.db"),
                                       "TIDEMARK_RING_SIZE": "256K", "TIDEMARK_CPU": "1"})
    assert run.code == -signal.SIGKILL
    return folder


def copy_of(killed, folder):
    folder.mkdir()
    for path in killed.glob("x.db*"):
        shutil.copy(path, folder / path.name)
    return folder / "x.db"


def check_whole(trace):
    assert sorted(p.name for p in trace.parent.glob("x.db*")) == ["x.db"]
    t = Trace(trace)
    assert t.one("PRAGMA integrity_check") == "ok"
    assert t.one("SELECT ended FROM run") == "killed" and t.losses == {}
    assert t.one("SELECT count(*) FROM step WHERE complete") == 200
    live = [b for b in t.births("cpu") if b.shape == "[3001]" and b.died_step is None]
    assert len(live) == 7


def report(trace):
    return subprocess.Popen([str(COMMAND), "report", "--json", str(trace)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            start_new_session=True, env=clean_environment())


@pytest.mark.repeated(short=10)
@pytest.mark.parametrize("moment", range(25))
def test_a_reader_killed_in_its_recovery_leaves_it_to_the_next_one(tmp_path, killed, moment):
    trace = copy_of(killed, tmp_path / "run")
    chance = random.Random(moment)
    for _ in range(3):
        reader = report(trace)
        time.sleep(chance.uniform(0, 0.09))
        try:
            os.killpg(reader.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        reader.communicate()
    last = report(trace)
    _, err = last.communicate(timeout=60)
    assert (last.returncode, err) == (0, "")
    check_whole(trace)


def test_a_reader_killed_between_the_end_and_the_tidying_up_is_not_done_again(tmp_path, killed):
    trace = copy_of(killed, tmp_path / "run")
    ring = (killed / "x.db-ring").read_bytes()
    assert recover(LIBRARY, trace)[0] == 0
    before = Trace(trace).all("SELECT * FROM allocation")
    # The trace is finished; its log and its ring are still there, the log's -shm is not.
    other = sqlite3.connect(trace)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("INSERT INTO meta VALUES ('something', 1)")
    other.commit()
    left = {suffix: pathlib.Path(f"{trace}{suffix}").read_bytes() for suffix in ("", "-wal")}
    other.close()
    for suffix, data in left.items():
        pathlib.Path(f"{trace}{suffix}").write_bytes(data)
    pathlib.Path(f"{trace}-ring").write_bytes(ring)
    reader = report(trace)
    _, err = reader.communicate(timeout=60)
    assert (reader.returncode, err) == (0, "")
    check_whole(trace)
    assert Trace(trace).all("SELECT * FROM allocation") == before


def test_five_readers_at_once_all_answer_the_same(tmp_path, killed):
    trace = copy_of(killed, tmp_path / "run")
    readers = [report(trace) for _ in range(5)]
    answers = [r.communicate(timeout=60) for r in readers]
    assert [r.returncode for r in readers] == [0] * 5
    assert {err for _, err in answers} == {""}
    assert len({out for out, _ in answers}) == 1
    check_whole(trace)


# Where struct tmk_ring_header (tracer/ring/ring.h) keeps what the tests change.
PID, STARTED, NAMESPACE, BOOT, HOST, TOKEN = 16, 24, 32, 40, 80, 152
RINGS, DATA_SIZE = 240, 296


def patch(trace, at, value):
    with open(f"{trace}-ring", "r+b") as ring:
        ring.seek(at)
        ring.write(value)


def field(trace, at, size):
    with open(f"{trace}-ring", "rb") as ring:
        ring.seek(at)
        return ring.read(size)


def test_the_number_of_a_dead_owner_that_is_another_process_now(tmp_path, killed, tidemark):
    trace = copy_of(killed, tmp_path / "run")
    patch(trace, PID, struct.pack("<I", os.getpid()))  # we live, and began at another time
    assert tidemark("report", trace).returncode == 0
    check_whole(trace)


def started_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_an_owner_that_lives_without_its_lock_is_alive(tmp_path, killed, tidemark):
    trace = copy_of(killed, tmp_path / "run")
    patch(trace, PID, struct.pack("<IIQ", os.getpid(), 0, started_of(os.getpid())))
    before = sorted((p.name, p.stat().st_mtime_ns, p.stat().st_size)
                    for p in trace.parent.iterdir())
    done = tidemark("report", trace)
    assert done.returncode == 0 and "still running" in done.stderr
    assert before == sorted((p.name, p.stat().st_mtime_ns, p.stat().st_size)
                            for p in trace.parent.iterdir())


@pytest.mark.parametrize("where", ["container", "host"])
def test_an_owner_that_ran_elsewhere_is_read_from_a_copy(tmp_path, killed, tidemark, where):
    trace = copy_of(killed, tmp_path / "run")
    if where == "container":
        patch(trace, NAMESPACE, struct.pack("<Q", 4026539999))
    else:
        patch(trace, BOOT, b"00000000-0000-0000-0000-000000000000")
        patch(trace, HOST, b"elsewhere\0")
    done = tidemark("report", trace)
    assert done.returncode == 0 and "200 steps" in done.stdout
    assert done.stderr == (
        "tidemark: as of now: from here it cannot be told whether the run goes on\n")
    assert (trace.parent / "x.db-ring").exists()


def test_a_machine_that_was_started_anew_has_no_owner_left(tmp_path, killed, tidemark):
    trace = copy_of(killed, tmp_path / "run")
    patch(trace, BOOT, b"00000000-0000-0000-0000-000000000000")
    done = tidemark("report", trace)
    assert (done.returncode, done.stderr) == (0, "")
    check_whole(trace)


def test_a_ring_of_another_run_is_left_alone(tmp_path, killed, tidemark):
    trace = copy_of(killed, tmp_path / "run")
    patch(trace, TOKEN, b"0" * 32)
    done = tidemark("report", "--json", trace)
    assert done.returncode == 0 and "belongs to another run" in done.stderr
    assert '"incomplete"' in done.stdout
    assert (trace.parent / "x.db-ring").exists()


def test_a_ring_that_is_gone_is_said(tmp_path, killed, tidemark):
    trace = copy_of(killed, tmp_path / "run")
    (trace.parent / "x.db-ring").unlink()
    (killed / "x.db-ring").rename(killed / "away")
    try:
        done = tidemark("report", trace)
    finally:
        (killed / "away").rename(killed / "x.db-ring")
    assert done.returncode == 0 and "last events of this run are missing" in done.stderr


def rings_of(f):
    """[(where its page of cursors is, head, tail, bytes of its data)] of a file of rings."""
    f.seek(RINGS)
    count = struct.unpack("<I", f.read(4))[0]
    f.seek(DATA_SIZE)
    size = struct.unpack("<Q", f.read(8))[0]
    found = []
    for at in range(4096, 4096 + count * (4096 + size), 4096 + size):
        f.seek(at)
        page = f.read(72)
        found.append((at, *struct.unpack("<Q56xQ", page), size))
    assert found, "a run without a ring"
    return found


def zero_what_is_held(f):
    """As after a crash of the machine, where the pages that nobody had written back are zeros."""
    for at, head, tail, size in rings_of(f):
        assert head - tail <= size
        begin, length = tail % size, head - tail
        for start, end in ((begin, min(begin + length, size)), (0, begin + length - size)):
            f.seek(at + 4096 + start)
            f.write(bytes(max(0, end - start)))


def damage(ring, kind, chance):
    size = ring.stat().st_size
    with open(ring, "r+b") as f:
        if kind == "a zeroed page":
            f.seek(4096 * chance.randrange(1, size // 4096))
            f.write(bytes(4096))
        elif kind == "a torn page":
            f.seek(4096 * chance.randrange(1, size // 4096) + 512 * chance.randrange(8))
            f.write(chance.randbytes(512))
        elif kind == "many zeroed pages":
            for page in range(2, size // 4096, 3):
                f.seek(4096 * page)
                f.write(bytes(4096))
        elif kind == "cursors that cannot be":
            for at, *_ in rings_of(f):
                f.seek(at)
                f.write(struct.pack("<Q", chance.getrandbits(64)))
        elif kind == "what was not yet in the trace zeroed":
            zero_what_is_held(f)
        elif kind == "a count of rings that cannot be":
            f.seek(4096 - 2048 - 200)
            f.write(chance.randbytes(200))
        elif kind == "a lost first page":
            f.write(bytes(4096))
        elif kind == "cut short":
            f.truncate(chance.randrange(0, size))
        else:
            for _ in range(500):
                f.seek(chance.randrange(size))
                f.write(chance.randbytes(chance.randrange(1, 9)))


KINDS = ["a zeroed page", "a torn page", "many zeroed pages", "cursors that cannot be",
         "what was not yet in the trace zeroed", "a count of rings that cannot be", "a lost first page", "cut short", "noise"]


def frugal():
    """Called in a reader before it begins: half a gigabyte and two seconds of work are enough,
    as in tests/fuzz. AddressSanitizer's shadow alone is more than that."""
    if b"__asan_init" not in COMMAND.read_bytes():
        resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 500 << 20))
        resource.setrlimit(resource.RLIMIT_CPU, (2, 2))


@pytest.mark.repeated(short=1)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_in_the_ring_the_reader_ends(tmp_path, killed, tidemark, kind, seed):
    trace = copy_of(killed, tmp_path / "run")
    damage(tmp_path / "run" / "x.db-ring", kind, random.Random(f"{kind}{seed}"))
    done = tidemark("report", "--json", trace, preexec_fn=frugal)
    assert done.returncode in (0, 3), (done.returncode, done.stderr)
    assert done.stderr.count("\n") <= 2, done.stderr
    if done.returncode == 0 and done.stderr == "":
        # Either nothing of the run stood there, or it is counted.
        t = Trace(trace)
        steps = t.one("SELECT count(*) FROM step WHERE complete")
        assert steps == 200 or t.losses, steps
