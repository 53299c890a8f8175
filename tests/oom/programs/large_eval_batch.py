# memory: 6GiB
# cause: the evaluation takes a batch ten times as large
# fix: smaller_batch
# levers: smaller_batch=160 bf16_autocast
"""A segmentation net whose evaluation loader has a larger batch; no_grad is there."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

BATCH = 16
EVAL = int(VALUE) if LEVER == "smaller_batch" else 160


class UNet(nn.Module):
    def __init__(self, w=32):
        super().__init__()
        self.a = nn.Conv2d(3, w, 3, padding=1)
        self.b = nn.Conv2d(w, 2 * w, 3, padding=1)
        self.c = nn.Conv2d(2 * w, 4 * w, 3, padding=1)
        self.up = nn.ConvTranspose2d(4 * w, 2 * w, 2, stride=2)
        self.d = nn.Conv2d(4 * w, 2 * w, 3, padding=1)
        self.up2 = nn.ConvTranspose2d(2 * w, w, 2, stride=2)
        self.e = nn.Conv2d(2 * w, 21, 3, padding=1)

    def forward(self, x):
        a = F.relu(self.a(x))
        b = F.relu(self.b(F.max_pool2d(a, 2)))
        c = F.relu(self.c(F.max_pool2d(b, 2)))
        d = F.relu(self.d(torch.cat([self.up(c), b], 1)))
        return self.e(torch.cat([self.up2(d), a], 1))


net = UNet().cuda()
opt = torch.optim.AdamW(net.parameters())
for epoch in range(2):
    for _ in range(4):
        x = torch.randn(BATCH, 3, 256, 256, device="cuda")
        y = torch.zeros(BATCH, 256, 256, dtype=torch.long, device="cuda")
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = F.cross_entropy(net(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
    net.eval()
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        for _ in range(2):
            x = torch.randn(EVAL, 3, 256, 256, device="cuda")
            net(x).argmax(1)
    net.train()
