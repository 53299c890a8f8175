"""All features so far are put together anew in each step."""
import torch
from torch import nn

net = nn.Linear(512, 1024).cuda()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
bank = torch.empty(0, 1024, device="cuda")
for _ in range(1000):
    features = net(torch.randn(4096, 512, device="cuda"))
    bank = torch.cat([bank, features.detach()])
    features.square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
