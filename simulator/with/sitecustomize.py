"""sitecustomize.py - lets `tidemark simulate` compute what is known on the simulated device, and
`--with` change how a program trains, from outside.

Imported by Python at its start because the command puts this folder into PYTHONPATH. Changes
PyTorch once it has been imported, and nothing before; then runs the sitecustomize that this
one stands before. See tidemark_known/ and tidemark_with/.
"""
import importlib.util, os, sys
from importlib.machinery import PathFinder

HERE = os.path.dirname(os.path.abspath(__file__))

import tidemark_known, tidemark_with  # noqa: E402, of this folder


class Finder:
    """Finds torch as the others do, and applies the levers once it has run."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "torch":
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find and finder is not cls else None
            if spec:
                break
        else:
            return None
        if spec.loader and hasattr(spec.loader, "exec_module"):
            run = spec.loader.exec_module

            def run_and_apply(module):
                tidemark_with.before_torch()
                run(module)
                tidemark_with.after_torch(module)
                tidemark_known.start(module)
            spec.loader.exec_module = run_and_apply
        return spec


def run_the_next_sitecustomize():
    """The one that this file stands before."""
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]
    spec = PathFinder.find_spec("sitecustomize")
    if spec:
        sys.modules["sitecustomize"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


sys.meta_path.insert(0, Finder)
run_the_next_sitecustomize()
