"""A training loop on the simulated device that goes on until it is told to stop, and terminals."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
from where import COMMAND, LIBRARY, PYTHON, clean_environment, need  # noqa: E402

#: Trains twenty steps, says what PyTorch says, trains on while there is a file "go", ends with
#: status 7 as soon as there is a file "stop".
LOOP = """
import json, os, sys, time, torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 256))
model.cuda()
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
kept = []
def step():
    x = torch.randn(64, 256, device="cuda")
    model(x).pow(2).mean().backward(); optimizer.step(); optimizer.zero_grad()
    if "leak" in sys.argv: kept.append(torch.empty(1 << 20, dtype=torch.uint8, device="cuda"))
def say(name, steps):
    text = json.dumps({"steps": steps, "allocated": torch.cuda.memory_allocated(),
                       "reserved": torch.cuda.memory_reserved(),
                       "peak": torch.cuda.max_memory_allocated()})
    open(name + ".part", "w").write(text); os.rename(name + ".part", name)
steps = 0
for _ in range(20): step(); steps += 1
begun = torch.empty(1234567, dtype=torch.uint8, device="cuda")  # in a step that goes on
say("now.json", steps)
most = int(sys.argv[1])
while not os.path.exists("stop") and steps < most:
    if most < 1 << 30 or os.path.exists("go"): step(); steps += 1
    time.sleep(0.005)
say("end.json", steps)
sys.exit(7)
"""


def live_environment(**more):
    return {**clean_environment(TIDEMARK_LIBRARY=LIBRARY, LC_ALL="C.UTF-8",
                                TERM="xterm-256color"), **more}


def live(*words, cwd, env=None):
    """`tidemark live` without a terminal, to its end."""
    return subprocess.run([COMMAND, "live", *map(str, words)], capture_output=True, text=True,
                          cwd=cwd, timeout=60, env=live_environment(**(env or {})))


def wait_for(what, seconds=60):
    """The value of what() as soon as it is true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := what():
            return value
        time.sleep(0.05)
    raise AssertionError("waited in vain")


class Loop:
    """One such loop under `tidemark simulate`."""

    def __init__(self, folder, *words, most=1 << 30):
        self.folder = folder
        torch = need("torch-2.11.0")
        (folder / "loop.py").write_text(LOOP)
        self.output = open(folder / "output", "w+")
        self.process = subprocess.Popen(
            [COMMAND, "simulate", "--gpu", "rtx4090", "-o", "loop.db", "--", PYTHON, "loop.py",
             str(most), *words],
            cwd=folder, stdout=self.output, stderr=subprocess.STDOUT,
            env=clean_environment(TIDEMARK_LIBRARY=LIBRARY, PYTHONPATH=torch))

    def said(self, name):
        path = self.folder / name
        wait_for(lambda: path.exists() or self.process.poll() is not None)
        assert path.exists(), (self.folder / "output").read_text()
        return json.loads(path.read_text())

    @property
    def pid(self):
        """The traced process."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return int(pathlib.Path(children).read_text().split()[0])

    def stop(self):
        (self.folder / "stop").touch()
        code = self.process.wait(60)
        self.output.close()
        return code


@pytest.fixture
def start(tmp_path):
    loops = []

    def begin(*words, folder="run", **more):
        path = tmp_path / folder
        path.mkdir()
        loops.append(Loop(path, *words, **more))
        return loops[-1]
    yield begin
    for loop in loops:
        if loop.process.poll() is None:
            loop.stop()


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A loop that has trained twenty steps and waits: what it says stays true."""
    loop = Loop(tmp_path_factory.mktemp("held"))
    loop.now = loop.said("now.json")
    yield loop
    if loop.process.poll() is None:
        loop.stop()


class Terminal:
    """A program on a terminal of its own: what it wrote, what it left behind."""

    def __init__(self, words, cwd, rows=24, columns=80, **env):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.raw = b""
        self.process = subprocess.Popen(
            [COMMAND, "live", *map(str, words)], stdin=self.slave, stdout=self.slave,
            stderr=self.slave, cwd=cwd, env=live_environment(**env), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns, tell=True):
        # The kernel tells the foreground processes of the terminal with SIGWINCH.
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.1):
        while select.select([self.master], [], [], seconds)[0]:
            got = os.read(self.master, 65536)
            if not got:
                break
            self.raw += got
            seconds = 0.05

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, text, seconds=20):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.read()
            if text in self.text:
                return self.text
        raise AssertionError(f"no {text!r} in {self.text!r}")

    @property
    def text(self):
        """The last frame that is whole, without escapes: its lines."""
        frames = self.raw.decode(errors="replace").split("\033[H")
        frame = next((f for f in reversed(frames[1:]) if "\033[J" in f), "").split("\033[J")[0]
        return re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", frame).replace("\r", "")

    def end(self):
        until = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < until:
            self.read()
        self.read(0.3)
        self.process.wait(1)
        self.after = termios.tcgetattr(self.slave)
        return self.process.returncode

    @property
    def given_back(self):
        """Cursor, wrapping and the usual screen are there again, and keys are as they were."""
        on, off = self.raw.rfind(b"\033[?1049h"), self.raw.rfind(b"\033[?1049l")
        return (0 <= on < off and self.raw.rfind(b"\033[?25h") > on
                and self.raw.rfind(b"\033[?7h") > on and self.after == self.before)


@pytest.fixture
def terminal():
    """terminal(words, cwd=…) -> Terminal; none outlives its test."""
    opened = []

    def open_one(words, **more):
        opened.append(Terminal(words, **more))
        return opened[-1]
    yield open_one
    for each in opened:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        os.close(each.master)
        os.close(each.slave)
