# memory: 1750MiB
# cause: averaged weights are a second model on the GPU
# fix: frozen_copy_elsewhere
# levers: frozen_copy_elsewhere 8bit_optimizer foreach_off fused_optimizer smaller_batch=8 bf16_autocast
"""A diffusion-like U-Net whose weights are averaged with an exponential decay."""
import copy
import os

import torch
import torch.nn.functional as F
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 8


class Res(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.a = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.b = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.time = nn.Linear(256, c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x, t):
        h = F.silu(self.a(x)) + self.time(t)[:, :, None, None]
        return self.skip(x) + F.silu(self.b(h))


class UNet(nn.Module):
    def __init__(self, widths=(128, 256, 512, 1024)):
        super().__init__()
        self.enter = nn.Conv2d(3, widths[0], 3, padding=1)
        pairs = list(zip(widths, widths[1:]))
        self.down = nn.ModuleList(Res(a, b) for a, b in pairs)
        self.mid = Res(widths[-1], widths[-1])
        self.up = nn.ModuleList(Res(2 * b, a) for a, b in reversed(pairs))
        self.leave = nn.Conv2d(widths[0], 3, 1)

    def forward(self, x, t):
        x, kept = self.enter(x), []
        for block in self.down:
            x = F.avg_pool2d(block(x, t), 2)
            kept.append(x)
        x = self.mid(x, t)
        for block in self.up:
            x = F.interpolate(block(torch.cat([x, kept.pop()], 1), t), scale_factor=2)
        return self.leave(x)


class EMA:
    def __init__(self, model, decay=0.999):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        if LEVER == "frozen_copy_elsewhere":
            self.model.cpu()

    @torch.no_grad()
    def update(self, model):
        for mine, theirs in zip(self.model.parameters(), model.parameters()):
            mine.lerp_(theirs.to(mine.device), 1 - self.decay)


unet = UNet().cuda()
ema = EMA(unet)
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(unet.parameters(), lr=1e-4)
else:
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4,
                                  foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
for step in range(4):
    images = torch.randn(BATCH, 3, 64, 64).cuda()
    noise, t = torch.randn_like(images), torch.randn(BATCH, 256, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.mse_loss(unet(images + noise, t), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    ema.update(unet)
