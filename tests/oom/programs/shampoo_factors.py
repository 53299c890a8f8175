# memory: 2700MiB
# cause: a second-order optimizer keeps two square factors and their roots for each matrix, an embedding's among them
# fix: offload 8bit_optimizer
# levers: offload 8bit_optimizer smaller_batch=64 checkpointing bf16_autocast zero_grad_first
"""Shampoo from a paper's appendix: Kronecker factors at once, their inverse roots every third step."""
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 64


class Shampoo(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, momentum=0.9, every=3, eps=1e-4, largest=9000):
        super().__init__(params, dict(lr=lr, momentum=momentum, every=every, eps=eps, largest=largest))

    @staticmethod
    def inverse_root(matrix, eps, rounds=4):
        """Coupled Newton iteration for the power -1/4."""
        eye = torch.eye(len(matrix), device=matrix.device)
        m = matrix / (matrix.norm() + eps) + eps * eye
        root = eye.clone()
        for _ in range(rounds):
            t = (5 * eye - m) / 4
            root = root @ t
            t = t @ t
            m = t @ t @ m
        return root

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, state = p.grad, self.state[p]
                if LEVER == "offload":  # the whole step is there
                    g = g.cpu()
                if not state:
                    state["step"], state["momentum"] = 0, torch.zeros_like(g)
                    if p.dim() == 2:
                        state["factors"] = [torch.zeros(n, n, device=g.device) for n in p.shape]
                        state["roots"] = [None for _ in p.shape]
                state["step"] += 1
                if p.dim() == 2:
                    for side, (a, b) in enumerate(((g, g.T), (g.T, g))):
                        factor = state["factors"][side]
                        factor += a @ b
                        # on the host they would take minutes, and none of the device's memory
                        if state["step"] % group["every"] == 0 and LEVER != "offload":
                            state["roots"][side] = self.inverse_root(factor, group["eps"])
                        del factor
                    left, right = state["roots"]
                    if left is not None:
                        g = left @ g @ right
                state["momentum"].mul_(group["momentum"]).add_(g)
                p.add_(state["momentum"].to(p.device), alpha=-group["lr"])


class Recommender(nn.Module):
    def __init__(self, items=8000, d=512, depth=4):
        super().__init__()
        self.items = nn.Embedding(items, d)
        self.tower = nn.Sequential(*[nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2048), nn.GELU(), nn.Linear(2048, d))
                                     for _ in range(depth)])

    def forward(self, history):
        x = self.items(history)
        x = checkpoint_sequential(self.tower, 4, x, use_reentrant=False) if LEVER == "checkpointing" else self.tower(x)
        return x.mean(1) @ self.items.weight.T


model = Recommender().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-3)
else:
    optimizer = Shampoo(model.parameters())
for step in range(6):
    history = torch.randint(0, 8000, (BATCH, 50)).cuda()
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.cross_entropy(model(history[:, :-1]).float(), history[:, -1])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())
