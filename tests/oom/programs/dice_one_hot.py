# memory: 1800MiB
# cause: dice loss over one-hot targets: whole numbers of eight bytes for every class and voxel
# fix: smaller_batch
# levers: smaller_batch=8 bf16_autocast checkpointing 8bit_optimizer foreach_off fused_optimizer
import os
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 8
CLASSES = 60


class Conv(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(8, b)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.01)


class Net(nn.Module):
    def __init__(self, c=32):
        super().__init__()
        self.enter = nn.Conv2d(1, c, 4, 4)
        self.body = nn.ModuleList([Conv(c, c) for _ in range(6)])
        self.head = nn.ConvTranspose2d(c, CLASSES, 4, 4)

    def forward(self, x):
        x = self.enter(x)
        for layer in self.body:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.head(x)


class DiceCELoss(nn.Module):
    def forward(self, logits, target):
        one_hot = F.one_hot(target, CLASSES).permute(0, 3, 1, 2)
        probs = F.softmax(logits.float(), dim=1)
        inter = (probs * one_hot).sum((0, 2, 3))
        union = probs.sum((0, 2, 3)) + one_hot.sum((0, 2, 3))
        dice = 1 - ((2 * inter + 1e-5) / (union + 1e-5)).mean()
        return dice + F.cross_entropy(logits, target)


net, criterion = Net().cuda(), DiceCELoss()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(net.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
for step in range(3):
    x, y = torch.randn(BATCH, 1, 384, 384).cuda(), torch.zeros(BATCH, 384, 384, dtype=torch.long).cuda()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = criterion(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
