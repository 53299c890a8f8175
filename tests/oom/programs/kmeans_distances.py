# memory: 7GiB
# cause: all differences between points and centres are written out at once
# fix: smaller_batch
# levers: smaller_batch=40000
"""Clusters features of an encoder that has just been trained; points go in batches."""
import os
import torch
import torch.nn as nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
POINTS = int(VALUE) if LEVER == "smaller_batch" else 40_000


def train_encoder():
    encoder = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 64)).cuda()
    decoder = nn.Linear(64, 256).cuda()
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])
    for _ in range(10):
        x = torch.randn(2048, 256, device="cuda")
        loss = (decoder(encoder(x)) - x).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    return encoder


@torch.no_grad()
def cluster(encoder, k=512, rounds=3):
    centres = torch.randn(k, 64, device="cuda")
    for _ in range(rounds):
        sums, counts = torch.zeros_like(centres), torch.zeros(k, device="cuda")
        for _ in range(4):
            z = encoder(torch.randn(POINTS, 256, device="cuda"))
            nearest = (z[:, None, :] - centres[None]).square().sum(-1).argmin(1)
            sums.index_add_(0, nearest, z)
            counts.index_add_(0, nearest, torch.ones(len(z), device="cuda"))
        centres = sums / counts.clamp(min=1)[:, None]
    return centres


cluster(train_encoder())
