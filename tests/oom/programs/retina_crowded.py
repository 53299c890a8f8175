# memory: 2900MiB
# cause: one picture has very many boxes: anchors x boxes overlaps are written out on the GPU
# fix:
# levers: smaller_batch=4 bf16_autocast checkpointing 8bit_optimizer foreach_off fused_optimizer zero_grad_first
"""A one-stage detector; targets are matched to anchors on the GPU, picture by picture."""
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 4


class Stage(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(a, b, 3, 2, 1), nn.Conv2d(b, b, 3, 1, 1)
        self.bn1, self.bn2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Detector(nn.Module):
    def __init__(self, classes=80, anchors=9):
        super().__init__()
        self.stages = nn.ModuleList([Stage(3, 32), Stage(32, 64), Stage(64, 128), Stage(128, 256)])
        self.cls, self.box = nn.Conv2d(256, anchors * classes, 3, 1, 1), nn.Conv2d(256, anchors * 4, 3, 1, 1)
        self.classes = classes

    def forward(self, x):
        for stage in self.stages:
            x = checkpoint(stage, x, use_reentrant=False) if LEVER == "checkpointing" else stage(x)
        n = len(x)
        return (self.cls(x).permute(0, 2, 3, 1).reshape(n, -1, self.classes),
                self.box(x).permute(0, 2, 3, 1).reshape(n, -1, 4))


def box_iou(a, b):
    area_a, area_b = ((z[:, 2] - z[:, 0]) * (z[:, 3] - z[:, 1]) for z in (a, b))
    lt, rb = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    wh = (rb - lt).clamp(min=0)
    inter = wh[:, :, 0] * wh[:, :, 1]
    return inter / (area_a[:, None] + area_b - inter)


def losses(cls, box, anchors, targets):
    total = 0
    for c, b, boxes in zip(cls, box, targets):
        iou, index = box_iou(anchors, boxes).max(1)
        positive = (iou > 0.5).float()
        total = total + F.binary_cross_entropy_with_logits(c, positive[:, None].expand_as(c))
        total = total + (F.smooth_l1_loss(b, boxes[index] - anchors, reduction="none").sum(1) * positive).mean()
    return total / len(cls)


model = Detector().cuda()
anchors = torch.rand(9 * 32 * 32, 4, device="cuda")
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters(), lr=1e-4)
else:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, foreach=False if LEVER == "foreach_off" else None,
                                 fused=True if LEVER == "fused_optimizer" else None)
crowd = [12, 7, 30, 5, 44, 18, 9000, 21]
for step in range(8):
    images = torch.rand(BATCH, 3, 512, 512, device="cuda")
    targets = [torch.rand(crowd[step] if i == 0 else 8, 4, device="cuda") for i in range(BATCH)]
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        cls, box = model(images)
        loss = losses(cls, box, anchors, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
