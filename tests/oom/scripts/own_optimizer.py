"""The first backward is refused, before an optimizer that nobody knows has made its states."""
import torch
import torch.nn.functional as F
from torch import nn


class Mine(torch.optim.SGD):
    pass


net = nn.Linear(512, 50000).cuda()
optimizer = Mine(net.parameters(), lr=0.1)
for _ in range(3):
    x = torch.randn(4096, 512, device="cuda")
    loss = F.cross_entropy(net(x), torch.zeros(4096, dtype=torch.long, device="cuda"))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
