"""Programs under `tidemark run` and `tidemark simulate`."""

import glob
import os
import subprocess
import tempfile


class Run(subprocess.CompletedProcess):
    """What subprocess.run() gives, and `traces`: the files that the run has left."""

    traces = ()

    def __repr__(self):
        return "Run(args={!r}, returncode={!r}, traces={!r})".format(
            self.args, self.returncode, self.traces)


def words(argv, output=None, stacks=None, cpu=False, gpu=None, memory=None, json=None):
    """The command line that traces `argv`; on a simulated device where `gpu` or `memory` is
    given."""
    from . import command

    line = [command(), "simulate" if gpu or memory else "run"]
    for option, value in (("-o", output), ("--stacks", stacks), ("--gpu", gpu),
                          ("--memory", memory), ("--json", json)):
        if value:
            line += [option, os.fspath(value)]
    if cpu:
        line.append("--cpu")
    return line + ["--"] + [os.fspath(word) for word in argv]


def run(argv, output=None, stacks=None, cpu=False, gpu=None, memory=None, **options):
    """Runs `argv` traced, to its end, and returns a Run.

    output  the trace, default: a file in a new folder. %h, %p and %r in it stand for host,
            process and rank; without %p, later processes of the run write NAME-2.db and so on
    stacks  "none", "python", "native" or "all", default: what `tidemark run` takes
    cpu     memory on the CPU too
    gpu     the name of a card to simulate; needs a CUDA build of PyTorch and no GPU
    memory  of that card, as "2 GiB"
    Every other option is one of subprocess.run()."""
    folder = None
    if output is None:
        folder = tempfile.mkdtemp(prefix="tidemark-")
        output = os.path.join(folder, "%p.db")
    done = subprocess.run(words(argv, output, stacks, cpu, gpu, memory), **options)
    result = Run(done.args, done.returncode, done.stdout, done.stderr)
    result.traces = _written(os.path.join(options.get("cwd") or "", os.fspath(output)))
    return result


def _written(output):
    """The files that `output` may have become, the first one first."""
    pattern = glob.escape(output)
    for field in ("%h", "%p", "%r"):
        pattern = pattern.replace(field, "*")
    stem, end = os.path.splitext(pattern)
    found = set(glob.glob(pattern)) | set(glob.glob(stem + "-[0-9]*" + end))
    return sorted(found, key=lambda path: (os.stat(path).st_ctime_ns, path))
