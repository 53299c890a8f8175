# memory: 2250MiB
# cause: the generator is stepped only every third time, and needs both networks' graphs then
# fix: smaller_batch bf16_autocast checkpointing
# levers: smaller_batch=64 bf16_autocast checkpointing empty_cache zero_grad_first foreach_off 8bit_optimizer
"""WGAN with weight clipping: two optimizers, the critic learns three times as often."""
import os
import torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint_sequential

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
opt_batch = int(VALUE) if LEVER == "smaller_batch" else 64
n_critic, latent = 3, 128


def run(net, x):
    return checkpoint_sequential(net, len(net), x, use_reentrant=False) if LEVER == "checkpointing" else net(x)


class Generator(nn.Module):
    def __init__(self, c=64):
        super().__init__()
        self.fc = nn.Linear(latent, 8 * c * 16)
        self.net = nn.Sequential()
        for a, b in ((8 * c, 8 * c), (8 * c, 4 * c), (4 * c, 2 * c), (2 * c, c), (c, c)):
            self.net.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1),
                                          nn.BatchNorm2d(b), nn.LeakyReLU(0.2)))
        self.out = nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, z):
        x = self.fc(z).view(len(z), -1, 4, 4)
        return torch.tanh(self.out(run(self.net, x)))


class Critic(nn.Module):
    def __init__(self, c=64):
        super().__init__()
        self.net = nn.Sequential()
        for a, b in ((3, c), (c, 2 * c), (2 * c, 4 * c), (4 * c, 8 * c), (8 * c, 8 * c)):
            self.net.append(nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.InstanceNorm2d(b, affine=True),
                                          nn.LeakyReLU(0.2)))
        self.fc = nn.Linear(8 * c * 16, 1)

    def forward(self, x):
        return self.fc(run(self.net, x).flatten(1))


def rmsprop(params):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.RMSprop8bit(params, lr=5e-5)
    return torch.optim.RMSprop(params, lr=5e-5, foreach=False if LEVER == "foreach_off" else None)


generator, critic = Generator().cuda(), Critic().cuda()
optimizer_G, optimizer_D = rmsprop(generator.parameters()), rmsprop(critic.parameters())
amp = torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")
for i in range(9):
    if LEVER == "empty_cache":
        torch.cuda.empty_cache()
    if LEVER == "zero_grad_first":
        optimizer_D.zero_grad()
        optimizer_G.zero_grad()
    real = torch.randn(opt_batch, 3, 128, 128).cuda()
    z = torch.randn(opt_batch, latent).cuda()
    with amp:
        fake = generator(z).detach()
        loss_D = -critic(real).mean() + critic(fake).mean()
    optimizer_D.zero_grad()
    loss_D.backward()
    optimizer_D.step()
    for p in critic.parameters():
        p.data.clamp_(-0.01, 0.01)
    if (i + 1) % n_critic == 0:
        with amp:
            loss_G = -critic(generator(z)).mean()
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
