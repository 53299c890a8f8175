# memory: 3450MiB
# cause: cross-validation keeps the model and the optimizer of every fold in a list
# fix: stop_leak
# levers: stop_leak old_optimizer smaller_batch=1024 8bit_optimizer foreach_off fused_optimizer
"""Five-fold cross-validation of a tabular network; each fold's model and optimizer go into a list."""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 1024


class Tabular(nn.Module):
    def __init__(self, features=512, width=4096, depth=4):
        super().__init__()
        self.enter = nn.Linear(features, width)
        self.hidden = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.leave = nn.Linear(width, 10)

    def forward(self, x):
        x = F.relu(self.enter(x))
        for layer in self.hidden:
            x = x + F.relu(layer(x))
        return self.leave(x)


def train_fold(fold):
    model = Tabular().cuda()
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-3)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3,
                                      foreach=False if LEVER == "foreach_off" else None,
                                      fused=True if LEVER == "fused_optimizer" else None)
    for _ in range(4):
        x = torch.randn(BATCH, 512, device="cuda")
        y = torch.randint(0, 10, (BATCH,), device="cuda")
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    return model, optimizer


folds = []
for fold in range(5):
    model, optimizer = train_fold(fold)
    if LEVER == "old_optimizer":
        folds.append(model)
    elif LEVER == "stop_leak":
        folds.append({k: v.cpu() for k, v in model.state_dict().items()})
    else:
        folds.append((model, optimizer))
    del model, optimizer
