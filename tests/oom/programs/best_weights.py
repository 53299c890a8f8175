# memory: 2GiB
# cause: each better epoch leaves a copy of weights and optimizer on the GPU
# fix: stop_leak
# levers: stop_leak foreach_off 8bit_optimizer smaller_batch=64
"""Early stopping: the state of model and optimizer is copied at every epoch that is the best so far."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

import copy

BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
net = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(2048, 2048), nn.GELU())],
                    nn.Linear(2048, 10)).cuda()
opt = torch.optim.AdamW(net.parameters(), foreach=False if LEVER == "foreach_off" else None)
checkpoints = {}


def copy_of(state):
    if torch.is_tensor(state):
        return state.cpu() if LEVER == "stop_leak" else state.clone()
    if isinstance(state, dict):
        return {k: copy_of(v) for k, v in state.items()}
    return [copy_of(v) for v in state] if isinstance(state, list) else state


for epoch in range(12):
    for step in range(4):
        x = torch.randn(BATCH, 2048, device="cuda")
        loss = F.cross_entropy(net(x), torch.zeros(BATCH, dtype=torch.long, device="cuda"))
        opt.zero_grad()
        loss.backward()
        opt.step()
    checkpoints[epoch] = {"model": copy_of(net.state_dict()), "optimizer": copy_of(opt.state_dict())}
