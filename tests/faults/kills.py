"""SIGKILL at random moments, of programs and of the readers that come after. What the witness
saw return must be in the trace, whoever else was killed while reading it."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import namedtuple

import audit
import runner

#: programs that are killed, and with how many steps they would go on
PROGRAMS = {
    "plain": ("plain.py", 100000),
    "threaded": ("threads.py", 100000),
    "threads that come and go": ("comers.py", 100000),
    "forking": ("forking.py", 300),
    "loader workers": ("workers.py", 2000),
    "big steps": ("bigstep.py", 100000),
    "exiting": ("ending.py", 8, "exit"),
    "leaving by _exit": ("ending.py", 8, "_exit"),
}
#: what happens to the readers of a killed run
READERS = ("one reader", "a reader killed", "readers killed in a row", "three readers at once",
           "a reader of the living run")

#: cut: calls that had not returned when they were killed, which may be in the trace or not
Verdict = namedtuple("Verdict", "program reader seen cut lost wrong folder")


class Nursery:
    """Children of one process that has imported torch; all write into one witness's file."""

    def __init__(self, **env):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nursery-"))
        self.witness = audit.make_file(self.folder / "seen", 3_000_000)
        preload = f"{runner.PRELOADS / 'libwitness.so'} {runner.LIBRARY}"
        self.process = subprocess.Popen(
            [str(runner.PYTHON), str(runner.HERE / "nursery.py")], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env=runner.environment(LD_PRELOAD=preload, TIDEMARK_OUT="%p.db",
                                   WITNESS_FILE=self.witness, **env))
        self.started = self.first = 0

    def tell(self, line):
        """Its answer, a number."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline())
        except (OSError, ValueError):
            raise RuntimeError(f"the nursery is gone: {self.process.wait(60)}") from None

    def start(self, program, *words):
        """(pid, its folder)"""
        folder = self.folder / str(self.started)
        folder.mkdir()
        self.started += 1
        self.first = audit.used(self.witness)
        words = [folder, runner.HERE / "programs" / program, *words]
        return self.tell(" ".join(map(str, words))), folder

    def kill(self, pid):
        """The child and all that it started; its number is its own until it is waited for."""
        for kill in os.killpg, os.kill:  # it may not have come to its setsid() yet
            try:
                kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        status = os.waitstatus_to_exitcode(self.tell("wait"))
        all_gone(pid)
        return status

    def seen(self):
        """{pid: records} of the child that was started last and its own children."""
        return audit.read_witness(self.witness, self.first)

    def full(self):
        return audit.used(self.witness) > 2_000_000

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        if len(list(self.folder.iterdir())) == 1:  # nothing was kept to be looked at
            shutil.rmtree(self.folder)


def reader(path):
    return subprocess.Popen([str(runner.COMMAND), "report", str(path)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=runner.environment(), start_new_session=True)


def answer(process, path):
    """Sentences: a reader answers, or refuses in one sentence."""
    out, err = process.communicate(timeout=runner.PATIENCE)
    if process.returncode == 0 or (process.returncode == 3 and err.count("\n") == 1):
        return []
    return [f"report {path.name}: status {process.returncode}, {err[-200:]}"]


def meddle(kind, path, chance):
    """What befalls the readers before the last one comes."""
    wrong = []
    if kind == "three readers at once":
        processes = [reader(path) for _ in range(3)]
        for process in processes:
            wrong += answer(process, path)
    for _ in range({"a reader killed": 1, "readers killed in a row": 4}.get(kind, 0)):
        process = reader(path)
        # the whole reader: it recovers in a child of its own
        time.sleep(chance.choice((0.003, 0.01, 0.03, 0.1)) * chance.random() * 2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return wrong


def all_gone(session):
    """A killed process' children die a moment later, of themselves or with the group."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)


def kill_one(nursery, seed):
    """One run killed at a moment that follows from the seed."""
    chance = random.Random(seed)
    name = chance.choice(list(PROGRAMS))
    kind = chance.choice(READERS)
    pid, folder = nursery.start(*PROGRAMS[name])
    wrong = []
    time.sleep(chance.choice((0.05, 0.4, 1.5)) * chance.random())
    if kind == "a reader of the living run":
        for path in sorted(folder.glob("*.db")):
            wrong += answer(reader(path), path)
    nursery.kill(pid)
    for path in sorted(folder.glob("*.db")):
        wrong += meddle(kind, path, chance)
    more, refused = runner.read_all(folder)
    wrong += more
    wrong += [f"refused: {text.strip()}" for text in refused
              if "recorded no event" not in text]
    return judge(nursery, name, kind, folder, wrong)


def judge(nursery, name, kind, folder, wrong):
    stderr = folder / "stderr"
    if stderr.exists() and "tidemark: " in stderr.read_text():
        wrong.append(f"said {stderr.read_text()[-200:]!r}")
    seen = nursery.seen()
    lost = cut = 0
    for p, records in seen.items():
        sentences, missing = one_process(folder / f"{p}.db", audit.allocations(records))
        wrong += [f"process {p}: {s}" for s in sentences]
        lost += missing
        cut += sum(r.state != audit.RETURNED for r in records)
    return Verdict(name, kind, sum(map(len, seen.values())), cut, lost, wrong, folder)


def one_process(path, records):
    """(sentences, how many events that had returned are neither told nor counted)"""
    returned = sum(r.state == audit.RETURNED for r in records)
    try:
        trace = audit.Trace(path)
    except Exception as problem:  # no file, no tables, no run: nothing may have returned
        return ([f"{returned} events were seen; {problem}"] if returned else []), returned
    wrong = audit.differences(records, trace)
    if trace.dropped:
        wrong.append(f"dropped: {trace.lost}")
    return wrong, max(0, returned - len(trace.events) - trace.dropped)
