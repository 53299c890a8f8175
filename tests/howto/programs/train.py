"""The training of docs/howto. usage: train.py [BATCH]"""
import sys

import torch
from torch import nn

device = "cuda" if torch.cuda.is_available() else "cpu"


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


class Model(nn.Module):
    def __init__(self, width=256, depth=6):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


batch = int(sys.argv[1]) if len(sys.argv) > 1 else 64
data = torch.utils.data.TensorDataset(torch.randn(4 * batch, 256),
                                      torch.randint(10, (4 * batch,)))
model = Model().to(device)
optimizer = torch.optim.AdamW(model.parameters())
for x, y in torch.utils.data.DataLoader(data, batch):
    loss = nn.functional.cross_entropy(model(x.to(device)), y.to(device))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
