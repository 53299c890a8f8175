"""What goes wrong around the library is said in one sentence and harms nothing."""

import os
import pathlib
import shutil
import stat
import subprocess

import pytest
from conftest import CACHE, LIBRARY, clean_environment
from reading import Trace

pytestmark = pytest.mark.turns(2)  # of the short form: tests/short.py

TRAIN = """
import sys, torch
model = torch.nn.Linear(33, 101)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for i in range(3):
    model(torch.randn(7, 33)).sum().backward()
    optimizer.step()
print("trained", *sys.argv[1:])
"""


def assert_trained_without_trace(run):
    assert (run.code, run.stdout) == (0, "trained\n")
    assert run.files == [] and run.left_over == []


def one_sentence(run):
    lines = run.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("tidemark: "), run.stderr
    return lines[0]


def test_no_such_folder_is_said_and_the_program_runs(trace):
    run = trace(TRAIN, env={"TIDEMARK_OUT": "/no/such/folder/%p.db"})
    assert_trained_without_trace(run)
    assert "/no/such/folder" in one_sentence(run) and "TIDEMARK_OUT" in run.stderr


def test_a_folder_that_must_not_be_written_is_said(trace, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        # root may write anywhere but here
        closed = pathlib.Path("/proc")
    run = trace(TRAIN, env={"TIDEMARK_OUT": f"{closed}/trace.db"})
    assert_trained_without_trace(run)
    assert str(closed) in one_sentence(run)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip("a small file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_at_the_start_is_said(trace, small_disk):
    (small_disk / "filler").write_bytes(bytes(5_900_000))
    run = trace(TRAIN, env={"TIDEMARK_OUT": f"{small_disk}/trace.db"})
    assert_trained_without_trace(run)
    assert "No space left" in one_sentence(run)
    assert [p.name for p in small_disk.iterdir()] == ["filler"]


def test_a_disk_that_fills_up_on_the_way_is_said_and_what_was_written_can_be_read(
    trace, small_disk
):
    (small_disk / "filler").write_bytes(bytes(4_500_000))
    run = trace(
        TRAIN.replace("range(3)", "range(3000)").replace(
            "    model(", "    torch.empty(3001 + i); model("
        ),
        env={"TIDEMARK_OUT": f"{small_disk}/trace.db", "TIDEMARK_RING_SIZE": "256K"},
    )
    assert (run.code, run.stdout) == (0, "trained\n")
    if run.stderr == "":
        pytest.fail("that was enough room: this test no longer fills the disk")
    assert all(line.startswith("tidemark: ") for line in run.stderr.splitlines())
    t = Trace(small_disk / "trace.db")
    assert t.one("PRAGMA integrity_check") == "ok"
    assert t.one("SELECT count(*) FROM step") > 0


def test_two_runs_of_one_name_do_not_touch_each_other(trace, tmp_path):
    out = {"TIDEMARK_OUT": str(tmp_path / "same.db")}
    first = trace(TRAIN, env=out)
    before = (tmp_path / "same.db").read_bytes()
    second = trace(TRAIN, env=out)
    assert first.code == second.code == 0
    assert (tmp_path / "same.db").read_bytes() == before
    assert sorted(p.name for p in tmp_path.glob("*.db*")) == ["same-2.db", "same.db"]


def test_a_symlink_at_the_output_path_is_not_followed(trace, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name, target in (("a.db", victim), ("b.db", tmp_path / "not-there")):
        (tmp_path / name).symlink_to(target)
        run = trace(TRAIN, env={"TIDEMARK_OUT": str(tmp_path / name)})
        assert run.code == 0
    assert victim.read_text() == "precious"
    assert not (tmp_path / "not-there").exists()


def test_the_trace_is_for_its_owner_alone(trace):
    old = os.umask(0)
    try:
        run = trace(TRAIN)
    finally:
        os.umask(old)
    assert stat.S_IMODE(run.files[0].stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("TIDEMARK_STACKS", "some", "none, python, native or all"),
        ("TIDEMARK_CPU", "maybe", "neither 0 nor 1"),
        ("TIDEMARK_MAX_SIZE", "large", "not a size"),
        ("TIDEMARK_RING_SIZE", "-1", "not a size"),
    ],
)
def test_a_setting_that_makes_no_sense_is_said_and_its_default_taken(trace, name, value, says):
    run = trace(TRAIN, env={name: value})
    assert (run.code, run.stdout) == (0, "trained\n")
    line = one_sentence(run)
    assert name in line and value in line and says in line
    assert run.open().one("SELECT count(*) FROM step WHERE complete") == 3


def test_switched_off_it_does_nothing(trace):
    run = trace(TRAIN, env={"TIDEMARK_OFF": "1"})
    assert_trained_without_trace(run)
    assert run.stderr == ""


def test_a_redacted_trace_names_neither_place_nor_host_nor_command(trace):
    run = trace(TRAIN, "secret-argument", env={"TIDEMARK_REDACT": "1"})
    assert run.code == 0
    content = run.files[0].read_bytes()
    import getpass
    import socket

    for word in (
        str(run.folder), run.folder.name, "secret-argument", socket.gethostname(),
        str(pathlib.Path.home()), f"/{getpass.getuser()}/", "site-packages",
    ):  # fmt: skip
        assert word.encode() not in content, word
    assert run.open().one("SELECT count(*) FROM step WHERE complete") == 3


@pytest.mark.parametrize("options", [["-I"], ["-S"], ["-O"], ["-X", "dev"]])
def test_unusual_python_options_are_no_obstacle(trace, options):
    source = TRAIN
    if options == ["-S"]:
        # without site there is no virtual environment: the script finds torch itself
        from conftest import PYTHON

        site = next((PYTHON.parent.parent / "lib").glob("python3*/site-packages"))
        source = f"import sys\nsys.path.append({str(site)!r})\n" + TRAIN
    plain = trace(source, python=options, preload=False)
    run = trace(source, python=options)
    assert run.code == plain.code == 0, run.stderr
    assert run.stdout == plain.stdout and run.stderr == plain.stderr
    assert run.open().one("SELECT count(*) FROM step WHERE complete") == 3


def test_another_preloaded_library_is_kept(trace, tmp_path):
    source = tmp_path / "other.c"
    source.write_text(
        "#include <unistd.h>\n__attribute__((constructor)) static void here(void)\n"
        '{ if (write(2, "other\\n", 6)) return; }\n'
    )
    other = tmp_path / "other.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", other, source], check=True)
    run = trace(TRAIN, env={"LD_PRELOAD": str(other)})
    assert (run.code, run.stdout) == (0, "trained\n")
    assert set(run.stderr.split()) == {"other"}
    assert run.open().one("SELECT count(*) FROM step WHERE complete") == 3


