"""The command shares nothing with the recorder but the trace file."""
import pathlib
import re

ANALYSIS = pathlib.Path(__file__).resolve().parent.parent.parent / "analysis"


def includes():
    for source in ANALYSIS.glob("*.[ch]"):
        for kind, name in re.findall(r'^#include ([<"])([^>"]+)', source.read_text(), re.M):
            yield source.name, kind, name


def test_only_its_own_headers_are_included():
    # lists that are copied beside the objects; they have no code
    own = {f.name for f in ANALYSIS.iterdir()} | {"hooks.def", "settings.def", "dtypes.def"}
    quoted = [(source, name) for source, kind, name in includes() if kind == '"']
    assert len(quoted) > 50
    assert [(source, name) for source, name in quoted if name not in own] == []


def test_one_file_includes_sqlite():
    assert {source for source, _, name in includes() if name == "sqlite3.h"} == {"db.c"}


def test_files_and_functions_stay_short():
    for source in ANALYSIS.glob("*.[ch]"):
        lines = source.read_text().splitlines()
        assert len(lines) < 500, source.name
        start = 0
        for number, line in enumerate(lines):
            if line == "{":
                start = number
            if line == "}":
                assert number - start < 60, f"{source.name}:{start}"
