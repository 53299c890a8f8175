"""What must stay true of the sources and of the built library."""

import re
import subprocess

import pytest
from conftest import BUILD, LIBRARY, ROOT

SETTINGS = ROOT / "tracer" / "base" / "settings.def"


def lines_of(*words):
    return subprocess.run(words, text=True, check=True, capture_output=True).stdout.splitlines()


def sources(folder, *endings):
    return sorted(p for e in endings for p in (ROOT / folder).rglob(f"*{e}"))


def exported():
    rows = lines_of("nm", "-D", "--defined-only", str(LIBRARY))
    return {row.split()[-1] for row in rows}


def hooked():
    text = (ROOT / "hooks" / "hooks.def").read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    rows = re.findall(r"^HOOK(?:_TOO)?\((.*?)\)\s*$", text, re.S | re.M)
    return {re.split(r"[,\s]+", row.strip())[-1] for row in rows}


def test_nothing_is_exported_but_hooks_and_the_public_functions():
    assert len(hooked()) > 25
    stray = {n for n in exported() if not n.startswith("tidemark_")} - hooked()
    # what NVTX looks for, and what each object's _init calls (real.c)
    assert stray == {"InitializeInjectionNvtx2", "__gmon_start__"}
    assert hooked() <= exported()


def test_every_public_function_is_declared_and_the_other_way_round():
    declared = set(
        re.findall(r"\b(tidemark_\w+)\(", (ROOT / "hooks" / "tidemark.h").read_text())
    )
    assert declared == {n for n in exported() if n.startswith("tidemark_")}


def test_symbols_have_no_version():
    """An unversioned definition satisfies cudaMalloc@libcudart.so.13; a versioned one not."""
    assert not any("@" in n for n in exported())
    assert "Version definition" not in "\n".join(lines_of("readelf", "-V", str(LIBRARY)))


def test_no_library_is_needed_but_libc():
    needed = {
        re.search(r"\[(.*)\]", row)[1]
        for row in lines_of("readelf", "-d", str(LIBRARY)) if "(NEEDED)" in row
    }
    assert needed <= {"libc.so.6", "libm.so.6"}


def test_the_glibc_it_needs_is_the_one_that_the_readme_states():
    versions = {
        tuple(map(int, v.split(".")))
        for v in re.findall(
            r"GLIBC_([\d.]+)", "\n".join(lines_of("readelf", "-V", str(LIBRARY)))
        )
    }
    floor = ".".join(map(str, max(versions)))
    print("glibc floor:", floor)
    stated = re.search(r"glibc (\d+\.\d+) or newer", (ROOT / "README.md").read_text())
    assert stated, "README.md must say 'glibc N.N or newer'"
    assert max(versions) <= tuple(map(int, stated[1].split("."))), floor


def test_threads_local_storage_needs_no_allocation():
    """initial-exec: a dynamic access may call the allocator inside of a hook."""
    relocations = "\n".join(lines_of("readelf", "-rW", str(LIBRARY)))
    assert "DTPMOD64" not in relocations and "TPOFF64" in relocations


def includes(folder):
    for path in sources(folder, ".c", ".h"):
        for name in re.findall(r'^\s*#\s*include\s*["<]([^">]+)[">]', path.read_text(), re.M):
            yield path, name


def headers(folder):
    return {p.name for p in sources(folder, ".h")}


@pytest.mark.parametrize(
    "folder, others",
    [
        ("tracer", ["hooks", "analysis", "simulator"]),
        ("hooks", ["analysis", "simulator"]),
        ("analysis", ["hooks", "tracer", "simulator"]),
        ("simulator", ["hooks", "tracer", "analysis"]),
    ],
)
def test_a_layer_includes_nothing_of_those_it_must_not_know(folder, others):
    forbidden = set().union(*map(headers, others)) - headers(folder)
    wrong = [(p.name, n) for p, n in includes(folder) if n.rsplit("/")[-1] in forbidden]
    assert not wrong


def test_few_files_know_sqlite():
    knowing = {
        str(path.relative_to(ROOT))
        for folder in ("tracer", "hooks", "analysis", "simulator")
        for path, name in includes(folder) if name == "sqlite3.h"
    }
    assert knowing == {"tracer/store/rows.h", "tracer/store/connection.h", "analysis/base/db.c"}
    users = {p.name for p, n in includes("tracer") if n in ("rows.h", "connection.h")}
    assert users == {"rows.c", "connection.c", "store.c"}


def test_no_torch_or_cuda_header_is_included():
    wrong = [
        (path.name, name)
        for folder in ("tracer", "hooks", "analysis")
        for path, name in includes(folder)
        if re.match(r"torch/|ATen/|c10/|Python\.h|cuda(_runtime)?\.h|nccl\.h", name)
    ]
    assert not wrong


def test_every_setting_is_documented():
    settings = re.findall(r'"(TIDEMARK_\w+)"', SETTINGS.read_text())
    assert len(settings) > 8
    documented = "".join(
        p.read_text() for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    )
    assert [s for s in settings if s not in documented] == []


