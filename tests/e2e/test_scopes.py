"""Phases and buckets that a program names itself: tidemark.h, record_function, NVTX."""

import json
import shutil
import signal
import subprocess

import pytest
from conftest import BUILD, HERE, LIBRARY, ROOT, clean_environment, need
from reading import Trace, recover

PLACES = """
SELECT a.bytes, v.path, v.phase, v.bucket, p.name, b.name, r.name
FROM allocation a JOIN site s ON s.id = a.site JOIN phase p ON p.id = s.phase
JOIN bucket b ON b.id = a.bucket JOIN rule r ON r.id = a.rule
LEFT JOIN v_scope v ON v.id = s.scope
"""


def scopes_of(trace):
    """{size of the block: (path, own phase, own bucket, phase, bucket, rule)}"""
    return {size: rest for size, *rest in trace.all(PLACES)}


def paths_of(trace):
    return {size: where[0] for size, where in scopes_of(trace).items()}


# ---- tidemark.h -------------------------------------------------------------------------


def build(path, *flags):
    """scopes.c, linked without libtidemark.so: its functions are there or they are not."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    fake = BUILD / "tests" / "bench" / "fake"
    subprocess.run(
        ["gcc", "-O1", *flags, "-Wall", "-Werror", f"-I{ROOT / 'hooks'}", str(HERE / "scripts" / "scopes.c"), "-o",
         str(path), "-Wl,--no-as-needed", f"-L{fake}", "-lc10", "-ltorch_cpu",
         f"-Wl,-rpath,{fake}", "-pthread"],
        check=True,
    )
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scopes") / "scopes", "-fPIE", "-pie")


def run(program, folder, *args, preload=True):
    env = clean_environment(TIDEMARK_OUT=folder / "%p.db",
                            LD_PRELOAD=str(LIBRARY) if preload else None)
    return subprocess.run([str(program), *args], env=env, text=True, capture_output=True,
                          timeout=120)


def test_a_program_that_calls_tidemark_h_runs_without_the_library(program, tmp_path):
    done = run(program, tmp_path, preload=False)
    assert (done.returncode, done.stdout) == (0, "absent\n")
    assert not list(tmp_path.iterdir())


def test_a_program_at_a_fixed_address_does_not_see_the_functions_and_is_traced_all_the_same(
        tmp_path):
    """The linker has settled there that a weak function is not; dlsym is what finds it."""
    done = run(build(tmp_path / "scopes", "-fno-pie", "-no-pie"), tmp_path)
    assert (done.returncode, done.stdout) == (0, "absent\n")
    (path,) = tmp_path.glob("*.db")
    found = paths_of(Trace(path))
    assert 10001 in found and set(found.values()) == {None}


def test_what_is_made_between_push_and_pop_has_the_names_that_were_pushed(program, tmp_path):
    done = run(program, tmp_path)
    assert done.returncode == 0 and done.stdout != "absent\n", done.stderr
    (path,) = tmp_path.glob("*.db")
    found = scopes_of(Trace(path))
    assert {size: tuple(found[size][:3]) for size in found if size < 20000} == {
        10001: ("rollout", "rollout", None),
        10002: ("rollout / kv cache", "rollout", "kv cache"),
        10003: ("rollout / kv cache / prefill", "prefill", "kv cache"),
        10004: ("rollout / kv cache", "rollout", "kv cache"),
        10005: (None, None, None),
        10006: (None, None, None),
    }
    # the thread's own, not that of the thread which made it; its pop found nothing to end
    assert (found[40001][0], found[40002][0]) == (None, "worker")


def test_a_scope_with_a_fixed_name_is_the_phase_or_bucket_of_that_name(program, tmp_path):
    run(program, tmp_path)
    (path,) = tmp_path.glob("*.db")
    found = scopes_of(Trace(path))
    assert found[20001][0] == "eval" and found[20001][3] == "eval"
    assert found[20002][4:] == ["communication", "program"]
    # one of one's own inside it is no bucket of ours, and says nothing about it
    assert found[20003][0] == "communication / mine" and found[20003][5] != "program"
    assert found[10001][3] == found[10006][3]  # a name of one's own changes no phase


def test_an_empty_name_names_nothing_and_a_long_one_is_cut_between_characters(
        program, tmp_path):
    run(program, tmp_path)
    (path,) = tmp_path.glob("*.db")
    found = scopes_of(Trace(path))
    name = found[20004][0]
    whole = "a name that is longer than is kept, by far, since nobody says f\xfcr"
    assert name.endswith("...") and whole.startswith(name[:-3])  # and says that it is cut
    assert 61 <= len(name.encode()) <= 63
    assert found[20005][0] is None


def test_names_that_count_are_kept_up_to_a_limit_and_the_rest_is_said(program, tmp_path):
    run(program, tmp_path, "many")
    (path,) = tmp_path.glob("*.db")
    trace = Trace(path)
    assert trace.one("SELECT count(*) FROM scope") == 4096
    assert trace.one("SELECT count(*) FROM allocation a JOIN site s ON s.id = a.site "
                     "WHERE s.scope IS NOT NULL AND a.bytes = 512") == 4096
    # said at each power of two, so that the row is not written thousands of times
    assert trace.losses["scope_names"] == 1024


def test_scopes_deeper_than_are_kept_do_not_stay_open(program, tmp_path):
    run(program, tmp_path, "deep")
    (path,) = tmp_path.glob("*.db")
    found = paths_of(Trace(path))
    assert found[30001].split(" / ") == [f"level {i}" for i in range(46)]
    assert (found[30002], found[30003]) == (None, "again")


def test_a_forked_child_has_its_own_trace_with_the_scope_it_was_forked_in(program, tmp_path):
    run(program, tmp_path, "fork")
    found = [paths_of(Trace(p)) for p in tmp_path.glob("*.db")]
    assert len(found) == 2
    child, parent = sorted(found, key=len)
    assert child == {50003: "both"}
    assert (parent[50001], parent[50002]) == ("both", "both")


def test_scopes_survive_a_crash(program, tmp_path):
    done = run(program, tmp_path, "kill")
    assert done.returncode == -signal.SIGABRT
    (path,) = tmp_path.glob("*.db")
    rc, message = recover(LIBRARY, path)
    assert rc == 0, message
    found = scopes_of(Trace(path))
    assert found[10003][0] == "rollout / kv cache / prefill"
    assert found[20002][4:] == ["communication", "program"]


# ---- record_function --------------------------------------------------------------------

RECORD_FUNCTION = """
import os, signal, sys
import torch
from torch.profiler import record_function

