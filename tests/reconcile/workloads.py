"""workloads.py NAME [OPTION=VALUE ...] - small trainings whose numbers Python can count.

Runs on the CUDA device where torch sees one, else on the CPU. What Python itself counts,
as numel x element_size over distinct storages, goes to $TIDEMARK_TEST_TRUTH.
"""
import json
import os
import sys
import types

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class MLP(nn.Module):
    def __init__(self, width=320, classes=10):
        super().__init__()
        self.up = nn.Linear(96, width)
        self.norm = nn.BatchNorm1d(width)  # has buffers
        self.down = nn.Linear(width, classes)

    def forward(self, x):
        return self.down(torch.relu(self.norm(self.up(x))))


class Block(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(hidden)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm_2 = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.act = nn.GELU()
        self.down = nn.Linear(4 * hidden, hidden)

    def forward(self, x):
        b, s, d = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(b, s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, s, d))
        return x + self.down(self.act(self.up(self.norm_2(x))))


class GPT(nn.Module):
    def __init__(self, vocab=331, seq=48, hidden=72, heads=3, layers=3, ckpt=False, config=True,
                 tied=False):
        super().__init__()
        if config:
            self.config = types.SimpleNamespace()
            self.config.to_json_string = lambda: json.dumps({
                "model_type": "gpt2", "activation_function": "gelu", "n_embd": hidden,
                "n_head": heads, "n_layer": layers, "n_positions": seq, "vocab_size": vocab,
                "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
                "tie_word_embeddings": tied})
        self.ckpt = ckpt
        self.tokens = nn.Embedding(vocab, hidden)
        self.positions = nn.Embedding(seq, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, vocab, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, ids, labels):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.ckpt else block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


