"""The wheel, installed: the command, runs under it, its traces as tables, the magic, pytest."""

import json
import re

import pytest
import where
from conftest import PYTHON, TRAIN, packages_of, run

def test_the_command_is_there_under_both_names(installed):
    first = installed.run("tidemark", "--version")
    second = installed.run("python", "-m", "tidemark_torch", "--version")
    assert (first.returncode, second.returncode) == (0, 0), (first, second)
    assert re.match(r"tidemark \d+\.\d+", first.stdout) and first.stdout == second.stdout
    assert installed.run("tidemark", "peek").returncode == 2


def test_the_manual_page_and_the_completions_are_where_they_are_looked_for(installed):
    for name in ("man/man1/tidemark.1", "bash-completion/completions/tidemark",
                 "zsh/site-functions/_tidemark"):
        assert (installed.folder / "share" / name).is_file(), name


def test_the_library_alone_traces(installed, torch_for_cpu, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    library = installed.run(
        "python", "-c", "import tidemark_torch; print(tidemark_torch.library())").stdout.strip()
    run(PYTHON, "train.py", cwd=tmp_path, env=where.clean_environment(
        LD_PRELOAD=library, TIDEMARK_OUT="t.db", TIDEMARK_CPU="1"))
    assert "PEAK" in installed.run("tidemark", "peak", "t.db", cwd=tmp_path).stdout


@pytest.mark.parametrize("pandas", [True, False])
def test_a_trace_is_read_as_tables(installed, traced, tools, pandas):
    done = installed.run(
        "python", "-c", "import json, sys, tidemark_torch\n"
        "trace = tidemark_torch.load(sys.argv[1])\n"
        "rows = trace['v_peak']\n"
        "rows = rows if isinstance(rows, list) else rows.to_dict('records')\n"
        "print(json.dumps([type(trace['v_step_peak']).__name__, rows, list(trace)]))", traced,
        beside=[packages_of(tools)] if pandas else [])
    assert done.returncode == 0, done
    kind, [row], names = json.loads(done.stdout)
    assert kind == ("DataFrame" if pandas else "list")
    assert row["device"] == "cpu" and row["allocated_bytes"] > 4 * 33 * 101
    assert {"v_peak", "v_peak_live", "v_step_peak", "v_phase_peak", "v_oom"} <= set(names)


def test_a_cell_is_run_traced_and_reported(installed, torch_for_cpu, tools, tmp_path):
    done = installed.run(
        "python", "-c", "import sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'tidemark_torch')\n"
        "shell.run_cell_magic('tidemark', 'peak --cpu', sys.argv[1])", TRAIN,
        beside=[torch_for_cpu, packages_of(tools)], cwd=tmp_path)
    assert done.returncode == 0, done
    assert done.stdout.index("trained") < done.stdout.index("PEAK  cpu"), done
    assert not list(tmp_path.glob("*.db"))


LIMITED = """
import pytest

def take(mebibytes):
    import torch
    return torch.empty(mebibytes << 20, dtype=torch.uint8, device="cuda")

@pytest.fixture
def half():
    return take(512)

@pytest.mark.limit_device_memory("2 GiB")
def test_that_fits(half):
    import torch
    assert torch.cuda.get_device_name() == "NVIDIA A100-SXM4-80GB"
    take(512)

@pytest.mark.limit_device_memory("2 GiB", gpu="t4")
@pytest.mark.parametrize("size", [3000])
def test_that_does_not_fit(half, size):
    take(size)

@pytest.mark.limit_device_memory("2 GiB")
def test_that_is_skipped():
    pytest.skip("for a reason")

@pytest.mark.limit_device_memory("2 GiB")
def test_that_ends_its_process():
    import os
    os._exit(3)

def test_without_the_marker():
    import sys
    assert "torch" not in sys.modules
"""


def test_a_test_may_take_so_much_memory(installed, torch_for_cpu, tmp_path):
    cuda = where.need("torch-2.11.0")
    (tmp_path / "test_limited.py").write_text(LIMITED)
    done = installed.run("python", "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rs",
                         "test_limited.py", beside=[cuda, torch_for_cpu], cwd=tmp_path)
    outcomes = dict(re.findall(r"::(\w+)(?:\[\w+\])? (PASSED|FAILED|SKIPPED|ERROR)", done.stdout))
    assert outcomes == {
        "test_that_fits": "PASSED", "test_that_does_not_fit": "FAILED",
        "test_that_is_skipped": "SKIPPED", "test_that_ends_its_process": "FAILED",
        "test_without_the_marker": "PASSED"}, done.stdout
    assert "OutOfMemoryError: CUDA out of memory" in done.stdout
    assert "for a reason" in done.stdout and "exit status 3" in done.stdout
    assert re.search(r"peak [\d,]+ of 2,147,483,648 bytes", done.stdout)
