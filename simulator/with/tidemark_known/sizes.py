"""sizes.py - results whose size comes from values: PyTorch reads one number or two from the
device before it can allocate. The simulated device is told what they are."""
import contextlib, ctypes, math, threading

from .device import expect
from .memory import GUESSED, SHARE

#: Functions that read numbers inside of themselves.
BY_VALUES = frozenset("""
__getitem__ __setitem__ argwhere bincount combinations index_put index_put_ isin masked_select
nonzero one_hot repeat_interleave unique unique_consecutive where
""".split())
INDEXING = frozenset(("__getitem__", "__setitem__", "index_put", "index_put_"))
OFTEN = 4  # times that a number is asked for, at most


def deciding(torch, name, args, kwargs):
    """Of its arguments, those whose values the size comes from."""
    if name in INDEXING:
        return args[1]
    if name == "masked_select":
        return args[1] if len(args) > 1 else kwargs.get("mask")
    if name == "isin":
        return args[:2]
    if name == "repeat_interleave":
        given = [*args[:2], kwargs.get("repeats")]
        tensors = [part for part in given if isinstance(part, torch.Tensor)]
        return tensors[-1] if len(tensors) > 1 or len(args) == 1 else None
    if name == "combinations" or name == "where" and len(args) > 1:
        return None
    return args[0]


def argument(name, args, kwargs, at, otherwise):
    return kwargs.get(name, args[at] if len(args) > at else otherwise)


def chosen(args, kwargs):
    """combinations: by the length alone"""
    count, each = args[0].numel(), argument("r", args, kwargs, 1, 2)
    again = argument("with_replacement", args, kwargs, 2, False)
    return math.comb(count + each - 1 if again else count, each)


def sets_size(name, args, kwargs):
    """False: what it reads is for a check alone."""
    if name == "one_hot":
        return argument("num_classes", args, kwargs, 1, -1) < 0
    return name != "isin"


def numbers(torch, name, decides, args):
    """What the device will be asked for, in order."""
    if name in INDEXING:
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
    if name == "isin":
        return [torch.unique(part).numel() for part in decides if isinstance(part, torch.Tensor)]
    if name == "unique_consecutive":
        return [torch.unique_consecutive(decides).numel()] * OFTEN
    if name == "unique":
        return [torch.unique(decides).numel()] * OFTEN
    if name == "one_hot":
        return [int(decides.max())]
    if name == "bincount":
        return [int(decides.min()), int(decides.max())] if decides.numel() else []
    if name == "repeat_interleave":
        return [int(decides.sum())]
    return []


def plausible(mode, name, args, kwargs):
    """The same where the values are not known, and what it rests on; 0: at least so much."""
    if name == "repeat_interleave":  # each once
        return [deciding(mode.torch, name, args, kwargs).numel()], GUESSED
    if name in ("bincount", "one_hot"):
        return [0, 0], 0
    if name == "isin":
        return [max(part.numel(), 1) for part in args[:2] if isinstance(part, mode.torch.Tensor)], 0
    dim = kwargs.get("dim")  # unique
    count = args[0].numel() if dim is None else args[0].shape[dim]
    return [max(count * mode.reads.density // 100, min(count, 1))] * OFTEN, GUESSED | SHARE


#: Of so few values that they are made up, nothing follows for these.
OF_NUMBERS = frozenset("bincount isin one_hot repeat_interleave unique unique_consecutive".split())


def to_tell(mode, name, args, kwargs):
    """What to tell the device, and what it rests on; None: nobody knows."""
    if name == "combinations":
        return [chosen(args, kwargs)], 0
    decides = deciding(mode.torch, name, args, kwargs)
    found, values = mode.on_host(decides, name not in OF_NUMBERS)
    if found is not None:
        return mode.calculate(numbers, (mode.torch, name, values, args), {}), found.assumed
    if name in OF_NUMBERS and mode.plausible and unknown(mode, decides):
        told, assumed = plausible(mode, name, args, kwargs)
        if not assumed and sets_size(name, args, kwargs):
            mode.reads.count("least size", name)
        return told, assumed
    return None, 0


def unknown(mode, decides):
    parts = decides if isinstance(decides, (tuple, list)) else (decides,)
    return any(type(part) in mode.kinds and part.is_cuda for part in parts)


#: Of a thread that is in a node of a backward: what the node is going to ask for. A forward that
#: is done anew for it asks for other numbers before.
backward = threading.local()


def tell(told):
    if told:
        expect((ctypes.c_int64 * len(told))(*told), len(told))
    else:
        expect(None, 0)


@contextlib.contextmanager
def expected(mode, name, args, kwargs):
    """The device is told while PyTorch's function runs. Gives what it was told."""
    if expect is None or name not in BY_VALUES:
        yield None
        return
    told, assumed = None, 0
    try:
        told, assumed = to_tell(mode, name, args, kwargs)
    except Exception:
        pass
    if told:
        tell(told)
        if sets_size(name, args, kwargs):
            mode.reads.sized(assumed, name)
    else:
        expect(None, -1)
    try:
        yield told
    finally:
        tell(getattr(backward, "told", None))


def in_backward(torch, result, args, told):
    """What was indexed by masks counts them once more in its backward, which the mode does not see:
    then the device is told again."""
    node = getattr(result, "grad_fn", None)
    if not told or node is None or not node.name().startswith(("Index", "CopySlices")):
        return
    index = args[1] if isinstance(args[1], (tuple, list)) else (args[1],)
    masks = sum(isinstance(part, torch.Tensor) and part.dtype in (torch.bool, torch.uint8)
                for part in index)
    if not masks:
        return
    told = told[-masks:]

    def begin(gradients):
        backward.told = told
        tell(told)

    def end(*gradients):
        backward.told = None
        expect(None, 0)
    node.register_prehook(begin)
    node.register_hook(end)
