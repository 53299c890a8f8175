# memory: 2150MiB
# cause: each stage makes a new optimizer while the schedulers hold the old ones and their states
# fix: old_optimizer
# levers: old_optimizer 8bit_optimizer foreach_off fused_optimizer smaller_batch=32 bf16_autocast zero_grad_first
"""Gradual unfreezing (ULMFiT): from stage to stage one more group of layers learns."""
import os
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32


def build_optimizer(params):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.AdamW8bit(params, lr=1e-3)
    kind = {"foreach_off": dict(foreach=False), "fused_optimizer": dict(fused=True)}
    return torch.optim.AdamW(params, lr=1e-3, **kind.get(LEVER, {}))


class Classifier(nn.Module):
    def __init__(self, width=1024):
        super().__init__()
        self.embed = nn.Embedding(8000, width)
        self.groups = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(8))
        self.head = nn.Linear(width, 20)

    def forward(self, tokens):
        x = self.embed(tokens).mean(1)
        for group in self.groups:
            x = x + group(x)
        return self.head(x)


model = Classifier().cuda()
model.embed.requires_grad_(False)
schedulers = []
for stage in range(3):
    if LEVER == "old_optimizer":
        schedulers.clear()
        optimizer = None
    trained = [*model.head.parameters()]
    for group in model.groups[4 - 2 * stage:]:
        trained += group.parameters()
    optimizer = build_optimizer(trained)
    schedulers.append(CosineAnnealingLR(optimizer, T_max=5))
    for step in range(5):
        tokens = torch.randint(8000, (BATCH, 100), device="cuda")
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = nn.functional.cross_entropy(model(tokens), torch.zeros_like(tokens[:, 0]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedulers[-1].step()
