# memory: 5GiB
# cause: logits of a large vocabulary copied to float32 for the loss
# fix: chunked_loss
# levers: chunked_loss smaller_batch=8 shorter_sequence=1024 checkpointing
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

lever, _, value = os.environ.get("LEVER", "").partition("=")
batch = int(value) if lever == "smaller_batch" else 8
seq = int(value) if lever == "shorter_sequence" else 1024
vocab, dim, heads = 50304, 512, 8


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, dim))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, dim), nn.Embedding(1024, dim)
        self.h = nn.ModuleList(Layer() for _ in range(4))
        self.ln_f = nn.LayerNorm(dim)
        self.lm_head = nn.Linear(dim, vocab, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, idx):
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1), device=idx.device))
        for layer in self.h:
            x = checkpoint(layer, x, use_reentrant=False) if lever == "checkpointing" else layer(x)
        return self.ln_f(x)


def piece(hidden, targets, model):
    return F.cross_entropy(model.lm_head(hidden).float(), targets, reduction="sum")


model = GPT().to("cuda", torch.bfloat16)
opt = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95))
for step in range(4):
    tokens = torch.randint(vocab, (batch, seq + 1)).cuda()
    inputs, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)
    hidden = model(inputs).flatten(0, 1)
    if lever == "chunked_loss":
        loss = sum(checkpoint(piece, h, t, model, use_reentrant=False)
                   for h, t in zip(hidden.split(1024), targets.split(1024))) / len(targets)
    else:
        logits = model.lm_head(hidden).float()
        loss = F.cross_entropy(logits, targets)
    loss.backward()
    opt.step()
    opt.zero_grad(set_to_none=True)
