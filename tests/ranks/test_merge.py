"""`tidemark merge`: a job as Parquet, written by either library and read by DuckDB."""
import json
import os
import shutil
import sqlite3
import subprocess

import pytest
from conftest import clean, stage
from pose import pose, rank_of
from where import PYTHON, need

#: Read with the DuckDB of the tests, in a process of its own.
ASK = """
import json, sys, duckdb
print(json.dumps([duckdb.sql(q).fetchall() for q in json.load(sys.stdin)]))
"""


@pytest.fixture(scope="session")
def libraries():
    return need("readers")


@pytest.fixture
def merge(tidemark, libraries, tmp_path):
    def call(*words, engine="arrow", **more):
        return tidemark("merge", *words, "--python", PYTHON, cwd=tmp_path,
                        env={"PYTHONPATH": str(libraries), "TIDEMARK_PARQUET": engine}, **more)
    return call


@pytest.fixture
def duckdb(libraries, tmp_path):
    def ask(*queries):
        done = subprocess.run([PYTHON, "-c", ASK], input=json.dumps(queries), text=True,
                              capture_output=True, cwd=tmp_path,
                              env=clean(PYTHONPATH=str(libraries)))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return ask


ODD = ["NULL", "=", "", "a,b", 'q"uote', "two\nlines", "tab\there", "ünï", "'", "=NULL"]


def odd(path):
    """Operators whose names would trip a writer."""
    db = sqlite3.connect(path)
    for i, name in enumerate(ODD):
        db.execute("INSERT INTO op VALUES (?, ?)", (9000 + i, name))
        db.execute("INSERT INTO site SELECT ?, phase, thread, python_stack, native_stack, module, "
                   "?, shape, scope FROM site LIMIT 1", (9000 + i, 9000 + i))
        db.execute("INSERT INTO allocation SELECT 9000 + ?, device, ?, bucket, rule, 512, NULL, "
                   "address, 0, 0, 0, 0, 0, 0, NULL FROM allocation LIMIT 1", (i, 9000 + i))
    db.commit()
    db.close()
    return path


@pytest.mark.parametrize("engine", ["arrow", "duck"])
def test_duckdb_reads_what_either_library_wrote(tmp_path, written, merge, duckdb, answer, engine):
    made = pose(tmp_path / "job", 4, [odd(written(stage(range(2)))), written(stage(range(3)))],
                missing=(2,))
    done = merge("job", "-o", "out", engine=engine)
    assert done.returncode == 0, done.stdout + done.stderr
    live, blocks, ops, steps, nothing = duckdb(
        "SELECT rank, sum(bytes) FROM 'out/live/*/*.parquet' GROUP BY rank ORDER BY rank",
        "SELECT rank, count(*) FROM 'out/blocks/**/*.parquet' GROUP BY rank ORDER BY rank",
        "SELECT op FROM 'out/blocks/*/*.parquet' WHERE rank = 0 AND block >= 9000 ORDER BY block",
        "SELECT max(peak_allocated_bytes), typeof(any_value(step)), typeof(any_value(device)) "
        "FROM read_parquet('out/steps/*/*.parquet', hive_partitioning = true) WHERE rank = 1",
        "SELECT count(*), count(requested_bytes) FROM 'out/blocks/*/*.parquet' "
        "WHERE rank = 0 AND block >= 9000")
    peaks = {rank: answer("peak", path)["devices"][0] for rank, path in made.items()}
    assert live == [[r, p["allocated_bytes"]] for r, p in peaks.items()]
    rows = {r: sqlite3.connect(p).execute("SELECT count(*) FROM allocation").fetchone()[0]
            for r, p in made.items()}
    assert blocks == [[r, n] for r, n in rows.items()]
    assert [o for o, in ops] == ODD
    assert steps == [[peaks[1]["allocated_bytes"], "BIGINT", "VARCHAR"]]
    assert nothing == [[len(ODD), 0]]


