# memory: 2050MiB
# cause: a recurrent cell is unrolled over a whole document, and a long one comes in step 5
# fix: shorter_sequence smaller_batch
# levers: shorter_sequence=1600 smaller_batch=64 bf16_autocast 8bit_optimizer foreach_off fused_optimizer zero_grad_first
"""Tags documents with a GRU cell of one's own, word by word."""
import os

import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
LIMIT = int(VALUE) if LEVER == "shorter_sequence" else 1600
HIDDEN = 512


class MyGRUCell(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.x2h = nn.Linear(inputs, 3 * hidden)
        self.h2h = nn.Linear(hidden, 3 * hidden)

    def forward(self, x, h):
        xr, xz, xn = self.x2h(x).chunk(3, 1)
        hr, hz, hn = self.h2h(h).chunk(3, 1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return n + z * (h - n)


class Tagger(nn.Module):
    def __init__(self, vocab=20000, tags=17):
        super().__init__()
        self.embedding = nn.Embedding(vocab, 300)
        self.cell = MyGRUCell(300, HIDDEN)
        self.tag = nn.Linear(HIDDEN, tags)

    def forward(self, words):
        hidden = torch.zeros(len(words), HIDDEN, device=words.device)
        embedded, outputs = self.embedding(words), []
        for t in range(words.size(1)):
            hidden = self.cell(embedded[:, t], hidden)
            outputs.append(self.tag(hidden))
        return torch.stack(outputs, 1)


model = Tagger().to("cuda")
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, foreach=False if LEVER == "foreach_off" else None,
                                 fused=True if LEVER == "fused_optimizer" else None)
for length in (200, 240, 180, 220, 1600, 210):
    words = torch.randint(20000, (BATCH, min(length, LIMIT)), device="cuda")
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        scores = model(words)
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), torch.zeros_like(words).flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
