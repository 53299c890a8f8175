"""counted.py - numbers that an operator asks the device for before it can allocate, in order, from
its arguments as they are on the host. For computed.py."""


def masks(torch, whole, indices, *_, **__):
    return [int(part.count_nonzero()) for part in indices
            if isinstance(part, torch.Tensor) and part.dtype in (torch.bool, torch.uint8)]


def nonzero(torch, whole, *_, **__):
    return [int(whole.count_nonzero())]


def masked_select(torch, whole, mask, *_, **__):
    shape = torch.broadcast_shapes(whole.shape, mask.shape)
    return [int(mask.expand(shape).count_nonzero())]


def unique(torch, whole, *_, **__):
    return [torch.unique(whole).numel()] * 4


def unique_dim(torch, whole, dim, *_, **__):
    return [torch.unique(whole, dim=dim).shape[dim]] * 4


def consecutive(torch, whole, *args, dim=None, **__):
    return [torch.unique_consecutive(whole, dim=dim).shape[dim or 0]] * 4


def bincount(torch, whole, *_, **__):
    return [int(whole.min()), int(whole.max())] if whole.numel() else []


def repeats(torch, counts, *_, **__):
    return [int(counts.sum())]


NUMBERS = {
    "index.Tensor": masks, "index_put": masks, "index_put_": masks, "_index_put_impl_": masks,
    "_unsafe_index.Tensor": masks, "_unsafe_index_put": masks,
    "nonzero": nonzero, "masked_select": masked_select,
    "_unique2": unique, "_unique": unique, "unique_dim": unique_dim,
    "unique_consecutive": consecutive, "unique_dim_consecutive": unique_dim,
    "bincount": bincount, "repeat_interleave.Tensor": repeats,
}
