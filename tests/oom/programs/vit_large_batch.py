# memory: 6GiB
# cause: the batch is too large for the activations of a deep model
# fix: smaller_batch checkpointing bf16_autocast
# levers: smaller_batch=128 checkpointing bf16_autocast foreach_off fused_optimizer 8bit_optimizer
"""ViT from scratch on crops of 224 pixels."""
import os

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, d=384, depth=12, heads=6, patch=16):
        super().__init__()
        self.patch = nn.Conv2d(3, d, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.pos = nn.Parameter(torch.zeros(1, 197, d))
        self.blocks = nn.Sequential(*(Block(d, heads) for _ in range(depth)))
        self.head = nn.Linear(d, 1000)

    def forward(self, images):
        x = self.patch(images).flatten(2).mT
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        if LEVER == "checkpointing":
            x = checkpoint_sequential(self.blocks, len(self.blocks), x, use_reentrant=False)
        else:
            x = self.blocks(x)
        return self.head(x[:, 0])


def make_optimizer(params):
    if LEVER == "8bit_optimizer":
        from bitsandbytes.optim import AdamW8bit
        return AdamW8bit(params, lr=1e-3, weight_decay=0.05)
    more = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {})
    return torch.optim.AdamW(params, lr=1e-3, weight_decay=0.05, **more)


batch_size = int(VALUE) if LEVER == "smaller_batch" else 128
vit = ViT().cuda()
optimizer = make_optimizer(vit.parameters())
loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)
for step in range(3):
    images = torch.randn(batch_size, 3, 224, 224, device="cuda")
    labels = torch.randint(1000, (batch_size,), device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = loss_fn(vit(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
