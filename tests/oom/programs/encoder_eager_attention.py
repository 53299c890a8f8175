# memory: 6500MiB
# cause: attention written out keeps S x S scores in every layer
# fix: flash_attention
# levers: flash_attention smaller_batch=4 shorter_sequence=2048 checkpointing bf16_autocast
"""A BERT-like encoder over long documents, attention by hand."""
import math
import os

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.1)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        if LEVER == "flash_attention":
            context = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.size(-1))
            context = self.dropout(scores.softmax(-1)) @ v
        return self.out(context.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    def __init__(self, width=512, heads=8):
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.ffn = nn.Sequential(nn.Linear(width, 2048), nn.GELU(), nn.Linear(2048, width))
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.ffn(x))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30522, 512)
        self.layer = nn.ModuleList([EncoderLayer() for _ in range(6)])
        self.classifier = nn.Linear(512, 2)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layer:
            if LEVER == "checkpointing":
                x = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return self.classifier(x[:, 0])


batch = int(VALUE) if LEVER == "smaller_batch" else 4
length = int(VALUE) if LEVER == "shorter_sequence" else 2048
model = Encoder().cuda().train()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
for step in range(3):
    ids = torch.randint(0, 30522, (batch, length), device="cuda")
    labels = torch.zeros(batch, dtype=torch.long, device="cuda")
    optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.cross_entropy(model(ids), labels)
    loss.backward()
    optimizer.step()
