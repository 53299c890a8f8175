# memory: 3000MiB
# cause: the correlation of all pairs of positions of two pictures is a matrix for each position
# fix: smaller_batch bf16_autocast checkpoint_turns checkpointing
# levers: smaller_batch=8 bf16_autocast checkpoint_turns
"""Optical flow: a volume of all-pairs correlations and twelve rounds that look it up."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 8
ROUNDS, RADIUS, LEVELS = 12, 4, 4


class Encoder(nn.Module):
    def __init__(self, out=128):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 32, 7, 2, 3), nn.InstanceNorm2d(32), nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, 2, 1), nn.InstanceNorm2d(64), nn.ReLU(inplace=True),
            nn.Conv2d(64, 96, 3, 2, 1), nn.InstanceNorm2d(96), nn.ReLU(inplace=True),
            nn.Conv2d(96, out, 1))

    def forward(self, x):
        return self.net(x)


class CorrBlock:
    def __init__(self, fmap1, fmap2):
        b, c, h, w = fmap1.shape
        corr = torch.matmul(fmap1.view(b, c, h * w).transpose(1, 2), fmap2.view(b, c, h * w))
        corr = corr.view(b * h * w, 1, h, w) / c ** 0.5
        self.pyramid = [corr]
        for _ in range(LEVELS - 1):
            corr = F.avg_pool2d(corr, 2, stride=2)
            self.pyramid.append(corr)

    def __call__(self, coords):
        coords = coords.permute(0, 2, 3, 1)
        b, h, w, _ = coords.shape
        d = torch.linspace(-RADIUS, RADIUS, 2 * RADIUS + 1, device=coords.device)
        delta = torch.stack(torch.meshgrid(d, d, indexing="ij"), -1).view(1, 2 * RADIUS + 1, -1, 2)
        out = []
        for i, corr in enumerate(self.pyramid):
            grid = coords.reshape(b * h * w, 1, 1, 2) / 2 ** i + delta
            out.append(F.grid_sample(corr, grid, align_corners=True).view(b, h, w, -1))
        return torch.cat(out, -1).permute(0, 3, 1, 2).contiguous()


class Update(nn.Module):
    def __init__(self, hidden=96):
        super().__init__()
        self.mix = nn.Conv2d(LEVELS * (2 * RADIUS + 1) ** 2 + 2, 96, 3, padding=1)
        self.gates = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1)
        self.new = nn.Conv2d(2 * hidden, hidden, 3, padding=1)
        self.flow = nn.Conv2d(hidden, 2, 3, padding=1)

    def forward(self, net, corr, flow):
        x = F.relu(self.mix(torch.cat([corr, flow], 1)))
        z, r = torch.sigmoid(self.gates(torch.cat([net, x], 1))).chunk(2, 1)
        q = torch.tanh(self.new(torch.cat([r * net, x], 1)))
        net = (1 - z) * net + z * q
        return net, self.flow(net)


class RAFT(nn.Module):
    def __init__(self):
        super().__init__()
        self.fnet, self.cnet, self.update_block = Encoder(128), Encoder(96), Update()

    def forward(self, image1, image2):
        fmap1, fmap2 = self.fnet(image1).float(), self.fnet(image2).float()
        with torch.autocast("cuda", enabled=False):
            corr_fn = CorrBlock(fmap1, fmap2)
        net = torch.tanh(self.cnet(image1))
        b, _, h, w = net.shape
        coords0 = torch.zeros(b, 2, h, w, device=net.device)
        coords1, predictions = coords0.clone(), []

        def one(net, coords1):
            return self.update_block(net, corr_fn(coords1), coords1 - coords0)

        for _ in range(ROUNDS):
            coords1 = coords1.detach()
            if LEVER == "checkpoint_turns":
                net, delta = checkpoint(one, net, coords1, use_reentrant=False)
            else:
                net, delta = one(net, coords1)
            coords1 = coords1 + delta
            predictions.append(8 * F.interpolate(coords1 - coords0, scale_factor=8, mode="bilinear"))
        return predictions


model = RAFT().cuda()
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4)
for step in range(4):
    image1, image2 = (torch.randn(BATCH, 3, 368, 496, device="cuda") for _ in range(2))
    flow = torch.zeros(BATCH, 2, 368, 496, device="cuda")
    optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        predictions = model(image1, image2)
    loss = sum(0.8 ** (ROUNDS - i - 1) * (p - flow).abs().mean() for i, p in enumerate(predictions))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
