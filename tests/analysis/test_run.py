"""`tidemark run`, and reading what a run that goes on or was killed has left."""
import json
import os
import pathlib
import pty
import re
import signal
import sqlite3
import subprocess
import sys

import make_trace
import pytest
from conftest import COMMAND

LIBRARY = os.environ.get("TIDEMARK_FAKE_LIBRARY", "")
TESTS = pathlib.Path(make_trace.__file__).parent

# A program that leaves a trace as the library would: where TIDEMARK_OUT says, with the
# token of the run.
TRACED = """
import os, sqlite3, sys
sys.path.insert(0, %r)
import make_trace
out = os.environ['TIDEMARK_OUT'].replace('%%h', 'node07').replace('%%p', str(os.getpid()))
make_trace.gpt(steps=3).write(out)
db = sqlite3.connect(out)
db.execute("INSERT INTO meta VALUES ('run_id', ?)", (os.environ['TIDEMARK_RUN_ID'],))
db.commit()
sys.exit(7)
""" % str(TESTS)

SHOW = "import os, json; print(json.dumps(dict(os.environ)))"


@pytest.fixture
def run(tidemark):
    def call(*words, env=None, **more):
        return tidemark("run", *words, env={"TIDEMARK_LIBRARY": LIBRARY, **(env or {})},
                        **more)
    return call


def test_the_program_is_told_where_and_what_to_trace(run, tmp_path):
    done = run("-o", "sub%p.db", "--stacks", "all", "--cpu", "--", sys.executable, "-c", SHOW)
    env = json.loads(done.stdout)
    assert done.returncode == 0
    assert env["LD_PRELOAD"] == os.path.realpath(LIBRARY)
    assert env["TIDEMARK_OUT"] == str(tmp_path / "sub%p.db")
    assert (env["TIDEMARK_STACKS"], env["TIDEMARK_CPU"]) == ("all", "1")
    assert re.fullmatch("[0-9a-f]{32}", env["TIDEMARK_RUN_ID"])


def test_nothing_is_set_that_was_not_asked_for(run, tmp_path):
    env = json.loads(run("--", sys.executable, "-c", SHOW).stdout)
    assert "TIDEMARK_STACKS" not in env and "TIDEMARK_CPU" not in env
    assert env["TIDEMARK_OUT"] == str(tmp_path / "tidemark-%h-%p.db")


def test_what_was_preloaded_already_stays(run):
    env = json.loads(run("--", sys.executable, "-c", SHOW,
                         env={"LD_PRELOAD": "libm.so.6",
                              # for a command that is itself built with it
                              "ASAN_OPTIONS": "verify_asan_link_order=0"}).stdout)
    assert env["LD_PRELOAD"] == os.path.realpath(LIBRARY) + ":libm.so.6"


def test_a_trace_that_exists_is_kept_and_the_other_name_said(run, tmp_path):
    (tmp_path / "a.db").write_text("mine")
    done = run("-o", "a.db", "--", "true")
    assert "'a.db' exists; writing a-2.db instead" in done.stderr
    (tmp_path / "a-2.db-ring").write_text("of a killed run")
    assert "writing a-3.db instead" in run("-o", "a.db", "--", "true").stderr
    assert "writing b.db (from" in run("-o", "b.db", "--", "true").stderr
    assert "writing" not in run("-q", "-o", "b.db", "--", "true").stderr


@pytest.mark.parametrize("name, inside", [("new/", True), ("there", True), ("there/", True),
                                          ("plain", False)])
def test_a_folder_takes_the_trace_inside(run, tmp_path, name, inside):
    (tmp_path / "there").mkdir()
    env = json.loads(run("-o", name, "--", sys.executable, "-c", SHOW).stdout)
    wanted = str(tmp_path / name.rstrip("/")) + ("/tidemark-%h-%p.db" if inside else "")
    assert env["TIDEMARK_OUT"] == wanted
    assert (tmp_path / "new").is_dir() == (name == "new/")
    assert re.fullmatch(re.escape(wanted).replace("%h", "[^.]+").replace("%p", r"\d+"),
                        env["TIDEMARK_ANNOUNCED"])


