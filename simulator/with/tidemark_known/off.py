"""off.py - where known values cannot be had: under torch.compile, which would look into the mode
as if it were the program's, and in a graph's capture, which is not run again when it is
replayed. From there on nothing is computed, and the log says so."""
import functools, sys


def where_it_cannot_be(torch, known):
    def end(why):
        if known.ended:
            return
        known.ended = True
        take_off(torch, known)
        known.handlers.clear()
        known.find = lambda function: None
        known.memory.entries.clear()
        known.reads.write(f"known values end: {why}")

    known.ended = False
    wrap(torch, "compile", lambda: None if imported_by_a_library() else end("torch.compile"))
    wrap(torch.cuda.CUDAGraph, "capture_begin", lambda: end("a CUDA graph's capture"))
    swap(torch, known)


def take_off(torch, known):
    """From this thread's modes; those above it stay."""
    count = torch._C._len_torch_function_stack()
    modes = [torch._C._pop_torch_function_stack() for _ in range(count)]
    for mode in reversed(modes):
        if mode is not known:
            torch._C._push_on_torch_function_stack(mode)


def imported_by_a_library():
    """True: a library's own module is being imported, which says nothing of the program."""
    frame = sys._getframe(2)
    while frame and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    file = frame.f_code.co_filename if frame else ""
    return "/site-packages/" in file or "/dist-packages/" in file


def wrap(owner, name, before):
    former = getattr(owner, name)

    @functools.wraps(former)
    def wrapper(*args, **kwargs):
        before()
        return former(*args, **kwargs)
    setattr(owner, name, wrapper)


def swap(torch, known):
    """torch refuses to swap tensors that anybody holds a weak reference to."""
    former = torch.utils.swap_tensors

    @functools.wraps(former)
    def swap_tensors(t1, t2):
        known.memory.forget(t1)
        known.memory.forget(t2)
        return former(t1, t2)
    torch.utils.swap_tensors = swap_tensors
