# memory: 5.5GiB
# cause: dense gradient and dense states of a large embedding table
# fix: sparse_gradients
# levers: sparse_gradients 8bit_optimizer foreach_off fused_optimizer smaller_batch=8192
import os

import torch
import torch.nn as nn

lever, _, value = os.environ.get("LEVER", "").partition("=")
USERS, ITEMS, DIM = 1_500_000, 800_000, 128
sparse = lever == "sparse_gradients"


class TwoTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.users = nn.Embedding(USERS, DIM, sparse=sparse)
        self.items = nn.Embedding(ITEMS, DIM, sparse=sparse)
        self.tower = nn.Sequential(nn.Linear(2 * DIM, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, user, item):
        return self.tower(torch.cat([self.users(user), self.items(item)], -1)).squeeze(-1)


model = TwoTower().cuda()
tables = [*model.users.parameters(), *model.items.parameters()]
if sparse:
    optimizers = [torch.optim.SparseAdam(tables), torch.optim.Adam(model.tower.parameters())]
elif lever == "8bit_optimizer":
    import bitsandbytes
    optimizers = [bitsandbytes.optim.Adam8bit(model.parameters(), lr=1e-3)]
else:
    kinds = {"foreach_off": dict(foreach=False), "fused_optimizer": dict(fused=True)}
    optimizers = [torch.optim.Adam(model.parameters(), lr=1e-3, **kinds.get(lever, {}))]

batch = int(value) if lever == "smaller_batch" else 8192
for _ in range(4):
    user = torch.randint(USERS, (batch,), device="cuda")
    item = torch.randint(ITEMS, (batch,), device="cuda")
    clicked = torch.zeros(batch, device="cuda")
    loss = nn.functional.binary_cross_entropy_with_logits(model(user, item), clicked)
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
