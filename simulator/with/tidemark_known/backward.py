"""backward.py - the mode in a backward: a call that comes by is made without it, while what runs in
a backward (a forward done anew, a hook) is to come by again.

PyTorch keeps the modes of the thread that began a backward until the thread that ran it has let
go of it, which may be after the program's next lines and even as Python ends. To let go of the
last reference to a mode a thread takes Python's lock; Python ends a thread that asks for it then,
and C++ ends the process ("terminate called without an active exception"). So each backward has an
entry of its own among the modes, and the program's end waits until all are gone.
"""
import atexit, functools, os, time, weakref

from torch.overrides import TorchFunctionMode

PATIENCE = 2.0  # seconds


class Entry(TorchFunctionMode):
    def __init__(self, known):
        super().__init__()
        self.known = known

    def __torch_function__(self, function, kinds, args=(), kwargs=None):
        return self.known.__torch_function__(function, kinds, args, kwargs)


def is_known(mode, known):
    return mode is known or isinstance(mode, Entry)


def on_stack(torch, known):
    return any(is_known(torch._C._get_function_stack_at(at), known)
               for at in range(torch._C._len_torch_function_stack()))


class Entries:
    """Those that somebody holds. A thread takes itself out as it lets go of one."""

    def __init__(self):
        self.held = {}
        atexit.register(self.wait)
        os.register_at_fork(after_in_child=self.held.clear)  # its parent's threads are not there

    def add(self, entry):
        key = id(entry)
        self.held[key] = weakref.ref(entry, lambda gone: self.held.pop(key, None))

    def wait(self):
        until, held = time.monotonic() + PATIENCE, list(self.held.values())
        while any(entry() is not None for entry in held) and time.monotonic() < until:
            time.sleep(0.0005)


def brings(torch, known):
    former, entries = getattr(torch.autograd, "_engine_run_backward", None), Entries()

    def run(*args, **kwargs):
        if known.compiled or on_stack(torch, known):
            return former(*args, **kwargs)
        entry = Entry(known)
        entries.add(entry)
        entry.__enter__()
        try:
            return former(*args, **kwargs)
        finally:
            entry.__exit__(None, None, None)
            del entry  # who keeps an error keeps this frame
    if former:
        torch.autograd._engine_run_backward = functools.wraps(former)(run)
