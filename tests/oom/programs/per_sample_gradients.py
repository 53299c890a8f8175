# memory: 1500MiB
# cause: a gradient for each sample, as differential privacy needs it
# fix: smaller_batch accumulate
# levers: smaller_batch=64 accumulate=1
import os
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap

lever, _, value = os.environ.get("LEVER", "").partition("=")
BATCH = int(value) if lever == "smaller_batch" else 64
PARTS = int(value) if lever == "accumulate" else 1
CLIP, NOISE = 1.0, 1.1

model = nn.Sequential(nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(),
                      nn.Linear(2048, 10)).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)


def loss_of(params, x, y):
    return F.cross_entropy(functional_call(model, params, (x[None],)), y[None])


per_sample = vmap(grad(loss_of), in_dims=(None, 0, 0))


def clipped_sum(x, y):
    params = {name: p.detach() for name, p in model.named_parameters()}
    grads = per_sample(params, x, y)
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads.values()]).norm(dim=0)
    factor = (CLIP / (norms + 1e-6)).clamp(max=1)
    return {name: torch.einsum("n,n...->...", factor, g) for name, g in grads.items()}


for step in range(3):
    totals = None
    for _ in range(PARTS):
        x = torch.randn(BATCH // PARTS, 512, device="cuda")
        y = torch.zeros(BATCH // PARTS, dtype=torch.long, device="cuda")
        part = clipped_sum(x, y)
        totals = part if totals is None else {k: totals[k] + part[k] for k in part}
    for name, p in model.named_parameters():
        p.grad = (totals[name] + NOISE * CLIP * torch.randn_like(p)) / BATCH
    optimizer.step()
