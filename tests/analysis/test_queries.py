"""The queries: analysis/ROOM/queries/NAME.sql of the command, tracer/store/queries/NAME.sql of
the recorder, which CMake embeds as sql_NAME."""
import collections
import os
import pathlib
import re
import sqlite3

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HOUSE = ROOT / "analysis"
VIEWS = HOUSE / "trace" / "queries" / "views.sql"
RECORDER = ROOT / "tracer"
FILES = sorted([*HOUSE.glob("*/queries/*.sql"), *RECORDER.glob("*/queries/*.sql")])
ENDINGS = HOUSE / "trace" / "queries" / "endings.sql"
QUERIES = [path for path in FILES if path not in (VIEWS, ENDINGS)]
SCHEMA = (ROOT / "schema.sql").read_text()
NUMBER = r"(\d+) /\* (phase|bucket) (\w+) \*/"


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def trace():
    with sqlite3.connect(":memory:") as made:
        made.executescript(SCHEMA)
        made.executescript(VIEWS.read_text())
        yield made


def without_comments(sql):
    return re.sub(r"--[^\n]*", "", sql)


def parameters(sql):
    return [int(number) for number in re.findall(r"\?(\d+)", sql)]


def plan(trace, sql):
    """EXPLAIN QUERY PLAN, one line a step."""
    most = max(parameters(sql), default=0)
    return [row[3] for row in trace.execute("EXPLAIN QUERY PLAN " + without_comments(sql),
                                            [0] * most)]


def lacks(path, text):
    """What a query's file lacks so that a person can read it and run it by hand."""
    head = re.match(r"(?:--[^\n]*\n)*", text).group()
    sql = without_comments(text)
    used = set(parameters(sql))
    if not head:
        yield "a comment at its head"
    if "-- columns: " not in head:
        yield "its columns"
    if used != set(parameters(head)):
        yield f"its parameters: used {sorted(used)}"
    if used != set(range(1, len(used) + 1)) or re.search(r"\?(?!\d)", sql):
        yield "parameters that are numbered from 1 without a gap"
    if not text.endswith(";\n") or sql.count(";") != 1:
        yield "one statement with its semicolon"


def wrong_numbers(trace, text):
    """Numbers of phases and buckets that do not say what schema.sql calls them."""
    for number, table, name in re.findall(NUMBER, text):
        row = trace.execute(f"SELECT id FROM {table} WHERE name = ?", [name]).fetchone()
        if row is None or row[0] != int(number):
            yield f"{number} is not {table} {name}"
    bare = re.sub(NUMBER, "named", without_comments(text))
    for found in re.findall(
            r"\b(?:phase|bucket)\s*(?:=|<>|[<>]=?|IS(?: NOT)?|(?:NOT )?IN\s*\([^)?]*?)\s*\d+", bare):
        yield f"a number without its name: {found}"
    for found in re.findall(r"\b(?:THEN|ELSE)\s+\d+", bare):
        yield f"a number without its name: {found}"


@each(QUERIES)
def test_a_query_can_be_prepared_and_run_on_an_empty_trace(trace, path):
    sql = path.read_text()
    trace.execute(sql, [0] * max(parameters(sql), default=0)).fetchall()


@each(QUERIES)
def test_a_query_says_what_it_answers(path):
    assert list(lacks(path, path.read_text())) == []


@each(FILES)
def test_numbers_are_those_of_the_schema(trace, path):
    assert list(wrong_numbers(trace, path.read_text())) == []


@pytest.mark.parametrize("text, sentence", [
    ("WHERE phase IN (2 /* phase forward */, 3 /* phase recompute */)",
     "3 is not phase recompute"),
    ("WHERE s.phase IN (2 /* phase forward */, 4)",
     "a number without its name: phase IN (named, 4"),
    ("WHERE a.bucket = 5", "a number without its name: bucket = 5"),
    ("CASE WHEN a THEN 4 END", "a number without its name: THEN 4"),
])
def test_a_wrong_number_is_found(trace, text, sentence):
    assert list(wrong_numbers(trace, text)) == [sentence]


# The recorder's are asked at a recovery, of all that the trace holds.
# merge_live.sql and table_live.sql are schema.sql's own view.
@each([path for path in QUERIES if HOUSE in path.parents and
       path.stem not in ("merge_live", "table_live")])
def test_what_crosses_a_step_is_found_by_its_index(trace, path):
    """No query reads the whole table where it needs the few rows that cross a border."""
    sql = path.read_text()
    steps = plan(trace, sql)
    named = len(re.findall(r"\b(?:FROM|JOIN) (?:crossing|ended)\b", without_comments(sql)))
    assert sum("INDEX allocation_crossing" in step for step in steps) == named, steps


def test_what_ends_in_a_step_is_found_by_that_step():
    """Where many steps are asked for, none of them looks at all that began before it."""
    with sqlite3.connect(":memory:") as made:
        for script in (SCHEMA, VIEWS.read_text(), ENDINGS.read_text()):
            made.executescript(script)
        asking = [path for path in QUERIES if "FROM ended" in path.read_text()]
        assert asking
        for path in asking:
            steps = plan(made, path.read_text())
            assert any("SEARCH e USING PRIMARY KEY (step=?)" in step for step in steps), path
            assert not any("SCAN" in step or "crossing" in step for step in steps), (path, steps)


# went_on.sql asks once a refused allocation, of steps after the last: the table has no index
# for that. merge_blocks.sql and table_blocks.sql are the table itself, merge_live.sql and
# table_live.sql schema.sql's own view.
@each([path for path in QUERIES if path.stem not in
       ("went_on", "merge_blocks", "merge_live", "table_blocks", "table_live")])
def test_no_query_scans_all_allocations(trace, path):
    """Rows of a step are found by their ids. Its short name is 'a' everywhere."""
    steps = plan(trace, path.read_text())
    assert not {"SCAN allocation", "SCAN a"} & set(steps), steps


def test_names_are_used_once():
    """Every room's queries are in one program."""
    names = collections.Counter(path.stem for path in FILES if HOUSE in path.parents)
    assert [name for name, count in names.items() if count > 1] == []


@each(FILES)
def test_a_query_is_asked(path):
    calls = re.compile(rf"\bsql_{path.stem}\b")
    house = ROOT / path.relative_to(ROOT).parts[0]
    assert any(calls.search(source.read_text()) for source in house.rglob("*.c"))


@each(FILES)
def test_the_command_holds_it_as_it_stands(path):
    """A query that was edited is in the next build."""
    command = pathlib.Path(os.environ["TIDEMARK_COMMAND"])
    library = command.parent.parent / "hooks" / "libtidemark.so"
    holder = command if HOUSE in path.parents else library
    assert path.read_bytes() in holder.read_bytes()


def test_the_rule_for_rows_that_cross_a_step_has_one_home():
    """views.sql has it; elsewhere it is the view."""
    rule = re.compile(r"died_step\s+IS\s+NULL\s+OR\s+(?:\w\.)?died_step\s*>\s*(?:\w\.)?born_step"
                      r"(?! *\+)")
    assert [str(path.relative_to(HOUSE))
            for path in sorted([*FILES, *HOUSE.rglob("*.[ch]")])
            if rule.search(re.sub(r'"\s*"', "", path.read_text()))] == [
                str(VIEWS.relative_to(HOUSE))]
