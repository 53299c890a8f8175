"""Programs that are steered by what they compute: losses, masks, routes, words, early stops.
usage: steered.py DEVICE NAME…    prints what each one did; the device's is compared with the CPU's."""
import sys

import torch
from torch import nn
from torch.nn import functional as F

device, names = sys.argv[1], sys.argv[2:]


def batches(count, *shape, classes=4):
    drawn = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(8, *shape, generator=drawn)
        yield x.to(device), torch.randint(0, classes, (8,), generator=drawn).to(device)


def trained(model, data):
    """Losses, norms of gradients, and how many were told right."""
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for x, y in data:
        out = model(x)
        loss = F.cross_entropy(out, y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        right = out.argmax(-1) == y
        print(f"{loss.item():.4f} {norm.item():.3f} {int(right.sum())} {len(out[right])}",
              bool(loss < 1.3))


def convolutions():
    trained(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
                          nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 4)), batches(4, 3, 8, 8))


class Words(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inner = kind
        self.head = nn.Linear(32 if isinstance(kind, nn.LSTM) else 16, 4)

    def forward(self, x):
        found = self.inner(x)
        return self.head((found[0] if isinstance(found, tuple) else found)[:, -1])


def attention():
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    trained(Words(layer), batches(4, 5, 16))


def recurrent():
    trained(Words(nn.LSTM(16, 16, 2, batch_first=True, bidirectional=True)), batches(4, 5, 16))


def routed():
    router, experts = nn.Linear(16, 4), nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
    model = nn.ModuleList([router, experts]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, _ in batches(3, 16):
        weights, chosen = router(x).softmax(-1).topk(2, -1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(experts):
            rows, slot = torch.where(chosen == number)
            print(number, len(rows), end=" ")
            if len(rows):
                out.index_add_(0, rows, expert(x[rows]) * weights[rows, slot, None])
        loss = (out - x).pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"{loss.item():.4f}")


def stopped():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    (x, y), (seen, right) = batches(2, 16)
    best, bad = 1e9, 0
    for epoch in range(40):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            now = F.cross_entropy(model(seen), right).item()
        schedule.step(now)
        best, bad = (now, 0) if now < best - 1e-3 else (best, bad + 1)
        if bad > 3:
            break
    print(epoch, f"{best:.3f}", optimizer.param_groups[0]["lr"])


def searched():
    at = torch.zeros(10, device=device, requires_grad=True)
    wanted = torch.linspace(0, 1, 10).to(device)
    optimizer = torch.optim.LBFGS([at], max_iter=20, history_size=5,
                                  line_search_fn="strong_wolfe")
    calls = [0]

    def closure():
        calls[0] += 1
        optimizer.zero_grad()
        loss = ((at - wanted) ** 4).sum() + (at[1:] - at[:-1]).pow(2).sum()
        loss.backward()
        return loss
    for _ in range(3):
        print(f"{optimizer.step(closure).item():.4f}", calls[0])


def sized():
    from torch.utils.checkpoint import checkpoint
    layer = nn.Linear(16, 16).to(device)
    for again in (False, True):
        for x, _ in batches(2, 16):
            y = checkpoint(lambda z: torch.tanh(layer(z)), x, use_reentrant=again)
            loss = torch.masked_select(layer(y), y > 0).pow(2).sum()
            loss.backward()
            kept = x[y > 0.2]
            print(f"{loss.item():.3f} {layer.weight.grad.norm().item():.3f}", len(kept),
                  len(torch.unique(x.round())), torch.bincount(x.abs().long().flatten()).tolist(),
                  bool(torch.equal(x, x.clone())))


def overflowing():
    """On a card: the first steps of a scale that is too large are skipped, then it falls."""
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=.1, momentum=.9)
    scaler = torch.amp.GradScaler(device, init_scale=2.0 ** 24, growth_interval=3)
    for x, y in batches(12, 16):
        with torch.autocast(device, dtype=torch.float16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        print(int(scaler.get_scale()), len(optimizer.state))


def compiled():
    double = torch.compile(lambda x: x * 2, backend="eager")
    print(float(double(torch.ones(3, device=device)).sum()))


def unlisted():
    """An operator that only a card has."""
    library = torch.library.Library("aten", "IMPL", "CUDA")
    library.impl("erfinv", lambda x: x.clone())
    x = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)).to(device)
    print(x.to_dense().shape)


for name in names:
    torch.manual_seed(0)
    print(name)
    globals()[name]()
