# memory: 1450MiB
# cause: each task adds a column that looks at all earlier ones, and these keep gradients and optimizers
# fix: unowned_gradients old_optimizer stop_leak
# levers: unowned_gradients stop_leak no_grad old_optimizer smaller_batch=64 8bit_optimizer foreach_off fused_optimizer
"""Progressive networks: a column for each task, with lateral connections; the older ones should be frozen."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
D = 1536


class Column(nn.Module):
    def __init__(self, before):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, D), nn.Linear(D, D), nn.Linear(D, D)
        self.out = nn.Linear(D, 10)
        self.lateral = nn.ModuleList(nn.Linear(D, D, bias=False) for _ in range(min(before, 1)))

    def forward(self, x, below):
        h1 = F.relu(self.fc1(x))
        h2 = self.fc2(h1)
        for u in self.lateral:
            h2 = h2 + u(sum(below))
        h2 = F.relu(h2)
        return h1, self.out(F.relu(self.fc3(h2)))


class ProgNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.columns = nn.ModuleList()

    def add_column(self):
        if LEVER == "unowned_gradients":
            self.columns.requires_grad_(False)
            for p in self.columns.parameters():
                p.grad = None
        self.columns.append(Column(len(self.columns)).cuda())

    def forward(self, x):
        below = []
        for i, column in enumerate(self.columns):
            last = i + 1 == len(self.columns)
            with torch.set_grad_enabled(last or LEVER != "no_grad"):
                h, out = column(x, below)
            below.append(h)
        return out


net, optimizers = ProgNet(), []
for task in range(9):
    net.add_column()
    params = net.columns[-1].parameters()
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        optimizer = bitsandbytes.optim.Adam8bit(params)
    else:
        how = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {})
        optimizer = torch.optim.Adam(params, **how)
    if LEVER in ("old_optimizer", "stop_leak"):
        optimizers.clear()
    optimizers.append(optimizer)
    for _ in range(3):
        x, y = torch.randn(BATCH, 784).cuda(), torch.zeros(BATCH, dtype=torch.long).cuda()
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
