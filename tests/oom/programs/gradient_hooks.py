# memory: 2GiB
# cause: a hook on each parameter keeps every gradient
# fix: stop_leak
# levers: stop_leak foreach_off 8bit_optimizer smaller_batch=64
"""Hooks on the parameters write down gradients, to look at their noise scale later."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
net = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(2048, 2048), nn.GELU())],
                    nn.Linear(2048, 10)).cuda()
seen = {name: [] for name, _ in net.named_parameters()}


def keeper(name):
    def hook(grad):
        seen[name].append(grad.norm().item() if LEVER == "stop_leak" else grad)
    return hook


for name, p in net.named_parameters():
    p.register_hook(keeper(name))
opt = torch.optim.AdamW(net.parameters(), foreach=False if LEVER == "foreach_off" else None)
for step in range(30):
    x = torch.randn(BATCH, 2048, device="cuda")
    loss = F.cross_entropy(net(x), torch.zeros(BATCH, dtype=torch.long, device="cuda"))
    opt.zero_grad()
    loss.backward()
    opt.step()
