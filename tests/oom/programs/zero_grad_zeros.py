# memory: 3150MiB
# cause: zero_grad(set_to_none=False) fills the gradients with zeros: they lie there during each forward
# fix: zero_grad_first
# levers: zero_grad_first smaller_batch=24 bf16_autocast checkpointing 8bit_optimizer foreach_off fused_optimizer
"""An older loop: zero_grad(set_to_none=False), so that p.grad is never None; a longer batch comes late."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 24


class Net(nn.Module):
    def __init__(self, d=1024, layers=6, words=20000):
        super().__init__()
        self.embed = nn.Embedding(words, d)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(d, 16, 4 * d, batch_first=True, dropout=0.0)
                                    for _ in range(layers))
        self.head = nn.Linear(d, 2)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.head(x.mean(1))


model = Net().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters())
else:
    how = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {})
    optimizer = torch.optim.Adam(model.parameters(), **how)
for step, length in enumerate([64, 64, 64, 64, 160, 64]):
    x, y = torch.randint(20000, (BATCH, length)).cuda(), torch.zeros(BATCH, dtype=torch.long).cuda()
    optimizer.zero_grad(set_to_none=LEVER == "zero_grad_first")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
