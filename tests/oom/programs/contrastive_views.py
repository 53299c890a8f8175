# memory: 4150MiB
# cause: two views of a large batch and their similarities at once
# fix: smaller_batch bf16_autocast
# levers: smaller_batch=4096 checkpointing bf16_autocast
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.utils.checkpoint as ckpt

lever, _, value = os.environ.get("LEVER", "").partition("=")


def conv(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class SimCLR(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleList([conv(3, 32, 1), conv(32, 64, 2), conv(64, 128, 2), conv(128, 256, 2)])
        self.project = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 128))

    def forward(self, x):
        for stage in self.backbone:
            x = ckpt.checkpoint(stage, x, use_reentrant=False) if lever == "checkpointing" else stage(x)
        return F.normalize(self.project(x.mean((-1, -2))), dim=1)


def nt_xent(z1, z2, tau=0.2):
    z = torch.cat([z1, z2])
    sim = z @ z.T / tau
    sim = sim - 1e9 * torch.eye(len(z), device=z.device)
    n = len(z1)
    positives = torch.cat([torch.arange(n, 2 * n), torch.arange(n)]).to(z.device)
    return F.cross_entropy(sim, positives)


model = SimCLR().cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-4)
batch = int(value) if lever == "smaller_batch" else 4096
for step in range(3):
    images = torch.rand(batch, 3, 32, 32, device="cuda")
    view1 = images + 0.1 * torch.randn_like(images)
    view2 = images.flip(-1)
    optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=lever == "bf16_autocast"):
        loss = nt_xent(model(view1), model(view2))
    loss.backward()
    optimizer.step()
