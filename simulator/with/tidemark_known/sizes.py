"""sizes.py - results whose size comes from values: PyTorch reads one number or two from the
device before it can allocate. The simulated device is told what they are."""
import contextlib, ctypes

#: Functions that read numbers inside of themselves.
BY_VALUES = frozenset("""
__getitem__ __setitem__ argwhere bincount combinations index_put index_put_ masked_select nonzero
one_hot repeat_interleave unique unique_consecutive where
""".split())

try:
    expect = ctypes.CDLL(None).tmksim_expect
    expect.argtypes, expect.restype = (ctypes.POINTER(ctypes.c_int64), ctypes.c_int), None
except AttributeError:  # no simulated device in this process
    expect = None


def numbers(mode, name, found, values):
    """What the device will be asked for, in order."""
    torch, args = mode.torch, found.args
    if name in ("__getitem__", "__setitem__", "index_put", "index_put_"):
        index = args[1] if isinstance(args[1], (tuple, list)) else (args[1],)
        return [int(part.count_nonzero()) for part in index
                if isinstance(part, torch.Tensor) and part.dtype in (torch.bool, torch.uint8)]
    if name in ("nonzero", "argwhere") or name == "where" and len(args) == 1:
        return [int(args[0].count_nonzero())]
    if name == "masked_select":
        return [values.numel()]
    if name in ("unique", "unique_consecutive"):
        first = values[0] if isinstance(values, tuple) else values
        return [first.shape[0 if first.dim() else -1] if first.dim() else 1] * 4
    if name == "one_hot":
        return [int(args[0].max())]
    if name == "bincount":
        return [int(args[0].min()), int(args[0].max())] if args[0].numel() else []
    if name == "repeat_interleave":
        repeats = [part for part in args[:2] if isinstance(part, torch.Tensor)][-1]
        return [int(repeats.sum())] if repeats.dim() and repeats.numel() > 1 else []
    return []


@contextlib.contextmanager
def expected(mode, name, found, values):
    told = []
    if expect is not None and name in BY_VALUES:
        try:
            told = numbers(mode, name, found, values)
        except Exception:
            told = []
    if not told:
        yield
        return
    expect((ctypes.c_int64 * len(told))(*told), len(told))
    if found.assumed:
        mode.reads.count("size", name)
    try:
        yield
    finally:
        expect(None, 0)