def test_every_variable_that_is_read_is_a_setting():
    """TIDEMARK_SIM_* is the simulated device's own, documented with it."""
    settings = SETTINGS.read_text()
    read = {
        name
        for folder in ("tracer", "hooks")
        for path in sources(folder, ".c")
        for name in re.findall(r'getenv\("(TIDEMARK_\w+)"', path.read_text())
    }
    assert {n for n in read if n not in settings and "_SIM_" not in n} == set()


def test_the_views_answer_to_sqlite3_alone(tmp_path):
    schema = (ROOT / "schema.sql").read_text()
    views = re.findall(r"CREATE VIEW (\w+)", schema)
    assert {"v_peak", "v_peak_live", "v_step_peak", "v_phase_peak", "v_oom"} <= set(views)
    path = tmp_path / "empty.db"
    subprocess.run(["sqlite3", path], input=schema, text=True, check=True)
    for view in views:
        assert lines_of("sqlite3", str(path), f"SELECT * FROM {view}") == []


NOMALLOC = """
import ctypes, sys, torch
count = ctypes.CDLL(None).countmalloc
count.restype = ctypes.c_long
assert ctypes.CDLL(None).tidemark_version if sys.argv[2] == "traced" else True
model = torch.nn.Sequential(torch.nn.Linear(33, 101), torch.nn.Tanh(), torch.nn.Linear(101, 13))
model, x = model.cuda(), torch.randn(7, 33, device="cuda")
def once(n):
    with torch.no_grad():
        before = count()
        for _ in range(n):
            torch.empty(3001, device="cuda")
            model(x)
        return count() - before
once(50)
print(once(200), once(200), once(200))
"""


def test_the_hot_path_allocates_nothing(trace, cuda):
    """malloc is counted on the thread that trains, with and without the library. (For CPU
    tensors torch itself keeps a table of what it reports, by malloc.)"""
    counter = str(BUILD / "tests" / "stacks" / "libcountmalloc.so")
    plain = trace(
        NOMALLOC, "x", "plain", device=cuda, preload=False, env={"LD_PRELOAD": counter}
    )
    traced = trace(
        NOMALLOC, "x", "traced", device=cuda,
        env={"LD_PRELOAD": counter, "TIDEMARK_STACKS": "all"},
    )
    assert plain.code == traced.code == 0, plain.stderr + traced.stderr
    assert traced.open().one("SELECT count(*) FROM allocation") > 1000
    # min: Python's own caches grow now and then
    assert min(map(int, plain.stdout.split())) == min(map(int, traced.stdout.split()))


WITNESS = """
import ctypes, torch
witness = ctypes.CDLL(None)
model = torch.nn.Sequential(torch.nn.Linear(33, 101), torch.nn.Tanh(), torch.nn.Linear(101, 13)).cuda()
optimizer = torch.optim.Adam(model.parameters())
def step(width):
    model(torch.randn(width, 33, device="cuda")).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
FIRST
for seen in range(2):
    print("round", seen)
    witness.witness(1)
    for i in range(30):
        step(7 + 3 * (i % 4))  # at first shapes, stacks and operators that are new
    witness.witness(0)
print("reports", witness.witness_reports())
"""

#: what libunwind does where a thread meets a native stack for the first time: hooks/native/cunwind.c
OF_A_NEW_STACK = {"pthread_mutex_lock", "pthread_once", "sigprocmask", "dl_iterate_phdr", "mincore",
                  "read", "write", "syscall", "fstat"}


@pytest.mark.parametrize("stacks", ["all", "native", "python", "none"])
def test_no_lock_system_call_or_look_up_under_the_allocators_lock(trace, cuda, stacks):
    """A witness in front counts what anybody calls inside the allocator's report. A thread's
    first event maps its ring: here the engine's thread and the main one have had theirs."""
    witness = str(BUILD / "tests" / "hooks" / "libwitness.so")
    run = trace(WITNESS.replace("FIRST", "step(5)"), device=cuda, preload=False,
                env={"LD_PRELOAD": f"{witness}:{LIBRARY}", "TIDEMARK_STACKS": stacks})
    assert run.code == 0, run.stderr
    *calls, reports = run.stdout.splitlines()
    assert int(reports.split()[1]) > 1000
    first, again = (part.split("\n")[1:] for part in "\n".join(calls).split("round ")[1:])
    first, again = ([line for line in part if line] for part in (first, again))
    walks = stacks in ("all", "native")
    assert {line.split()[0] for line in first} <= (OF_A_NEW_STACK if walks else set())
    assert bool(first) == walks  # the witness sees what libunwind does
    assert again == []
    assert run.open().one("SELECT count(*) FROM step") > 50


def test_the_witness_sees_what_a_first_event_does(trace, cuda):
    """So that the test above can fail; dlsym is not among it: all was found before."""
    witness = str(BUILD / "tests" / "hooks" / "libwitness.so")
    run = trace(WITNESS.replace(").cuda()", ")").replace("FIRST", "witness.witness(1); model.cuda()"),
                device=cuda, preload=False, env={"LD_PRELOAD": f"{witness}:{LIBRARY}"})
    assert run.code == 0, run.stderr
    seen = {line.split()[0] for line in run.stdout.splitlines()}
    assert "mmap" in seen
    print(sorted(seen))
