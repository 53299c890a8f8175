"""What is in the wheel, and that it loads on every glibc from 2.17 on."""

import configparser
import re
import subprocess

import pytest
import where
from conftest import PYTHON, ROOT, clean_environment, run
from where import LIBRARY

OLDEST = (2, 17)
#: glibc's own libraries: one is never there without the others
GLIBC = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "ld-linux-x86-64.so.2"}
MEGABYTES = 5
FILES = """bin/tidemark lib/libtidemark.so lib/tidemark/libtmksim_core.so include/tidemark.h
    lib/tidemark/sim12/libtmksim_cudart_12.so lib/tidemark/sim13/libtmksim_cudart_13.so
    lib/tidemark/sim12/driver/libcuda.so.1 lib/tidemark/sim13/driver/libcuda.so
    lib/tidemark/posing/sitecustomize.py lib/tidemark/with/tidemark_with/__init__.py
    share/tidemark/devices/a100-80gb.conf share/doc/tidemark/schema.sql"""
SHARED = """man/man1/tidemark.1 bash-completion/completions/tidemark
    zsh/site-functions/_tidemark"""


def objects(folder):
    """Every program and library of the wheel."""
    found = [p for p in sorted(folder.rglob("*")) if p.is_file() and
             p.read_bytes()[:4] == b"\x7fELF"]
    assert len(found) > 30
    return found


def dynamic(path, tag):
    rows = run("readelf", "-d", path).splitlines()
    return [re.search(r"\[(.*)\]", row)[1] for row in rows if f"({tag})" in row]


def exported(path):
    rows = run("readelf", "--dyn-syms", "-W", path).splitlines()
    words = [row.split() for row in rows]
    return {w[7] for w in words if len(w) == 8 and w[4] in ("GLOBAL", "WEAK") and w[6] != "UND"}


def test_one_wheel_is_for_every_python_and_is_small(wheel):
    version = re.search(r"project\(tidemark VERSION ([\d.]+)", (ROOT / "CMakeLists.txt")
                        .read_text())[1]
    assert wheel.name == f"torch_tidemark-{version}-py3-none-manylinux2014_x86_64.whl"
    print("wheel:", wheel.stat().st_size, "bytes")
    assert wheel.stat().st_size < MEGABYTES * 1000 * 1000


def test_everything_is_in_it(unpacked):
    for name in FILES.split():
        assert (unpacked / "tidemark_torch" / name).is_file(), name
    [shared] = unpacked.glob("*.data/data/share")
    for name in SHARED.split():
        assert (shared / name).stat().st_size > 0, name
    cards = {p.name for p in (ROOT / "simulator" / "devices").iterdir()}
    assert cards == {p.name for p in (unpacked / "tidemark_torch/share/tidemark/devices").iterdir()}
    [entries] = unpacked.glob("*.dist-info/entry_points.txt")
    read = configparser.ConfigParser()
    read.read(entries)
    assert read["console_scripts"]["tidemark"] == "tidemark_torch.__main__:main"


def test_no_symbol_is_newer_than_the_oldest_glibc(unpacked, needs_binutils):
    for path in objects(unpacked):
        said = run("readelf", "-V", path)
        versions = {tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([\d.]+)", said)}
        assert max(versions, default=(0,)) <= OLDEST, path
        assert not re.search(r"Name: (GLIBCXX|CXXABI|GCC|GLIBC_PRIVATE)", said), path


def test_nothing_is_needed_that_may_be_missing(unpacked, needs_binutils):
    for path in objects(unpacked):
        folders = [f.replace("$ORIGIN", str(path.parent))
                   for tag in ("RUNPATH", "RPATH") for v in dynamic(path, tag)
                   for f in v.split(":")]
        assert all(f.startswith(str(path.parent)) for f in folders), (path, folders)
        for needed in set(dynamic(path, "NEEDED")) - GLIBC:
            assert needed == "libtmksim_core.so", (path, needed)
            assert any((unpacked / f / needed).is_file() for f in folders), (path, folders)


def test_the_library_exports_what_it_exports_elsewhere(unpacked, needs_binutils):
    """Built by another compiler and linker, from a version script that they read alike."""
    if not LIBRARY.exists():
        pytest.skip(f"'{LIBRARY}' is not built")
    ours = exported(unpacked / "tidemark_torch" / "lib" / "libtidemark.so")
    assert ours == exported(LIBRARY)


def test_auditwheel_finds_nothing_newer(wheel, tools):
    done = subprocess.run([tools, "-m", "auditwheel", "show", wheel], text=True,
                          capture_output=True)
    said = " ".join(done.stdout.split())
    print(said)
    assert 'consistent with the following platform tag: "manylinux_2_17_x86_64"' in said, done


def test_a_backward_that_raises_leaves_the_library_as_it_was(wheel, tmp_path):
    """Another compiler has written the tables that an exception is led by."""
    where.need("venv")
    run(PYTHON, "-m", "pytest", "-p", "no:cacheprovider", ROOT / "tests/e2e/test_phases.py", "-k",
        "exception and cpu", "--basetemp", tmp_path / "tmp",
        env=clean_environment(TIDEMARK_BUILD=ROOT / "build" / "package"))