@pytest.mark.parametrize("name, said", [
    ("no/such/a.db", "there is no folder 'no/such'"),
    ("/proc/a.db", "cannot write '/proc/a.db'"),
    ("file/", "cannot write 'file/': Not a directory"),
    ("file/a.db", "cannot write 'file/a.db': Not a directory"),
    ("", "needs the name of a file or a folder"),
    ("x" * 300, "File name too long")])
def test_a_trace_that_was_asked_for_and_cannot_be_written_ends_it_before(run, tmp_path, name,
                                                                         said):
    (tmp_path / "file").touch()
    done = run("-o", name, "--", "touch", "started")
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not (tmp_path / "started").exists()


def test_a_trace_that_was_asked_for_and_has_no_library_ends_it_before(run, tmp_path):
    no_library = {"TIDEMARK_LIBRARY": "/no/such.so"}
    done = run("-o", "a.db", "--", "touch", "started", env=no_library)
    assert done.returncode == 2 and "the program was not started" in done.stderr
    assert not (tmp_path / "started").exists()
    assert run("--", "touch", "started", env=no_library).returncode == 0
    assert (tmp_path / "started").exists()


def test_a_name_with_percent_is_read_as_the_newest_it_has_become(tidemark, trace, tmp_path):
    for number, name in enumerate(["t-node07-1.db", "t-node07-2.db"]):
        _, path = trace(name=name)
        os.utime(path, (number, number))
    done = tidemark("peak", "t-%h-%p.db", check=True)
    assert done.stderr == "tidemark: reading 't-node07-2.db'\n"
    assert tidemark("peak", "u-%h-%p.db").stderr == "tidemark: there is no file 'u-*-*.db'\n"
    trace(name="t-%h.db")
    assert tidemark("peak", "t-%h.db", check=True).stderr == ""


def test_output_and_status_are_the_programs_own(run):
    done = run("--", "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (done.returncode, done.stdout) == (9, "out\n")
    assert "err\n" in done.stderr
    assert all(line.startswith("tidemark: ") or line == "err"
               for line in done.stderr.splitlines())


def test_the_program_gets_its_arguments_and_no_more(run):
    show = "import sys; print(sys.argv)"
    done = run("-q", "--stacks=none", "--", sys.executable, "-c", show, "--json", "--", "a b")
    assert done.stdout == "['-c', '--json', '--', 'a b']\n"


def test_a_run_without_device_memory_says_so(run):
    done = run("--", "true")
    assert done.stderr.splitlines()[-1].startswith("tidemark: no trace: ")
    assert "--cpu" in done.stderr


def test_a_traced_run_ends_with_its_peak_and_the_next_command(run, tmp_path):
    done = run("--", sys.executable, "-c", TRACED)
    assert done.returncode == 7
    first, peak, following = done.stderr.splitlines()
    [made] = tmp_path.glob("tidemark-node07-*.db")
    assert first.replace(os.uname().nodename.split(".")[0], "node07") == (
        f"tidemark: writing {made.name} (from the first device event on)")
    assert re.match(r"tidemark: cuda:0 peak 469.32 MiB of 24.00 GiB, in backward - "
                    r"3 steps - 0 events lost - ", peak)
    assert following == f"tidemark: next   tidemark report {made.name}"


def test_a_trace_of_another_run_is_not_taken_for_this_ones(run, trace):
    trace(name="tidemark-node07-1.db")
    assert "no trace" in run("--", "true").stderr


@pytest.mark.parametrize("name, second", [("t.db", "t-2.db"), ("t", "t-2"),
                                          ("t-%p.db", "t-7-2.db")])
def test_beside_an_older_file_of_its_name_a_trace_is_found_too(run, tmp_path, name, second):
    program = TRACED.replace("make_trace.gpt", f"out = {str(tmp_path / second)!r}; "
                             "make_trace.gpt")
    (tmp_path / name).write_bytes(b"older")
    done = run("-o", name, "--", sys.executable, "-c", program)
    assert done.stderr.splitlines()[-1] == f"tidemark: next   tidemark report {second}"


def test_quiet_says_nothing(run):
    assert run("-q", "--", "true").stderr == ""


def test_a_missing_program_is_127_and_a_text_126(run, tmp_path):
    assert run("--", "no-such-program").returncode == 127
    (tmp_path / "text").write_text("hello")
    done = run("--", "./text")
    assert done.returncode == 126
    assert done.stderr == "tidemark: './text' is not a program\n"


def test_a_missing_library_costs_the_trace_not_the_run(run):
    done = run("--", "sh", "-c", "exit 4", env={"TIDEMARK_LIBRARY": "/no/such.so"})
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1 and "'/no/such.so'" in done.stderr


def test_a_folder_that_is_not_there_costs_the_trace_not_the_run(run):
    """Where nobody asked for the trace by -o."""
    done = run("--", "sh", "-c", "exit 4", env={"TIDEMARK_OUT": "/no/such/folder/a.db"})
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1 and "'/no/such/folder'" in done.stderr


def test_a_static_program_is_named_as_out_of_reach(run, tmp_path):
    (tmp_path / "a.c").write_text("int main(void) { return 3; }")
    if subprocess.run(["cc", "-static", "-o", tmp_path / "a", tmp_path / "a.c"],
                      capture_output=True).returncode:
        pytest.skip("no static libc here")
    done = run("--", "./a")
    assert done.returncode == 3
    assert "'./a' is statically linked" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT,
                                    signal.SIGUSR1])
