"""guesses.py - plausible values where none are known: finite, within their dimension, balanced
over experts, no token that ends a text. The same for the same shapes, so that a forward done
anew goes the way of the first."""
import functools

from . import operators
from .arguments import Unknown
from .memory import GUESSED, SHARE

FEW = 512  # elements of a tensor that is given values when it is looked at
DRAWN = 64  # random numbers that are drawn; of whole ones as many as are computed
MASK = 1 << 20  # elements of a mask that is made up


def fill(torch, memory, reads):
    """Of a tensor that somebody looks at: numbers fall a little each time that a line looks, as
    a loss does, so that who waits for them to be low goes on in the end."""
    if memory.is_floating_point() or memory.is_complex():
        torch.Tensor.fill_(memory, reads.falling() if memory.numel() == 1 else 1.0)
    elif memory.dtype is torch.bool and memory.numel() > 1:
        fill_mask(torch, memory, reads)
    else:
        memory.zero_()


def fill_mask(torch, memory, reads):
    """The share that is taken to be set, evenly spread. It is what the device counts of a mask
    that is larger."""
    memory.copy_(mask(torch, memory.numel(), reads.density).view(memory.shape))


@functools.lru_cache(maxsize=16)
def mask(torch, count, density):
    steps = torch.arange(count + 1, device="cpu") * density // 100
    return steps[1:] > steps[:-1]


def fill_deciding(torch, memory, reads):
    """Of what decides a size."""
    is_mask = memory.dtype in (torch.bool, torch.uint8)
    return (fill_mask if is_mask else fill)(torch, memory, reads)


def fill_compared(torch, memory, reads):
    """Of what is compared: of many numbers nothing is said that would make all results the same."""
    if memory.numel() > 1 and memory.dtype is not torch.bool:
        raise Unknown
    fill(torch, memory, reads)


def pattern(mode, out, choices):
    """Indices below `choices`, each as often as the others: row after row goes on where the one
    before stopped. Begins at no simple part of the way: tokens that end texts are first or last,
    also where the choices are those of several beams."""
    torch = mode.torch
    if not out.numel():
        return
    numbers = torch.arange(out.numel(), device="cpu")
    numbers = numbers.add_(int(choices * 0.381966)).remainder_(max(choices, 1))
    mode.memory.on_host(out).copy_(numbers.view(out.shape))


def argument(args, kwargs, at, *names, otherwise=None):
    for name in names:
        if name in kwargs:
            return kwargs[name]
    return args[at] if len(args) > at else otherwise


def length(tensor, dim):
    if dim is None:
        return tensor.numel()
    return tensor.shape[dim] if tensor.dim() else 1


def usable(mode, result):
    return type(result) in mode.kinds and result.is_cuda and mode.is_small(result)


def chosen(mode, result, args, kwargs):
    """argmax, argmin"""
    if usable(mode, result):
        pattern(mode, result, length(args[0], argument(args, kwargs, 1, "dim", "axis")))
        return [result]


def best(mode, result, args, kwargs):
    """max, min, median along a dimension; topk, sort: values and indices"""
    if type(result) in mode.kinds or not isinstance(result, (tuple, list)):
        return zero(mode, result, args, kwargs)
    values, indices = result
    known = []
    dim = argument(args, kwargs, 1, "dim", "axis", otherwise=-1)
    if usable(mode, indices):
        pattern(mode, indices, length(args[0], dim))
        known.append(indices)
    return known


def topk(mode, result, args, kwargs):
    dim = argument(args, kwargs, 2, "dim", otherwise=-1)
    values, indices = result
    known = []
    if usable(mode, indices):
        if dim in (-1, indices.dim() - 1):
            pattern(mode, indices, length(args[0], dim))
        else:
            mode.memory.on_host(indices).zero_()
        known.append(indices)
    if usable(mode, values) and values.dim():
        steps = mode.torch.arange(1, values.shape[-1] + 1, device="cpu").to(values.dtype)
        mode.memory.on_host(values).copy_(steps.reciprocal().expand(values.shape))
        known.append(values)
    return known


