"""Who may include and call whom, in all four houses. docs/architecture.md draws the picture;
the rooms of a house and what each may use stand in its CMakeLists.txt."""
import json
import os
import pathlib
import shlex
import shutil
import subprocess

import layering
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("TIDEMARK_COMMAND", ROOT)).resolve().parent.parent
# CMake puts them beside the objects.
COPIED = {"hooks.def", "cards.def", "settings.def", "dtypes.def", "libraries.def",
          "schema_ids.h", "locks.def",
          *(f"{p.parent.name}_queries.h" for p in ROOT.glob("*/*/queries"))}

# Files that call each other in a circle. Each is a debt: nothing is added here, and what has
# been cut is taken out.
CIRCLES = {
    "analysis": [],
    "hooks": ["real stub"],  # stub.c is the assembler in front of real.c: one thing in two languages
    "tracer": [],
    # pace.c asks libc for the time; watchdog.c stands in front of libc for its threads
    "simulator": ["pace watchdog"],
}


def test_nobody_includes_what_is_above_him():
    assert layering.wrong_includes(ROOT, COPIED) == []


def copy_of_the_tree(folder):
    for house in layering.HOUSES:
        shutil.copytree(ROOT / house, folder / house, symlinks=True)
    return folder


@pytest.mark.parametrize("file, header, sentence", [
    ("analysis/base/heap.c", "trace.h",
     "analysis/base/heap.c includes trace.h: base may not use trace"),
    ("analysis/plan/text.c", "reconcile.h",
     "analysis/plan/text.c includes reconcile.h: plan may not use reconcile"),
    ("analysis/advice/oom.c", "../plan/plan.h",
     "analysis/advice/oom.c includes ../plan/plan.h, which is not its house's"),
    ("tracer/record/check.c", "store.h",
     "tracer/record/check.c includes store.h: record may not use store"),
    ("analysis/run/ranks.c", "ring.h",
     "analysis/run/ranks.c includes ring.h, which is not its house's"),
])
def test_an_include_upwards_is_found(tmp_path, file, header, sentence):
    planted = copy_of_the_tree(tmp_path) / file
    planted.write_text(f'#include "{header}"\n' + planted.read_text())
    assert layering.wrong_includes(tmp_path, COPIED) == [sentence]


def test_an_include_upwards_does_not_compile(tmp_path):
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    source = ROOT / "analysis" / "base" / "heap.c"
    command, = (c for c in commands if pathlib.Path(c["file"]) == source)
    words = shlex.split(command["command"])
    words = [w for i, w in enumerate(words)
             if w not in ("-c", "-o", str(source)) and words[i - 1] != "-o"]

    def compiles(text):
        (tmp_path / "heap.c").write_text(text)
        done = subprocess.run([*words, "-fsyntax-only", tmp_path / "heap.c"],
                              cwd=command["directory"], capture_output=True, text=True)
        return done.returncode == 0, done.stderr

    assert compiles(source.read_text())[0]
    done, why = compiles('#include "trace.h"\n' + source.read_text())
    assert not done and "trace.h" in why


@pytest.mark.parametrize("house", layering.HOUSES)
def test_a_header_has_one_meaning(house):
    """Two rooms with headers of one name: which is meant would depend on who includes it."""
    assert {name: paths for name, paths in layering.headers(ROOT, house).items()
            if len(paths) > 1} == {}


@pytest.mark.parametrize("house", layering.HOUSES)
def test_headers_include_each_other_in_no_circle(house):
    assert layering.circles(layering.header_graph(ROOT, house)) == []


@pytest.mark.parametrize("house", layering.HOUSES)
def test_files_call_each_other_in_no_circle(house):
    graph = layering.call_graph(ROOT, BUILD, house)
    if not graph:
        pytest.skip(f"{house} is not built")
    known = [set(words.split()) for words in CIRCLES[house]]
    found = [{pathlib.Path(file).stem for file in circle}
             for circle in layering.circles(graph)]
    assert [circle for circle in found if not any(circle <= k for k in known)] == []
    assert [k for k in known if not any(circle <= k for circle in found)] == [], \
        "these circles have been cut: take them out of CIRCLES"


@pytest.mark.parametrize("house", ["analysis", "tracer", "hooks"])
def test_calls_go_to_no_room_above(house):
    """The linker would find the symbol all the same: every room is in one program."""
    graph = layering.call_graph(ROOT, BUILD, house)
    assert len(graph) > 20
    allowed = layering.rooms(ROOT, house)
    rooms = {file: layering.room_of(house, pathlib.Path(file)) for file in graph}
    assert len(set(rooms.values())) > 2
    assert [(file, other) for file, others in graph.items() for other in others
            if rooms[other] not in allowed[rooms[file]] | {rooms[file]}] == []


@pytest.mark.parametrize("house", layering.HOUSES)
def test_heads_say_who_calls(house):
    """In tracer/ and hooks/ with the thread, by hand; elsewhere as layering.py writes it."""
    graph = layering.call_graph(ROOT, BUILD, house)
    if not graph:
        pytest.skip(f"{house} is not built")
    said = layering.callers(graph)
    assert len(said) > 20
    if house in ("tracer", "hooks"):
        said = dict.fromkeys(said, "Called from")
    assert {source: sentence for source, sentence in said.items()
            if sentence not in layering.head_of(ROOT / source)} == {}, \
        f"python3 tests/analysis/layering.py {BUILD} writes them again"


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}
    assert layering.circles(graph) == [{"b", "c"}, {"e"}]


def test_one_file_includes_sqlite():
    assert {str(source.relative_to(ROOT)) for source in layering.sources(ROOT, "analysis")
            if ("<", "sqlite3.h") in layering.includes(source)} == {"analysis/base/db.c"}


def test_files_and_functions_stay_short():
    for source in layering.sources(ROOT, "analysis"):
        lines = source.read_text().splitlines()
        assert len(lines) < 500, source.name
        start = 0
        for number, line in enumerate(lines):
            if line == "{":
                start = number
            if line == "}":
                assert number - start < 60, f"{source.name}:{start}"
