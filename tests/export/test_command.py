"""`tidemark export` as a command: names, files that are there, bad input."""
import json
import os
import stat

import make_trace
import pytest

FORMATS = {"memory_viz": ".pickle", "perfetto": ".pftrace",
           "speedscope": ".speedscope.json", "pprof": ".pb.gz", "csv": ".blocks.csv"}


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_is_named_after_the_trace(tidemark, trace, name):
    file = trace(make_trace.gpt(), name="run.db")
    done = tidemark("export", "--format", name, file)
    made = file.with_name("run" + FORMATS[name])
    assert made.exists() and str(made) in done.stdout
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(made.stat().st_mode) == 0o666 & ~mask
    assert {p.name for p in file.parent.iterdir()} == {"run.db", made.name}


def test_json_says_what_was_made(answer, trace):
    file = trace(make_trace.gpt())
    said = answer("export", "--format", "speedscope", file)
    assert list(said)[0] == "tidemark" and said["format"] == "speedscope"
    assert said["bytes"] == os.path.getsize(said["file"]) and said["devices"] == ["cuda:0"]
    assert json.loads(open(said["file"]).read())


def test_nothing_is_replaced_unless_it_is_asked_for(tidemark, trace):
    file = trace(make_trace.gpt())
    there = file.with_name("there")
    there.write_text("mine")
    done = tidemark("export", "--format", "csv", file, "-o", there, check=False)
    assert done.returncode == 2 and "--force" in done.stderr and there.read_text() == "mine"
    tidemark("export", "--format", "csv", file, "-o", there, "--force")
    assert there.read_text().startswith("block,")


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_trace_is_never_replaced(tidemark, trace, force):
    file, other = trace(make_trace.gpt()), trace(make_trace.gpt(steps=1), name="b.db")
    for victim in file, other:
        before = victim.read_bytes()
        done = tidemark("export", "--format", "csv", file, "-o", victim, *force, check=False)
        assert done.returncode == 2 and "is a database" in done.stderr
        assert victim.read_bytes() == before


@pytest.mark.parametrize("words, status, part", [
    ([], 2, "needs --format"),
    (["--format", "pdf"], 2, "no format 'pdf'"),
    (["--format", "csv", "--table", "no"], 2, "no table 'no'"),
    (["--format", "speedscope", "--table", "blocks"], 2, "'--table' goes with"),
    (["--format", "csv", "-o", "-", "--json"], 2, "both want stdout"),
    (["--format", "csv", "-o", "missing/a.csv"], 2, "cannot write 'missing/a.csv'"),
    (["--format", "csv", "-o", "."], 2, "is a folder"),
    (["--format", "csv", "--device", "cuda:9"], 2, "cuda:9"),
    (["--format", "csv", "--step", "99"], 2, "99"),
    (["--format", "csv", "--table", "live", "--step", "1"], 2, "no rows to choose from"),
    (["--format", "csv", "-o", "/dev/full"], 1, "cannot write '/dev/full'"),
])
def test_bad_options(tidemark, trace, words, status, part):
    file = trace(make_trace.gpt())
    done = tidemark("export", *words, file, check=False)
    assert done.returncode == status and part in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout
    assert sorted(p.name for p in file.parent.iterdir()) == ["a.db"]


def test_no_trace(tidemark, tmp_path):
    (tmp_path / "x.db").write_text("no")
    for file in "x.db", "missing.db":
        done = tidemark("export", "--format", "csv", file, check=False)
        assert done.returncode == 3 and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_trace_without_events(tidemark, tmp_path, name):
    recording = make_trace.Recording()
    recording.begin()
    recording.write(tmp_path / "a.db")
    tidemark("export", "--format", name, "a.db")


def test_a_reader_that_goes_away_is_no_error(trace):
    import subprocess
    from where import COMMAND
    file = trace(make_trace.gpt(steps=9, leak=512), fold=False)
    child = subprocess.Popen([COMMAND, "export", "--format", "memory_viz", "-o", "-", file],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.read(10)
    child.stdout.close()
    assert child.stderr.read() == b"" and child.wait() in (0, -13)
