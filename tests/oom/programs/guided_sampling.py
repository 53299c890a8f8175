# memory: 2200MiB
# cause: pictures are sampled between epochs by guidance, and each image keeps the graph of those before it
# fix: stop_leak
# levers: stop_leak smaller_batch=32 bf16_autocast foreach_off fused_optimizer
"""A denoiser is trained; between the epochs pictures are sampled from it, guided by a classifier."""
import os

import torch
import torch.nn.functional as F
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32


def cast():
    return torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast")


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, 64), (64, 64), (64, 3)))

    def forward(self, x):
        return self.c(F.silu(self.b(F.silu(self.a(x)))))


net = Denoiser().cuda()
how = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {})
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, **how)
guide = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 10)).cuda()
guide.requires_grad_(False)


def sample():
    x, film = torch.randn(BATCH, 3, 32, 32, device="cuda"), []
    for _ in range(60):
        x = x.detach() if LEVER == "stop_leak" else x
        x = x.requires_grad_() if x.is_leaf else x
        with cast():
            noise = net(x).float()
            score = guide(x).float().log_softmax(-1)[:, 3].sum()
        slope, = torch.autograd.grad(score, x, retain_graph=LEVER != "stop_leak")
        x = x - 0.02 * noise + 0.01 * slope
        film.append(x.detach() if LEVER == "stop_leak" else x)
    return torch.stack([frame.detach() for frame in film]).mean(0)


for epoch in range(4):
    for _ in range(3):
        x = torch.randn(BATCH, 3, 32, 32, device="cuda")
        with cast():
            loss = F.mse_loss(net(x + torch.randn_like(x)).float(), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    picture = sample()
