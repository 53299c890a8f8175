"""Readers of a killed run that are themselves killed: before changes that recovery makes to
a file, each of its first and last ones. The next reader answers as if it were the first."""

import shutil
import signal
import sqlite3
import subprocess

import audit
import kills
import pytest
import runner

TABLES = ("allocation", "step", "step_device", "lost", "segment", "site", "tensor")


@pytest.fixture(scope="module")
def nursery():
    made = kills.Nursery(TIDEMARK_RING_SIZE="256K")
    yield made
    made.close()
    shutil.rmtree(made.folder, ignore_errors=True)


def read(path, **env):
    """The reader's status; 0 when it came to its end."""
    env["LD_PRELOAD"] = runner.PRELOADS / "libkiller.so"
    return subprocess.run([str(runner.COMMAND), "report", str(path)], text=True,
                          env=runner.environment(**env), capture_output=True,
                          start_new_session=True, timeout=runner.PATIENCE).returncode


def moments(changes):
    """Numbers of changes: what they begin and end with, and some of the many writes."""
    most = [*range(1, 6), *range(6, changes, max(1, changes // 8)),
            *range(changes - 22, changes + 1)]
    return sorted({n for n in most if 0 < n <= changes})


def contents(path):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES} | {
        "run": db.execute("SELECT ended, ended_ns, ring FROM run").fetchall(),
        "integrity": db.execute("PRAGMA integrity_check").fetchall(),
    }


def wait_for(folder, path, size):
    """Until the program has written so many bytes of its own, and so into its trace."""
    for _ in range(6000):
        if path.exists() and (folder / "stdout").exists() and (
                folder / "stdout").stat().st_size >= size:
            return
        kills.time.sleep(0.01)
    raise AssertionError("the program did not come that far")


@pytest.mark.parametrize("program, printed", [("plain.py", 0), ("plain.py", 900),
                                              ("bigstep.py", 1)])
def test_a_reader_killed_at_any_change_leaves_the_next_one_everything(nursery, tmp_path,
                                                                      program, printed):
    pid, folder = nursery.start(program, 100000)
    path = folder / f"{pid}.db"
    wait_for(folder, path, printed)
    assert nursery.kill(pid) == -signal.SIGKILL
    names = [p.name for p in folder.glob(f"{pid}.db*")]
    assert f"{pid}.db-ring" in names

    def copy(name):
        made = tmp_path / name
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        for one in names:
            shutil.copy2(folder / one, made / one)
        return made / path.name

    whole, count = copy("whole"), tmp_path / "count"
    if read(whole, KILL_COUNT=count) == 3:
        pytest.skip("killed before its first event")
    expected, changes = contents(whole), count.stat().st_size
    assert changes > 5, "the reader changed nothing: the preload does not reach it"
    for at in moments(changes):
        killed = copy("killed")
        read(killed, KILL_AT=at)
        # a second one, killed earlier or later, begins where the first was ended
        if at % 3 == 0:
            read(killed, KILL_AT=at // 2 + 1)
        assert read(killed) == 0, f"killed before change {at} of {changes}"
        assert contents(killed) == expected, f"killed before change {at} of {changes}"
        assert runner.left_over(killed.parent) == [], f"killed before change {at} of {changes}"


def test_reading_a_copy_without_its_ring_leaves_the_originals_alone(nursery, tmp_path):
    """A backup that took the trace and its log: the copy names the original's ring."""
    pid, folder = nursery.start("plain.py", 100000)
    path = folder / f"{pid}.db"
    wait_for(folder, path, 900)
    nursery.kill(pid)
    for one in folder.glob(f"{pid}.db*"):
        if not one.name.endswith("-ring"):
            shutil.copy2(one, tmp_path / one.name)
    ring = folder / f"{pid}.db-ring"
    before = ring.read_bytes()
    assert read(tmp_path / path.name) == 0
    assert ring.read_bytes() == before
    assert read(tmp_path / path.name) == 0
    assert read(path) == 0
    assert sqlite3.connect(path).execute("SELECT ended FROM run").fetchone() == ("killed",)
    assert not kills.one_process(path, audit.allocations(nursery.seen()[pid]))[0]
    assert runner.left_over(folder) == []
