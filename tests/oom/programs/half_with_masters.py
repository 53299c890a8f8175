# memory: 4700MiB
# cause: hand-written mixed precision: float32 masters, their gradients and Adam's states lie beside the half model
# fix: 8bit_optimizer
# levers: 8bit_optimizer foreach_off fused_optimizer smaller_batch=8 shorter_sequence=256 checkpointing optimizer_in_backward
"""Without autocast, as it was done before torch.cuda.amp."""
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 8
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 256
VOCAB = 20000


class Block(nn.Module):
    def __init__(self, d, heads=12):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.fc, self.out = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.n1(x)).chunk(3, -1))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.out(F.gelu(self.fc(self.n2(x))))


class Model(nn.Module):
    def __init__(self, d=1152, depth=12):
        super().__init__()
        self.embed, self.place = nn.Embedding(VOCAB, d), nn.Embedding(1024, d)
        self.blocks = nn.ModuleList(Block(d) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, VOCAB, bias=False)

    def forward(self, ids):
        x = self.embed(ids) + self.place.weight[:ids.size(1)]
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if LEVER == "checkpointing" else block(x)
        return self.head(self.norm(x))


def adam(parameters):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.Adam8bit(parameters, lr=1e-4)
    return torch.optim.Adam(parameters, lr=1e-4, foreach=False if LEVER == "foreach_off" else None,
                            fused=True if LEVER == "fused_optimizer" else None)


class FP16Optimizer:
    def __init__(self, model, scale=2.0 ** 12):
        self.scale = scale
        self.half = [p for p in model.parameters() if p.requires_grad]
        self.master = [p.detach().clone().float().requires_grad_() for p in self.half]
        if LEVER == "optimizer_in_backward":
            self.each = {p: adam([m]) for p, m in zip(self.half, self.master)}
            for p, m in zip(self.half, self.master):
                p.register_post_accumulate_grad_hook(lambda p, m=m: self.update([p], [m], self.each[p]))
        else:
            self.adam = adam(self.master)

    def update(self, half, master, optimizer):
        for p, m in zip(half, master):
            m.grad = p.grad.float() / self.scale
        optimizer.step()
        with torch.no_grad():
            for p, m in zip(half, master):
                p.copy_(m)
                m.grad = None
                p.grad = None

    def backward(self, loss):
        (loss.float() * self.scale).backward()

    def step(self):
        if LEVER != "optimizer_in_backward":
            self.update(self.half, self.master, self.adam)


model = Model().cuda().half()
optimizer = FP16Optimizer(model)
for step in range(4):
    ids = torch.randint(0, VOCAB, (BATCH, LENGTH + 1), device="cuda")
    logits = model(ids[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    optimizer.backward(loss)
    optimizer.step()
    print(step, loss.item())
