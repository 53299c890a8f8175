# memory: 1300MiB
# cause: an image is optimised through a frozen net whose weights still ask for gradients
# fix: unowned_gradients
# levers: unowned_gradients bf16_autocast smaller_batch=2
"""A picture is optimised until a network's features of it are what they should be (style transfer)."""
import os

import torch
import torch.nn.functional as F
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 2

layers, width = [], 3
for i, wider in enumerate([64, 128, 256, 512, 512, 512]):
    layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU()] + ([nn.MaxPool2d(2)] if i < 4 else [])
    width = wider
features = nn.Sequential(*layers, nn.Flatten(), nn.AdaptiveAvgPool1d(8192), nn.Linear(8192, 8192)).cuda().eval()
if LEVER == "unowned_gradients":
    features.requires_grad_(False)
picture = torch.rand(BATCH, 3, 256, 256, device="cuda", requires_grad=True)
optimizer = torch.optim.Adam([picture], lr=0.02)
wanted = torch.randn(BATCH, 8192, device="cuda")
for step in range(6):
    optimizer.zero_grad()
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        found = features(picture)
    F.mse_loss(found.float(), wanted).backward()
    optimizer.step()
