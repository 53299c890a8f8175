# memory: 5GiB
# cause: a whole picture is rendered in chunks with gradients on, between steps of a radiance field
# fix: no_grad
# levers: no_grad stop_leak smaller_batch=2048 bf16_autocast
"""A radiance field is trained on rays; a whole picture is rendered every few steps to look at it."""
import os
from contextlib import nullcontext

import torch
import torch.nn as nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
RAYS = int(VALUE) if LEVER == "smaller_batch" else 2048
SAMPLES, SIDE, CHUNK = 64, 128, 2048


class Field(nn.Module):
    def __init__(self, width=256, depth=6):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(63 if i == 0 else width, width) for i in range(depth)])
        self.leave = nn.Linear(width, 4)

    def forward(self, points):
        waves = [f(points * 2 ** i) for i in range(10) for f in (torch.sin, torch.cos)]
        x = torch.cat([points, *waves], -1)
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.leave(x)


def render(field, origins, directions):
    t = torch.linspace(2, 6, SAMPLES, device="cuda")
    points = origins[:, None] + directions[:, None] * t[None, :, None]
    out = field(points)
    alpha = 1 - torch.exp(-F.relu(out[..., 3]) * 0.06)
    through = torch.cumprod(1 - alpha + 1e-10, -1)
    return ((alpha * through)[..., None] * torch.sigmoid(out[..., :3])).sum(1)


def picture(field):
    origins = torch.zeros(SIDE * SIDE, 3, device="cuda")
    directions = F.normalize(torch.randn(SIDE * SIDE, 3, device="cuda"), dim=-1)
    parts = []
    with torch.no_grad() if LEVER == "no_grad" else nullcontext():
        for o, d in zip(origins.split(CHUNK), directions.split(CHUNK)):
            part = render(field, o, d)
            parts.append(part.detach() if LEVER == "stop_leak" else part)
    return torch.cat(parts).view(SIDE, SIDE, 3)


field = Field().cuda()
optimizer = torch.optim.Adam(field.parameters(), lr=5e-4)
for step in range(8):
    origins = torch.randn(RAYS, 3, device="cuda")
    directions = F.normalize(torch.randn(RAYS, 3, device="cuda"), dim=-1)
    target = torch.rand(RAYS, 3, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.mse_loss(render(field, origins, directions), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 4 == 3:
        view = picture(field)
        print(f"step {step}: mean {view.mean().item():.3f}")
