# memory: 3200MiB
# cause: the data came from numpy in float64, and the model was made double to go with it
# fix: smaller_batch checkpointing accumulate
# levers: smaller_batch=20 checkpointing bf16_autocast accumulate=1 foreach_off fused_optimizer
"""A Fourier neural operator for Darcy flow."""
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 20
PARTS = int(VALUE) if LEVER == "accumulate" else 1
GRID = 128


class SpectralConv(nn.Module):
    def __init__(self, width, modes):
        super().__init__()
        self.modes = modes
        scale = 1 / width ** 2
        self.low = nn.Parameter(scale * torch.rand(width, width, modes, modes, 2, dtype=torch.float64))
        self.high = nn.Parameter(scale * torch.rand(width, width, modes, modes, 2, dtype=torch.float64))

    def forward(self, x):
        m, spectrum = self.modes, torch.fft.rfft2(x)
        out = torch.zeros_like(spectrum)
        out[:, :, :m, :m] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, :m, :m], torch.view_as_complex(self.low))
        out[:, :, -m:, :m] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, -m:, :m], torch.view_as_complex(self.high))
        return torch.fft.irfft2(out, s=x.shape[-2:])


class Layer(nn.Module):
    def __init__(self, width, modes):
        super().__init__()
        self.spectral, self.local = SpectralConv(width, modes), nn.Conv2d(width, width, 1)
        self.mlp = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.GELU(), nn.Conv2d(2 * width, width, 1))

    def forward(self, x):
        return F.gelu(self.mlp(self.spectral(x)) + self.local(x))


class FNO(nn.Module):
    def __init__(self, width=48, modes=12, depth=4):
        super().__init__()
        self.lift = nn.Conv2d(3, width, 1)
        self.layers = nn.ModuleList(Layer(width, modes) for _ in range(depth))
        self.project = nn.Sequential(nn.Conv2d(width, 128, 1), nn.GELU(), nn.Conv2d(128, 1, 1))

    def forward(self, a):
        axis = torch.linspace(0, 1, GRID, dtype=a.dtype, device=a.device)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).expand(len(a), -1, -1, -1)
        x = self.lift(torch.cat([a, grid], 1))
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.project(x)


def relative_l2(out, target):
    return ((out - target).flatten(1).norm(dim=1) / (target.flatten(1).norm(dim=1) + 1e-9)).mean()


rng = np.random.default_rng(0)
coefficients = torch.from_numpy(rng.normal(size=(60, 1, GRID, GRID)))     # float64, as numpy has it
pressures = torch.from_numpy(rng.normal(size=(60, 1, GRID, GRID)))

model = FNO().double().cuda()       # RuntimeError: expected scalar type Float but found Double
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, foreach=False if LEVER == "foreach_off" else None,
                             fused=True if LEVER == "fused_optimizer" else None)
for epoch in range(2):
    for rows in torch.randperm(60).split(BATCH):
        optimizer.zero_grad()
        for part in rows.chunk(PARTS):
            a, u = coefficients[part].cuda(), pressures[part].cuda()
            with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
                loss = relative_l2(model(a), u) * len(part) / len(rows)
            loss.backward()
        optimizer.step()
    print(epoch, loss.item())