device = sys.argv[1]
model = torch.nn.Linear(50, 70, device=device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(8):
    with record_function("tidemark.phase:teacher"):
        with record_function("tidemark.bucket:kv cache"):
            kept = torch.empty(12345, device=device)
        with record_function("somebody else's"):
            x = torch.randn(33, 50, device=device)
        y = model(x)
    try:
        with record_function("tidemark.phase:raises"):
            raise ValueError
    except ValueError:
        pass
    with record_function("tidemark.phase:student"):
        y.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    between = torch.empty(23456, device=device)
    del kept, between
if len(sys.argv) > 2:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def of(device):
    return "cpu" if device == "cpu" else "cuda"


def assert_recorded(trace):
    assert trace.losses == {}
    rows = trace.all(PLACES.replace("SELECT a.bytes", "SELECT a.requested"))
    rows = [(size, path, phase) for size, path, _, _, phase, _, _ in rows]
    assert {path for size, path, _ in rows if size == 4 * 12345} == {"teacher / kv cache"}
    assert {path for size, path, _ in rows if size == 4 * 33 * 50} == {"teacher"}
    assert {path for size, path, _ in rows if size == 4 * 33 * 70} >= {"teacher"}
    assert {path for size, path, _ in rows if size == 4 * 23456} == {None}
    # the engine's own thread works for the thread that called backward()
    assert {path for _, path, phase in rows if phase == "backward"} == {"student"}
    assert {path for _, path, phase in rows if phase == "optimizer"} <= {None}


def test_record_function_names_scopes(trace, device):
    run = trace(RECORD_FUNCTION, of(device), device=device)
    assert run.code == 0, run.stderr
    assert_recorded(run.open())


def test_steps_with_the_same_scopes_are_folded(trace):
    run = trace(RECORD_FUNCTION, "cpu")
    assert run.open().one("SELECT count(*) FROM step WHERE same_as IS NOT NULL") >= 4


def test_scopes_of_a_run_that_was_killed_are_what_they_were(trace, device):
    run = trace(RECORD_FUNCTION, of(device), "kill", device=device)
    assert run.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
    (path,) = run.files
    rc, message = recover(LIBRARY, path)
    assert rc == 0, message
    assert_recorded(Trace(path))


def test_sums_by_bucket_are_the_same_with_and_without_scopes(trace):
    def sums(run):
        return dict(run.open().all("SELECT bucket, sum(bytes) FROM v_peak_live GROUP BY bucket"))

    named = sums(trace(RECORD_FUNCTION, "cpu"))
    assert named == sums(trace(RECORD_FUNCTION.replace("tidemark.", "other."), "cpu"))


# ---- NVTX -------------------------------------------------------------------------------

NVTX = """
import sys
import torch
from torch.cuda import nvtx

model = torch.nn.Linear(50, 70, device="cuda")
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    depth = nvtx.range_push("tidemark.phase:teacher")
    nvtx.range_push("plain")
    x = torch.randn(33, 50, device="cuda")
    nvtx.range_pop()
    with nvtx.range("tidemark.bucket:kv cache"):
        kept = torch.empty(12345, device="cuda")
    y = model(x)
    nvtx.range_pop()
    nvtx.range_pop()  # one too many
    y.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    del kept
print(depth)
"""


@pytest.mark.parametrize("mode", ["named", "all", "none"])
def test_nvtx_ranges_name_scopes(trace, cuda, mode):
    run = trace(NVTX, device=cuda, env={"TIDEMARK_NVTX": mode})
    assert run.code == 0, run.stderr
    opened = run.open()
    rows = opened.all(PLACES.replace("SELECT a.bytes", "SELECT a.requested"))
    paths = {size: path for size, path, *_ in rows}
    expected = {
        "named": ("teacher / kv cache", "teacher"),
        "all": ("teacher / kv cache", "teacher / plain"),
        "none": (None, None),
    }
    assert (paths[4 * 12345], paths[4 * 33 * 50]) == expected[mode]
    assert opened.one("SELECT state FROM capability WHERE name = 'nvtx'") == (
        "off" if mode == "none" else "live"
    )
    assert run.stdout == "-2\n"  # what NVTX answers where no tool is


def test_another_tool_that_listens_to_nvtx_keeps_its_place(trace, cuda, tmp_path):
    other = tmp_path / "other.so"
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    source = "int InitializeInjectionNvtx2(void *t) { return t != 0; }"
    subprocess.run(["gcc", "-shared", "-fPIC", "-xc", "-", "-o", str(other)], input=source,
                   text=True, check=True)
    run = trace(NVTX, device=cuda, env={"NVTX_INJECTION64_PATH": other})
    opened = run.open()
    assert run.code == 0, run.stderr
    assert opened.one("SELECT count(*) FROM scope") == 0
    assert opened.one("SELECT state FROM capability WHERE name = 'nvtx'") == "missing"


# ---- the command ------------------------------------------------------------------------


def test_buckets_by_scope_adds_up_and_shows_the_paths(trace, tidemark):
    run = trace(RECORD_FUNCTION, "cpu")
    (path,) = run.files
    answer = json.loads(tidemark("buckets", "--by", "scope", "--json", path).stdout)
    (device,) = answer["devices"]
    assert sum(o["bytes"] for o in device["owners"]) == device["allocated_bytes"]
    assert {"teacher", "teacher / kv cache"} <= {o["scope"] for o in device["owners"]}
    text = tidemark("buckets", "--by", "scope", path).stdout
    assert "teacher / kv cache" in text
