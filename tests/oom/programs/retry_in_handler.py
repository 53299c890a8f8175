# memory: 2350MiB
# cause: the smaller batch is tried inside the except block: the failed one's tensors are held
# fix: leave_except
# levers: leave_except smaller_batch=12288 checkpointing bf16_autocast 8bit_optimizer
"""Finds the largest batch that fits by halving it whenever memory runs out."""
import gc
import os

import torch
from torch import nn, optim
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")


class Tabular(nn.Module):
    def __init__(self, width=1536, depth=10):
        super().__init__()
        self.inlet = nn.Linear(256, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.SiLU())
            for _ in range(depth))
        self.outlet = nn.Linear(width, 1)

    def forward(self, x):
        x = self.inlet(x)
        for layer in self.layers:
            x = x + (checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing"
                     else layer(x))
        return self.outlet(x).squeeze(-1)


def train_step(model, optimizer, n):
    features, target = torch.randn(n, 256, device="cuda"), torch.randn(n, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = nn.functional.mse_loss(model(features), target)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def main():
    model = Tabular().cuda()
    if LEVER == "8bit_optimizer":
        import bitsandbytes as bnb
        optimizer = bnb.optim.Adam8bit(model.parameters())
    else:
        optimizer = optim.Adam(model.parameters())
    largest = int(VALUE) if LEVER == "smaller_batch" else 12288
    for n in (3072, 3072, largest, 3072):
        again = False
        try:
            train_step(model, optimizer, n)
        except torch.cuda.OutOfMemoryError:
            print(f"batch {n} does not fit, trying {n // 2}")
            if LEVER == "leave_except":
                again = True
            else:
                gc.collect()
                torch.cuda.empty_cache()
                train_step(model, optimizer, n // 2)
        if again:
            torch.cuda.empty_cache()
            train_step(model, optimizer, n // 2)


main()
