# memory: 3000MiB
# cause: for each task a copy of the weights and of their importance is kept on the GPU
# fix: stop_leak
# levers: stop_leak foreach_off 8bit_optimizer smaller_batch=256
"""Elastic weight consolidation: each task leaves its weights and their Fisher information for the next."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

BATCH = int(VALUE) if LEVER == "smaller_batch" else 256
net = nn.Sequential(nn.Linear(784, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(),
                    nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10)).cuda()
opt = torch.optim.Adam(net.parameters(), foreach=False if LEVER == "foreach_off" else None)
tasks = []


def penalty():
    total = 0
    for old, fisher in tasks:
        for p, o, f in zip(net.parameters(), old, fisher):
            total = total + (f.cuda() * (p - o.cuda()) ** 2).sum()
    return total


def batch():
    return (torch.randn(BATCH, 784, device="cuda"),
            torch.zeros(BATCH, dtype=torch.long, device="cuda"))


for task in range(6):
    for step in range(4):
        x, y = batch()
        loss = F.cross_entropy(net(x), y) + 100 * penalty()
        opt.zero_grad()
        loss.backward()
        opt.step()
    fisher = [torch.zeros_like(p) for p in net.parameters()]
    for _ in range(3):
        x, y = batch()
        net.zero_grad()
        F.cross_entropy(net(x), y).backward()
        for f, p in zip(fisher, net.parameters()):
            f += p.grad ** 2
    old = [p.detach().clone() for p in net.parameters()]
    if LEVER == "stop_leak":
        old, fisher = [o.cpu() for o in old], [f.cpu() for f in fisher]
    tasks.append((old, fisher))