def ordered(mode, result, args, kwargs):
    """sort, argsort: as it stands"""
    indices = result if type(result) in mode.kinds else result[1]
    dim = argument(args, kwargs, 1, "dim", otherwise=-1)
    if not usable(mode, indices) or not indices.dim():
        return ()
    dim = dim if isinstance(dim, int) and not isinstance(dim, bool) else -1
    count = indices.shape[dim]
    shape = [1] * indices.dim()
    shape[dim] = count
    numbers = mode.torch.arange(count, device="cpu").view(shape).expand(indices.shape)
    mode.memory.on_host(indices).copy_(numbers)
    return [indices]


def drawn(mode, result, args, kwargs):
    if usable(mode, result):
        pattern(mode, result, args[0].shape[-1])
        return [result]


def places(mode, result, args, kwargs):
    """nonzero: places spread over the tensor"""
    tensor = args[0]
    if type(result) not in mode.kinds or not usable(mode, result) or not result.numel():
        return ()
    count = result.shape[0]
    flat = mode.torch.arange(count, device="cpu") * (tensor.numel() // count or 1)
    for at in reversed(range(tensor.dim())):
        mode.memory.on_host(result)[:, at] = flat % tensor.shape[at]
        flat = flat // tensor.shape[at]
    return [result]


def share(mode, result, args, kwargs):
    """A comparison of numbers that nobody knows."""
    if usable(mode, result) and result.dtype is mode.torch.bool and 1 < result.numel() <= MASK:
        fill_mask(mode.torch, mode.memory.on_host(result), mode.reads)
        return [result]


def whether(up):
    """any, all: an answer is that of the mask, too, from there on."""
    def answered(mode, result, args, kwargs):
        tensor = args[0]
        if usable(mode, result) and result.numel() == 1 and usable(mode, tensor) and \
                tensor.dtype is mode.torch.bool and tensor.numel() <= MASK:
            mode.memory.on_host(tensor).fill_(up)
            if mode.memory.of(tensor) is None:
                mode.memory.learn(tensor, GUESSED | SHARE)
        return flag(up)(mode, result, args, kwargs)
    return answered


def flag(up):
    def filled(mode, result, args, kwargs):
        if usable(mode, result):
            mode.memory.on_host(result).fill_(up)
            return [result]
    return filled


def whole(mode, result, args, kwargs):
    """A number of them all: of whole numbers and flags the share that is taken to be set."""
    if not usable(mode, result) or result.is_floating_point() or result.is_complex():
        return ()
    each = args[0].numel() // max(result.numel(), 1) if type(args[0]) in mode.kinds else 0
    mode.memory.on_host(result).fill_(each * mode.reads.density // 100)
    return [result]


def zero(mode, result, args, kwargs):
    if usable(mode, result) and not result.is_floating_point():
        mode.memory.on_host(result).zero_()
        return [result]


#: They ask of a mask whether any or all of it is set.
ASKING = frozenset(("any", "all"))
#: They choose one of several.
CHOOSING = frozenset(("argmax", "argmin", "topk", "multinomial"))
BY_NAME = {
    "argmax": chosen, "argmin": chosen, "max": best, "min": best, "median": best,
    "mode": best, "kthvalue": best, "cummax": best, "cummin": best, "topk": topk,
    "sort": ordered, "argsort": ordered, "multinomial": drawn, "nonzero": places,
    "argwhere": places, "isfinite": flag(True), "isnan": flag(False), "isinf": flag(False),
    "all": whether(True), "any": whether(False), "sum": whole, "count_nonzero": whole,
    "searchsorted": zero, "bucketize": zero,
}
BY_NAME.update(dict.fromkeys(operators.COMPARING, share))
