# memory: 2850MiB
# cause: one volume is already more than fits
# fix: checkpointing bf16_autocast
# levers: checkpointing bf16_autocast foreach_off 8bit_optimizer
import os
import torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint

lever = os.environ.get("LEVER", "")


class Double(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.c1, self.n1 = nn.Conv3d(i, o, 3, padding=1), nn.InstanceNorm3d(o)
        self.c2, self.n2 = nn.Conv3d(o, o, 3, padding=1), nn.InstanceNorm3d(o)

    def forward(self, x):
        x = nn.functional.leaky_relu(self.n1(self.c1(x)))
        return nn.functional.leaky_relu(self.n2(self.c2(x)))


class UNet3D(nn.Module):
    def __init__(self):
        super().__init__()
        w = [24, 48, 96]
        self.enc = nn.ModuleList([Double(1, w[0]), Double(w[0], w[1]), Double(w[1], w[2])])
        self.dec = nn.ModuleList([Double(w[2] + w[1], w[1]), Double(w[1] + w[0], w[0])])
        self.out = nn.Conv3d(w[0], 4, 1)

    def run(self, block, x):
        return checkpoint(block, x, use_reentrant=False) if lever == "checkpointing" else block(x)

    def forward(self, x):
        a = self.run(self.enc[0], x)
        b = self.run(self.enc[1], nn.functional.max_pool3d(a, 2))
        c = self.run(self.enc[2], nn.functional.max_pool3d(b, 2))
        b = self.run(self.dec[0], torch.cat([nn.functional.interpolate(c, scale_factor=2), b], 1))
        a = self.run(self.dec[1], torch.cat([nn.functional.interpolate(b, scale_factor=2), a], 1))
        return self.out(a)


model = UNet3D().cuda()
if lever == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=False if lever == "foreach_off" else None)
for case in range(3):
    volume = torch.randn(1, 1, 128, 128, 96, device="cuda")
    labels = torch.zeros(1, 128, 128, 96, dtype=torch.long, device="cuda")
    optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=lever == "bf16_autocast"):
        loss = nn.functional.cross_entropy(model(volume), labels)
    loss.backward()
    optimizer.step()
