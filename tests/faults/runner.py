"""Starts a program of the campaign with or without the library, the witness in front, and
judges how it went: its own status, output and numbers, one sentence, nothing lost unsaid."""

import dataclasses
import functools
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import audit

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from where import BUILD, CACHE, COMMAND, LIBRARY, PYTHON  # noqa: E402

PRELOADS = BUILD / "tests" / "faults"

#: how long a reader may take on a busy machine before it counts as hanging
PATIENCE = 300


def environment(**more):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("TIDEMARK_", "PYTORCH_", "WITNESS_"))}
    env.pop("LD_PRELOAD", None)
    env.update(OMP_NUM_THREADS="1", MKL_CBWR="COMPATIBLE", PYTHONDONTWRITEBYTECODE="1",
               PYTHONPATH=f"{HERE / 'programs'}:{CACHE / 'guests'}")
    env.update({k: str(v) for k, v in more.items()})
    return env


@dataclasses.dataclass
class Setup:
    """How a program is started. A fault changes it."""

    folder: pathlib.Path            # its working folder, and the traces'
    words: list                     # after the interpreter
    env: dict = dataclasses.field(default_factory=dict)
    before: tuple = ()              # preloads in front of the witness
    after: tuple = ()               # and behind the library
    wrap: tuple = ()                # words in front of the interpreter
    traces: pathlib.Path = None     # another folder for the traces
    limits: object = None           # called in the child before it becomes the program
    meddle: object = None           # called with the running process
    relief: object = None           # called before the last reader comes
    says: str = None                # what the library must say
    leaves: float = None            # seconds from its last line to its end, at most
    python: pathlib.Path = PYTHON

    def where(self):
        return self.traces or self.folder


@dataclasses.dataclass
class Outcome:
    code: int
    stdout: str
    stderr: str
    setup: Setup
    witness: pathlib.Path = None
    leaving: float = None           # seconds from its last line to its end

    @property
    def sentences(self):
        return [line for line in self.stderr.splitlines() if line.startswith("tidemark: ")]

    @property
    def own_stderr(self):
        lines = [line for line in self.stderr.splitlines() if not line.startswith("tidemark: ")]
        return [re.sub(r"/\S*/|0x[0-9a-f]+|\b\d{2,}\b", "*", line) for line in lines]


def start(setup, library=True, stdout=subprocess.PIPE):
    """(process, its witness's file)"""
    env, witness = dict(setup.env), None
    if library:
        witness = audit.make_file(pathlib.Path(tempfile.mkdtemp(prefix="witness-")) / "seen")
        inner = [*setup.before, PRELOADS / "libwitness.so", LIBRARY, *setup.after]
        env.update(TIDEMARK_OUT=setup.where() / "%p.db", WITNESS_FILE=witness)
    else:
        inner = [*setup.before, *setup.after]
    preload = " ".join(map(str, inner))
    words = [str(setup.python), *map(str, setup.words)]
    if setup.wrap:  # the words in front are themselves not traced
        words = [*map(str, setup.wrap), "env", f"LD_PRELOAD={preload}", *words]
    else:
        env["LD_PRELOAD"] = preload
    process = subprocess.Popen(
        words, cwd=setup.folder, env=environment(**env), text=True, preexec_fn=setup.limits,
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
        start_new_session=True)
    return process, witness


def run(setup, library=True, timeout=PATIENCE):
    if not setup.leaves:
        return attend(setup, library, timeout, subprocess.PIPE)
    with tempfile.TemporaryFile("w+") as stdout:
        outcome = attend(setup, library, timeout, stdout)
        outcome.leaving = time.time() - os.fstat(stdout.fileno()).st_mtime
        stdout.seek(0)
        outcome.stdout = stdout.read()
    return outcome


def attend(setup, library, timeout, stdout):
    process, witness = start(setup, library, stdout)
    try:
        if setup.meddle:
            setup.meddle(process, setup)
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Outcome(process.returncode, out, err, setup, witness)


@functools.lru_cache(maxsize=None)
def twin_of(program, *words):
    """The same program without the library; once for all faults that leave it alone."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="twin-"))
    return run(Setup(folder, [HERE / "programs" / program, *words]), library=False)


def report(path, *more):
    return subprocess.run(
        [str(COMMAND), "report", str(path), *more], text=True, capture_output=True,
        timeout=PATIENCE, env=environment(LC_ALL="C", COLUMNS="80"))


def left_over(folder):
    """Rings and journals: what should not be there when a reader has answered."""
    return sorted(p.name for p in folder.iterdir() if re.search(r"\.db-|-ring", p.name))


def harmed(outcome, twin):
    """How the program's own doings differ from its twin's."""
    wrong = []
    if outcome.code != twin.code:
        wrong.append(f"status {outcome.code}, without the library {twin.code}: "
                     + outcome.stderr.strip()[-300:])
    if outcome.stdout != twin.stdout:
        wrong.append(f"printed {outcome.stdout[-200:]!r}, without it {twin.stdout[-200:]!r}")
    extra = [line for line in outcome.own_stderr if line not in twin.own_stderr]
    if extra:
        wrong.append(f"said {extra[:3]}")
    if outcome.leaving and outcome.leaving > outcome.setup.leaves:
        wrong.append(f"{outcome.leaving:.1f} s from its last line to its end")
    # one for each process: that of a child names the child's own trace
    traces = {tuple(re.findall(r"(\d+)\.db", line)[:1]) for line in outcome.sentences}
    if len(outcome.sentences) > len(traces):
        wrong.append(f"{len(outcome.sentences)} sentences: {outcome.sentences}")
    return wrong


def read_all(folder, may_leave=False):
    """Reads every trace, which finishes those of killed processes; what went wrong, and the
    sentences with which readers refused."""
    wrong, refused = [], []
    for path in sorted(folder.glob("*.db")):
        done = report(path)
        if done.returncode == 3 and done.stderr.count("\n") == 1:
            refused.append(done.stderr)
        elif done.returncode != 0:
            wrong.append(f"report {path.name}: status {done.returncode}, {done.stderr[-300:]}")
        elif "still running" in done.stdout + done.stderr:
            wrong.append(f"report {path.name}: a run that is gone is said to be running")
    if left_over(folder) and not may_leave:
        wrong.append(f"left behind: {left_over(folder)}")
    return wrong, refused


def about(sentences, pid):
    """Those about this process, and those that name no trace: they are about any."""
    return [line for line in sentences if set(re.findall(r"(\d+)\.db", line)) <= {str(pid)}]


def lost_unsaid(outcome, may_stop=True, may_be_emptied=False):
    """After every trace was read: the witness against them. A sentence says that the trace
    ends early, or that there is none: then what came last is missing, and nothing else. One
    that leaves the rest to a reader excuses nothing, and neither does a reader's refusal,
    unless the fault has emptied the trace itself."""
    folder = outcome.setup.where()
    wrong, refused = read_all(folder)

    def said(pid, words):
        return may_stop and any(re.search(words, line) for line in about(outcome.sentences, pid))

    def judge(pid):
        return audit.stopped_short if said(pid, "tracing .*stops") else audit.differences

    def untraced(pid):
        return said(pid, "is not traced|tracing into .* stops") or (
            may_be_emptied and about(refused, pid) and said(pid, "ends here"))

    for pid, sentences in audit.audit(outcome.witness, folder, judge, untraced).items():
        wrong += [f"process {pid}: {sentence}" for sentence in sentences]
    return wrong
