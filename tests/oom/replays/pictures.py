"""A small convolutional network on pictures of changing size, evaluated now and then."""
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [3, 32, 64, 64]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1)
                                    for a, b in zip(widths, widths[1:]))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = F.max_pool2d(F.relu(layer(x)), 2)
        return self.head(x.mean((2, 3)))


net = Net().cuda()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for step in range(40):
    side = 64 + 16 * (step * 5 % 7)
    pictures = torch.randn(16 + step % 3, 3, side, side, device="cuda")
    loss = F.cross_entropy(net(pictures), torch.zeros(len(pictures), dtype=torch.long,
                                                      device="cuda"))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 9:
        with torch.no_grad():
            net(torch.randn(100, 3, 96, 96, device="cuda"))
net(torch.randn(4096, 3, 128, 128, device="cuda"))
