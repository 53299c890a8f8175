# memory: 4900MiB
# cause: the model of the first stage and its optimizer stay alive while the second stage trains
# fix: old_optimizer
# levers: old_optimizer smaller_batch=64 checkpointing bf16_autocast 8bit_optimizer foreach_off fused_optimizer
"""Pre-trains an autoencoder, then a classifier on its codes."""
import os
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
N = int(VALUE) if LEVER == "smaller_batch" else 64


def adam(parameters):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.Adam8bit(parameters)
    if LEVER == "fused_optimizer":
        return torch.optim.Adam(parameters, fused=True)
    return torch.optim.Adam(parameters, foreach=False if LEVER == "foreach_off" else None)


class Stage:
    def __init__(self, *layers):
        self.layers = nn.Sequential(*layers).cuda()
        self.optimizer = adam(self.layers.parameters())

    def __call__(self, x):
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return x

    def learn(self, loss):
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def wide(a, b):
    return nn.Sequential(nn.Linear(a, 8192), nn.ReLU(), nn.Linear(8192, b))


amp = torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")
first = Stage(wide(4096, 512), wide(512, 4096))
for _ in range(5):
    x = torch.randn(N, 4096, device="cuda")
    with amp:
        loss = (first(x) - x).square().mean()
    first.learn(loss)
with torch.no_grad():
    codes = [first.layers[0](torch.randn(N, 4096, device="cuda")).cpu() for _ in range(5)]
if LEVER == "old_optimizer":
    del first
second = Stage(*[wide(512, 512) for _ in range(24)], nn.Linear(512, 10))
for code in codes:
    with amp:
        loss = nn.functional.cross_entropy(second(code.cuda()), torch.zeros(N, dtype=torch.long, device="cuda"))
    second.learn(loss)
