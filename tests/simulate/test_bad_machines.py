"""`tidemark simulate` where the machine or the program lacks something: it says what."""
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest

from conftest import COMMAND, TRAIN

STUBS = os.environ.get("TIDEMARK_STUBS", "")


@pytest.fixture
def elsewhere(tmp_path):
    """elsewhere(mounts, command): runs it in a mount namespace of its own."""
    def run(mounts, *command, env):
        probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, text=True)
        if probe.returncode:
            pytest.skip(f"no mount namespace: {probe.stderr.strip()}")
        return subprocess.run(["unshare", "-rm", "sh", "-ec", mounts + '\nexec "$@"', "sh",
                               *map(str, command)], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C", "COLUMNS": "100", **env},
                              cwd=tmp_path, timeout=300)
    return run


HELLO = [COMMAND, "simulate", "--", sys.executable, "-c", "print('hello')"]


def test_disabled_overcommit_is_named(elsewhere, fake_torch, tmp_path):
    (tmp_path / "two").write_text("2\n")
    done = elsewhere(f"mount --bind {tmp_path}/two /proc/sys/vm/overcommit_memory", *HELLO,
                     env={"PYTHONPATH": str(fake_torch("13.0"))})
    assert done.stdout == "hello\n"
    assert "vm.overcommit_memory is 2" in done.stderr
    assert "'sysctl vm.overcommit_memory=0'" in done.stderr


@pytest.mark.parametrize("major", [12, 13])
def test_too_little_address_space_is_named_and_ends_the_run(major):
    program = ("import ctypes, resource\n"
               f"cuda = ctypes.CDLL('{STUBS}/sim{major}/libtmksim_cudart_{major}.so')\n"
               "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
               "p = ctypes.c_void_p()\n"
               "print('got', cuda.cudaMalloc(ctypes.byref(p), ctypes.c_size_t(4096)))\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "can't reserve address space" in done.stderr and "ulimit -v" in done.stderr


REAL_GPU = """mkdir {0}/dev
mount --rbind /dev {0}/dev
mount -t tmpfs none /dev
touch /dev/nvidiactl
for f in null zero urandom; do touch /dev/$f; mount --bind {0}/dev/$f /dev/$f; done
ln -s /proc/self/fd /dev/fd; mkdir /dev/shm"""


def test_beside_a_real_gpu_the_simulated_one_is_used_and_it_says_so(
        elsewhere, newest_torch, tmp_path):
    # a driver and a runtime that end whoever calls them stand where the real ones would
    source = tmp_path / "driver.c"
    source.write_text("#include <stdlib.h>\n" + "".join(
        f"int {name}(void) {{ abort(); }}\n"
        for name in ("cuInit", "cudaMalloc", "cudaGetDeviceCount", "cuDeviceGetCount")))
    for soname in ("libcuda.so.1", "libcudart.so.13"):
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-Wl,-soname,{soname}",
                        "-o", tmp_path / soname, source], check=True)
    script = tmp_path / "train.py"
    script.write_text(TRAIN + "print(torch.cuda.get_device_name())\n")
    done = elsewhere(REAL_GPU.format(tmp_path), COMMAND, "simulate", "--gpu", "l4", "--",
                     sys.executable, script, "101",
                     env={"PYTHONPATH": str(newest_torch), "LD_LIBRARY_PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained\nNVIDIA L4\n"
    assert "has an NVIDIA GPU; the simulated one is used" in done.stderr


def test_host_memory_that_is_too_small_is_no_verdict_on_the_card(simulate, newest_torch):
    source = TRAIN + "print('next')\ntorch.ones(1 << 44)\n"
    done = simulate(newest_torch, [], source, "101")
    assert done.status == 4 and done.out == "trained\nnext\n"
    assert done.gpu["verdict"] is None
    assert "not enough memory" in done.err or "can't allocate memory" in done.err
    assert "had not run out of device memory" in done.err
    source = TRAIN + "import os\nos.kill(os.getpid(), 9)\n"
    done = simulate(newest_torch, [], source, "101")
    assert done.status == 137 and done.gpu["verdict"] is None
    assert "the machine's own memory too small for its CPU tensors" in done.err


def test_a_symbol_that_is_not_simulated_is_named(call, fake_torch, tmp_path):
    source = tmp_path / "extension.c"
    source.write_text("int cudaNeverHeardOf(void);\nint f(void) { return cudaNeverHeardOf(); }\n")
    library = tmp_path / "extension.so"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library, source],
                   check=True)
    program = f"import ctypes, os\nctypes.CDLL({str(library)!r}, os.RTLD_NOW)\n"
    done = call("simulate", "--", sys.executable, "-c", program,
                env={"PYTHONPATH": str(fake_torch("13.0"))})
    assert done.returncode == 4
    assert "undefined symbol: cudaNeverHeardOf" in done.stderr


