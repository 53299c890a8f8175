"""A GPT-2 by hand, in the usual way: a loop, a data loader, an evaluation that forgets no_grad.

usage: gpt.py STEPS [--loader] [--eval] [--by-hand LEVER]
--by-hand: as somebody would write the lever into the program.
"""
import contextlib
import sys
import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional as F

WIDTH, LAYERS, HEADS, VOCAB, SEQ, BATCH = 256, 6, 4, 8000, 256, 8
LEVER = sys.argv[-1] if "--by-hand" in sys.argv else None
if LEVER == "smaller_batch":
    BATCH = 2


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(),
                                 nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = (part.view(n, t, HEADS, -1).transpose(1, 2)
                   for part in self.qkv(self.norm1(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, WIDTH))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            if LEVER == "checkpointing" and torch.is_grad_enabled():
                x = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return self.head(x)


def loss_of(model, ids):
    mode = contextlib.nullcontext()
    if LEVER == "bf16_autocast":
        mode = torch.autocast("cuda", dtype=torch.bfloat16)
    if LEVER == "no_grad_in_eval" and not model.training:
        mode = torch.no_grad()
    with mode:
        return F.cross_entropy(model(ids).view(-1, VOCAB), ids.reshape(-1))


def batches(steps):
    if "--loader" in sys.argv:
        data = torch.randint(0, VOCAB, (BATCH * steps, SEQ))
        return torch.utils.data.DataLoader(data, batch_size=BATCH)
    return (torch.randint(0, VOCAB, (BATCH, SEQ), device="cuda") for _ in range(steps))


model = GPT().cuda()
optimizer = torch.optim.AdamW(model.parameters(), **{
    "foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {}))
for ids in batches(int(sys.argv[1])):
    loss_of(model, ids.cuda()).backward()
    optimizer.step()
    optimizer.zero_grad()
if "--eval" in sys.argv:
    model.eval()
    kept = [loss_of(model, ids.cuda()) for ids in batches(4)]
print("trained")
