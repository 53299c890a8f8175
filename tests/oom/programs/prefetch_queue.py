# memory: 850MiB
# cause: a loader of one's own has many batches on the GPU before they are needed
# fix: load_on_cpu smaller_batch
# levers: load_on_cpu smaller_batch=24 bf16_autocast checkpointing 8bit_optimizer zero_grad_first
"""Video classification; batches are sent ahead, which hides the copies (and takes room)."""
import collections
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 24
AHEAD = 1 if LEVER == "load_on_cpu" else 10


def clips(count):
    for _ in range(count):
        yield torch.rand(BATCH, 3, 8, 112, 112), torch.zeros(BATCH, dtype=torch.long)


def prefetched(source):
    queue = collections.deque()
    for x, y in source:
        queue.append((x.cuda(non_blocking=True), y.cuda(non_blocking=True)))
        if len(queue) >= AHEAD:
            yield queue.popleft()
    while queue:
        yield queue.popleft()


class R21D(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.space = nn.Conv3d(a, b, (1, 3, 3), (1, stride, stride), (0, 1, 1))
        self.time = nn.Conv3d(b, b, (3, 1, 1), 1, (1, 0, 0))
        self.norm = nn.BatchNorm3d(b)

    def forward(self, x):
        return F.relu(self.norm(self.time(F.relu(self.space(x)))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([R21D(3, 16, 2), R21D(16, 32, 2), R21D(32, 64, 2), R21D(64, 128, 2)])
        self.fc = nn.Linear(128, 101)

    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.fc(x.mean((2, 3, 4)))


net = Net().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(net.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
for x, y in prefetched(clips(16)):
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
