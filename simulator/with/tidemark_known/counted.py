"""counted.py - numbers that an operator asks the device for before it can allocate, in order, from
its arguments as they are on the host: those of the function in Python that calls it, where there
is one (sizes.py). For computed.py."""
from .sizes import OFTEN, numbers


def of(name, decides=0):
    """Those of a function, which its argument in this place decides."""
    return lambda torch, *args, **kwargs: numbers(torch, name, args[decides], args)


def masks(torch, whole, indices, *_, **__):
    return [int(part.count_nonzero()) for part in indices
            if isinstance(part, torch.Tensor) and part.dtype in (torch.bool, torch.uint8)]


def unique_dim(torch, whole, dim, *_, **__):
    return [torch.unique(whole, dim=dim).shape[dim]] * OFTEN


def consecutive(torch, whole, *args, dim=None, **__):
    return [torch.unique_consecutive(whole, dim=dim).shape[dim or 0]] * OFTEN


NUMBERS = {
    "index.Tensor": masks, "index_put": masks, "index_put_": masks, "_index_put_impl_": masks,
    "_unsafe_index.Tensor": masks, "_unsafe_index_put": masks,
    "nonzero": of("nonzero"), "masked_select": of("masked_select", 1),
    "_unique2": of("unique"), "_unique": of("unique"), "unique_dim": unique_dim,
    "unique_consecutive": consecutive, "unique_dim_consecutive": unique_dim,
    "bincount": of("bincount"), "repeat_interleave.Tensor": of("repeat_interleave"),
}
