"""Train a small GPT-2 for a few steps; print what memory it took as JSON.

usage: gpt.py [--precision fp32|bf16|fp16|pure-bf16] [--optimizer adamw|fused|sgd]
              [--layers N] [--steps N] [--checkpoint]
"""
import argparse, json
import torch, torch.nn as nn, torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

p = argparse.ArgumentParser()
p.add_argument("--precision", default="fp32")
p.add_argument("--optimizer", default="adamw")
p.add_argument("--layers", type=int, default=2)
p.add_argument("--steps", type=int, default=3)
p.add_argument("--batch", type=int, default=2)
p.add_argument("--checkpoint", action="store_true")
o = p.parse_args()
VOCABULARY, WIDTH, HEADS, LENGTH = 50304, 768, 12, 512


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, HEADS, d // HEADS).transpose(1, 2)
                   for z in self.qkv(self.ln1(x)).split(d, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.ln2(x))))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(o.layers))
        self.ln, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if o.checkpoint else block(x)
        return F.cross_entropy(self.head(self.ln(x)).view(-1, VOCABULARY).float(), targets.view(-1))


torch.manual_seed(0)
with torch.device("cuda"):
    model = GPT()
if o.precision == "pure-bf16":
    model = model.bfloat16()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
after_model = torch.cuda.memory_allocated()
if o.optimizer == "sgd":
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
else:
    optimizer = torch.optim.AdamW(model.parameters(), fused=o.optimizer == "fused")
scaler = torch.amp.GradScaler("cuda", enabled=o.precision == "fp16")
dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(o.precision)
for step in range(o.steps):
    ids = torch.randint(0, VOCABULARY, (o.batch, LENGTH)).to("cuda", non_blocking=True)
    targets = torch.randint(0, VOCABULARY, (o.batch, LENGTH), device="cuda")
    with torch.autocast("cuda", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        loss = model(ids, targets)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    last = loss.item()
free, total = torch.cuda.mem_get_info()
print(json.dumps({
    "torch": torch.__version__, "loss": last, "after_model": after_model,
    "parameters": sum(p.numel() * p.element_size() for p in model.parameters()),
    "allocated": torch.cuda.memory_allocated(), "peak": torch.cuda.max_memory_allocated(),
    "reserved": torch.cuda.memory_reserved(), "free": free, "total": total,
    "rss_kib": int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])}))