def test_a_signal_to_the_command_reaches_the_program(tmp_path, number):
    program = (f"trap 'echo got; exit 5' {number.name[3:]}; echo ready; "
               "while :; do sleep 0.05; done")
    child = subprocess.Popen([COMMAND, "run", "-q", "--", "sh", "-c", program],
                             cwd=tmp_path, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "TIDEMARK_LIBRARY": LIBRARY},
                             # a shell's background has SIGINT ignored, and a trap cannot undo that
                             preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    assert child.communicate(timeout=120)[0] == "got\n"
    assert child.returncode == 5


def test_ctrl_c_reaches_the_program_once(tmp_path):
    """A terminal signals the whole group: passed on as well it would come twice."""
    program = ("n=0; trap 'n=$((n+1))' INT; echo ready; "
               "while [ $n = 0 ]; do sleep 0.05; done; "
               "for i in 1 2 3 4 5 6; do sleep 0.05; done; echo $n")
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        os.environ["TIDEMARK_LIBRARY"] = LIBRARY
        os.execv(COMMAND, [COMMAND, "run", "-q", "--", "sh", "-c", program])
    text = b""
    while b"ready" not in text:
        text += os.read(terminal, 100)
    os.write(terminal, b"\x03")
    try:
        while part := os.read(terminal, 100):
            text += part
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert text.decode().split()[-1].removeprefix("^C") == "1"


def test_killed_by_a_signal_is_128_and_more(run):
    assert run("--", "sh", "-c", "kill -KILL $$").returncode == 137


# -- a ring that was left ------------------------------------------------------------

@pytest.fixture
def unfinished(trace, tmp_path):
    """A trace of two steps whose ring still holds the rest."""
    whole, finished = trace(make_trace.gpt(steps=5), name="a.db.finished")
    _, path = trace(make_trace.gpt(steps=2), ended=None, ended_ns=None, ring="a.db.ring")
    return path


def steps(answer, path, mode, **env):
    return answer("report", path, env={"TIDEMARK_LIBRARY": LIBRARY, "TIDEMARK_FAKE": mode,
                                       **env})["steps"]


def test_a_killed_run_is_finished_before_it_is_read(answer, unfinished):
    assert steps(answer, unfinished, "") == 5
    assert sqlite3.connect(unfinished).execute("SELECT ended FROM run").fetchone() == ("exit",)


