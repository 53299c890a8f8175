# memory: 1450MiB
# cause: the running mean of a perceptual metric is a tensor that keeps the metric's graph of every step
# fix: no_grad stop_leak
# levers: no_grad stop_leak smaller_batch=8 8bit_optimizer foreach_off fused_optimizer zero_grad_first bf16_autocast checkpointing
"""Super-resolution by four; a frozen network measures how alike the pictures look, for the log only."""
import contextlib
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 8


class ResBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class SRNet(nn.Module):
    def __init__(self, c=64, n=8):
        super().__init__()
        self.stem = nn.Conv2d(3, c, 3, padding=1)
        self.body = nn.ModuleList([ResBlock(c) for _ in range(n)])
        self.tail = nn.Sequential(nn.Conv2d(c, 48, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, x):
        x = self.stem(x)
        for block in self.body:
            x = checkpoint(block, x, use_reentrant=False) if LEVER == "checkpointing" else block(x)
        return self.tail(x)


class LooksAlike(nn.Module):
    def __init__(self, widths=(32, 64, 128)):
        super().__init__()
        self.stages, last = nn.ModuleList(), 3
        for w in widths:
            self.stages.append(nn.Sequential(nn.Conv2d(last, w, 3, 2, 1), nn.ReLU(), nn.Conv2d(w, w, 3, 1, 1), nn.ReLU()))
            last = w

    def forward(self, a, b):
        value = 0
        for stage in self.stages:
            a, b = stage(a), stage(b)
            value = value + (F.normalize(a) - F.normalize(b)).pow(2).mean()
        return value


class RunningMean:
    def __init__(self, momentum=0.98):
        self.momentum, self.value = momentum, None

    def update(self, x):
        self.value = x if self.value is None else self.momentum * self.value + (1 - self.momentum) * x


net, metric, running = SRNet().cuda(), LooksAlike().cuda().eval().requires_grad_(False), RunningMean()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    opt = bitsandbytes.optim.Adam8bit(net.parameters(), lr=1e-4)
else:
    opt = torch.optim.Adam(net.parameters(), lr=1e-4, foreach=False if LEVER == "foreach_off" else None,
                           fused=True if LEVER == "fused_optimizer" else None)
for step in range(16):
    low, high = torch.rand(BATCH, 3, 64, 64, device="cuda"), torch.rand(BATCH, 3, 256, 256, device="cuda")
    if LEVER == "zero_grad_first":
        opt.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        made = net(low)
        loss = F.l1_loss(made, high)
        with torch.no_grad() if LEVER == "no_grad" else contextlib.nullcontext():
            alike = metric(made, high)
    opt.zero_grad()
    loss.backward()
    opt.step()
    running.update(alike.detach() if LEVER == "stop_leak" else alike)
    if step % 4 == 0:
        print(f"step {step} loss {loss.item():.3f} alike {running.value.item():.3f}")
