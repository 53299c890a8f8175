# memory: 3050MiB
# cause: losses are kept in a list with their graphs
# fix: stop_leak
# levers: stop_leak smaller_batch=32 checkpointing 8bit_optimizer zero_grad_first foreach_off fused_optimizer
import os, torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint

lever, _, value = os.environ.get("LEVER", "").partition("=")
bs = int(value) if lever == "smaller_batch" else 32
up = [nn.Sequential(nn.Conv2d(a, b, 3, s, 1), nn.GroupNorm(8, b), nn.ELU())
      for a, b, s in [(3, 32, 1), (32, 64, 2), (64, 128, 2), (128, 256, 2)]]
down = [nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, 1, 1), nn.ELU())
        for a, b in [(256, 128), (128, 64), (64, 32)]]
autoencoder = nn.Sequential(*up, *down, nn.Conv2d(32, 3, 1)).cuda()

def reconstruct(x):
    for m in autoencoder:
        x = checkpoint(m, x, use_reentrant=False) if lever == "checkpointing" else m(x)
    return x

if lever == "8bit_optimizer":
    from bitsandbytes.optim import Adam8bit
    opt = Adam8bit(autoencoder.parameters())
elif lever == "foreach_off":
    opt = torch.optim.Adam(autoencoder.parameters(), foreach=False)
else:
    opt = torch.optim.Adam(autoencoder.parameters(), fused=lever == "fused_optimizer" or None)

history = []
for step in range(30):
    x = torch.rand(bs, 3, 96, 96, device="cuda")
    if lever == "zero_grad_first":
        opt.zero_grad()
    # the sparsity term is looked at, not learnt
    y = reconstruct(x)
    loss = (y - x).abs().mean()
    watched = autoencoder[:4](x).abs().mean()
    opt.zero_grad(); loss.backward(); opt.step()
    history.append((loss.item(), watched.item() if lever == "stop_leak" else watched))
