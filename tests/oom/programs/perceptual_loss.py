# memory: 1850MiB
# cause: the target's features are computed with a graph, by a network that nobody trains
# fix: unowned_gradients no_grad
# levers: unowned_gradients no_grad smaller_batch=8 checkpointing bf16_autocast zero_grad_first
import os
from contextlib import nullcontext
import torch
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint

lever, _, value = os.environ.get("LEVER", "").partition("=")
bs = int(value) if lever == "smaller_batch" else 8


class SuperResolution(nn.Module):
    def __init__(self, width=64, blocks=8):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks))
        self.last = nn.Sequential(nn.Conv2d(width, 48, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, low):
        x = self.first(low)
        for block in self.blocks:
            x = x + (checkpoint(block, x, use_reentrant=False) if lever == "checkpointing" else block(x))
        return self.last(x)


vgg = torchvision.models.vgg16(weights=None).features[:23].cuda().eval()
for module in vgg:
    if isinstance(module, nn.ReLU):
        module.inplace = False
if lever == "unowned_gradients":
    vgg.requires_grad_(False)
net = SuperResolution().cuda()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
for step in range(3):
    high = torch.rand(bs, 3, 256, 256, device="cuda")
    low = nn.functional.interpolate(high, scale_factor=0.25, mode="bicubic")
    if lever == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=lever == "bf16_autocast"):
        with torch.no_grad() if lever == "no_grad" else nullcontext():
            wanted = vgg(high)
        made = net(low)
        loss = (made - high).abs().mean() + 0.006 * (vgg(made) - wanted).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
