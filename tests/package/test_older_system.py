"""On Debian 11's C library, 2.31, in a root that has no libgcc_s: a preloaded library that does
not load ends every program that is started."""

import json
import re

import pytest
import where
from conftest import run

PYTHON = "usr/bin/python3.9"


@pytest.fixture(scope="module")
def older():
    return where.need("debian11")


@pytest.fixture(scope="module")
def libraries(unpacked):
    """The library, and what `tidemark simulate` preloads."""
    folder = unpacked / "tidemark_torch" / "lib"
    return [folder / "libtidemark.so", *sorted((folder / "tidemark/sim12").glob("libtmksim_*.so"))]


def on(older, program, *words, **settings):
    return run(older / "run", older / "root" / program, *words,
               env=where.clean_environment(TIDEMARK_OUT="/nowhere/t.db", **settings))


@pytest.mark.parametrize("program, words", [
    ("bin/bash", ["-c", "echo $((6 * 7))"]),
    ("usr/bin/expr", ["6", "*", "7"]),
    (PYTHON, ["-c", "import ctypes, sqlite3, ssl; print(6 * 7)"]),
])
def test_programs_live_with_the_library(older, libraries, program, words):
    assert on(older, program, *words) == "42\n"
    assert on(older, program, *words, LD_PRELOAD=libraries[0]) == "42\n"
    assert on(older, program, *words, LD_PRELOAD=":".join(map(str, libraries))) == "42\n"


def test_it_is_loaded_there_and_says_who_it_is(older, libraries):
    said = on(older, PYTHON, "-c", "import ctypes\n"
              "version = ctypes.CDLL(None).tidemark_version\n"
              "version.restype = ctypes.c_char_p\n"
              "print(version().decode())", LD_PRELOAD=libraries[0])
    assert said == re.search(r"VERSION ([\d.]+)", (where.ROOT / "CMakeLists.txt")
                                   .read_text().split("project(tidemark")[1])[1] + "\n"


def test_every_library_loads_by_itself(older, unpacked):
    found = sorted(map(str, unpacked.rglob("*.so*")))
    assert len(found) > 30
    for path in found:
        on(older, PYTHON, "-c", "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_NOW)",
           path)


def test_the_command_and_the_package_read_a_trace(older, unpacked, traced):
    package = unpacked / "tidemark_torch"
    said = run(older / "run", package / "bin" / "tidemark", "peak", traced)
    assert "PEAK  cpu" in said
    row = json.loads(on(older, PYTHON, "-c", "import json, sys, tidemark_torch\n"
                        "trace = tidemark_torch.load(sys.argv[1])\n"
                        "assert all(trace[name] is not None for name in trace)\n"
                        "print(json.dumps(trace['v_peak'][0]))", traced, PYTHONPATH=unpacked))
    assert row["device"] == "cpu" and row["allocated_bytes"] > 4 * 33 * 101
