# memory: 2700MiB
# cause: the whole network is one checkpointed segment: all of it is there again when it is computed anew in the backward
# fix: checkpointing smaller_batch bf16_autocast
# levers: checkpointing smaller_batch=16 bf16_autocast 8bit_optimizer foreach_off fused_optimizer
"""A residual network with a Mish of its own; gradient checkpointing was switched on and did not help."""
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16


class MishFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        inner = torch.tanh(F.softplus(x))
        ctx.save_for_backward(x, inner)
        return x * inner

    @staticmethod
    def backward(ctx, grad):
        x, inner = ctx.saved_tensors
        return grad * (inner + x * (1 - inner * inner) * torch.sigmoid(x))


class ConvBlock(nn.Module):
    def __init__(self, a, b, stride=1):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)

    def forward(self, x):
        return MishFunction.apply(self.bn(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = ConvBlock(c, c // 2), ConvBlock(c // 2, c)

    def forward(self, x):
        return x + self.b(self.a(x))


class Darknet(nn.Module):
    def __init__(self, classes=200, depths=(1, 2, 4, 4)):
        super().__init__()
        self.stem = ConvBlock(3, 32)
        self.blocks = nn.ModuleList()
        c = 32
        for depth in depths:
            self.blocks.append(ConvBlock(c, 2 * c, 2))
            c *= 2
            self.blocks.extend(Residual(c) for _ in range(depth))
        self.head = nn.Linear(c, classes)

    def features(self, x):
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if LEVER == "checkpointing" else block(x)
        return x

    def forward(self, x):
        x = self.stem(x)
        if self.training and LEVER != "checkpointing":
            x = checkpoint(self.features, x, use_reentrant=False)
        else:
            x = self.features(x)
        return self.head(x.mean((2, 3)))


net = Darknet().cuda().train()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.RMSprop8bit(net.parameters(), lr=1e-3, alpha=0.9)
else:
    optimizer = torch.optim.NAdam(net.parameters(), lr=1e-3, foreach=False if LEVER == "foreach_off" else None)
    if LEVER == "fused_optimizer":
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
scaler = torch.amp.GradScaler("cuda", enabled=LEVER == "bf16_autocast")
for step in range(4):
    images, labels = torch.rand(BATCH, 3, 256, 256).cuda(), torch.randint(0, 200, (BATCH,)).cuda()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.cross_entropy(net(images), labels)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    print(step, loss.item())
