"""tidemark_known - what is known on the simulated device is computed.

Kernels of the simulated device do nothing. What a program steers by (token ids, masks, lengths,
step counters, a maximum of a batch) mostly follows from what the host wrote; that is computed on
the host by the same PyTorch, beside the unchanged call, whose allocations stay what they are.
Started by sitecustomize.py once torch has been imported; does nothing without the simulated
device. TIDEMARK_SIM_KNOWN is the largest tensor that is computed, in bytes; 0: none.
"""
import os

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def limit():
    text = os.environ.get("TIDEMARK_SIM_KNOWN") or "4MiB"
    digits = text.rstrip("KMGiB")
    try:
        return int(float(digits) * UNITS.get(text[len(digits):][:1], 1))
    except ValueError:
        return 4 << 20


def number(name, otherwise):
    try:
        return int(os.environ.get(name) or otherwise)
    except ValueError:
        return otherwise


def start(torch):
    try:
        begin(torch)
    except Exception:  # a PyTorch that is not as we know it: nothing is known
        pass


def begin(torch):
    values = os.environ.get("TIDEMARK_SIM_VALUES") or "plausible"
    if values[:1] == "c":
        return compute(torch)
    bound = limit()
    if not bound:
        return
    from . import device
    if device.expect is None:
        return
    from . import memory, mode, off, reads
    told = reads.Reads(os.environ.get("TIDEMARK_SIM_LOG"), number("TIDEMARK_SIM_DENSITY", 50))
    known = mode.Known(torch, memory.Memory(torch), told, bound, values[:1] == "p")
    known.__enter__()
    off.where_it_cannot_be(torch, known)


def compute(torch):
    """--values computed"""
    from . import device, reads
    if device.expect is None:
        return
    told = reads.Reads(os.environ.get("TIDEMARK_SIM_LOG"), 50)
    try:
        from . import computed
        computed.start(torch, told)
    except Exception:  # of an older PyTorch
        told.once("not computed anything")
