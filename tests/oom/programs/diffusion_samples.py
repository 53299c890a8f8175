# memory: 4550MiB
# cause: pictures are sampled between training steps with gradients on: each denoising step stays in one graph
# fix: no_grad stop_leak
# levers: no_grad stop_leak checkpointing smaller_batch=16 8bit_optimizer foreach_off fused_optimizer zero_grad_first bf16_autocast
"""DDPM in a notebook's style, with a look at samples every few steps."""
import contextlib
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
SAMPLES = int(VALUE) if LEVER == "smaller_batch" else 16
T = 50
betas = torch.linspace(1e-4, 0.02, T)
alphas = (1 - betas).tolist()
abars = torch.cumprod(1 - betas, 0).tolist()


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, c), nn.GroupNorm(8, c)
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)
        self.time = nn.Linear(128, c)

    def forward(self, x, t):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(t)[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(h)))


class Eps(nn.Module):
    def __init__(self, c=96, n=4):
        super().__init__()
        self.time = nn.Embedding(T, 128)
        self.enter, self.leave = nn.Conv2d(3, c, 3, padding=1), nn.Conv2d(c, 3, 3, padding=1)
        self.blocks = nn.ModuleList([Block(c) for _ in range(n)])

    def forward(self, x, t):
        x, t = self.enter(x), self.time(t)
        for block in self.blocks:
            x = checkpoint(block, x, t, use_reentrant=False) if LEVER == "checkpointing" else block(x, t)
        return self.leave(F.silu(x))


eps_model = Eps().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(eps_model.parameters(), lr=2e-4)
else:
    optimizer = torch.optim.Adam(eps_model.parameters(), lr=2e-4, foreach=False if LEVER == "foreach_off" else None,
                                 fused=True if LEVER == "fused_optimizer" else None)


def sample(n):
    x = torch.randn(n, 3, 32, 32, device="cuda")
    for t in reversed(range(T)):
        eps = eps_model(x, torch.full((n,), t, dtype=torch.long, device="cuda"))
        mean = (x - (1 - alphas[t]) / (1 - abars[t]) ** 0.5 * eps) / alphas[t] ** 0.5
        x = mean + (1 - alphas[t]) ** 0.5 * torch.randn_like(x) if t else mean
        if LEVER == "stop_leak":
            x = x.detach()
    return x.clamp(-1, 1).cpu()


for step in range(1, 9):
    x0 = torch.randn(32, 3, 32, 32, device="cuda")
    t = torch.randint(T, (32,), device="cuda")
    noise = torch.randn_like(x0)
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.mse_loss(eps_model(0.9 * x0 + 0.4 * noise, t), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 4 == 0:
        with torch.no_grad() if LEVER == "no_grad" else contextlib.nullcontext(), \
                torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            sample(SAMPLES)
