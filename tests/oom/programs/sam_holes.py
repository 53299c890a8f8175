# memory: 3850MiB
# cause: sharpness-aware minimization at a batch for which the holes between its two passes are too small
# fix: checkpointing smaller_batch expandable_segments
# levers: 8bit_optimizer smaller_batch=19 old_optimizer checkpointing bf16_autocast zero_grad_first foreach_off fused_optimizer
"""The SAM optimizer as the well-known repository has it, around AdamW."""
import os

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 19


class SAM(torch.optim.Optimizer):
    def __init__(self, params, base_optimizer, rho=0.05, **kwargs):
        super().__init__(params, dict(rho=rho, **kwargs))
        self.base_optimizer = base_optimizer(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self, zero_grad=False):
        scale = self.param_groups[0]["rho"] / (self._grad_norm() + 1e-12)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                self.state[p]["old_p"] = p.data.clone()
                p.add_(p.grad * scale.to(p))
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.data = self.state[p]["old_p"]
        self.base_optimizer.step()
        if zero_grad:
            self.zero_grad()

    def _grad_norm(self):
        return torch.norm(torch.stack([p.grad.norm(p=2) for group in self.param_groups for p in group["params"]
                                       if p.grad is not None]), p=2)


class Layer(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.attention = nn.MultiheadAttention(d, 12, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x):
        h = self.n1(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        return x + self.mlp(self.n2(x))


class ViT(nn.Module):
    def __init__(self, d=768, depth=10):
        super().__init__()
        self.patches = nn.Conv2d(3, d, 16, 16)
        self.layers = nn.ModuleList(Layer(d) for _ in range(depth))
        self.head = nn.Linear(d, 100)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.head(x.mean(1))


model = ViT().cuda()
base, more = torch.optim.AdamW, {}
if LEVER == "8bit_optimizer":
    import bitsandbytes
    base = bitsandbytes.optim.AdamW8bit
elif LEVER == "foreach_off":
    more["foreach"] = False
elif LEVER == "fused_optimizer":
    more["fused"] = True
optimizer = SAM(model.parameters(), base, lr=1e-3, weight_decay=0.05, **more)
amp = torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")
loss_fn = nn.CrossEntropyLoss()
for step in range(4):
    x, y = torch.randn(BATCH, 3, 224, 224, device="cuda"), torch.zeros(BATCH, dtype=torch.long, device="cuda")
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with amp:
        loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.first_step(zero_grad=True)
    with amp:
        loss_fn(model(x), y).backward()
    optimizer.second_step(zero_grad=True)
