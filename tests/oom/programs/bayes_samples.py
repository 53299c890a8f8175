# memory: 820MiB
# cause: the loss of ten samples of the weights is summed before one backward
# fix: backward_each
# levers: backward_each smaller_batch=128 bf16_autocast foreach_off fused_optimizer 8bit_optimizer
"""Bayes by backprop: each step samples the weights several times and averages the bound."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 512
SAMPLES = 10


class BayesLinear(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.mu = nn.Parameter(torch.randn(o, i) * 0.02)
        self.rho = nn.Parameter(torch.full((o, i), -5.0))

    def forward(self, x):
        sigma = F.softplus(self.rho)
        w = self.mu + sigma * torch.randn_like(sigma)
        self.kl = (sigma ** 2 + self.mu ** 2 - 2 * sigma.log() - 1).sum() / 2
        return F.linear(x, w)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = BayesLinear(784, 1200), BayesLinear(1200, 1200), BayesLinear(1200, 10)

    def forward(self, x):
        return self.c(F.relu(self.b(F.relu(self.a(x)))))

    def kl(self):
        return self.a.kl + self.b.kl + self.c.kl


net = Net().cuda()
how = {"foreach": False} if LEVER == "foreach_off" else {"fused": True} if LEVER == "fused_optimizer" else {}
if LEVER == "8bit_optimizer":
    import bitsandbytes as bnb
    opt = bnb.optim.Adam8bit(net.parameters(), lr=1e-3)
else:
    opt = torch.optim.Adam(net.parameters(), lr=1e-3, **how)
for step in range(12):
    samples = SAMPLES if step >= 4 else 2          # few samples while it warms up
    x = torch.randn(BATCH, 784, device="cuda")
    y = torch.randint(0, 10, (BATCH,), device="cuda")
    opt.zero_grad()
    total = 0
    for _ in range(samples):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            nll = F.cross_entropy(net(x), y)
            loss = (nll + 1e-6 * net.kl()) / samples
        if LEVER == "backward_each":
            loss.backward()
        else:
            total = total + loss
    if LEVER != "backward_each":
        total.backward()
    opt.step()
    print(step, flush=True)
