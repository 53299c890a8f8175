# memory: 3200MiB
# cause: stochastic weight averaging makes its copy of the model when training is well under way
# fix: frozen_copy_elsewhere
# levers: frozen_copy_elsewhere 8bit_optimizer foreach_off fused_optimizer smaller_batch=32 checkpointing zero_grad_first bf16_autocast
import os

import torch
import torch.utils.checkpoint
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32
SWA_START, EPOCHS = 3, 5


class MLPMixerish(nn.Module):
    def __init__(self, dim=1280, depth=8, patches=64):
        super().__init__()
        self.stem = nn.Conv2d(3, dim, 16, 16)
        self.layers = nn.ModuleList()
        for _ in range(depth):
            self.layers.append(nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(),
                                             nn.Linear(4 * dim, dim)))
        self.head = nn.Linear(dim, 1000)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        for layer in self.layers:
            if LEVER == "checkpointing":
                x = x + torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
            else:
                x = x + layer(x)
        return self.head(x.mean(1))


def train_one_epoch(model, optimizer):
    for _ in range(3):
        x, y = torch.randn(BATCH, 3, 128, 128).cuda(), torch.zeros(BATCH, dtype=torch.long).cuda()
        if LEVER == "zero_grad_first":
            optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


model = MLPMixerish().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
swa_model = None
for epoch in range(EPOCHS):
    train_one_epoch(model, optimizer)
    if epoch + 1 == SWA_START:
        swa_model = AveragedModel(model, device="cpu" if LEVER == "frozen_copy_elsewhere" else None)
        swa_scheduler = SWALR(optimizer, swa_lr=5e-4)
    if swa_model is not None:
        swa_model.update_parameters(model)
        swa_scheduler.step()
