"""Batches of changing length, tensors kept now and then, and the cache emptied at times."""
import random

import torch
from torch import nn

random.seed(3)
net = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(1024, 1024), nn.ReLU())]).cuda()
optimizer = torch.optim.Adam(net.parameters())
kept = []
for step in range(60):
    x = torch.randn(random.randint(200, 20000), 1024, device="cuda")
    loss = net(x).pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 7 == 3:
        kept.append(torch.empty(random.randint(1000, 9000000), device="cuda"))
    if step % 11 == 10:
        torch.cuda.empty_cache()
torch.randn(60000, 8192, device="cuda")
