"""Predictions of a whole test set are kept on the card: they grow inside one step."""
import torch
from torch import nn

net = nn.Linear(512, 4096).cuda()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(5):
    net(torch.randn(64, 512, device="cuda")).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
predictions = []
with torch.no_grad():
    for _ in range(100):
        batch = torch.randn(2048, 512, device="cuda")
        predictions.append(net(batch))
