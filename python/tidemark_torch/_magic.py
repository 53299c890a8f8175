"""%%tidemark: a cell, run in a traced child, and what was seen under it.

The kernel itself cannot be traced: a library is preloaded when a program starts. So the cell
is a script of its own and knows no variable of the notebook."""

import os
import subprocess
import sys
import tempfile

from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from . import _runs, command


@magics_class
class TidemarkMagics(Magics):
    @magic_arguments()
    @argument("show", nargs="?", default="report",
              help="what is shown of the trace: report, peak, oom, buckets, timeline, leaks or "
                   "reconcile; default: report")
    @argument("-o", "--output", help="keep the trace in this file; default: it is thrown away")
    @argument("--stacks", help="none, python, native or all")
    @argument("--cpu", action="store_true", help="trace memory on the CPU too")
    @argument("--gpu", help="run on a simulated card of this name")
    @argument("--memory", help="how much memory the simulated card has")
    @cell_magic
    def tidemark(self, line, cell):
        """Runs the cell as a script of its own, traced, and shows the report."""
        args = parse_argstring(self.tidemark, line)
        with tempfile.TemporaryDirectory(prefix="tidemark-") as folder:
            script = os.path.join(folder, "cell.py")
            with open(script, "w", encoding="utf-8") as file:
                file.write(cell)
            trace = args.output or os.path.join(folder, "cell.db")
            _shown(_runs.words([sys.executable, "-u", script], trace, args.stacks, args.cpu,
                               args.gpu, args.memory))
            if os.path.exists(trace):
                _shown([command(), args.show, trace])


def _shown(words):
    """Runs a command; what it says comes line by line into the notebook."""
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             encoding="utf-8", errors="replace")
    try:
        for text in child.stdout:
            print(text, end="", flush=True)
    except KeyboardInterrupt:
        child.terminate()
        raise
    finally:
        child.stdout.close()
        child.wait()
