# memory: 1450MiB
# cause: backward(create_graph=True) ties parameters and gradients together in every step
# fix: stop_leak
# levers: stop_leak smaller_batch=512
"""A curvature penalty on the gradient norm (as in sharpness studies)."""
import os
import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
batch = int(VALUE) if LEVER == "smaller_batch" else 512


def task_model():
    return nn.Sequential(nn.Linear(784, 1200), nn.Softplus(), nn.Linear(1200, 1200), nn.Softplus(),
                         nn.Linear(1200, 10)).cuda()


def sharpness(model, x, y):
    loss = nn.functional.cross_entropy(model(x), y)
    if LEVER == "stop_leak":
        grads = torch.autograd.grad(loss, tuple(model.parameters()), create_graph=True)
    else:
        loss.backward(create_graph=True)
        grads = [p.grad for p in model.parameters()]
    return loss + 0.05 * sum(g.square().sum() for g in grads)


curve = []
for seed in range(60):  # how sharp are fresh models?
    model = task_model()
    x, y = torch.randn(batch, 784, device="cuda"), torch.zeros(batch, dtype=torch.long, device="cuda")
    curve.append(sharpness(model, x, y).item())
