# memory: 1200MiB
# cause: the distances of every position of the picture to every code are made for the whole batch
# fix: smaller_batch
# levers: smaller_batch=8 no_grad bf16_autocast checkpointing foreach_off fused_optimizer
"""A vector-quantised autoencoder whose look-up of the nearest code keeps its distances for backward."""
import os
from contextlib import nullcontext
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 24
CODES, WIDTH = 4096, 64


class VQ(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(3, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 4, 2, 1),
                                 nn.ReLU(), nn.Conv2d(128, WIDTH, 1))
        self.dec = nn.Sequential(nn.ConvTranspose2d(WIDTH, 128, 4, 2, 1), nn.ReLU(),
                                 nn.ConvTranspose2d(128, 3, 4, 2, 1))
        self.codes = nn.Parameter(torch.randn(CODES, WIDTH))

    def nearest(self, z):
        with torch.no_grad() if LEVER == "no_grad" else nullcontext():
            d = (z ** 2).sum(1, keepdim=True) - 2 * z @ self.codes.T + (self.codes ** 2).sum(1)
            return d.softmax(1).argmax(1)

    def forward(self, x):
        z = checkpoint(self.enc, x, use_reentrant=False) if LEVER == "checkpointing" else self.enc(x)
        b, c, h, w = z.shape
        flat = z.permute(0, 2, 3, 1).reshape(-1, c).float()
        q = self.codes[self.nearest(flat)].view(b, h, w, c).permute(0, 3, 1, 2)
        commit = F.mse_loss(z.float(), q.detach()) * 0.25 + F.mse_loss(q, z.detach().float())
        return self.dec(z + (q - z).detach()), commit


net = VQ().cuda()
how = {"foreach": False} if LEVER == "foreach_off" else {"fused": True} if LEVER == "fused_optimizer" else {}
opt = torch.optim.Adam(net.parameters(), lr=2e-4, **how)
for step in range(10):
    side = 64 if step < 3 else 128                   # small pictures first
    x = torch.randn(BATCH, 3, side, side, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        y, commit = net(x)
    loss = F.mse_loss(y.float(), x) + commit
    opt.zero_grad()
    loss.backward()
    opt.step()
    print(step, flush=True)
