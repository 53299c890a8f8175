# memory: 4GiB
# cause: uncertainty by forty forwards with dropout on, with gradients on, all kept until they are stacked
# fix: no_grad
# levers: no_grad smaller_batch=48 bf16_autocast foreach_off fused_optimizer stop_leak
"""A regression of images with Monte Carlo dropout, its uncertainty looked at every five steps."""
import os
from contextlib import nullcontext
import torch
import torch.nn as nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 48


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [3, 64, 128, 256]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:]))
        self.out = nn.Linear(256, 1)

    def forward(self, x):
        for conv in self.convs:
            x = F.dropout(F.max_pool2d(F.relu(conv(x)), 2), 0.2)
        return self.out(x.mean((2, 3)))


net = Net().cuda()
how = {"foreach": False} if LEVER == "foreach_off" else {"fused": True} if LEVER == "fused_optimizer" else {}
opt = torch.optim.AdamW(net.parameters(), **how)
for step in range(20):
    x = torch.randn(BATCH, 3, 96, 96, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.mse_loss(net(x).float(), torch.randn(BATCH, 1, device="cuda"))
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 5 == 4:
        with torch.no_grad() if LEVER == "no_grad" else nullcontext():
            xs = torch.randn(BATCH, 3, 96, 96, device="cuda")
            samples = []
            for _ in range(40):
                with torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast"):
                    y = net(xs)
                samples.append(y.detach() if LEVER == "stop_leak" else y)
            print(step, float(torch.stack(samples).float().var(0).mean()), flush=True)
        del samples, y
