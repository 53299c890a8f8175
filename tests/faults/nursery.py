"""Imports torch once; each line on stdin, "FOLDER PROGRAM WORDS...", becomes a forked child
that runs the program in that folder, in a session of its own. Says its pid; at the next line
it waits for the child and says its status. Until then nobody else has its number, whatever
the child did: it may be killed by it."""

import os
import pathlib
import runpy
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "programs"))

import torch._dynamo  # noqa: E402, F401 - an optimizer would import it, seconds in each child


def child(line):
    folder, program, *words = line.split()
    os.setsid()
    os.chdir(folder)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.argv = [program, *words]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            child(line)
            sys.stdout.flush()
            os._exit(0)
        print(pid, flush=True)
        sys.stdin.readline()
        print(os.waitpid(pid, 0)[1], flush=True)
