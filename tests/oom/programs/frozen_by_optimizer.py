# memory: 2850MiB
# cause: a backbone is frozen only by leaving it out of the optimizer: its gradients are made and kept
# fix: unowned_gradients
# levers: unowned_gradients smaller_batch=32 checkpointing bf16_autocast shorter_sequence=256 zero_grad_first
import os
import torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint

lever, _, value = os.environ.get("LEVER", "").partition("=")
batch = int(value) if lever == "smaller_batch" else 32
length = int(value) if lever == "shorter_sequence" else 256


class Backbone(nn.Module):
    def __init__(self, d=768, layers=8):
        super().__init__()
        self.tok = nn.Embedding(30000, d)
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(d, 12, 4 * d, 0.0, batch_first=True)
                                     for _ in range(layers)])

    def forward(self, ids):
        h = self.tok(ids)
        for layer in self.layers:
            h = checkpoint(layer, h, use_reentrant=False) if lever == "checkpointing" else layer(h)
        return h


class Sentiment(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Sequential(nn.Linear(768, 768), nn.Tanh(), nn.Linear(768, 5))

    def forward(self, ids):
        return self.head(self.backbone(ids)[:, 0])


model = Sentiment().cuda()
if lever == "unowned_gradients":
    model.backbone.requires_grad_(False)
optimizer = torch.optim.AdamW(model.head.parameters(), lr=1e-3)  # the backbone is frozen
for step in range(4):
    ids = torch.randint(30000, (batch, length), device="cuda")
    stars = torch.zeros(batch, dtype=torch.long, device="cuda")
    if lever == "zero_grad_first":
        model.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=lever == "bf16_autocast"):
        loss = nn.functional.cross_entropy(model(ids), stars)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
