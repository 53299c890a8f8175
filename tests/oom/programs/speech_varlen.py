# memory: 5000MiB
# cause: utterances of changing length leave holes that no longer fit
# fix: expandable_segments
# levers: smaller_batch=16 checkpointing bf16_autocast empty_cache
"""A conformer-like recogniser; batches are padded to their longest utterance."""
import os
import random

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16
rng = random.Random(7)


class Layer(nn.Module):
    def __init__(self, d=512):
        super().__init__()
        self.ff = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.SiLU(), nn.Linear(4 * d, d))
        self.conv = nn.Conv1d(d, d, 31, padding=15, groups=d)
        self.norm = nn.LayerNorm(d)

    def forward(self, x):
        x = x + 0.5 * self.ff(x)
        return self.norm(x + self.conv(x.mT).mT)


class Recogniser(nn.Module):
    def __init__(self):
        super().__init__()
        self.subsample = nn.Conv1d(80, 512, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(Layer() for _ in range(10))
        self.ctc = nn.Linear(512, 5000)

    def forward(self, mel):
        x = self.subsample(mel).mT
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.ctc(x)


model = Recogniser().cuda()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=False)
for step in range(50):
    frames = rng.choice([400, 500, 640, 700, 810, 900, 1000, 1150, 1300, 1490])
    if LEVER == "empty_cache":
        torch.cuda.empty_cache()
    mel = torch.randn(BATCH, 80, frames, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        logits = model(mel)
        target = torch.zeros(logits.shape[:2], dtype=torch.long, device="cuda")
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
