# memory: 3500MiB
# cause: LBFGS keeps flat copies of weights, gradient and direction, and its closure is called again beside them
# fix: smaller_batch checkpointing bf16_autocast offload accumulate
# levers: smaller_batch=12000 checkpointing bf16_autocast accumulate=1 offload
"""Fits a coordinate network to a large picture with LBFGS (full batches, as the optimizer wants them)."""
import contextlib
import math
import os

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 12000
PARTS = int(VALUE) if LEVER == "accumulate" else 1


class Fourier(nn.Module):
    def __init__(self, size, scale=10.0):
        super().__init__()
        self.register_buffer("matrix", torch.randn(2, size) * scale)

    def forward(self, x):
        x = 2 * math.pi * x @ self.matrix
        return torch.cat([x.sin(), x.cos()], dim=-1)


class Sine(nn.Module):
    def __init__(self, a, b, omega=30.0):
        super().__init__()
        self.linear, self.omega = nn.Linear(a, b), omega
        nn.init.uniform_(self.linear.weight, -math.sqrt(6 / a) / omega, math.sqrt(6 / a) / omega)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


class Field(nn.Module):
    def __init__(self, width=3072, depth=6):
        super().__init__()
        self.features = Fourier(width // 2)
        self.layers = nn.ModuleList(Sine(width, width) for _ in range(depth))
        self.out = nn.Linear(width, 3)

    def forward(self, x):
        x = self.features(x)
        for layer in self.layers:
            if LEVER == "checkpointing" and self.training:
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return self.out(x).sigmoid()


def saved():
    return torch.autograd.graph.save_on_cpu() if LEVER == "offload" else contextlib.nullcontext()


torch.manual_seed(0)
field = Field().cuda()
optimizer = torch.optim.LBFGS(field.parameters(), lr=0.5, max_iter=4, history_size=10)
coordinates = torch.rand(40000, 2)
colours = torch.rand(40000, 3)

for epoch in range(3):
    picked = torch.randperm(len(coordinates))[:BATCH]
    xy, rgb = coordinates[picked].cuda(), colours[picked].cuda()

    def closure():
        optimizer.zero_grad()
        total = 0.0
        for part, target in zip(xy.chunk(PARTS), rgb.chunk(PARTS)):
            with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"), saved():
                loss = nn.functional.mse_loss(field(part).float(), target) / PARTS
            loss.backward()
            total = total + loss.detach()
        return total

    loss = optimizer.step(closure)
    print(epoch, "loss", float(loss), "psnr", -10 * math.log10(float(loss) + 1e-8))
