# memory: 1950MiB
# cause: retain_graph=True on the last of several backwards keeps the step's graph until the next forward is over
# fix: stop_leak smaller_batch checkpointing bf16_autocast
# levers: stop_leak smaller_batch=96 bf16_autocast checkpointing 8bit_optimizer zero_grad_first empty_cache
"""Two heads on one trunk; each loss is propagated on its own, always with retain_graph=True."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 96


def block(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([block(3, 32), block(32, 32), block(32, 64), block(64, 64), block(64, 128)])

    def forward(self, x):
        for i, b in enumerate(self.blocks):
            x = checkpoint(b, x, use_reentrant=False) if LEVER == "checkpointing" else b(x)
            if i % 2:
                x = F.max_pool2d(x, 2)
        return x.mean((2, 3))


trunk, age, gender = Trunk().cuda(), nn.Linear(128, 100).cuda(), nn.Linear(128, 2).cuda()
params = [*trunk.parameters(), *age.parameters(), *gender.parameters()]
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(params)
else:
    optimizer = torch.optim.Adam(params)
for it in range(8):
    if LEVER == "empty_cache":
        torch.cuda.empty_cache()
    images = torch.randn(BATCH, 3, 96, 96).cuda()
    ages, genders = torch.zeros(BATCH, dtype=torch.long).cuda(), torch.zeros(BATCH, dtype=torch.long).cuda()
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        features = trunk(images)
        loss_age = F.cross_entropy(age(features), ages)
        loss_gender = F.cross_entropy(gender(features), genders)
    optimizer.zero_grad()
    loss_age.backward(retain_graph=True)
    loss_gender.backward(retain_graph=LEVER != "stop_leak")
    optimizer.step()
