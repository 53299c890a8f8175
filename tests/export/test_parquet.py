"""--format parquet: pyarrow and duckdb read the tables as csv and SQL have them."""
import os
import sqlite3
import subprocess
import sys

import make_trace
import pytest
import where
from conftest import reader
from test_tables import TABLES


@pytest.fixture
def parquet(tidemark, tmp_path):
    pq = reader("pyarrow.parquet")
    path = f"{where.need('readers')}"

    def export(file, table, *words, env=None):
        out = tmp_path / f"{table}.parquet"
        tidemark("export", "--format", "parquet", "--table", table, file, "-o", out, "--force",
                 "--python", where.PYTHON, *words, env={"PYTHONPATH": path, **(env or {})})
        return pq.read_table(out)
    return export


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_the_types_that_it_says(trace, parquet, tidemark, table):
    file = trace(make_trace.gpt(devices=2, evals=2))
    made = parquet(file, table)
    text = tidemark("export", "--format", "csv", "--table", table, file, "-o", "-").stdout
    header, *lines = text.splitlines()
    assert header.split(",") == made.column_names
    assert len(lines) == made.num_rows
    kinds = {str(f.type) for f in made.schema}
    assert kinds <= {"int64", "string"}


@pytest.mark.parametrize("table", ["blocks", "oom", "stacks", "live"])
def test_values_of_a_real_training(trained, parquet, table):
    """Each type was right: a text in a column of numbers would not have been written."""
    file, _, most, _ = trained("torch-2.11.0", "oom")
    made = parquet(file, table)
    assert made.num_rows
    if table == "blocks":
        with sqlite3.connect(file) as db:
            known = db.execute("SELECT id, bytes, requested, address, died_step FROM allocation"
                               ).fetchall()
        names = "block bytes requested_bytes address died_step".split()
        assert list(zip(*(made[n].to_pylist() for n in names))) == known


def test_texts_and_what_is_missing(trace, parquet):
    file = trace(make_trace.gpt())
    odd = 'a "b", c\r\nd é'
    with sqlite3.connect(file) as db:
        db.execute("UPDATE op SET name = ? WHERE name = 'aten::mm'", (odd,))
        db.execute("UPDATE op SET name = '' WHERE name = 'aten::sqrt'")
    ops = parquet(file, "blocks")["op"].to_pylist()
    assert {odd, "", "aten::empty"} <= set(ops)
    assert parquet(file, "blocks")["module"].to_pylist().count(None) > 0


def test_without_a_library_one_sentence_says_what_to_install(tidemark, trace, tmp_path):
    file = trace(make_trace.gpt())
    bare = tmp_path / "bare" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    before = sorted(os.listdir(tmp_path))
    done = tidemark("export", "--format", "parquet", file, "--python", bare, check=False)
    assert done.returncode == 2 and "-m pip install pyarrow" in done.stderr
    assert done.stderr.count("\n") == 1 and sorted(os.listdir(tmp_path)) == before


def test_a_python_that_is_not_there(tidemark, trace):
    done = tidemark("export", "--format", "parquet", trace(make_trace.gpt()), "--python", "nopython",
                    check=False)
    assert done.returncode == 2 and "no 'nopython'" in done.stderr


def test_duckdb_writes_the_same(tidemark, trace, parquet, tmp_path):
    """Where there is no pyarrow."""
    if not (where.need("readers") / "duckdb").exists():
        pytest.skip("no duckdb: run tests/setup.sh")
    file = trace(make_trace.gpt(devices=2))
    (tmp_path / "hide" / "pyarrow").mkdir(parents=True)
    (tmp_path / "hide" / "pyarrow" / "__init__.py").write_text("raise ImportError('hidden')")
    for table in TABLES:
        known = parquet(file, table)
        made = parquet(file, table, env={
            "PYTHONPATH": f"{tmp_path / 'hide'}{os.pathsep}{where.need('readers')}"})
        assert made.to_pylist() == known.to_pylist(), table
