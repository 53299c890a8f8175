# memory: 2100MiB
# cause: derivatives of derivatives at very many collocation points
# fix: smaller_batch accumulate
# levers: smaller_batch=60000 accumulate=1
"""A physics-informed network for Burgers' equation u_t + u u_x = nu u_xx."""
import math
import os

import torch
from torch.autograd import grad

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
POINTS = int(VALUE) if LEVER == "smaller_batch" else 60_000
PARTS = int(VALUE) if LEVER == "accumulate" else 1
NU = 0.01 / math.pi


class Field(torch.nn.Module):
    def __init__(self, width=128, depth=8):
        super().__init__()
        sizes = [2] + [width] * depth + [1]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x, t):
        h = torch.stack([x, t], -1)
        for layer in self.layers[:-1]:
            h = torch.tanh(layer(h))
        return self.layers[-1](h).squeeze(-1)


def residual(u_net, x, t):
    x.requires_grad_()
    t.requires_grad_()
    u = u_net(x, t)
    u_x, u_t = grad(u.sum(), (x, t), create_graph=True)
    u_xx, = grad(u_x.sum(), x, create_graph=True)
    return u_t + u * u_x - NU * u_xx


field = Field().cuda()
opt = torch.optim.Adam(field.parameters(), lr=1e-3)
for it in range(3):
    opt.zero_grad()
    for _ in range(PARTS):
        x = 2 * torch.rand(POINTS // PARTS, device="cuda") - 1
        t = torch.rand(POINTS // PARTS, device="cuda")
        loss = residual(field, x, t).square().mean() / PARTS
        loss.backward()
        del loss
    opt.step()
