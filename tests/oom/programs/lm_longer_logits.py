# memory: 5500MiB
# cause: float32 logits of a large vocabulary, and one batch is longer than those before
# fix: chunked_loss shorter_sequence smaller_batch
# levers: chunked_loss shorter_sequence=896 smaller_batch=8 empty_cache checkpointing 8bit_optimizer foreach_off fused_optimizer zero_grad_first
"""Instruction tuning with packed batches of changing length; bf16 weights' products, fp32 loss."""
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 8
LIMIT = int(VALUE) if LEVER == "shorter_sequence" else 896
VOCAB, DIM = 50257, 512


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(DIM, 1376), nn.Linear(DIM, 1376), nn.Linear(1376, DIM)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(DIM, DIM, bias=False) for _ in range(4))
        self.mlp = MLP()
        self.n1, self.n2 = nn.RMSNorm(DIM), nn.RMSNorm(DIM)

    def forward(self, x):
        b, s, _ = x.shape
        h = self.n1(x)
        q, k, v = (w(h).view(b, s, 8, -1).transpose(1, 2) for w in (self.q, self.k, self.v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, s, -1))
        return x + self.mlp(self.n2(x))


class CausalLM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, DIM)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(6))
        self.norm = nn.RMSNorm(DIM)
        self.lm_head = nn.Linear(DIM, VOCAB, bias=False)

    def hidden(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.norm(x)

    def piece(self, x, labels):
        return F.cross_entropy(self.lm_head(x).float(), labels, reduction="sum")

    def forward(self, ids, labels):
        x = self.hidden(ids)
        if LEVER == "chunked_loss":
            x, labels = x[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
            return sum(checkpoint(self.piece, a, b, use_reentrant=False)
                       for a, b in zip(x.chunk(8), labels.chunk(8))) / len(labels)
        logits = self.lm_head(x).float()
        return F.cross_entropy(logits[:, :-1].reshape(-1, VOCAB), labels[:, 1:].reshape(-1))


model = CausalLM().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=2e-5)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
for length in (512, 384, 640, 448, 896, 512):
    if LEVER == "empty_cache":
        torch.cuda.empty_cache()
    ids = torch.randint(VOCAB, (BATCH, min(length, LIMIT)), device="cuda")
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = model(ids, ids)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
