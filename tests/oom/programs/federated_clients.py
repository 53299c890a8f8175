# memory: 1450MiB
# cause: each client has a model and an optimizer of its own that stay on the GPU
# fix: stop_leak
# levers: stop_leak foreach_off 8bit_optimizer smaller_batch=64
"""Federated averaging: in each round clients train copies of the global model, which are then averaged."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

import copy

BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
world = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(),
                      nn.Linear(2048, 10)).cuda()
for round_ in range(2):
    clients = []
    for _ in range(10):
        local = copy.deepcopy(world)
        opt = torch.optim.Adam(local.parameters(), foreach=False if LEVER == "foreach_off" else None)
        for step in range(3):
            x = torch.randn(BATCH, 1024, device="cuda")
            loss = F.cross_entropy(local(x), torch.zeros(BATCH, dtype=torch.long, device="cuda"))
            opt.zero_grad()
            loss.backward()
            opt.step()
        if LEVER == "stop_leak":
            opt = None
            local.zero_grad()
            local.cpu()
        clients.append((local, opt))
    with torch.no_grad():
        for name, p in world.named_parameters():
            p.copy_(torch.stack([c.get_parameter(name).to(p.device) for c, _ in clients]).mean(0))
