# memory: 2350MiB
# cause: each step's gradients are kept, flattened, to measure how noisy they are
# fix: stop_leak
# levers: stop_leak empty_cache checkpointing shorter_sequence=48 smaller_batch=32 8bit_optimizer foreach_off fused_optimizer zero_grad_first bf16_autocast
import functools
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parameters_to_vector
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 48
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32


class GradientNoise:
    def __init__(self, model):
        self.model, self.vectors = model, []

    def record(self):
        vector = parameters_to_vector([p.grad for p in self.model.parameters() if p.grad is not None])
        self.vectors.append(vector.cpu() if LEVER == "stop_leak" else vector)

    def scale(self):
        g = torch.stack(self.vectors)
        return (g.var(0).sum() / g.mean(0).pow(2).sum()).item()


class Seq2Seq(nn.Module):
    def __init__(self, vocab=8000, d=384):
        super().__init__()
        self.embed = nn.Embedding(vocab, d)
        self.transformer = nn.Transformer(d, 6, 4, 4, 4 * d, batch_first=True)
        self.out = nn.Linear(d, vocab)

    def forward(self, src, tgt):
        return self.out(self.transformer(self.embed(src), self.embed(tgt)))


model = Seq2Seq().cuda()
if LEVER == "checkpointing":
    for layer in model.transformer.encoder.layers:
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)
noise = GradientNoise(model)
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters(), lr=1e-4)
else:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, foreach=False if LEVER == "foreach_off" else None,
                                 fused=True if LEVER == "fused_optimizer" else None)
for step in range(24):
    if LEVER == "empty_cache":
        torch.cuda.empty_cache()
    src, tgt = (torch.randint(8000, (BATCH, LENGTH), device="cuda") for _ in range(2))
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.cross_entropy(model(src, tgt).flatten(0, 1), tgt.flatten())
    optimizer.zero_grad()
    loss.backward()
    noise.record()
    optimizer.step()
