# memory: 4750MiB
# cause: messages along all edges of a graph are kept in every layer
# fix: checkpointing bf16_autocast
# levers: checkpointing bf16_autocast 8bit_optimizer foreach_off
import os

import torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint

lever = os.environ.get("LEVER", "").partition("=")[0]
NODES, EDGES, WIDTH = 50_000, 800_000, 128


class MessagePassing(nn.Module):
    def __init__(self):
        super().__init__()
        self.message = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.update = nn.GRUCell(WIDTH, WIDTH)

    def forward(self, h, source, target):
        m = self.message(torch.cat([h[source], h[target]], -1))
        gathered = torch.zeros(NODES, WIDTH, device=h.device, dtype=m.dtype).index_add(0, target, m)
        return self.update(gathered, h)


class GNN(nn.Module):
    def __init__(self, layers=3):
        super().__init__()
        self.enter = nn.Linear(64, WIDTH)
        self.layers = nn.ModuleList(MessagePassing() for _ in range(layers))
        self.leave = nn.Linear(WIDTH, 40)

    def forward(self, x, edges):
        h = self.enter(x)
        for layer in self.layers:
            if lever == "checkpointing":
                h = checkpoint(layer, h, *edges, use_reentrant=False)
            else:
                h = layer(h, *edges)
        return self.leave(h)


x = torch.randn(NODES, 64).cuda()
edges = torch.randint(NODES, (2, EDGES)).cuda()
labels = torch.zeros(NODES, dtype=torch.long).cuda()
gnn = GNN().cuda()
if lever == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(gnn.parameters(), lr=1e-2)
else:
    optimizer = torch.optim.Adam(gnn.parameters(), lr=1e-2, foreach=False if lever == "foreach_off" else None)
for epoch in range(4):
    optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=lever == "bf16_autocast"):
        loss = nn.functional.cross_entropy(gnn(x, edges), labels)
    loss.backward()
    optimizer.step()
