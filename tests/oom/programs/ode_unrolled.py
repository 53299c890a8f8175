# memory: 2150MiB
# cause: a Runge-Kutta solver is unrolled in autograd: every stage of every step keeps its activations
# fix: checkpointing offload smaller_batch accumulate
# levers: checkpointing offload smaller_batch=64 bf16_autocast 8bit_optimizer accumulate=1
"""A neural ODE for pictures, by discretize-then-optimize."""
import contextlib
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
PARTS = int(VALUE) if LEVER == "accumulate" else 1


def time_channel(t, x):
    return torch.cat([torch.full_like(x[:, :1], t), x], 1)


class Dynamics(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(16, c), nn.GroupNorm(16, c)
        self.conv1, self.conv2 = nn.Conv2d(c + 1, c, 3, padding=1), nn.Conv2d(c + 1, c, 3, padding=1)
        self.calls = 0

    def forward(self, t, x):
        self.calls += 1
        x = self.conv1(time_channel(t, F.relu(self.norm1(x))))
        return self.conv2(time_channel(t, F.relu(self.norm2(x))))


def rk4_step(f, t, dt, y):
    k1 = f(t, y)
    k2 = f(t + dt / 2, y + dt / 2 * k1)
    k3 = f(t + dt / 2, y + dt / 2 * k2)
    k4 = f(t + dt, y + dt * k3)
    return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


class ODENet(nn.Module):
    def __init__(self, c=64, steps=6, classes=10):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, c, 3, 1, 1), nn.GroupNorm(16, c), nn.ReLU(), nn.Conv2d(c, c, 4, 2, 1))
        self.f, self.steps = Dynamics(c), steps
        self.head = nn.Sequential(nn.GroupNorm(16, c), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes))

    def integrate(self, y):
        dt = 1 / self.steps
        for i in range(self.steps):
            if LEVER == "checkpointing":
                y = checkpoint(rk4_step, self.f, i * dt, dt, y, use_reentrant=False)
            else:
                y = rk4_step(self.f, i * dt, dt, y)
        return y

    def forward(self, x):
        return self.head(self.integrate(self.down(x)))


def saved():
    return torch.autograd.graph.save_on_cpu() if LEVER == "offload" else contextlib.nullcontext()


net = ODENet().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.SGD8bit(net.parameters(), lr=0.1, momentum=0.9)
else:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for step in range(2):
    images, labels = torch.rand(BATCH, 3, 64, 64), torch.randint(0, 10, (BATCH,))
    optimizer.zero_grad()
    for x, y in zip(images.chunk(PARTS), labels.chunk(PARTS)):
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"), saved():
            loss = F.cross_entropy(net(x.cuda()), y.cuda()) / PARTS
        loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item(), "evaluations", net.f.calls)
    net.f.calls = 0
