"""What the training loops of loops*.py are made of."""

import threading
import traceback

import torch
from torch import nn

LOOPS = {}
BATCH, IN, HIDDEN, OUT = 7, 33, 101, 13
STEPS = 5


def loop(function):
    LOOPS[function.__name__] = function
    return function


def net(device, hidden=HIDDEN):
    return nn.Sequential(nn.Linear(IN, hidden), nn.Tanh(), nn.Linear(hidden, OUT)).to(device)


def batch(device):
    return torch.randn(BATCH, IN, device=device)


def train(o, model, x):
    with o.phase("forward"):
        loss = model(x).square().mean()
    with o.phase("backward"):
        loss.backward()


def first(o, device):
    """The model, and that what follows outside of all is data."""
    model = net(device)
    o.after("data")
    o.mark("data")
    return model


def drop(parameters):
    for p in parameters:
        p.grad = None


def update_by_hand(o, model):
    with torch.no_grad(), o.phase("optimizer"):
        for p in model.parameters():
            p -= 0.1 * p.grad
    drop(model.parameters())


def step(o, *optimizers):
    with o.phase("optimizer"):
        for optimizer in optimizers:
            optimizer.step()
    with o.phase("zero_grad"):
        for optimizer in optimizers:
            optimizer.zero_grad()


class Layer(nn.Linear):
    pass


def in_threads(device, work, classes, widths):
    """work(index, model, width) in a thread for each class, side by side."""
    errors = []

    def guarded(i, model, width):
        try:
            work(i, model, width)
        except BaseException:
            errors.append(traceback.format_exc())

    threads = []
    for i, (cls, width) in enumerate(zip(classes, widths)):
        model = nn.Sequential(*[cls(width, width) for _ in range(4)]).to(device)
        threads.append(threading.Thread(target=guarded, args=(i, model, width)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors


def kinds(n):
    return [type(f"Layer{i}", (nn.Linear,), {}) for i in range(n)], [501 + 2 * i for i in range(n)]


class Plain(torch.optim.Optimizer):
    """Leaves gradients on, as transformers' own AdamW did; states are made at the first step."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self, closure=None):
        loss = closure() if closure else None
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p]
                if not s:
                    s["m"], s["v"] = torch.zeros_like(p.data), torch.zeros_like(p.data)
                s["m"].mul_(0.9).add_(p.grad.data, alpha=0.1)
                s["v"].mul_(0.99).addcmul_(p.grad.data, p.grad.data, value=0.01)
                p.data.addcdiv_(s["m"], s["v"].sqrt().add_(1e-8), value=-1e-3)
        return loss
