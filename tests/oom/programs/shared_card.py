# memory: 16GiB
# simulate: --outside 10GiB
# cause: another process holds most of the card
# fix: free_device
# levers: smaller_batch=512 checkpointing bf16_autocast
import os
import torch
import torch.nn as nn
import torch.utils.checkpoint

lever, _, value = os.environ.get("LEVER", "").partition("=")


class Block(nn.Module):
    """Depthwise and pointwise, as in MobileNet."""

    def __init__(self, c, expand=4):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(c, c * expand, 1), nn.BatchNorm2d(c * expand), nn.Hardswish(),
                                 nn.Conv2d(c * expand, c * expand, 3, padding=1, groups=c * expand),
                                 nn.BatchNorm2d(c * expand), nn.Hardswish(),
                                 nn.Conv2d(c * expand, c, 1), nn.BatchNorm2d(c))

    def forward(self, x):
        return x + self.net(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, 4)
        self.blocks = nn.ModuleList(Block(32) for _ in range(6))
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            if lever == "checkpointing":
                x = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return self.fc(x.mean((2, 3)))


net = Net().cuda()
opt = torch.optim.RMSprop(net.parameters(), lr=1e-3)
n = int(value) if lever == "smaller_batch" else 512
for i in range(3):
    opt.zero_grad()
    x = torch.randn(n, 3, 128, 128, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=lever == "bf16_autocast"):
        loss = nn.functional.cross_entropy(net(x), torch.zeros(n, dtype=torch.long, device="cuda"))
    loss.backward()
    opt.step()
