# memory: 1GiB
# cause: validation with gradients on, on larger batches than training
# fix: no_grad
# levers: no_grad smaller_batch=24 checkpointing bf16_autocast zero_grad_first
"""Semantic segmentation: a small encoder-decoder, validated after every epoch."""
import contextlib
import os

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
EVAL_BATCH = int(VALUE) if LEVER == "smaller_batch" else 24


class ConvBlock(nn.Module):
    def __init__(self, cin, cout, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class SegNet(nn.Module):
    def __init__(self, classes=21):
        super().__init__()
        self.stages = nn.ModuleList([ConvBlock(3, 32), ConvBlock(32, 64, 2), ConvBlock(64, 64),
                                     ConvBlock(64, 128, 2), ConvBlock(128, 128)])
        self.up = nn.Upsample(scale_factor=4, mode="bilinear")
        self.classify = nn.Conv2d(128, classes, 1)

    def forward(self, x):
        for stage in self.stages:
            if LEVER == "checkpointing" and x.requires_grad:
                x = checkpoint(stage, x, use_reentrant=False)
            else:
                x = stage(x)
        return self.up(self.classify(x))


def loader(batch, batches):
    for _ in range(batches):
        yield (torch.randn(batch, 3, 224, 224).cuda(non_blocking=True),
               torch.zeros(batch, 224, 224, dtype=torch.long, device="cuda"))


model = SegNet().cuda()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
amp = torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")

for epoch in range(2):
    model.train()
    for images, masks in loader(8, 4):
        if LEVER == "zero_grad_first":
            optimizer.zero_grad()
        with amp:
            loss = criterion(model(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    model.eval()
    correct = 0
    with torch.no_grad() if LEVER == "no_grad" else contextlib.nullcontext(), amp:
        for images, masks in loader(EVAL_BATCH, 3):
            correct += (model(images).argmax(1) == masks).sum().item()
