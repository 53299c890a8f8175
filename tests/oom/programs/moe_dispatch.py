# memory: 2150MiB
# cause: a mixture of experts sends tokens by one-hot matrices of tokens x experts x places
# fix: smaller_batch shorter_sequence
# levers: smaller_batch=16 shorter_sequence=256 checkpointing bf16_autocast 8bit_optimizer foreach_off fused_optimizer
"""A decoder with switch-like layers, dispatch by einsum as in the paper's reference."""
import os

import torch
import torch.nn.functional as F
from torch import einsum, nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 256


class Experts(nn.Module):
    def __init__(self, dim, experts=8, mult=2):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(experts, dim, dim * mult) * 0.02)
        self.w2 = nn.Parameter(torch.randn(experts, dim * mult, dim) * 0.02)

    def forward(self, x):
        return einsum("ech,ehd->ecd", F.gelu(einsum("ecd,edh->ech", x, self.w1)), self.w2)


class MoE(nn.Module):
    def __init__(self, dim, experts=8, capacity_factor=1.25):
        super().__init__()
        self.n, self.capacity_factor = experts, capacity_factor
        self.gate = nn.Linear(dim, experts, bias=False)
        self.experts = Experts(dim, experts)

    def forward(self, x):
        b, s, d = x.shape
        tokens = x.reshape(b * s, d)
        capacity = int(self.capacity_factor * b * s / self.n)
        probabilities = self.gate(tokens).softmax(-1)
        weight, index = probabilities.max(-1)
        mask = F.one_hot(index, self.n).float()
        place = (mask.cumsum(0) - 1) * mask
        mask = mask * (place < capacity).float()
        place = F.one_hot((place * mask).sum(-1).long(), capacity).float()
        dispatch = mask[:, :, None] * place[:, None, :]
        combine = weight[:, None, None] * dispatch
        out = self.experts(einsum("td,tec->ecd", tokens, dispatch))
        return einsum("ecd,tec->td", out, combine).view(b, s, d)


class Layer(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.moe = MoE(dim)

    def forward(self, x):
        b, s, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, s, d))
        return x + self.moe(self.norm2(x))


class LM(nn.Module):
    def __init__(self, vocab=8000, dim=512, depth=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList([Layer(dim, 8) for _ in range(depth)])
        self.head = nn.Linear(dim, vocab, bias=False)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.head(x)


model = LM().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-4)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
for step in range(3):
    ids = torch.randint(8000, (BATCH, LENGTH), device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        logits = model(ids)
        loss = F.cross_entropy(logits.flatten(0, 1), ids.flatten())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
