# memory: 4200MiB
# cause: a checkpoint file is loaded onto the GPU and stays there
# fix: load_on_cpu
# levers: load_on_cpu 8bit_optimizer foreach_off fused_optimizer smaller_batch=16 shorter_sequence=256 checkpointing bf16_autocast zero_grad_first
"""Goes on with a training from a checkpoint file (which it makes first, on the CPU)."""
import os
import tempfile

import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 256


class Translator(nn.Module):
    def __init__(self, d=640, vocab=16000):
        super().__init__()
        self.embed = nn.Embedding(vocab, d)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(d, 8, 4 * d, batch_first=True) for _ in range(8))
        self.generator = nn.Linear(d, vocab)

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.encoder:
            if LEVER == "checkpointing":
                x = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return self.generator(x)


def adam(model):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.Adam8bit(model.parameters(), lr=1e-4)
    return torch.optim.Adam(model.parameters(), lr=1e-4,
                            foreach=False if LEVER == "foreach_off" else None,
                            fused=True if LEVER == "fused_optimizer" else None)


def save(path):
    model = Translator()
    moments = {name: {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
               for name, p in model.named_parameters()}
    torch.save({"model": model.state_dict(), "optimizer": moments, "epoch": 7}, path)


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "last.pt")
    save(path)
    checkpoint = torch.load(path, map_location="cpu" if LEVER == "load_on_cpu" else "cuda")
model = Translator().cuda()
model.load_state_dict(checkpoint["model"])
optimizer = adam(model)
for step in range(4):
    tokens = torch.randint(16000, (BATCH, LENGTH), device="cuda")
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        logits = model(tokens)
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), tokens)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