def test_a_run_still_going_on_is_read_from_a_copy(answer, tidemark, unfinished, tmp_path):
    before = unfinished.read_bytes()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {"TIDEMARK_LIBRARY": LIBRARY, "TIDEMARK_FAKE": "running", "TMPDIR": str(scratch)}
    assert steps(answer, unfinished, "running", TMPDIR=str(scratch)) == 5
    assert "still running: as of now" in tidemark("report", unfinished, env=env).stderr
    assert unfinished.read_bytes() == before
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("mode, why", [("fail", "the ring is torn"), ("crash", "failed")])
def test_what_cannot_be_recovered_is_said_and_the_rest_read(tidemark, answer, unfinished,
                                                           mode, why):
    done = tidemark("report", unfinished, env={"TIDEMARK_LIBRARY": LIBRARY,
                                               "TIDEMARK_FAKE": mode})
    assert done.returncode == 0 and "2 steps" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "last events of this run are missing" in done.stderr and why in done.stderr


def test_without_the_library_the_file_is_read_as_it_is(tidemark, unfinished):
    done = tidemark("report", unfinished, env={"TIDEMARK_LIBRARY": "/no/such.so"})
    assert done.returncode == 0 and "2 steps" in done.stdout
    assert "last events of this run are missing" in done.stderr


def test_the_library_is_where_it_is_said_to_be(tidemark):
    done = tidemark("library", env={"TIDEMARK_LIBRARY": LIBRARY})
    assert done.stdout.strip() == os.path.realpath(LIBRARY)
    assert tidemark("library", env={"TIDEMARK_LIBRARY": "/no/such.so"}).returncode == 1


# -- doctor ---------------------------------------------------------------------------

def test_doctor_says_no_where_there_is_no_torch(answer, tidemark, tmp_path):
    done = tidemark("doctor", "--json", sys.executable, env={"TIDEMARK_LIBRARY": LIBRARY})
    got = json.loads(done.stdout)
    states = {c["name"]: c["state"] for c in got["capabilities"]}
    assert states["library"] == "live"
    assert got["can_trace"] == (done.returncode == 0)
    if "torch" in states:
        assert (states["torch"], done.returncode) == ("missing", 1)
    assert tidemark("doctor", "no-such-python").returncode == 1


def test_doctor_reads_torch_without_importing_it(tidemark, tmp_path):
    """A torch whose import would fail, and whose library exports next to nothing."""
    lib = tmp_path / "site" / "torch" / "lib"
    lib.mkdir(parents=True)
    (lib.parent / "__init__.py").write_text("raise SystemExit('imported')")
    (lib.parent / "version.py").write_text("__version__ = '2.11.0+cu130'\n"
                                           "cuda: Optional[str] = '13.0'\n")
    source = tmp_path / "c10.c"
    source.write_text("void _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(void) {}")
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", lib / "libc10.so", source],
                      capture_output=True).returncode:
        pytest.skip("no C compiler here")
    done = tidemark("doctor", "--json", sys.executable, env={
        "PYTHONPATH": str(tmp_path / "site"), "TIDEMARK_LIBRARY": LIBRARY})
    got = json.loads(done.stdout)
    states = {c["name"]: c["state"] for c in got["capabilities"]}
    assert (got["torch_version"], got["cuda_version"]) == ("2.11.0+cu130", "13.0")
    assert (states["allocator"], states["oom"]) == ("live", "missing")
    assert states["backward"] == "missing"
    assert (done.returncode, got["can_trace"]) == (0, True)
    assert states["sigbus"] == states["exit"] == "live"  # which libc gives
    lost = {c["name"]: c["without"] for c in got["capabilities"]}
    assert all(len(text.split()) > 3 for text in lost.values()), lost
    screen = tidemark("doctor", sys.executable, env={
        "PYTHONPATH": str(tmp_path / "site"), "TIDEMARK_LIBRARY": LIBRARY}).stdout
    said = " ".join(screen.split())
    assert f"oom {lost['oom']} missing: its function is not there" in said
    assert f"sigbus {lost['sigbus']}" in said
