"""Segments of their own that lie idle for different times: with garbage_collection_threshold and a
fraction (FRACTION), old ones go back to the device before it is asked for more."""
import os
import random

import torch
from torch import nn

if "FRACTION" in os.environ:
    torch.cuda.set_per_process_memory_fraction(float(os.environ["FRACTION"]))
random.seed(5)
net = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(512, 512), nn.ReLU())]).cuda()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
kept, idle = [], []
for step in range(50):
    x = torch.randn(random.randint(100, 30000), 512, device="cuda")
    net(x).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    idle = [torch.empty(random.randint(20, 70) << 20, dtype=torch.uint8, device="cuda")
            for _ in range(random.randint(1, 4))]
    if step % 6 == 2:
        kept.append(torch.empty(random.randint(1 << 20, 9 << 20), device="cuda"))
while True:
    kept.append(torch.empty(30 << 20, dtype=torch.uint8, device="cuda"))
