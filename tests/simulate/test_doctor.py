"""`tidemark doctor --simulate`: is everything there that a torch wants?"""
import json
import os
import subprocess
import sys

import pytest

STUBS = os.environ.get("TIDEMARK_STUBS", "")


@pytest.fixture
def torch_that_calls(fake_torch, tmp_path):
    """A fake torch for CUDA 12 whose one library calls these functions."""
    def make(*names, link=()):
        folder = fake_torch("12.4")
        source = tmp_path / "calls.c"
        source.write_text("".join(f"void {n}(void);\n" for n in names) + "void f(void) { "
                          + "".join(f"{n}(); " for n in names) + "}\n")
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-Wno-builtin-declaration-mismatch",
                        "-o", folder / "torch" / "lib" / "libcalls.so", source, *link],
                       check=True)
        return {"PYTHONPATH": str(folder)}
    return make


def test_a_real_wheel_is_covered(call, torch_dir):
    done = call("doctor", "--simulate", "--json", env={"PYTHONPATH": str(torch_dir)})
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["can_simulate"], done.stdout
    assert answer["symbols"] > 500 and answer["missing"] == []


def test_a_symbol_that_is_missing_is_named(call, torch_that_calls):
    env = torch_that_calls("cudaMalloc", "cudaNeverHeardOf", "ncclNeverHeardOf", "strlen")
    done = call("doctor", "--simulate", sys.executable, env=env)
    assert done.returncode == 1
    assert "cudaNeverHeardOf" in done.stdout and "ncclNeverHeardOf" in done.stdout
    assert "cudaMalloc" not in done.stdout and "strlen" not in done.stdout
    assert "cannot run on simulated devices" in done.stdout


def test_versions_are_looked_at_too(call, torch_that_calls):
    stub = f"{STUBS}/sim12/libtmksim_cudart_12.so"
    env = torch_that_calls("cudaMalloc", link=[stub])
    answer = json.loads(call("doctor", "--simulate", "--json", sys.executable, env=env).stdout)
    assert answer["can_simulate"] and answer["symbols"] == 1


def test_a_library_that_is_not_simulated_is_named(call, torch_that_calls, tmp_path):
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-o", tmp_path / "libcudss.so.0",
                    "-Wl,-soname,libcudss.so.0", "-xc", os.devnull], check=True)
    env = torch_that_calls("cudaFree", link=["-Wl,--no-as-needed", tmp_path / "libcudss.so.0"])
    answer = json.loads(call("doctor", "--simulate", "--json", sys.executable, env=env).stdout)
    assert answer["missing"] == ["the library libcudss.so.0"]


def test_a_torch_without_cuda_is_told(call, fake_torch):
    done = call("doctor", "--simulate", sys.executable,
                env={"PYTHONPATH": str(fake_torch(None))})
    assert done.returncode == 1 and "built without CUDA" in done.stdout
    done = call("doctor", "--simulate", sys.executable,
                env={"PYTHONPATH": str(fake_torch("11.8", "old"))})
    assert done.returncode == 1 and "12 and 13 can be simulated" in done.stdout


def test_a_damaged_torch_is_told(call, fake_torch):
    folder = fake_torch("12.4")
    (folder / "torch" / "lib" / "libtorch_cuda.so").write_bytes(b"\x7fELF" + bytes(3000))
    done = call("doctor", "--simulate", sys.executable, env={"PYTHONPATH": str(folder)})
    assert done.returncode == 1 and "damaged or elsewhere" in done.stdout
