"""--format csv: the tables, value for value as SQL has them."""
import csv
import io
import sqlite3

import make_trace
import pytest

TABLES = "blocks live peak steps phases buckets segments samples oom stacks".split()


@pytest.fixture
def rows(tidemark):
    def export(file, table, *words):
        out = tidemark("export", "--format", "csv", "--table", table, file, "-o", "-", *words,
                       text=False).stdout
        return list(csv.DictReader(io.StringIO(out.decode(), newline="")))
    return export


def test_every_table_is_listed(tidemark):
    listed = tidemark("export", "--table", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == TABLES


def test_blocks_are_the_rows_of_the_trace(trace, rows):
    file = trace(make_trace.gpt(devices=2))
    made = rows(file, "blocks")
    with sqlite3.connect(file) as db:
        known = db.execute("SELECT id, bytes, address, born_step, died_step FROM allocation").fetchall()
        stand_for = dict(db.execute("SELECT coalesce(same_as, id), count(*) FROM step GROUP BY 1"))
    assert [(int(r["block"]), int(r["bytes"]), int(r["address"]), int(r["born_step"]),
             int(r["died_step"]) if r["died_step"] else None) for r in made] == known
    assert all(int(r["steps"]) == stand_for[int(r["born_step"])] for r in made
               if int(r["born_step"]) in stand_for)
    assert {r["device"] for r in made} == {"cuda:0", "cuda:1"}
    assert {r["device"] for r in rows(file, "blocks", "--device", "cuda:1")} == {"cuda:1"}


def test_peak_steps_and_what_was_alive_agree(trace, rows, peaks):
    file = trace(make_trace.gpt(devices=2, leak=512))
    assert {r["device"]: int(r["allocated_bytes"]) for r in rows(file, "peak")} == peaks(file)
    for device, peak in peaks(file).items():
        assert sum(int(r["bytes"]) for r in rows(file, "live") if r["device"] == device) == peak
        steps = [r for r in rows(file, "steps") if r["device"] == device]
        assert max(int(r["peak_allocated_bytes"]) for r in steps) == peak
        assert [int(r["step"]) for r in steps] == list(range(len(steps)))
        assert max(int(r["peak_allocated_bytes"]) for r in rows(file, "phases")
                   if r["device"] == device) == peak


def test_texts_with_commas_quotes_and_lines(trace, rows):
    file = trace(make_trace.gpt())
    odd = 'a "b", c\r\nd'
    with sqlite3.connect(file) as db:
        db.execute("UPDATE op SET name = ? WHERE name = 'aten::mm'", (odd,))
        db.execute("UPDATE op SET name = '' WHERE name = 'aten::sqrt'")
    made = rows(file, "blocks")
    assert odd in {r["op"] for r in made}


def test_stacks_have_their_frames_innermost_first(trace, rows):
    file = trace(make_trace.gpt())
    stacks = {}
    for r in rows(file, "stacks"):
        stacks.setdefault(r["stack"], []).append(r["function"])
    assert ["GPT.__init__", "main"] in stacks.values()
    assert {r["python_stack"] for r in rows(file, "blocks")} <= set(stacks)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_of_a_real_training(trained, rows, table):
    file, _, most, _ = trained("torch-2.11.0", "oom")
    made = rows(file, table)
    assert made
    if table == "peak":
        assert int(made[0]["allocated_bytes"]) == most
    if table == "oom":
        assert int(made[0]["requested_bytes"]) == 1 << 40
