# memory: 3950MiB
# cause: meta-learning sums the query losses of all tasks, each with the graph of its inner steps
# fix: backward_each smaller_batch
# levers: backward_each smaller_batch=25 bf16_autocast 8bit_optimizer
"""MAML on small pictures: fast weights by torch.autograd.grad(create_graph=True)."""
import os

import torch
import torch.nn.functional as F
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
SHOTS = int(VALUE) if LEVER == "smaller_batch" else 25
TASKS, INNER = 8, 3


class Learner(nn.Module):
    def __init__(self, ways=5, c=64):
        super().__init__()
        self.weights = nn.ParameterList()
        last = 3
        for _ in range(4):
            self.weights.append(nn.Parameter(torch.randn(c, last, 3, 3) * 0.05))
            self.weights.append(nn.Parameter(torch.zeros(c)))
            last = c
        self.weights.append(nn.Parameter(torch.randn(ways, c * 25) * 0.05))
        self.weights.append(nn.Parameter(torch.zeros(ways)))

    def forward(self, x, weights=None):
        w = list(self.weights) if weights is None else weights
        for i in range(0, 8, 2):
            x = F.max_pool2d(F.relu(F.conv2d(x, w[i], w[i + 1], padding=1)), 2)
        return F.linear(x.flatten(1), w[8], w[9])


meta = Learner().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    meta_optim = bitsandbytes.optim.Adam8bit(meta.parameters(), lr=1e-3)
else:
    meta_optim = torch.optim.Adam(meta.parameters(), lr=1e-3)
for iteration in range(3):
    meta_optim.zero_grad()
    losses = []
    for task in range(TASKS):
        support, query = (torch.randn(SHOTS, 3, 84, 84, device="cuda") for _ in range(2))
        y = torch.zeros(SHOTS, dtype=torch.long, device="cuda")
        fast = list(meta.weights)
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            for _ in range(INNER):
                grads = torch.autograd.grad(F.cross_entropy(meta(support, fast), y), fast, create_graph=True)
                fast = [w - 0.01 * g for w, g in zip(fast, grads)]
            loss = F.cross_entropy(meta(query, fast), y)
        if LEVER == "backward_each":
            (loss / TASKS).backward()
        else:
            losses.append(loss)
    if LEVER != "backward_each":
        torch.stack(losses).mean().backward()
    meta_optim.step()
