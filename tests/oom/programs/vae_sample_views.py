# memory: 2250MiB
# cause: the eight reconstructions kept for a picture of each step are views: each keeps its whole batch alive
# fix: stop_leak
# levers: stop_leak smaller_batch=128 checkpointing bf16_autocast 8bit_optimizer zero_grad_first
import os
from collections import defaultdict

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 128


def down(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.GroupNorm(8, b), nn.SiLU())


def up(a, b):
    return nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1), nn.GroupNorm(8, b), nn.SiLU())


class VAE(nn.Module):
    def __init__(self, latent=256):
        super().__init__()
        self.encoder = nn.ModuleList([down(3, 32), down(32, 64), down(64, 128), down(128, 256)])
        self.to_mu, self.to_logvar = nn.Linear(256 * 64, latent), nn.Linear(256 * 64, latent)
        self.from_z = nn.Linear(latent, 256 * 64)
        self.decoder = nn.ModuleList([up(256, 128), up(128, 64), up(64, 32), up(32, 16)])
        self.rgb = nn.Conv2d(16, 3, 3, padding=1)

    def run(self, layers, x):
        for layer in layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return x

    def forward(self, x):
        h = self.run(self.encoder, x).flatten(1)
        mu, logvar = self.to_mu(h), self.to_logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        h = self.from_z(z).unflatten(1, (256, 8, 8))
        return self.rgb(self.run(self.decoder, h)).sigmoid(), mu, logvar


class Logger:
    """Collects what will be written when the epoch is over."""

    def __init__(self):
        self.scalars, self.images = defaultdict(list), []

    def log(self, step, **values):
        for key, value in values.items():
            self.scalars[key].append((step, value.item()))

    def log_images(self, step, real, fake):
        pair = real[:8].detach(), fake[:8].detach().float()
        if LEVER == "stop_leak":
            pair = tuple(part.cpu() for part in pair)
        self.images.append((step, *pair))

    def flush(self):
        grids = [torch.cat([real.cpu(), fake.cpu()]) for _, real, fake in self.images]
        print(len(grids), "grids", {k: v[-1] for k, v in self.scalars.items()})
        self.images.clear()


model = VAE().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
logger = Logger()
for epoch in range(2):
    for step in range(10):
        images = torch.rand(BATCH, 3, 128, 128).cuda(non_blocking=True)
        if LEVER == "zero_grad_first":
            optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            recon, mu, logvar = model(images)
            rec = F.binary_cross_entropy(recon.float(), images) if LEVER != "bf16_autocast" else F.mse_loss(recon.float(), images)
            kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
            loss = rec + 1e-4 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        logger.log(step, rec=rec, kl=kl)
        logger.log_images(step, images, recon)
    logger.flush()
