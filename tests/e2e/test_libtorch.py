"""A training program in C++, examples/libtorch, with no Python in its process."""

import json
import shutil
import subprocess

import pytest
from conftest import BUILD, CACHE, LIBRARY, PYTHON, ROOT, TORCH, clean_environment, need
from reading import Trace, recover

pytestmark = pytest.mark.turns(2)  # of the short form: tests/short.py

def folder_of_torch(device):
    if device != "cpu":
        return CACHE / TORCH[device] / "torch"
    words = [str(PYTHON), "-c", "import torch; print(torch.__path__[0])"]
    return subprocess.run(words, check=True, text=True, capture_output=True).stdout.strip()


@pytest.fixture(scope="module", params=["cpu", "cuda13"])
def built(request, tmp_path_factory):
    """(device, the program), built as its CMakeLists.txt says."""
    need(request.param)
    if not shutil.which("g++") or not shutil.which("cmake"):
        pytest.skip("no g++ or no cmake")
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(
        ["cmake", "-S", str(ROOT / "examples" / "libtorch"), "-B", str(folder),
         f"-DTORCH={folder_of_torch(request.param)}"], check=True, capture_output=True)
    done = subprocess.run(["cmake", "--build", str(folder)], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return request.param, folder / "train"


def run(built, folder, *args, preload=True, timeout=300):
    device, program = built
    words = [str(program), "cpu" if device == "cpu" else "cuda", *args]
    env = {"TIDEMARK_OUT": folder / "t.db"}
    if preload:
        env["LD_PRELOAD"] = LIBRARY
    if device != "cpu":
        simrun = str(BUILD / "simulator" / "simrun.sh")
        words = [simrun, "--gpu", "a100-80gb", str(CACHE / TORCH[device]), "--", *words]
    return subprocess.run(words, env=clean_environment(**env), text=True, capture_output=True,
                          timeout=timeout, cwd=folder)


@pytest.fixture(scope="module")
def traced(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("traced")
    done = run(built, folder)
    assert done.returncode == 0, done.stderr
    return built[0], json.loads(done.stdout), Trace(folder / "t.db")


def held(trace, bucket, **where):
    """(blocks, bytes their tensors need, bytes of the blocks) of all rows of a bucket."""
    return trace.one(
        "SELECT count(*), total(a.requested), total(a.bytes) FROM allocation a "
        "JOIN bucket b ON b.id = a.bucket WHERE b.name = ?"
        + "".join(f" AND {column} = {value}" for column, value in where.items()), bucket)


def test_the_program_runs_without_the_library_too(built, tmp_path):
    done = run(built, tmp_path, "1", preload=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parameters"] > 0
    assert not (tmp_path / "t.db").exists()


def test_nothing_is_lost_and_sums_equal_the_allocators(traced):
    device, truth, trace = traced
    assert trace.losses == {}
    if device != "cpu":
        assert trace.peak("cuda:0") == truth["peak"]


def test_python_had_no_part_in_it(traced):
    _, _, trace = traced
    assert trace.one("SELECT count(*) FROM tensor") == 0
    assert trace.one("SELECT python_version FROM run") is None
    assert trace.one("SELECT count(*) FROM frame WHERE kind = 'python'") == 0


def test_steps_and_phases_are_those_of_the_program(traced):
    _, _, trace = traced
    assert trace.one("SELECT count(*) FROM step WHERE complete") == 8
    assert trace.all("SELECT DISTINCT micro_steps FROM step WHERE complete") == [(1,)]
    for step in trace.all("SELECT coalesce(same_as, id) FROM step WHERE complete"):
        phases = {p for (p,) in trace.all(
            "SELECT DISTINCT p.name FROM step_phase sp JOIN phase p ON p.id = sp.phase "
            "WHERE sp.step = ?", *step)}
        assert {"forward", "backward", "optimizer"} <= phases, step
    assert trace.one("SELECT count(*) FROM step WHERE same_as IS NOT NULL") >= 3
    zero_grad = trace.one("SELECT total(sp.events) FROM step_phase sp JOIN phase p "
                          "ON p.id = sp.phase WHERE p.name = 'zero_grad'")
    assert zero_grad > 0


def test_parameters_and_state_are_found_by_evidence_byte_for_byte(traced):
    _, truth, trace = traced
    blocks, needed, _ = held(trace, "parameter")
    assert (blocks, needed) == (truth["tensors"], truth["parameters"])
    rules = {r for (r,) in trace.all(
        "SELECT DISTINCT r.name FROM allocation a JOIN rule r ON r.id = a.rule "
        "JOIN bucket b ON b.id = a.bucket WHERE b.name IN ('parameter', 'gradient')")}
    assert rules == {"leaf", "accumulated"}
    blocks, needed, _ = held(trace, "optimizer")
    assert (blocks, needed) == (2 * truth["tensors"], truth["state"])


def test_each_steps_gradients_are_found_byte_for_byte(traced):
    _, truth, trace = traced
    raw = trace.all("SELECT id FROM step WHERE complete AND same_as IS NULL")
    assert raw
    for (step,) in raw:
        blocks, needed, _ = held(trace, "gradient", **{"a.born_step": step})
        assert (blocks, needed) == (truth["tensors"], truth["gradients"])


def test_what_the_program_named_is_there_and_changes_no_sum(traced):
    _, _, trace = traced
    rows = trace.all("SELECT DISTINCT v.path, p.name FROM site s JOIN phase p ON p.id = s.phase "
                     "JOIN v_scope v ON v.id = s.scope")
    assert rows == [("eval / held out", "eval")]
    assert trace.one("SELECT count(*) FROM site s JOIN phase p ON p.id = s.phase "
                     "WHERE p.name = 'eval' AND s.scope IS NULL") == 0


def test_a_run_that_was_killed_is_finished_without_the_program(traced, built, tmp_path):
    _, _, whole = traced
    steps = "SELECT id, same_as, events FROM step WHERE complete ORDER BY id"
    expected = whole.all(steps)
    for seconds in (20, 60, 180):  # until it came far enough, however busy the machine is
        folder = tmp_path / str(seconds)
        folder.mkdir()
        with pytest.raises(subprocess.TimeoutExpired):  # which ends it by SIGKILL
            run(built, folder, "1000000", timeout=seconds)
        rc, message = recover(LIBRARY, folder / "t.db")
        assert rc == 0, message
        trace = Trace(folder / "t.db")
        assert trace.losses == {}
        found = trace.all(steps)
        if len(found) > len(expected):
            break
    assert found[: len(expected)] == expected and len(found) > len(expected)
