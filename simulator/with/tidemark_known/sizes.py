"""sizes.py - results whose size comes from values: PyTorch reads one number or two from the
device before it can allocate. The simulated device is told what they are."""
import contextlib, ctypes

from .device import expect

#: Functions that read numbers inside of themselves.
BY_VALUES = frozenset("""
__getitem__ __setitem__ argwhere bincount combinations index_put index_put_ masked_select nonzero
one_hot repeat_interleave unique unique_consecutive where
""".split())


def deciding(torch, name, args, kwargs):
    """Of its arguments, those whose values the size comes from."""
    if name in ("__getitem__", "__setitem__", "index_put", "index_put_"):
        return args[1]
    if name == "masked_select":
        return args[1] if len(args) > 1 else kwargs.get("mask")
    if name == "repeat_interleave":
        given = [*args[:2], kwargs.get("repeats")]
        tensors = [part for part in given if isinstance(part, torch.Tensor)]
        return tensors[-1] if len(tensors) > 1 or len(args) == 1 else None
    if name == "where" and len(args) > 1:
        return None
    return args[0]


def numbers(mode, name, decides, args):
    """What the device will be asked for, in order."""
    torch = mode.torch
    if name in ("__getitem__", "__setitem__", "index_put", "index_put_"):
        index = decides if isinstance(decides, (tuple, list)) else (decides,)
        tensors = [part for part in index if isinstance(part, torch.Tensor)]
        masks = [part for part in tensors if part.dtype in (torch.bool, torch.uint8)]
        single = [part for part in tensors if part.dtype is not torch.bool and not part.dim()]
        return [int(part) for part in single] + [int(part.count_nonzero()) for part in masks]
    if name in ("nonzero", "argwhere", "where"):
        return [int(decides.count_nonzero())]
    if name == "masked_select":
        shape = torch.broadcast_shapes(decides.shape, args[0].shape)
        return [int(decides.expand(shape).count_nonzero())]
    if name == "unique_consecutive":
        return [torch.unique_consecutive(decides).numel()] * 4
    if name == "unique":
        return [torch.unique(decides).numel()] * 4
    if name == "one_hot":
        return [int(decides.max())]
    if name == "bincount":
        return [int(decides.min()), int(decides.max())] if decides.numel() else []
    if name == "repeat_interleave":
        return [int(decides.sum())]
    return []


@contextlib.contextmanager
def expected(mode, name, args, kwargs):
    """The device is told while PyTorch's function runs."""
    if expect is None or name not in BY_VALUES:
        yield
        return
    told, found = [], None
    try:
        found, decides = mode.on_host(deciding(mode.torch, name, args, kwargs))
        if found is not None:
            told = mode.calculate(numbers, (mode, name, decides, args), {})
    except Exception:
        told = []
    if told:
        expect((ctypes.c_int64 * len(told))(*told), len(told))
        mode.reads.sized(found.assumed, name)
    else:
        expect(None, -1)
    try:
        yield
    finally:
        expect(None, 0)
