# memory: 5350MiB
# cause: gradient surgery has a gradient of the trunk for every task, and those of the last step are still held for their norms
# fix: stop_leak 8bit_optimizer
# levers: stop_leak 8bit_optimizer foreach_off fused_optimizer smaller_batch=32 checkpointing bf16_autocast zero_grad_first
import os
import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32
TASKS = {"age": 1, "income": 1, "segment": 40, "churn": 2}


class Residual(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        return x + self.down(F.silu(self.up(self.norm(x))))


class MultiTask(nn.Module):
    def __init__(self, fields=600, d=1536, depth=6):
        super().__init__()
        self.stem = nn.Linear(fields, d)
        self.trunk = nn.ModuleList(Residual(d) for _ in range(depth))
        self.heads = nn.ModuleDict({t: nn.Sequential(nn.Linear(d, 256), nn.ReLU(), nn.Linear(256, n))
                                    for t, n in TASKS.items()})

    def forward(self, x):
        x = self.stem(x)
        for block in self.trunk:
            x = checkpoint(block, x, use_reentrant=False) if LEVER == "checkpointing" else block(x)
        return {t: head(x) for t, head in self.heads.items()}

    def shared(self):
        return [*self.stem.parameters(), *self.trunk.parameters()]


def task_losses(out, y):
    return {t: F.cross_entropy(o, y) if TASKS[t] > 1 else F.mse_loss(o.squeeze(1), y.float()) for t, o in out.items()}


def pcgrad_backward(model, losses):
    shared = model.shared()
    grads = []
    for task, loss in losses.items():
        own = list(model.heads[task].parameters())
        both = torch.autograd.grad(loss, shared + own, retain_graph=True)
        grads.append(both[:len(shared)])
        for p, g in zip(own, both[len(shared):]):
            p.grad = g
    for i, p in enumerate(shared):
        merged = torch.zeros_like(p)
        for mine in grads:
            g = mine[i].clone()
            for other in random.sample(grads, len(grads)):
                dot = (g * other[i]).sum()
                g -= dot.clamp(max=0) / (other[i].square().sum() + 1e-12) * other[i]
            merged += g
        p.grad = merged
    return grads


def adam(parameters):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.Adam8bit(parameters, lr=2e-4)
    return torch.optim.Adam(parameters, lr=2e-4, foreach=False if LEVER == "foreach_off" else None,
                            fused=True if LEVER == "fused_optimizer" else None)


model = MultiTask().cuda()
optimizer = adam(model.parameters())
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
for step in range(5):
    x, y = torch.randn(BATCH, 600).cuda(), torch.randint(0, 2, (BATCH,)).cuda()
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        losses = task_losses(model(x), y)
    grads = pcgrad_backward(model, losses)
    optimizer.step()
    scheduler.step()
    if step % 2 == 0:
        norms = [torch.stack([g.norm() for g in task]).norm().item() for task in grads]
        print(step, dict(zip(losses, norms)))
    if LEVER == "stop_leak":
        del grads
