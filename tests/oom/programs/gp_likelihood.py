# memory: 4GiB
# cause: an exact Gaussian process keeps many matrices of points x points for its marginal likelihood
# fix: smaller_batch checkpointing accumulate
# levers: smaller_batch=9000 checkpointing accumulate=1 bf16_autocast foreach_off 8bit_optimizer
"""Deep kernel learning; all training points are one batch. accumulate: a mean over disjoint experts."""
import math
import os

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
POINTS = int(VALUE) if LEVER == "smaller_batch" else 9000
PARTS = int(VALUE) if LEVER == "accumulate" else 1


class Matern(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.log_length = nn.Parameter(torch.zeros(inputs))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, a, b):
        a, b = a / self.log_length.exp(), b / self.log_length.exp()
        square = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
        r = math.sqrt(5) * (square.clamp(min=0) + 1e-10).sqrt()
        return self.log_scale.exp() * (1 + r + r * r / 3) * torch.exp(-r)


class DeepKernelGP(nn.Module):
    def __init__(self, inputs=21):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(inputs, 256), nn.Tanh(), nn.Linear(256, 64), nn.Tanh(), nn.Linear(64, 4))
        self.kernel = Matern(4)
        self.log_noise = nn.Parameter(torch.tensor(-2.0))
        self.mean = nn.Parameter(torch.zeros(()))

    def covariance(self, z):
        k = checkpoint(self.kernel, z, z, use_reentrant=False) if LEVER == "checkpointing" else self.kernel(z, z)
        return k + (self.log_noise.exp() + 1e-4) * torch.eye(len(z), device=z.device)

    def forward(self, x, y):
        factor = torch.linalg.cholesky(self.covariance(self.features(x)).float())
        diff = (y - self.mean)[:, None]
        alpha = torch.cholesky_solve(diff, factor)
        fit = (diff * alpha).sum()
        volume = 2 * factor.diagonal().log().sum()
        return 0.5 * (fit + volume + len(x) * math.log(2 * math.pi)) / len(x)

    @torch.no_grad()
    def predict(self, x, y, new):
        z, w = self.features(x), self.features(new)
        factor = torch.linalg.cholesky(self.covariance(z))
        return self.mean + self.kernel(w, z) @ torch.cholesky_solve((y - self.mean)[:, None], factor)


X, Y = torch.randn(POINTS, 21).cuda(), torch.randn(POINTS).cuda()
gp = DeepKernelGP().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(gp.parameters(), lr=0.01)
else:
    optimizer = torch.optim.Adam(gp.parameters(), lr=0.01, foreach=False if LEVER == "foreach_off" else None)
best = math.inf
for step in range(3):
    optimizer.zero_grad()
    value = 0.0
    for x, y in zip(X.chunk(PARTS), Y.chunk(PARTS)):
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = gp(x, y) / PARTS
        loss.backward()
        value += loss.item()
    optimizer.step()
    best = min(best, value)
print("negative log likelihood", best, gp.predict(X[:2000], Y[:2000], torch.randn(50, 21).cuda()).shape)
