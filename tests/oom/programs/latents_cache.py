# memory: 950MiB
# cause: a dataset wrapper caches each sample's features on the GPU in its first epoch
# fix: stop_leak
# levers: stop_leak smaller_batch=32 8bit_optimizer foreach_off fused_optimizer bf16_autocast checkpointing zero_grad_first
"""Trains a denoiser on latents; a frozen encoder makes them, and they are cached by index."""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 64, 4, 2, 1), nn.SiLU(), nn.Conv2d(64, 128, 4, 2, 1), nn.SiLU(),
                                    nn.Conv2d(128, 16, 3, 1, 1))

    def forward(self, x):
        return self.layers(x)


class CachedLatents(torch.utils.data.Dataset):
    def __init__(self, encoder, size):
        self.encoder, self.size, self.cache = encoder, size, {}

    def __len__(self):
        return self.size

    @torch.no_grad()
    def __getitem__(self, index):
        if index not in self.cache:
            image = torch.rand(1, 3, 256, 256, device="cuda")
            latent = self.encoder(image)[0]
            self.cache[index] = latent.cpu() if LEVER == "stop_leak" else latent
        return self.cache[index].cuda()


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm, self.conv = nn.GroupNorm(8, c), nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return x + self.conv(F.silu(self.norm(x)))


class Denoiser(nn.Module):
    def __init__(self, c=192, n=8):
        super().__init__()
        self.enter = nn.Conv2d(16, c, 4, 4)
        self.blocks = nn.ModuleList([Block(c) for _ in range(n)])
        self.leave = nn.ConvTranspose2d(c, 16, 4, 4)

    def forward(self, x):
        x = self.enter(x)
        for b in self.blocks:
            if LEVER == "checkpointing":
                x = torch.utils.checkpoint.checkpoint(b, x, use_reentrant=False)
            else:
                x = b(x)
        return self.leave(x)


dataset = CachedLatents(Encoder().cuda().eval().requires_grad_(False), 2048)
loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True, drop_last=True)
model = Denoiser().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-4)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
for epoch in range(2):
    for latents in loader:
        noise = torch.randn_like(latents)
        if LEVER == "zero_grad_first":
            optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = F.mse_loss(model(latents + noise), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
