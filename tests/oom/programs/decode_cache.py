# memory: 1650MiB
# cause: a key and value cache grows by torch.cat with every token that is generated
# fix: smaller_batch shorter_sequence
# levers: smaller_batch=64 shorter_sequence=500 bf16_autocast
"""Samples continuations token by token, without gradients."""
import os
import torch
import torch.nn.functional as F
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
TOKENS = int(VALUE) if LEVER == "shorter_sequence" else 500


class CachedAttention(nn.Module):
    def __init__(self, d=1024, heads=16):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.cache = None

    def forward(self, x):
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
        if self.cache is not None:
            k, v = torch.cat([self.cache[0], k], 2), torch.cat([self.cache[1], v], 2)
        self.cache = k, v
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, d=1024):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(d), CachedAttention(d)
        self.mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.mlp(x)


model = nn.Sequential(*(Layer() for _ in range(4))).cuda().eval()
embed, head = nn.Embedding(16000, 1024).cuda(), nn.Linear(1024, 16000).cuda()
with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
    token = torch.zeros(BATCH, 1, dtype=torch.long, device="cuda")
    text = [token]
    for _ in range(TOKENS):
        logits = head(model(embed(token)))[:, -1]
        token = logits.argmax(-1, keepdim=True)
        text.append(token)
    print(torch.cat(text, 1).shape)