def test_the_summary_is_the_report(tmp_path, written, merge, answer):
    pose(tmp_path / "job", 4, [written(stage(range(2))), written(stage(range(3)))], missing=(3,))
    assert merge("job", "-o", "out").returncode == 0
    report = answer("report", tmp_path / "job")
    db = sqlite3.connect(tmp_path / "out" / "summary.db")
    assert db.execute("SELECT rank, host, peak_allocated_bytes FROM rank").fetchall() == [
        (r["rank"], r["host"], r["peak_allocated_bytes"]) for r in report["ranks"]]
    assert db.execute("SELECT rank FROM missing_rank").fetchall() == [(3,)]
    assert db.execute("SELECT world_size, traces FROM job").fetchone() == (4, 3)
    held = db.execute("SELECT rank, sum(bytes) FROM rank_bucket GROUP BY rank").fetchall()
    assert held == [(r["rank"], r["peak_allocated_bytes"]) for r in report["ranks"]]


def test_nothing_is_written_beside_the_folder(tmp_path, written, merge):
    pose(tmp_path / "job", 2, [written(stage(range(2)))])
    before = {p.name: p.read_bytes() for p in (tmp_path / "job").iterdir()}
    assert merge("job", "-o", "out").returncode == 0
    assert {p.name for p in tmp_path.iterdir()} == {"job", "models", "out"}
    assert {p.name: p.read_bytes() for p in (tmp_path / "job").iterdir()} == before


def test_damage_in_one_trace_is_said_and_the_rest_is_there(tmp_path, written, merge, duckdb):
    made = pose(tmp_path / "job", 3, [written(stage(range(2)))])
    made[1].write_bytes(made[1].read_bytes()[:5000])
    done = merge("job", "-o", "out")
    assert done.returncode == 0 and made[1].name in done.stdout
    assert duckdb("SELECT DISTINCT rank FROM 'out/live/*/*.parquet' ORDER BY rank") == [[[0], [2]]]


def test_names_that_are_no_utf_8(tmp_path, written, merge, duckdb):
    made = pose(tmp_path / "job", 2, [written(stage(range(2)))])
    os.rename(made[1], bytes(tmp_path / "job") + b"/r%41 \xff'\".db")
    assert merge("job", "-o", "o ut").returncode == 0
    assert duckdb("SELECT count(DISTINCT rank) FROM 'o ut/live/*/*.parquet'") == [[[2]]]


def test_a_rank_that_is_not_known_is_null(tmp_path, written, merge, duckdb):
    one = shutil.copyfile(written(stage(range(2))), tmp_path / "a.db")
    two = shutil.copyfile(written(stage(range(3))), tmp_path / "b.db")
    assert merge(one, two, "-o", "out").returncode == 0
    assert duckdb("SELECT rank, count(DISTINCT filename) FROM read_parquet("
                  "'out/live/*/*.parquet', filename = true, hive_partitioning = true) "
                  "GROUP BY rank") == [[[None, 2]]]


@pytest.mark.parametrize("words, part", [
    (["job"], "-o OUT"), ([], "name a folder"), (["job", "-o", "there"], "there already"),
    (["job", "-o", "no/such/out"], "cannot make the folder")])
def test_bad_usage(tmp_path, written, merge, words, part):
    pose(tmp_path / "job", 2, [written(stage(range(2)))])
    (tmp_path / "there").mkdir()
    done = merge(*words)
    assert done.returncode == 2 and part in done.stderr and done.stderr.count("\n") == 1


def test_without_a_library_it_says_which(tmp_path, written, tidemark):
    pose(tmp_path / "job", 2, [written(stage(range(2)))])
    if not PYTHON.exists():
        pytest.skip("no Python of the tests")
    done = tidemark("merge", "job", "-o", "out", "--python", PYTHON, cwd=tmp_path,
                    env={"TIDEMARK_PARQUET": "neither"})
    assert done.returncode == 2 and "neither pyarrow nor duckdb" in done.stderr
    assert not (tmp_path / "out").exists() and len(list(tmp_path.iterdir())) == 2
    done = tidemark("merge", "job", "-o", "out", "--python", "no-such-python", cwd=tmp_path)
    assert done.returncode == 2 and "no-such-python" in done.stderr


def test_a_wide_job(tmp_path, written, merge, duckdb):
    pose(tmp_path / "job", 64, [written(stage(range(2), steps=2))])
    assert merge("job", "-o", "out").returncode == 0
    assert duckdb("SELECT count(DISTINCT rank), min(rank), max(rank) FROM "
                  "'out/steps/*/*.parquet'") == [[[64, 0, 63]]]
