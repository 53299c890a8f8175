# memory: 3300MiB
# cause: one dry run with a batch of one goes well, then the real batches of a U-Net with skips come
# fix: checkpointing smaller_batch
# levers: checkpointing smaller_batch=12 bf16_autocast zero_grad_first 8bit_optimizer foreach_off fused_optimizer optimizer_in_backward
"""Retina vessels: U-Net in the manner of the paper; the first step only tries the pipeline."""
import os

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 12


class DoubleConv(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.seq = nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
                                 nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))

    def forward(self, x):
        return self.seq(x)


class UNet(nn.Module):
    def __init__(self, channels=(48, 96, 192, 384)):
        super().__init__()
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        previous = 3
        for c in channels:
            self.downs.append(DoubleConv(previous, c))
            previous = c
        self.bottleneck = DoubleConv(previous, 2 * previous)
        for c in reversed(channels):
            self.ups.append(nn.ConvTranspose2d(2 * c, c, 2, 2))
            self.ups.append(DoubleConv(2 * c, c))
        self.pool = nn.MaxPool2d(2)
        self.final = nn.Conv2d(channels[0], 1, 1)

    def call(self, layer, x):
        if LEVER == "checkpointing" and layer in set(self.downs):
            return checkpoint(layer, x, use_reentrant=False)
        return layer(x)

    def forward(self, x):
        skips = []
        for down in self.downs:
            x = self.call(down, x)
            skips.append(x)
            x = self.pool(x)
        x = self.call(self.bottleneck, x)
        for i in range(0, len(self.ups), 2):
            x = self.ups[i](x)
            x = torch.cat((skips[-1 - i // 2], x), dim=1)
            x = self.call(self.ups[i + 1], x)
        return self.final(x)


def train_fn(batches, model, optimizer, loss_fn):
    for data, targets in batches:
        data, targets = data.to("cuda"), targets.float().unsqueeze(1).to("cuda")
        if LEVER == "zero_grad_first":
            optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = loss_fn(model(data), targets)
        if optimizer:
            optimizer.zero_grad()
        loss.backward()
        if optimizer:
            optimizer.step()


def fake(batch, count):
    return [(torch.rand(batch, 3, 256, 256), torch.zeros(batch, 256, 256)) for _ in range(count)]


model = UNet().to("cuda")
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters(), lr=1e-4)
elif LEVER == "optimizer_in_backward":
    optimizer = None
    for p in model.parameters():
        own = torch.optim.Adam([p], lr=1e-4)
        p.register_post_accumulate_grad_hook(lambda _, o=own: o.step() or o.zero_grad())
else:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, foreach=False if LEVER == "foreach_off" else None,
                                 fused=True if LEVER == "fused_optimizer" else None)
loss_fn = nn.BCEWithLogitsLoss()
train_fn(fake(1, 1), model, optimizer, loss_fn)
for epoch in range(2):
    train_fn(fake(BATCH, 3), model, optimizer, loss_fn)