class RMSNorm(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * y.to(x.dtype)


class GatedBlock(nn.Module):
    def __init__(self, hidden, heads, keys, ffn):
        super().__init__()
        self.size = hidden // heads
        self.norm_1, self.norm_2 = RMSNorm(hidden), RMSNorm(hidden)
        self.q = nn.Linear(hidden, hidden, bias=False)
        self.k = nn.Linear(hidden, keys * self.size, bias=False)
        self.v = nn.Linear(hidden, keys * self.size, bias=False)
        self.o = nn.Linear(hidden, hidden, bias=False)
        self.gate = nn.Linear(hidden, ffn, bias=False)
        self.up = nn.Linear(hidden, ffn, bias=False)
        self.down = nn.Linear(ffn, hidden, bias=False)

    def forward(self, x, cos, sin):
        b, s, d = x.shape
        h = self.norm_1(x)
        q, k, v = (p(h).view(b, s, -1, self.size).transpose(1, 2)
                   for p in (self.q, self.k, self.v))
        q, k = (t * cos + torch.cat((-t[..., t.shape[-1] // 2:], t[..., :t.shape[-1] // 2]), -1)
                * sin for t in (q, k))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(a.transpose(1, 2).reshape(b, s, d))
        h = self.norm_2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    def __init__(self, vocab=331, hidden=96, heads=6, keys=2, ffn=208, layers=3, ckpt=False):
        super().__init__()
        self.config = types.SimpleNamespace()
        self.config.to_json_string = lambda: json.dumps({
            "model_type": "llama", "hidden_size": hidden, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": keys, "vocab_size": vocab,
            "intermediate_size": ffn, "hidden_act": "silu"})
        self.size, self.ckpt = hidden // heads, ckpt
        self.embed_tokens = nn.Embedding(vocab, hidden)
        self.layers = nn.ModuleList(GatedBlock(hidden, heads, keys, ffn) for _ in range(layers))
        self.norm = RMSNorm(hidden)
        self.lm_head = nn.Linear(hidden, vocab, bias=False)

    def forward(self, ids, labels):
        x = self.embed_tokens(ids)
        at = torch.arange(ids.shape[1], device=x.device).float()[:, None] / torch.arange(
            1, self.size + 1, device=x.device)
        cos, sin = at.cos().to(x.dtype), at.sin().to(x.dtype)
        for layer in self.layers:
            x = (checkpoint(layer, x, cos, sin, use_reentrant=False) if self.ckpt
                 else layer(x, cos, sin))
        logits = self.lm_head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 13, 3, padding=1), nn.BatchNorm2d(13), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(13, 29, 3, padding=1), nn.BatchNorm2d(29), nn.ReLU())
        self.head = nn.Linear(29, 10)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def optimizer_of(kind, model):
    p = [p for p in model.parameters() if p.requires_grad]
    return {
        "sgd": lambda: torch.optim.SGD(p, lr=0.01),
        "momentum": lambda: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        "adamw": lambda: torch.optim.AdamW(p, foreach=True),
        "fused": lambda: torch.optim.AdamW(p, fused=True),
        "loop": lambda: torch.optim.AdamW(p, foreach=False),
        "adam": lambda: torch.optim.Adam(p, amsgrad=True),
        "adagrad": lambda: torch.optim.Adagrad(p),
        "capturable": lambda: torch.optim.AdamW(p, capturable=True),
    }[kind]()


def unique_bytes(tensors):
    return sum({t.untyped_storage().data_ptr(): t.numel() * t.element_size()
                for t in tensors if t.device.type == DEVICE}.values())


def truth(model, optimizer):
    state = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
    found = {
        "parameters": len({id(p): p for p in model.parameters()}),
        "elements": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "parameter": unique_bytes(model.parameters()),
        "buffer": unique_bytes(model.buffers()),
        "gradient": sum(p.numel() * p.element_size() for p in model.parameters()
                        if p.requires_grad),
        "optimizer": unique_bytes(state),
        "device": "cuda:0" if DEVICE == "cuda" else "cpu",
    }
    if DEVICE == "cuda":
        found["peak"] = torch.cuda.max_memory_allocated()
        found["reserved"] = torch.cuda.max_memory_reserved()
    return found


def main(name, **o):
    torch.manual_seed(0)
    batch, steps, micro = int(o.get("batch", 4)), int(o.get("steps", 4)), int(o.get("micro", 1))
    if name == "mlp":
        model = MLP(int(o.get("width", 320)))
    elif name == "cnn":
        model = Convolutions()
    elif name == "llama":
        model = Llama(hidden=int(o.get("hidden", 96)), layers=int(o.get("layers", 3)),
                      ckpt="ckpt" in o)
    else:
        model = GPT(vocab=int(o.get("vocab", 331)), seq=int(o.get("seq", 48)),
                    hidden=int(o.get("hidden", 72)),
                    layers=int(o.get("layers", 3)), ckpt="ckpt" in o, config="bare" not in o,
                    tied="tied" in o)
    model = model.to(DEVICE, torch.bfloat16 if "bf16" in o else torch.float32)
    if "frozen" in o:
        for p in list(model.parameters())[:2]:
            p.requires_grad_(False)
    optimizer = optimizer_of(o.get("optimizer", "adamw"), model)
    half = torch.bfloat16
    for _ in range(steps):
        for _ in range(micro):
            if name in ("mlp", "cnn"):
                size = (96,) if name == "mlp" else (3, 17, 17)
                x = torch.randn(batch, *size, device=DEVICE)
                y = torch.zeros(batch, dtype=torch.int64, device=DEVICE)
                with torch.autocast(DEVICE, half, enabled="autocast" in o):
                    loss = F.cross_entropy(model(x).float(), y)
            else:
                ids = torch.zeros(batch, int(o.get("seq", 48)), dtype=torch.int64, device=DEVICE)
                with torch.autocast(DEVICE, half, enabled="autocast" in o):
                    loss = model(ids, ids)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none="keep" not in o)
        del loss
    found = truth(model, optimizer)
    path = os.environ.get("TIDEMARK_TEST_TRUTH")
    if path:
        with open(path, "w") as file:
            json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1], **dict((w + "=").split("=")[:2] for w in sys.argv[2:]))
