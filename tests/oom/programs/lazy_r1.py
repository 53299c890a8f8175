# memory: 2250MiB
# cause: the critic's gradient penalty (lazy R1) comes only every fourth step and needs a graph of a backward
# fix: smaller_batch bf16_autocast
# levers: checkpointing smaller_batch=32 bf16_autocast foreach_off fused_optimizer 8bit_optimizer zero_grad_first
"""A StyleGAN-like discriminator's training with lazy regularisation."""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
batch = int(VALUE) if LEVER == "smaller_batch" else 32
d_reg_every, r1_gamma = 4, 10.0


class DBlock(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(a, a, 3, padding=1), nn.Conv2d(a, b, 3, padding=1)
        self.skip = nn.Conv2d(a, b, 1, bias=False)

    def forward(self, x):
        y = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), 0.2)), 0.2)
        return (F.avg_pool2d(y, 2) + F.avg_pool2d(self.skip(x), 2)) * 0.7071


class Discriminator(nn.Module):
    def __init__(self, c=32):
        super().__init__()
        self.from_rgb = nn.Conv2d(3, c, 1)
        self.blocks = nn.ModuleList([DBlock(c, 2 * c), DBlock(2 * c, 4 * c), DBlock(4 * c, 8 * c), DBlock(8 * c, 8 * c)])
        self.out = nn.Linear(8 * c * 64, 1)

    def forward(self, x):
        x = self.from_rgb(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if LEVER == "checkpointing" else block(x)
        return self.out(x.flatten(1))


class Generator(nn.Module):
    def __init__(self, c=96):
        super().__init__()
        self.fc, layers, c0 = nn.Linear(512, c * 64), [], c
        for _ in range(4):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(c, c // 2, 3, padding=1), nn.LeakyReLU(0.2)]
            c //= 2
        self.net = nn.Sequential(*layers, nn.Conv2d(c, 3, 1))
        self.c = c0

    def forward(self, z):
        return self.net(self.fc(z).view(len(z), self.c, 8, 8))


def adam(params):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.Adam8bit(params, lr=2e-3, betas=(0.0, 0.99))
    return torch.optim.Adam(params, lr=2e-3, betas=(0.0, 0.99), foreach=False if LEVER == "foreach_off" else None,
                            fused=True if LEVER == "fused_optimizer" else None)


G, D = Generator().cuda(), Discriminator().cuda()
g_opt, d_opt = adam(G.parameters()), adam(D.parameters())
amp = torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")
for step in range(1, 10):
    real = torch.randn(batch, 3, 128, 128, device="cuda")
    if LEVER == "zero_grad_first":
        d_opt.zero_grad()
        g_opt.zero_grad()
    with amp:
        with torch.no_grad():
            fake = G(torch.randn(batch, 512, device="cuda"))
        loss_fake = F.softplus(D(fake)).mean()
    d_opt.zero_grad()
    loss_fake.backward()
    with amp:
        loss_real = F.softplus(-D(real)).mean()
    loss_real.backward()
    d_opt.step()
    if step % d_reg_every == 0:
        real.requires_grad_(True)
        with amp:
            prediction = D(real)
            grad, = torch.autograd.grad(prediction.sum(), real, create_graph=True)
            penalty = r1_gamma / 2 * grad.pow(2).flatten(1).sum(1).mean()
        d_opt.zero_grad()
        (penalty * d_reg_every).backward()
        d_opt.step()
    with amp:
        g_loss = F.softplus(-D(G(torch.randn(batch, 512, device="cuda")))).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
