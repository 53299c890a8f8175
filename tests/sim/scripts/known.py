"""Steer by values as programs do, on the host and on the device; print where the two differ.

What follows from what the host wrote is computed: both must read the same."""
import json, warnings
import torch, torch.nn as nn, torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

warnings.simplefilter("ignore")
tokens = torch.randint(0, 50, (4, 12), generator=torch.Generator().manual_seed(1))


def reads(device):
    x = tokens.clone().to(device)
    mask = x > 25
    yield "reductions", x.max().item(), mask.sum().item(), x.min().item(), bool((x == x).all())
    yield "masks", x[mask].tolist(), list(mask.nonzero().shape), torch.where(mask)[1].tolist(), \
        list(torch.masked_select(x, mask).shape)
    yield "sizes", torch.unique(x).tolist(), torch.bincount(x.view(-1)).tolist(), \
        list(F.one_hot(x).shape), torch.unique(x, return_counts=True)[1].tolist(), \
        list(x.repeat_interleave(torch.tensor([1, 2, 0, 3], device=device), dim=0).shape)
    y = torch.zeros(4, 12, dtype=torch.long, device=device)
    y[:, 3:] = x[:, 3:]
    y[0] += 5
    y[y > 10] = -100
    yield "changes", y.tolist(), (y != -100).sum().item()
    lengths = mask.sum(1)
    order = torch.argsort(lengths, descending=True, stable=True)
    yield "lengths", lengths.tolist(), list(x[:, :lengths.max()].shape), [int(n) for n in lengths], \
        lengths[order].tolist(), lengths.cumsum(0).tolist(), list(x[order[0]].shape)
    yield "unknown, by known", list(nn.Linear(3, 5).to(device)(torch.randn(4, 12, 3, device=device))
                                    [mask].shape)
    z = x.data
    z.zero_()
    yield "another name of it", x.sum().item()
    t = torch.zeros(3, device=device)
    t.index_add_(0, torch.tensor([0, 1, 1], device=device), torch.ones(3, device=device))
    yield "numbers", t.tolist(), t.half().mul(2).tolist(), t.to(torch.int64).cpu().tolist(), \
        5 in torch.arange(6, device=device), torch.equal(t, t), f"{t.sum():.1f}", str(t)[:17]
    yield "an iterator", [int(a) + float(b) for a, b in zip(torch.arange(3, device=device), t)]
    packed = pack_padded_sequence(torch.randn(4, 9, 8, device=device), torch.tensor([5, 3, 9, 1]),
                                  batch_first=True, enforce_sorted=False)
    out, _ = nn.LSTM(8, 16, batch_first=True).to(device)(packed)
    padded, back = pad_packed_sequence(out, batch_first=True)
    yield "a packed sequence", list(out.data.shape), list(padded.shape), back.tolist()
    offsets = lengths.new_empty(5)
    offsets.narrow(0, 0, 1).zero_()
    torch.cumsum(lengths, 0, out=offsets.narrow(0, 1, 4))
    torch.logical_not(mask, out=mask)
    grown, order = torch.empty(0, dtype=torch.long, device=device), torch.empty_like(lengths)
    torch.sort(lengths, stable=True, out=(grown, order))
    yield "into tensors of the program's", offsets.tolist(), mask.tolist(), grown.tolist(), \
        order.tolist(), torch.arange(5, out=grown).tolist(), \
        torch.cat((lengths, lengths), out=torch.empty(8, dtype=torch.long, device=device)).tolist()
    rows = torch.randn(4, 12, 3, device=device, requires_grad=True)
    masks = [x_ > 25 for x_ in (tokens.to(device), tokens.to(device) + 20, tokens.to(device) - 20)]
    parts = [rows[part] for part in masks]
    sum(part.sum() for part in parts).backward()  # counts each mask once more
    rows[:, 1:][masks[0][:, :-1]].sum().backward()
    table = x.new_tensor(range(120)).view(10, 12).t()  # columns of it are no masks that lie together
    rows = torch.randn(12, 10, 3, device=device, requires_grad=True)
    for cut in (slice(1, None), slice(None, -1)):
        parts += [rows[:, cut][(table % k == 0)[:, cut]] for k in (2, 3, 5, 7)]
    rows = rows * 1.0
    rows[:, 1:][(table % 11 == 0)[:, 1:]] = parts[0].detach()[:9]
    parts.append(checkpoint(lambda x: x[:, 2:][(table % 13 == 0)[:, 2:]] * 2, rows, use_reentrant=False))
    (sum(part.sum() for part in parts[3:]) + rows.sum()).backward()
    yield "masks of a forward in its backward", [list(part.shape) for part in parts]
    ragged = torch.nested.nested_tensor([torch.randn(n, 8) for n in (3, 5, 1, 4)], layout=torch.jagged)
    through = nn.Linear(8, 4).to(device)(ragged.to(device))
    through.values().sum().backward()
    yield "a nested tensor", [list(part.shape) for part in through.unbind()], \
        list(torch.nested.to_padded_tensor(through, 0.0).shape), through.offsets().tolist()


print(json.dumps([[at, host[0], repr(host[1:]), repr(device[1:])] for at, (host, device) in
                  enumerate(zip(reads("cpu"), reads("cuda"))) if host != device]))
