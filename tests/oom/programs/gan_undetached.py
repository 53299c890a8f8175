# memory: 1100MiB
# cause: fake images not detached when the discriminator learns
# fix: no_grad
# levers: no_grad smaller_batch=64 bf16_autocast
import os, torch
from torch import nn

lever, _, value = os.environ.get("LEVER", "").partition("=")
n = int(value) if lever == "smaller_batch" else 64
dev = torch.device("cuda")

def up(i, o): return [nn.ConvTranspose2d(i, o, 4, 2, 1), nn.BatchNorm2d(o), nn.ReLU(True)]
def down(i, o): return [nn.Conv2d(i, o, 4, 2, 1), nn.LeakyReLU(0.2, True)]

G = nn.Sequential(nn.ConvTranspose2d(128, 512, 4), nn.ReLU(True), *up(512, 512), *up(512, 256),
                  *up(256, 128), *up(128, 128), nn.ConvTranspose2d(128, 3, 4, 2, 1), nn.Tanh()).to(dev)
D = nn.Sequential(*down(3, 64), *down(64, 128), *down(128, 256), *down(256, 512),
                  nn.Conv2d(512, 1, 8)).to(dev)
optG = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999))
optD = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
bce = nn.BCEWithLogitsLoss()
amp = torch.autocast("cuda", torch.bfloat16, enabled=lever == "bf16_autocast")

for it in range(5):
    # (1) the discriminator
    optD.zero_grad()
    with amp:
        real = torch.randn(n, 3, 128, 128, device=dev)
        if lever == "no_grad":
            with torch.no_grad():
                fake = G(torch.randn(n, 128, 1, 1, device=dev))
        else:
            fake = G(torch.randn(n, 128, 1, 1, device=dev))
        out_real, out_fake = D(real), D(fake)
        loss_d = bce(out_real, torch.ones_like(out_real)) + bce(out_fake, torch.zeros_like(out_fake))
    loss_d.backward()
    optD.step()
    del real, fake, out_real, out_fake
    # (2) the generator
    optG.zero_grad()
    with amp:
        out = D(G(torch.randn(n // 2, 128, 1, 1, device=dev)))
        loss_g = bce(out, torch.ones_like(out))
    loss_g.backward()
    optG.step()
