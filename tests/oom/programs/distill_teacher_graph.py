# memory: 2350MiB
# cause: the teacher's forward records a graph and gets gradients that no optimizer owns
# fix: no_grad unowned_gradients
# levers: no_grad unowned_gradients smaller_batch=128 checkpointing foreach_off fused_optimizer zero_grad_first 8bit_optimizer
"""Knowledge distillation: a wide teacher's logits soften the student's labels."""
import os
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
TEMPERATURE = 4.0


class Unit(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1),
                                  nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x):
        return x + self.body(x)


class WideResNet(nn.Module):
    def __init__(self, width, units, classes=100):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.units = nn.ModuleList([Unit(width) for _ in range(units)])
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        x = self.stem(x)
        for unit in self.units:
            again = LEVER == "checkpointing" and torch.is_grad_enabled()
            x = checkpoint(unit, x, use_reentrant=False) if again else unit(x)
        return self.fc(x.mean((2, 3)))


teacher = WideResNet(192, 6).cuda().eval()
student = WideResNet(32, 3).cuda()
if LEVER == "unowned_gradients":
    teacher.requires_grad_(False)
more = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {})
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(student.parameters())
else:
    optimizer = torch.optim.Adam(student.parameters(), **more)
batch = int(VALUE) if LEVER == "smaller_batch" else 128
for step in range(4):
    x = torch.randn(batch, 3, 32, 32, device="cuda")
    y = torch.zeros(batch, dtype=torch.long, device="cuda")
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    s = student(x)
    with torch.no_grad() if LEVER == "no_grad" else nullcontext():
        t = teacher(x)
    soft = F.kl_div(F.log_softmax(s / TEMPERATURE, 1), F.softmax(t / TEMPERATURE, 1),
                    reduction="batchmean")
    loss = 0.3 * F.cross_entropy(s, y) + 0.7 * TEMPERATURE ** 2 * soft
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
