# memory: 2GiB
# cause: a hundred rounds of Sinkhorn's algorithm are propagated through: each keeps its matrix
# fix: checkpoint_turns
# levers: smaller_batch=2048 bf16_autocast checkpoint_turns
"""Matching of two sets: an optimal transport plan by a hundred rounds of Sinkhorn's algorithm."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

from torch.utils.checkpoint import checkpoint

BATCH = int(VALUE) if LEVER == "smaller_batch" else 2048
encode = nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 128)).cuda()
opt = torch.optim.Adam(encode.parameters())


def round_of(cost, u, v):
    u = -torch.logsumexp(cost + v[None, :], 1)
    return u, -torch.logsumexp(cost + u[:, None], 0)


def plan(cost, rounds=100):
    u = torch.zeros(cost.shape[0], device="cuda")
    v = torch.zeros(cost.shape[1], device="cuda")
    for _ in range(rounds):
        if LEVER == "checkpoint_turns":
            u, v = checkpoint(round_of, cost, u, v, use_reentrant=False)
        else:
            u, v = round_of(cost, u, v)
    return torch.exp(cost + u[:, None] + v[None, :])


for step in range(3):
    a = encode(torch.randn(BATCH, 256, device="cuda"))
    b = encode(torch.randn(BATCH, 256, device="cuda"))
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        cost = torch.cdist(a, b)
        t = plan(-cost / 0.05)
        loss = (t * cost).sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
