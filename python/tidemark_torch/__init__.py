"""tidemark for Python: where its files are, runs under it, its traces as tables.

    python -m tidemark_torch peak run.db       the command, as `tidemark peak run.db`
    tidemark_torch.library()                   the path for LD_PRELOAD
    tidemark_torch.run(["python", "train.py"]) a traced run
    tidemark_torch.load("run.db")["v_peak"]    a view of a trace, as a pandas frame
    %load_ext tidemark_torch                   the magic %%tidemark, in IPython and Jupyter
    @pytest.mark.limit_device_memory("2 GiB")  a test that has to fit, without a GPU

Nothing here touches PyTorch, and no program that is traced needs it."""

import os as _os

from ._runs import Run, run
from ._traces import Trace, load

__all__ = ["Run", "Trace", "command", "library", "load", "run"]

_HOME = _os.path.dirname(_os.path.abspath(__file__))


def command():
    """The path of the program `tidemark`."""
    return _os.path.join(_HOME, "bin", "tidemark")


def library():
    """The path of libtidemark.so: `LD_PRELOAD=PATH python train.py` is a traced run."""
    path = _os.path.join(_HOME, "lib", "libtidemark.so")
    if not _os.path.exists(path):
        raise RuntimeError("on this processor tidemark reads traces; it records them on x86-64")
    return path


def load_ipython_extension(shell):
    from ._magic import TidemarkMagics

    shell.register_magics(TidemarkMagics)


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        return version("torch-tidemark")
    raise AttributeError("module {!r} has no attribute {!r}".format(__name__, name))
