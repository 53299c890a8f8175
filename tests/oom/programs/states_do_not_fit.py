# memory: 6950MiB
# cause: the optimizer's states are made in the first step() and have no room
# fix: 8bit_optimizer optimizer_in_backward bf16_states
# levers: 8bit_optimizer optimizer_in_backward bf16_states foreach_off fused_optimizer smaller_batch=2 shorter_sequence=256 checkpointing bf16_autocast
"""Full fine-tuning of a decoder with long rows and small batches."""
import os
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 2
SEQ = int(VALUE) if LEVER == "shorter_sequence" else 256


class DecoderLayer(nn.Module):
    def __init__(self, d=2048, heads=16):
        super().__init__()
        self.heads = heads
        self.norm_in, self.norm_out = nn.RMSNorm(d), nn.RMSNorm(d)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(d, 5504, bias=False), nn.Linear(d, 5504, bias=False)
        self.down = nn.Linear(5504, d, bias=False)

    def forward(self, x):
        h = self.norm_in(x)
        q, k, v = (f(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        h = self.norm_out(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(16000, 2048)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(8))

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return F.linear(x, self.embed.weight)


model = Decoder().cuda()
if LEVER == "bf16_states":
    model.bfloat16()
if LEVER == "8bit_optimizer":
    import bitsandbytes as bnb
    opt = bnb.optim.AdamW8bit(model.parameters(), lr=1e-5)
else:
    more = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {})
    make = lambda p: torch.optim.AdamW(p, lr=1e-5, **more)
    if LEVER == "optimizer_in_backward":
        for p in model.parameters():
            p.register_post_accumulate_grad_hook(lambda _, o=make([p]): o.step() or o.zero_grad())
    else:
        opt = make(model.parameters())
for step in range(3):
    ids = torch.randint(16000, (BATCH, SEQ), device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.cross_entropy(model(ids).flatten(0, 1).float(), ids.flatten())
    loss.backward()
    if LEVER != "optimizer_in_backward":
        opt.step()
        opt.zero_grad()
