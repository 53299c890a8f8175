# memory: 3700MiB
# cause: a vision transformer with attention written out is given larger pictures in later epochs
# fix: flash_attention smaller_batch checkpointing
# levers: flash_attention smaller_batch=32 checkpointing bf16_autocast zero_grad_first fused_optimizer foreach_off 8bit_optimizer
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = 32
LAST_BATCH = int(VALUE) if LEVER == "smaller_batch" else BATCH


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, dim * 3)
        self.attn_drop = nn.Dropout(0.0)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        if LEVER == "flash_attention":
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            attn = (q @ k.transpose(-2, -1)) * self.scale
            attn = attn.softmax(dim=-1)
            attn = self.attn_drop(attn)
            x = attn @ v
        return self.proj(x.transpose(1, 2).reshape(B, N, C))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self, dim=384, depth=8, heads=6, classes=1000):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, 16, 16)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, dim, 14, 14))
        self.blocks = nn.ModuleList([Block(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, images):
        x = self.patch_embed(images)
        pos = F.interpolate(self.pos_embed, size=x.shape[-2:], mode="bicubic", align_corners=False)
        x = (x + pos).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        for blk in self.blocks:
            x = checkpoint(blk, x, use_reentrant=False) if LEVER == "checkpointing" else blk(x)
        return self.head(self.norm(x)[:, 0])


def build_optimizer(params):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.AdamW8bit(params, lr=1e-3)
    return torch.optim.AdamW(params, lr=1e-3, fused=True if LEVER == "fused_optimizer" else None,
                             foreach=False if LEVER == "foreach_off" else None)


def main():
    model = VisionTransformer().cuda()
    optimizer = build_optimizer(model.parameters())
    for epoch, size in enumerate((160, 224, 320)):
        for it in range(3):
            batch = LAST_BATCH if size == 320 else BATCH
            images = torch.rand(batch, 3, size, size).cuda(non_blocking=True)
            target = torch.zeros(batch, dtype=torch.long).cuda(non_blocking=True)
            if LEVER == "zero_grad_first":
                optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
                loss = F.cross_entropy(model(images), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


main()