@pytest.mark.parametrize("name", ["libjemalloc.so.2", "libtcmalloc.so.4", "libasan.so.8"])
def test_another_malloc_beside_it_is_no_obstacle(trace, name):
    folders = [pathlib.Path("/usr/lib/x86_64-linux-gnu"),
               CACHE / "mallocs/usr/lib/x86_64-linux-gnu"]
    lib = next((f / name for f in folders if (f / name).exists()), None)
    if not lib:
        found = shutil.which("gcc") and subprocess.run(
            ["gcc", f"-print-file-name={name.rsplit('.', 1)[0]}"], capture_output=True, text=True
        ).stdout.strip()
        lib = pathlib.Path(found or "")
    if not lib.is_absolute():
        pytest.skip(f"no {name} on this machine")
    # the other one first, as ASan asks for
    env = {"LD_PRELOAD": f"{lib}:{LIBRARY}", "ASAN_OPTIONS": "detect_leaks=0"}
    plain = trace(TRAIN, env={**env, "LD_PRELOAD": str(lib)}, preload=False)
    if plain.code:
        pytest.skip(f"this PyTorch does not run under {name}")
    run = trace(TRAIN, env=env, preload=False)
    assert (run.code, run.stdout) == (0, "trained\n"), run.stderr
    assert run.open().one("SELECT count(*) FROM step WHERE complete") == 3


def test_a_static_program_runs_as_always(tmp_path):
    (tmp_path / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello"); }\n')
    program = tmp_path / "hello"
    made = subprocess.run(
        ["gcc", "-static", "-o", program, tmp_path / "hello.c"], capture_output=True
    )
    if made.returncode:
        pytest.skip("no static libc to link with")
    done = subprocess.run(
        [program], env=clean_environment(LD_PRELOAD=LIBRARY), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


@pytest.mark.beside("cpu")  # alone it is always traced
def test_a_trace_without_cpu_tensors_can_be_had_beside_a_device(trace, device):
    """On a CUDA device CPU tensors are traced when asked, and not otherwise."""
    source = TRAIN.replace("\nprint", "\nmodel.cuda()\nprint")
    run = trace(source, device=device)
    assert [d for (d,) in run.open().all("SELECT name FROM device")] == ["cuda:0"]
    run = trace(source, device=device, env={"TIDEMARK_CPU": "1"})
    assert {d for (d,) in run.open().all("SELECT name FROM device")} == {"cpu", "cuda:0"}