def test_a_call_that_was_refused_is_named_when_the_program_fails(call, fake_torch):
    program = ("import ctypes, sys\n"
               "sys.exit(9 * (ctypes.CDLL(None).cuFlushGPUDirectRDMAWrites(0, 0) == 801))")
    done = call("simulate", "--", sys.executable, "-c", program,
                env={"PYTHONPATH": str(fake_torch("13.0"))})
    assert done.returncode == 9
    assert "not simulated, and it was told so: cuFlushGPUDirectRDMAWrites" in done.stderr


def test_a_list_that_hides_the_devices_is_named(call, fake_torch):
    # what this program returns is what CUDA says: no device
    program = "import ctypes, sys; sys.exit(ctypes.CDLL(None).cuInit(0) == 100)"
    words = ["simulate", "--", sys.executable, "-c", program]
    env = {"PYTHONPATH": str(fake_torch("13.0"))}
    done = call(*words, env={**env, "CUDA_VISIBLE_DEVICES": "3"})
    assert done.returncode == 4 and "CUDA_VISIBLE_DEVICES is '3'" in done.stderr
    done = call(*words, env=env)
    assert done.returncode == 3 and "CUDA_VISIBLE_DEVICES" not in done.stderr


def python_without_headers(folder):
    """This Python, as if installed into a folder that has no include/."""
    (folder / "bin").mkdir(parents=True)
    copy = shutil.copy(os.path.realpath(sys.executable), folder / "bin" / "python3")
    library = sysconfig.get_path("stdlib")
    (folder / "lib").mkdir()
    (folder / "lib" / os.path.basename(library)).symlink_to(library)
    return copy


def test_what_torch_compile_lacks_is_one_line_with_what_to_install(call, fake_torch, tmp_path):
    torch = fake_torch("13.0")
    (torch / "torch-2.9.9.dist-info").mkdir()
    (torch / "torch-2.9.9.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 2.9.9\n"
        'Requires-Dist: triton==3.5.1; platform_system == "Linux"\n')
    fails = ["simulate", "--", sys.executable, "-c", "raise SystemExit(9)"]
    env = {"PYTHONPATH": str(torch), "CC": ""}
    if subprocess.run([sys.executable, "-c", "import triton"], capture_output=True).returncode:
        done = call(*fails, env=env)
        lines = [line for line in done.stderr.splitlines() if "torch.compile" in line]
        assert len(lines) == 1 and "no Triton; 'pip install triton==3.5.1'" in lines[0]
    (torch / "triton").mkdir()
    (torch / "triton" / "__init__.py").write_text("")
    done = call(*fails, env={**env, "PATH": str(tmp_path)})
    assert "no C compiler for its launchers; install gcc" in done.stderr
    if shutil.which("cc"):
        assert "C compiler" not in call(*fails, env=env).stderr
    if shutil.which("cc"):
        done = call("simulate", "--", python_without_headers(tmp_path / "python"), *fails[3:],
                    env=env)
        lines = [line for line in done.stderr.splitlines() if "Python.h" in line]
        assert len(lines) == 1 and "torch.compile" in lines[0]
        assert "install python%d.%d-dev" % sys.version_info[:2] in lines[0]
    # what did not fail needs nothing
    done = call("simulate", "--", sys.executable, "-c", "1", env={**env, "PATH": str(tmp_path)})
    assert "torch.compile" not in done.stderr
