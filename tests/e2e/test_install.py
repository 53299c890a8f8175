"""What `cmake --install` and `cpack -G DEB` put in place works from there."""

import os
import shutil
import subprocess

import pytest
from conftest import BUILD, CACHE, PYTHON, TORCH, clean_environment, need
from test_bad_input import TRAIN

FILES = """bin/tidemark include/tidemark.h lib/**/libtidemark.so lib/**/pkgconfig/tidemark.pc
    share/man/man1/tidemark.1* share/bash-completion/completions/tidemark
    share/zsh/site-functions/_tidemark share/doc/tidemark/LICENSE
    share/doc/tidemark/README.md share/doc/tidemark/schema.sql"""

PROGRAM = r"""
#include <stdio.h>
#include <tidemark.h>
int main(void)
{
	puts(tidemark_version());
	return 0;
}
"""


def run(*words, **more):
    more.setdefault("env", clean_environment())
    done = subprocess.run([str(w) for w in words], text=True, capture_output=True, **more)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module", params=["install", "package"])
def prefix(request, tmp_path_factory):
    """The folder that stands for /usr."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "install":
        run("cmake", "--install", BUILD, "--prefix", folder)
        return folder
    run("cpack", "-G", "DEB", "-B", folder, cwd=BUILD)
    [package] = folder.glob("*.deb")
    fields = run("dpkg-deb", "--field", package)
    assert "Package: tidemark\n" in fields and "Architecture: amd64\n" in fields
    assert "libc6 (>= " in fields and "Recommends: libunwind8\n" in fields
    run("dpkg-deb", "-x", package, folder / "root")
    return folder / "root" / "usr"


def test_everything_is_in_place(prefix):
    for pattern in FILES.split():
        assert len(list(prefix.glob(pattern))) == 1, pattern


def test_the_command_finds_its_library_and_traces(prefix, tmp_path):
    need("cpu")
    (tmp_path / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [prefix / "bin" / "tidemark", "run", "-o", "t.db", "--", PYTHON, "train.py"],
        cwd=tmp_path, text=True, capture_output=True, env=clean_environment())
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert "PEAK" in run(prefix / "bin" / "tidemark", "peak", "t.db", cwd=tmp_path)


def test_the_simulator_is_found(prefix, tmp_path):
    need("cuda13")
    need("cpu")
    (tmp_path / "train.py").write_text(TRAIN.replace("101)", "101, device='cuda')")
                                       .replace("7, 33)", "7, 33, device='cuda')"))
    env = clean_environment(PYTHONPATH=CACHE / TORCH["cuda13"])
    done = subprocess.run(
        [prefix / "bin" / "tidemark", "simulate", "--gpu", "t4", "-o", "t.db", "--", PYTHON,
         "train.py"], cwd=tmp_path, text=True, capture_output=True, env=env)
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert "fits" in done.stderr


def test_a_program_is_built_against_it(prefix, tmp_path):
    if not shutil.which("pkg-config") or not shutil.which("cc"):
        pytest.skip("needs pkg-config and a C compiler")
    [config] = prefix.glob("lib/**/pkgconfig")
    (tmp_path / "p.c").write_text(PROGRAM)
    flags = run("pkg-config", "--cflags", "--libs", "tidemark",
                env=clean_environment(PKG_CONFIG_PATH=config)).split()
    run("cc", "p.c", *flags, "-o", "p", cwd=tmp_path)
    library = config.parent
    version = run(tmp_path / "p", env=clean_environment(LD_LIBRARY_PATH=library)).strip()
    assert version == run("pkg-config", "--modversion", "tidemark",
                          env=clean_environment(PKG_CONFIG_PATH=config)).strip()
    assert version in run(prefix / "bin" / "tidemark", "--version")


@pytest.mark.parametrize("name", ["-lcuda", "-l:libcuda.so.1"])  # Triton's, up to 3.4 and later
def test_what_triton_builds_finds_the_simulated_driver(prefix, tmp_path, name):
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    (tmp_path / "u.c").write_text("int cuInit(unsigned); int up(void) { return cuInit(0); }\n")
    folders = sorted(prefix.glob("lib/**/sim1[23]/driver"))
    assert len(folders) == 2
    for folder in folders:
        run("cc", "-shared", "-fPIC", "-Wl,-z,defs", "u.c", name, f"-L{folder}", "-o", "u.so",
            cwd=tmp_path)


def test_the_manual_page_is_well_formed(prefix):
    if not shutil.which("man") or not shutil.which("groff"):
        pytest.skip("needs man and groff")
    [page] = prefix.glob("share/man/man1/tidemark.1*")
    done = subprocess.run(["man", "--warnings", "-l", str(page)], text=True, capture_output=True,
                          env={**os.environ, "MANWIDTH": "80", "MAN_KEEP_FORMATTING": "0"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "LD_PRELOAD" in done.stdout or "tidemark run" in done.stdout
