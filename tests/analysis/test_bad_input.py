"""Files that are no trace, or not a whole one: one clear sentence and status 3."""
import os
import sqlite3
import subprocess

import pytest

COMMANDS = pytest.mark.parametrize("command", ["report", "peak", "timeline"])


def refused(done, *words):
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("tidemark: ") and done.stderr.count("\n") == 1
    assert not done.stderr.endswith(".\n")
    for word in words:
        assert word in done.stderr


@COMMANDS
def test_a_missing_file(tidemark, command):
    refused(tidemark(command, "gone.db"), "'gone.db'", "No such file")


@COMMANDS
def test_a_missing_folder(tidemark, command):
    refused(tidemark(command, "no/such/folder/a.db"), "'no/such/folder/a.db'")


@COMMANDS
def test_an_empty_file(tidemark, tmp_path, command):
    (tmp_path / "a.db").touch()
    refused(tidemark(command, "a.db"), "'a.db' is empty")


@COMMANDS
def test_a_text_file(tidemark, tmp_path, command):
    (tmp_path / "a.db").write_text("step,loss\n1,2.5\n" * 100)
    refused(tidemark(command, "a.db"), "'a.db' is not a tidemark trace")


def test_a_folder(tidemark, tmp_path):
    refused(tidemark("buckets", tmp_path), "a folder")
    refused(tidemark("peak", tmp_path), "no trace lies in the folder")


def test_somebody_elses_database(tidemark, tmp_path):
    db = sqlite3.connect(tmp_path / "a.db")
    db.execute("CREATE TABLE allocation (id)")
    db.commit()
    refused(tidemark("peak", "a.db"), "a database, but not a tidemark trace")


def test_a_newer_schema(tidemark, trace):
    _, path = trace()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 2")
    db.commit()
    refused(tidemark("peak", path), "schema 2", "up to 1", "update tidemark")


def test_a_trace_cut_off_before_its_run(tidemark, trace):
    _, path = trace()
    db = sqlite3.connect(path)
    db.execute("DELETE FROM run")
    db.commit()
    refused(tidemark("report", path), "holds no run")


@COMMANDS
@pytest.mark.parametrize("part", [0.05, 0.5, 0.97])
def test_a_truncated_trace(tidemark, trace, command, part):
    _, path = trace("leak")
    os.truncate(path, int(path.stat().st_size * part))
    refused(tidemark(command, path), "truncated or damaged")


def test_a_trace_overwritten_in_the_middle(tidemark, trace):
    _, path = trace("leak")
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 8192))
    refused(tidemark("peak", path), "truncated or damaged")


def test_no_permission(tidemark, trace, commoner):
    _, path = trace()
    folder, other = commoner
    (folder / "a.db").write_bytes(path.read_bytes())
    (folder / "a.db").chmod(0)
    refused(tidemark("peak", "a.db", **other), "'a.db'", "Permission denied")


def test_no_file_named_and_none_here(tidemark):
    refused(tidemark("report"), "no file 'tidemark-*.db'", "tidemark run")


@pytest.mark.parametrize("words, part", [
    (["pek", "a.db"], "did you mean 'peak'"),
    (["--json"], "comes before any command"),
    (["peak", "--jsn", "a.db"], "did you mean '--json'"),
    (["peak", "--top", "many", "a.db"], "takes a number"),
    (["peak", "--step", "-1", "a.db"], "takes a number"),
    (["peak", "--step", "99", "a.db"], "the last one is 7"),
    (["peak", "--by", "colour", "a.db"], "not 'colour'"),
    (["peak", "--color", "red", "a.db"], "not 'red'"),
    (["buckets", "a.db", "b.db"], "one trace at a time"),
    (["timeline", "--steps", "--step", "1", "a.db"], "about one"),
    (["run"], "name a program"),
    (["run", "--stacks", "some", "--", "true"], "not 'some'"),
    (["completion", "tcsh"], "name a shell"),
])
def test_usage_errors_are_status_2(tidemark, trace, words, part):
    trace()
    done = tidemark(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tidemark: ") and part in done.stderr


@pytest.mark.parametrize("log", [True, False], ids=["log left", "no log"])
def test_a_trace_beside_which_nothing_can_be_written(tidemark, trace, commoner, log):
    """With its write-ahead log still full, as a killed run leaves it, and without one."""
    _, path = trace()
    folder, other = commoner
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("UPDATE run SET command = 'from the log'")
    db.commit()
    if not log:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("", "-wal"):
        (folder / ("a.db" + suffix)).write_bytes(
            path.with_name("a.db" + suffix).read_bytes())
    folder.chmod(0o555)
    assert "from the log" in tidemark("report", "a.db", check=True, **other).stdout
    assert sorted(f.name for f in folder.iterdir()) == ["a.db", "a.db-wal"]


def test_a_run_that_is_writing_can_be_read(tidemark, trace):
    _, path = trace()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE run SET command = 'not yet'")
    done = tidemark("report", path, check=True)
    assert "python train.py" in done.stdout and "not yet" not in done.stdout


def test_strange_file_names(tidemark, trace, tmp_path):
    for name in ("a b.db", "a?b#c%20.db", "it's.db", "-a.db"):
        _, path = trace(name=name)
        done = tidemark("peak", "--", name, check=True)
        assert "PEAK" in done.stdout
    next_line = tidemark("peak", "a b.db").stdout.splitlines()[-1]
    assert next_line.endswith("tidemark report 'a b.db'")
    quoted = next_line.split("tidemark report ")[1]
    assert subprocess.run(["sh", "-c", f"test -f {quoted}"], cwd=tmp_path).returncode == 0
