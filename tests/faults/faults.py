"""The faults, one row each: a program, what is done to it, and what its trace must still be.

"whole"   the trace has every event that the witness saw
"said"    what is missing is counted in the trace, or one sentence tells that the trace ends
          early: then it is what the witness saw up to there
"emptied" the same, and the trace itself may have been taken away by the fault
A fault whose bare twin is not the plain program's (it may fail by itself) says twin=True:
the twin then meets the same fault without the library."""

import collections
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time

import runner
from runner import CACHE, HERE, PRELOADS, report
from where import why_not

Fault = collections.namedtuple("Fault", "name program arrange trace twin long")
FAULTS = []


def fault(program, *words, trace="whole", twin=False, long=False):
    """Registers arrange(setup, request): it changes the setup, or skips."""
    def register(arrange):
        FAULTS.append(Fault(arrange.__name__, (program, *words), arrange, trace, twin, long))
        return arrange
    return register


#: seconds from a program's last line to its end: two for the writer, the rest for a busy machine
LEAVES = 8


class Skip(Exception):
    """Not here, and why."""


def limit(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


def first_file(setup, ending, seconds=60):
    """Waits for the run to have made a file that ends so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = sorted(setup.where().glob("*" + ending))
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"no file '*{ending}' within {seconds} s")


# ---- none ------------------------------------------------------------------------------
# The campaign's own ground: without a fault every program's trace is whole.

def nothing(setup):
    """No fault at all."""


for name in ("plain", "threads", "comers", "forking", "workers", "bigstep"):
    FAULTS.append(Fault(f"no_fault_{name}", (f"{name}.py", 30), nothing, "whole", False,
                        name in ("plain", "bigstep")))
for how in ("exit", "_exit", "raise", "abort", "term", "segv", "exec"):
    FAULTS.append(Fault(f"ending_by_{how}", ("ending.py", 5, how), nothing, "whole", False,
                        how in ("exit", "raise", "segv")))


@fault("bigstep.py", 30)
def a_small_ring(setup):
    """Spilled many times over within one step."""
    setup.env["TIDEMARK_RING_SIZE"] = "256K"


# ---- files -----------------------------------------------------------------------------

def small_disk(setup, kib):
    """A file system of its own for the traces, of so many KiB."""
    if os.geteuid():
        raise Skip("only root may mount a small file system")
    setup.traces = setup.folder / "disk"
    setup.traces.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", setup.traces],
                          capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"cannot mount: {done.stderr.strip()}")
    # A reader on the full disk answers or refuses; one that finds room again finishes.
    setup.relief = lambda: subprocess.run(
        ["mount", "-o", "remount,rw,size=200m", setup.traces], check=True)


@fault("threads.py", 30, trace="said")
def a_disk_full_at_the_start(setup):
    small_disk(setup, 64)


@fault("threads.py", 60, trace="said")
def a_disk_full_when_threads_come(setup):
    small_disk(setup, 9000)


@fault("bigstep.py", 60, trace="said")
def a_disk_full_in_the_middle(setup):
    small_disk(setup, 5200)


def quota(setup, size):
    """Beyond which nothing can be written to the traces' files, or reserved in them."""
    setup.before = (PRELOADS / "libquota.so",)
    setup.env.update(QUOTA_UNDER=".db", QUOTA_BYTES=size)


@fault("threads.py", 30, trace="said")
def a_quota_met_at_the_start(setup):
    quota(setup, 100 << 10)


@fault("threads.py", 60, trace="said")
def a_quota_met_when_threads_come(setup):
    quota(setup, 10 << 20)


@fault("bigstep.py", 60, trace="said", long=True)
def a_quota_met_in_the_middle(setup):
    quota(setup, 6 << 20)


@fault("plain.py", 300)
def a_disk_that_is_slow(setup):
    """The exit waits two seconds for the writer, says so, and a reader finishes the trace."""
    setup.before = (PRELOADS / "libquota.so",)
    setup.env.update(QUOTA_UNDER=".db", QUOTA_BYTES=1 << 40, QUOTA_DELAY=400)
    setup.leaves = LEAVES
    setup.says = "the writer needs more than 2 s; 'tidemark report' will finish"


@fault("plain.py", 200, trace="said")
def a_folder_removed(setup):
    def remove(process, setup):
        first_file(setup, "-ring")
        shutil.rmtree(setup.traces)
        setup.traces.mkdir()
    setup.traces = setup.folder / "traces"
    setup.traces.mkdir()
    setup.meddle = remove


@fault("plain.py", 200, trace="said")
def a_trace_removed(setup):
    def remove(process, setup):
        first_file(setup, "-ring")
        first_file(setup, ".db").unlink()
    setup.meddle = remove


@fault("plain.py", 200, trace="said")
def a_ring_removed(setup):
    setup.meddle = lambda process, setup: first_file(setup, "-ring").unlink()


def shorter(ending, part, says=None):
    """Somebody makes a file shorter under the run: a copy that cuts its source, `: > file`."""
    def cut(process, setup):
        first_file(setup, "-ring")
        path = first_file(setup, ending)
        time.sleep(0.3)
        os.truncate(path, int(path.stat().st_size * part))

    def arrange(setup):
        setup.meddle, setup.says = cut, says
    return arrange


for name, words, arrange in (
        ("a_ring_emptied", ("plain.py", 300), shorter("-ring", 0, "-ring' shorter; tracing stops")),
        ("a_ring_cut_in_half", ("threads.py", 200), shorter("-ring", 0.5)),
        ("a_ring_emptied_in_a_big_step", ("bigstep.py", 200), shorter("-ring", 0)),
        ("the_index_of_the_log_emptied", ("plain.py", 300), shorter("-shm", 0)),
        ("the_log_emptied", ("plain.py", 300), shorter("-wal", 0))):
    FAULTS.append(Fault(name, words, arrange, "said", False, False))


@fault("late_handler.py", 60, trace="said")
def a_ring_emptied_where_handlers_came_later(setup):
    """Of the program's own, which would have the SIGBUS."""
    setup.says = "-ring' shorter; tracing stops"


@fault("workers.py", 200, "cut", trace="said")
def all_rings_emptied_under_loader_workers(setup):
    """PyTorch installs a handler of its own in each, which ends it."""
    setup.says = "-ring' shorter; tracing stops"


@fault("plain.py", 300, trace="emptied")
def all_files_emptied(setup):
    """As `truncate -s 0 *` does it. What was in the trace is gone with it: the library can
    say that its trace ends, and its reader that the file is empty, but nobody has the events."""
    def cut(process, setup):
        first_file(setup, "-ring")
        time.sleep(0.3)
        for path in setup.where().iterdir():
            if ".db" in path.name:
                with contextlib.suppress(FileNotFoundError):  # the first of them ended the trace
                    os.truncate(path, 0)
    setup.meddle = cut


@fault("plain.py", 300, trace="said")
def a_ring_overwritten_by_nothing(setup):
    """Emptied and as long as before: no page is missing, and none says anything."""
    def clear(process, setup):
        path = first_file(setup, "-ring")
        time.sleep(0.3)
        size = path.stat().st_size
        os.truncate(path, 0)
        os.truncate(path, size)
    setup.meddle = clear


@fault("plain.py", 200, trace="said")
def a_folder_renamed(setup):
    def rename(process, setup):
        first_file(setup, "-ring")
        setup.traces.rename(setup.folder / "elsewhere")
        setup.traces.mkdir()
    setup.traces = setup.folder / "traces"
    setup.traces.mkdir()
    setup.meddle = rename
    # An exit that leaves the rest to a reader has not noticed: the files are put back for it.
    setup.relief = lambda: [path.rename(setup.traces / path.name)
                            for path in (setup.folder / "elsewhere").iterdir()]


@fault("plain.py", 30, trace="said")
def a_folder_that_is_read_only(setup):
    small_disk(setup, 20000)
    subprocess.run(["mount", "-o", "remount,ro", setup.traces], check=True)


@fault("plain.py", 30, trace="said")
def a_folder_that_is_not_there(setup):
    setup.traces = setup.folder / "no" / "such"


@fault("closer.py", 40, trace="said", twin=True)
def all_descriptors_closed(setup):
    """As daemons do it, in the middle of the run."""


@fault("backup.py", 40)
def its_own_folder_read(setup):
    """A backup: every descriptor of the trace and ring is opened and closed again."""


@fault("backup.py", 300)
def its_own_folder_read_and_a_reader_comes(setup):
    def read(process, setup):
        path = first_file(setup, ".db")
        for _ in range(3):
            done = report(path)
            assert process.poll() is not None or done.returncode in (0, 3), done.stderr
            time.sleep(0.2)
    setup.meddle = read


# ---- limits ----------------------------------------------------------------------------

@fault("plain.py", 60, trace="said", twin=True)
def a_limit_on_the_size_of_files(setup):
    setup.limits = limit(resource.RLIMIT_FSIZE, 1 << 20)


@fault("bigstep.py", 60, trace="said", twin=True)
def a_limit_on_the_size_of_files_met_late(setup):
    setup.limits = limit(resource.RLIMIT_FSIZE, 5 << 20)


@fault("threads.py", 30, trace="said", twin=True)
def a_limit_on_descriptors(setup):
    setup.limits = limit(resource.RLIMIT_NOFILE, 24)


@fault("descriptors.py", 30, trace="said", twin=True)
def all_descriptors_in_use(setup):
    setup.limits = limit(resource.RLIMIT_NOFILE, 64)


@fault("plain.py", 30, trace="said", twin=True)
def a_limit_on_threads(setup):
    if os.geteuid() or not shutil.which("setpriv"):
        raise Skip("needs root and setpriv: threads are limited for an ordinary user")
    os.chmod(setup.folder, 0o777)
    # In this order: who changes to a user that is above the limit may start no program.
    setup.wrap = ("setpriv", "--reuid=65534", "--clear-groups", "prlimit", "--nproc=1")
    if subprocess.run([*setup.wrap, str(setup.python), "-c", "pass"],
                      capture_output=True).returncode:
        raise Skip("another user may not run this Python")


@fault("plain.py", 30, trace="said", twin=True)
def a_limit_on_memory(setup):
    setup.limits = limit(resource.RLIMIT_AS, 900 << 20)


@fault("plain.py", 30, trace="said", twin=True, long=True)
def a_limit_on_memory_that_torch_itself_meets(setup):
    setup.limits = limit(resource.RLIMIT_AS, 300 << 20)


@fault("threads.py", 30, trace="said", twin=True)
def a_small_stack(setup):
    setup.limits = limit(resource.RLIMIT_STACK, 512 << 10)


# ---- clocks, signals, namespaces, locks -------------------------------------------------

@fault("plain.py", 30)
def clocks_that_jump(setup):
    setup.before = (PRELOADS / "libclock.so",)


@fault("plain.py", 300)
def stopped_and_continued(setup):
    def stop(process, setup):
        first_file(setup, "-ring")
        for _ in range(5):
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(0.2)
            os.killpg(process.pid, signal.SIGCONT)
            time.sleep(0.05)
    setup.meddle = stop


@fault("plain.py", 300)
def stopped_while_a_reader_comes(setup):
    def stop(process, setup):
        path = first_file(setup, ".db")
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            assert report(path).returncode in (0, 3)
        finally:
            os.killpg(process.pid, signal.SIGCONT)
    setup.meddle = stop


def hidden(setup, folder):
    """In a mount namespace of its own an empty file system lies over this folder."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        raise Skip("only root may make a mount namespace")
    setup.wrap = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs -o ro none {folder} && exec "$@"',
                  "sh")


@fault("plain.py", 30, twin=True)
def no_proc(setup):
    hidden(setup, "/proc")


@fault("threads.py", 30)
def no_shared_memory(setup):
    hidden(setup, "/dev/shm")


@fault("plain.py", 300)
def a_pid_namespace(setup):
    """Where the process is number 1, as in a container; read from outside."""
    if os.geteuid() or subprocess.run(["unshare", "-pf", "true"], capture_output=True).returncode:
        raise Skip("only root may make a pid namespace")

    def read(process, setup):
        assert report(first_file(setup, ".db")).returncode in (0, 3)
    setup.wrap = ("unshare", "-pf", "--mount-proc", "--kill-child")
    setup.meddle = read


@fault("threads.py", 30, trace="said")
def locks_refused(setup):
    setup.before = (PRELOADS / "libnolocks.so",)


@fault("threads.py", 30, trace="said")
def all_locks_refused(setup):
    setup.before = (PRELOADS / "libnolocks.so",)
    setup.env["NOLOCKS"] = "all"
    setup.leaves = LEAVES


def refused_late(milliseconds):
    """Each answer takes longer than the fifth of a second that a first event waits for the
    trace: by then the threads are in hooks, and small rings have filled."""
    def arrange(setup):
        setup.before = (PRELOADS / "libnolocks.so",)
        setup.env.update(NOLOCKS="all", NOLOCKS_DELAY=milliseconds, TIDEMARK_RING_SIZE="64K")
        setup.leaves = LEAVES
        setup.says = "tracing into '"
    return arrange


for name, steps, milliseconds in (("all_locks_refused_late", 600, 210),
                                  ("all_locks_refused_at_the_end", 100, 500)):
    FAULTS.append(Fault(name, ("threads.py", steps), refused_late(milliseconds), "said", False,
                        False))


# ---- other preloads, debuggers, what programs do ------------------------------------------

def cached(pattern):
    found = sorted((CACHE / "mallocs").glob(f"usr/lib/*/{pattern}"))
    if not found:
        raise Skip(f"no {pattern}: tests/setup.sh could not fetch it")
    return found[0]


for behind in (False, True):
    for library in ("libjemalloc.so.2", "libtcmalloc.so.4"):
        def malloc(setup, library=library, behind=behind):
            setattr(setup, "after" if behind else "before", (cached(library),))
        name = f"{library.split('.')[0]}_{'behind' if behind else 'in_front'}"
        FAULTS.append(Fault(name, ("threads.py", 30), malloc, "whole", False, behind))


@fault("plain.py", 10)
def the_address_sanitizer(setup):
    path = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True,
                          text=True).stdout.strip()
    if not os.path.isabs(path):
        raise Skip("no libasan")
    setup.before = (os.path.realpath(path),)
    setup.env["ASAN_OPTIONS"] = "detect_leaks=0"


@fault("plain.py", 200)
def a_debugger_attached(setup):
    if not shutil.which("gdb"):
        raise Skip("no gdb")

    def attach(process, setup):
        first_file(setup, "-ring")
        done = subprocess.run(["gdb", "-q", "-batch", "-nx", "-ex", "set auto-load off", "-ex",
                               "info threads", "-p", str(process.pid)], capture_output=True,
                              text=True, timeout=100)
        assert "ptrace" not in done.stderr or process.poll() is not None, done.stderr
    setup.meddle = attach


@fault("plain.py", 20)
def memray_around_it(setup):
    if why_not("guests"):
        raise Skip(f"no memray: {why_not('guests')}")
    setup.words = ["-m", "memray", "run", "-q", "-o", setup.folder / "memray.bin", *setup.words]


for name in ("deep", "handler", "switching", "interpreters", "closing"):
    FAULTS.append(Fault(name, (f"{name}.py", 30), nothing, "whole", False, False))


def tidy(setup):
    """Undoes what a fault has mounted."""
    if (setup.folder / "disk").is_mount():
        subprocess.run(["umount", "-l", setup.folder / "disk"], check=False)


def arranged(fault, folder):
    folder.mkdir()
    program, *words = fault.program
    setup = runner.Setup(folder, [HERE / "programs" / program, *words])
    try:
        fault.arrange(setup)
    except Skip:
        tidy(setup)
        raise
    return setup


def twin(fault, setup, folder):
    if not fault.twin:
        return runner.twin_of(*fault.program)
    bare = arranged(fault, folder)
    bare.meddle = None
    try:
        return runner.run(bare, library=False)
    finally:
        tidy(bare)


def judge(fault, folder):
    """Sentences that say what was wrong; none where the program survived, whole."""
    setup = arranged(fault, folder / "run")
    try:
        outcome = runner.run(setup)
        wrong = runner.harmed(outcome, twin(fault, setup, folder / "bare"))
        if setup.says and not any(setup.says in line for line in outcome.sentences):
            wrong.append(f"it did not say {setup.says!r}")
        if setup.relief:
            wrong += runner.read_all(setup.where(), may_leave=True)[0]
            setup.relief()
        if setup.where().exists():
            wrong += runner.lost_unsaid(outcome, may_stop=fault.trace != "whole",
                                        may_be_emptied=fault.trace == "emptied")
        elif not outcome.sentences:
            wrong.append("there is no trace, and nothing was said")
        return wrong
    finally:
        tidy(setup)
