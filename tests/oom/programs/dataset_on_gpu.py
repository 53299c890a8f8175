# memory: 2850MiB
# cause: the whole dataset was moved to the GPU
# fix: load_on_cpu
# levers: load_on_cpu smaller_batch=256 checkpointing bf16_autocast 8bit_optimizer
"""A VAE on small images, all of which were put on the card once to be fast."""
import os
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
HOST = LEVER == "load_on_cpu"


class VAE(nn.Module):
    def __init__(self, z=64):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 4, 2, 1),
                                     nn.ReLU(), nn.Flatten())
        self.moments = nn.Linear(128 * 256, 2 * z)
        self.decoder = nn.Sequential(nn.Linear(z, 128 * 256), nn.Unflatten(1, (128, 16, 16)),
                                     nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(),
                                     nn.ConvTranspose2d(64, 3, 4, 2, 1))

    def forward(self, x):
        run = (lambda m, x: checkpoint(m, x, use_reentrant=False)) if LEVER == "checkpointing" else \
            (lambda m, x: m(x))
        mean, log_var = self.moments(run(self.encoder, x)).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
        return run(self.decoder, z), kl


images = torch.empty(90_000, 3, 64, 64, dtype=torch.half, device="cpu" if HOST else "cuda")
loader = DataLoader(TensorDataset(images), batch_size=int(VALUE) if LEVER == "smaller_batch" else 256)
vae = VAE().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(vae.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
for step, (x,) in zip(range(4), loader):
    x = x.cuda().float() / 255
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        y, kl = vae(x)
        loss = nn.functional.mse_loss(y, x, reduction="sum") / len(x) + kl
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
