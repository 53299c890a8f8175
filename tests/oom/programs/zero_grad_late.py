# memory: 4900MiB
# cause: gradients of the last step stay alive during the forward
# fix: zero_grad_first
# levers: zero_grad_first smaller_batch=24 shorter_sequence=196 checkpointing bf16_autocast 8bit_optimizer foreach_off fused_optimizer
import os

import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
CLIPS = int(VALUE) if LEVER == "smaller_batch" else 24
PATCHES = int(VALUE) if LEVER == "shorter_sequence" else 196


class Mixer(nn.Module):
    def __init__(self, width=1024):
        super().__init__()
        self.channels = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(),
                                      nn.Linear(4 * width, width))
        self.patches = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x):
        x = x + self.patches(x.transpose(1, 2)).transpose(1, 2)
        return x + self.channels(x)


class Video(nn.Module):
    def __init__(self, depth=12, width=1024):
        super().__init__()
        self.embed = nn.Linear(768, width)
        self.mixers = nn.ModuleList(Mixer(width) for _ in range(depth))
        self.head = nn.Linear(width, 400)

    def forward(self, patches):
        x = self.embed(patches)
        for mixer in self.mixers:
            if LEVER == "checkpointing":
                x = torch.utils.checkpoint.checkpoint(mixer, x, use_reentrant=False)
            else:
                x = mixer(x)
        return self.head(x.mean(1))


model = Video().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=3e-4)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4,
                                  foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
loss_fn = nn.CrossEntropyLoss()
for step in range(4):
    patches = torch.randn(CLIPS, PATCHES, 768, device="cuda")
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = loss_fn(model(patches), torch.zeros(CLIPS, dtype=torch.long, device="cuda"))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
