"""Loops without an optimizer of torch's."""

import torch
from loops_common import (BATCH, HIDDEN, IN, OUT, STEPS, batch, drop, first, loop, net, train,
                          update_by_hand)
from torch import nn
from torch.nn import functional as F


@loop
def by_hand(o, device):
    model = net(device)
    momentum = [torch.zeros_like(p) for p in model.parameters()]
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        train(o, model, batch(device))
        with torch.no_grad(), o.phase("optimizer"):
            for p, v in zip(model.parameters(), momentum):
                v.mul_(0.9).add_(p.grad)
                p -= 0.1 * v
        drop(model.parameters())
    return {"steps": STEPS, "by": "forward", "micro": STEPS,
            "buckets": {f"[{HIDDEN}, {IN}]": {"parameter", "gradient", "optimizer", "temporary"},
                        f"[{BATCH}, {IN}]": {"input"}}}


@loop
def by_hand_on_data(o, device):
    """Gradients stay on, .data is replaced, gradients are dropped after the next forward."""
    model = first(o, device)
    for _ in range(STEPS):
        x = batch(device)
        with o.phase("forward"):
            loss = model(x).square().mean()
        drop(model.parameters())
        with o.phase("backward"):
            loss.backward()
        with o.phase("optimizer"):
            for p in model.parameters():
                p.data = p.data - 0.1 * p.grad.data
    return {"steps": STEPS, "by": "forward", "micro": STEPS, "kept": "optimizer"}


@loop
def by_hand_in_place(o, device):
    """Nothing is allocated and nothing freed: backwards alone say that it trains."""
    model = first(o, device)
    for _ in range(STEPS):
        train(o, model, batch(device))
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-0.1)
            p.grad.zero_()
    return {"steps": STEPS, "by": "forward", "micro": STEPS}


class Foreign:
    """An optimizer of another library: no torch.optim.Optimizer, gradients left on."""

    def __init__(self, parameters):
        self.parameters, self.state = list(parameters), {}

    def step(self):
        for p in self.parameters:
            if p not in self.state:
                self.state[p] = torch.zeros_like(p.data), torch.zeros_like(p.data)
            m, v = self.state[p]
            m.mul_(0.9).add_(p.grad, alpha=0.1)
            v.mul_(0.99).addcmul_(p.grad, p.grad, value=0.01)
            p.data.addcdiv_(m, v.sqrt().add_(1e-8), value=-1e-3)
        drop(self.parameters)


@loop
def foreign_optimizer(o, device):
    model = first(o, device)
    optimizer = Foreign(model.parameters())
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
    return {"steps": STEPS, "by": "forward", "micro": STEPS,
            "buckets": {f"[{HIDDEN}, {IN}]": {"parameter", "gradient", "optimizer", "temporary"},
                        f"[{BATCH}, {IN}]": {"input"}}}


@loop
def foreign_accumulation(o, device):
    """Four backwards a step, and no optimizer that torch knows."""
    model = first(o, device)
    optimizer = Foreign(model.parameters())
    for _ in range(STEPS):
        for _ in range(4):
            train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
    return {"steps": STEPS, "by": "forward", "micro": 4 * STEPS}


@loop
def engine(o, device):
    """DeepSpeed's way: one flat buffer of weights and one of gradients, updated at once."""

    class Engine(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.module = model
            self.flat = nn.utils.parameters_to_vector(model.parameters()).detach()
            self.m = torch.zeros_like(self.flat)
            nn.utils.vector_to_parameters(self.flat, model.parameters())

        def forward(self, x):
            return self.module(x)

        def step(self):
            with torch.no_grad():
                g = torch.cat([p.grad.reshape(-1) for p in self.module.parameters()])
                self.m.mul_(0.9).add_(g)
                self.flat.sub_(self.m * 0.01)
            drop(self.module.parameters())

    model = Engine(net(device))
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("optimizer"):
            model.step()
    return {"steps": STEPS, "by": "forward", "micro": STEPS}


@loop
def functional_adam(o, device):
    """Parameters and states are new tensors in each step; gradients by autograd.grad."""
    p = [torch.randn(IN, HIDDEN, device=device), torch.randn(HIDDEN, OUT, device=device)]
    m, v = [torch.zeros_like(q) for q in p], [torch.zeros_like(q) for q in p]
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        x = batch(device)
        leaves = [q.detach().requires_grad_() for q in p]
        with o.phase("forward"):
            loss = (torch.tanh(x @ leaves[0]) @ leaves[1]).square().mean()
        with o.phase("backward"):
            g = torch.autograd.grad(loss, leaves)
        with torch.no_grad(), o.phase("optimizer"):
            m = [0.9 * a + 0.1 * b for a, b in zip(m, g)]
            v = [0.99 * a + 0.01 * b * b for a, b in zip(v, g)]
            p = [a - 1e-3 * b / (c.sqrt() + 1e-8) for a, b, c in zip(p, m, v)]
    return {"steps": STEPS, "by": "forward", "micro": 0,
            "buckets": {f"[{BATCH}, {IN}]": {"input"}}}


@loop
def torch_func(o, device):
    from torch.func import functional_call, grad

    model = first(o, device)
    weights = dict(model.named_parameters())

    def loss(weights, x):
        return functional_call(model, weights, (x,)).square().mean()

    for _ in range(STEPS):
        x = batch(device)
        o.mark("free")  # forward and backward are one call
        g = grad(loss)({k: w.detach() for k, w in weights.items()}, x)
        with torch.no_grad(), o.phase("optimizer"):
            for k in weights:
                weights[k] -= 0.1 * g[k]
        o.mark("data")
        del g
    return {"steps": STEPS, "by": "forward", "micro": 0}


@loop
def gradients_per_sample(o, device):
    from torch.func import functional_call, grad, vmap

    model = first(o, device)
    weights = {k: w.detach() for k, w in model.named_parameters()}

    def loss(weights, x):
        return functional_call(model, weights, (x,)).square().mean()

    for _ in range(STEPS):
        x = batch(device)
        o.mark("free")
        g = vmap(grad(loss), in_dims=(None, 0))(weights, x)
        with torch.no_grad(), o.phase("optimizer"):
            for k in weights:
                weights[k] -= 0.1 * g[k].mean(0)
        o.mark("data")
        del g
    return {"steps": STEPS, "by": "forward", "micro": 0}


@loop
def frozen_trunk_by_hand(o, device):
    trunk, head = net(device, 99), nn.Linear(OUT, 5).to(device)
    for p in trunk.parameters():
        p.requires_grad_(False)
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        x = batch(device)
        with o.phase("forward"):
            loss = head(trunk(x)).square().mean()
        with o.phase("backward"):
            loss.backward()
        with torch.no_grad(), o.phase("optimizer"):
            for p in head.parameters():
                p -= 0.1 * p.grad
        drop(head.parameters())
    return {"steps": STEPS, "by": "forward", "micro": STEPS}


@loop
def gradient_penalty_by_hand(o, device):
    model = first(o, device)
    for _ in range(STEPS):
        x = batch(device).requires_grad_()
        with o.phase("forward"):
            loss = model(x).square().mean()
        with o.phase("backward"):
            (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        with o.phase("forward"):
            total = loss + slope.square().sum()
        with o.phase("backward"):
            total.backward()
        with torch.no_grad(), o.phase("optimizer"):
            for p in model.parameters():
                p -= 0.1 * p.grad
        drop(model.parameters())
        del loss, slope, total
    # the batch has a gradient, too: its size says nothing
    return {"steps": STEPS, "by": "forward", "micro": STEPS,
            "buckets": {f"[{BATCH}, {IN}]": {"input", "gradient", "temporary"}}}


@loop
def evaluates_between_by_hand(o, device):
    model = first(o, device)
    for _ in range(STEPS):
        train(o, model, batch(device))
        with torch.no_grad(), o.phase("optimizer"):
            for p in model.parameters():
                p -= 0.1 * p.grad
        drop(model.parameters())
        with torch.no_grad():
            x = batch(device)
            with o.phase("eval"):
                F.relu(model(x)).sum()
            del x
    return {"steps": STEPS, "by": "forward", "micro": STEPS, "unmarked": ["data"]}


@loop
def by_hand_then_an_optimizer(o, device):
    """Warms up by hand; then an optimizer takes over, with two backwards a step."""
    model = first(o, device)
    for _ in range(3):
        train(o, model, batch(device))
        with torch.no_grad(), o.phase("optimizer"):
            for p in model.parameters():
                p -= 0.1 * p.grad
        drop(model.parameters())
    optimizer = torch.optim.AdamW(model.parameters())
    with o.phase("zero_grad"):
        optimizer.zero_grad()
    for _ in range(3):
        train(o, model, batch(device))
        o.mark("free")
        train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": (6, 7), "by": "forward", "micro": 9}


def penalty_by_hand(o, device, make):
    """The batch gets a gradient of its own, and the loss one through it."""
    model = first(o, device)
    for _ in range(STEPS):
        x = make().requires_grad_()
        with o.phase("forward"):
            loss = model(x).square().mean()
        with o.phase("backward"):
            (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        with o.phase("forward"):
            total = loss + slope.square().sum()
        with o.phase("backward"):
            total.backward()
        with torch.no_grad(), o.phase("optimizer"):
            for p in model.parameters():
                p -= 0.1 * p.grad
        drop(model.parameters())
        del loss, slope, total
    return {"steps": STEPS, "by": "forward", "micro": STEPS,
            "buckets": {f"[{BATCH}, {IN}]": {"input", "gradient", "temporary"}}}


@loop
def penalty_on_a_computed_batch(o, device):
    whole = torch.randn(99, IN, device=device)
    return penalty_by_hand(o, device, lambda: (whole[:BATCH] * 2).detach())


@loop
def penalty_on_an_indexed_batch(o, device):
    whole = torch.randn(99, IN, device=device)
    rows = torch.arange(BATCH, device=device)
    return penalty_by_hand(o, device, lambda: whole[rows])


@loop
def functional_by_hand(o, device):
    """functional_call with weights that are no module's."""
    from torch.func import functional_call

    model = first(o, device)
    w = {k: v.detach().clone() for k, v in model.named_parameters()}
    for _ in range(STEPS):
        x = batch(device)
        leaves = {k: v.detach().requires_grad_() for k, v in w.items()}
        with o.phase("forward"):
            loss = functional_call(model, leaves, (x,)).square().mean()
        with o.phase("backward"):
            g = torch.autograd.grad(loss, list(leaves.values()))
        with torch.no_grad(), o.phase("optimizer"):
            w = {k: v - 0.1 * d for (k, v), d in zip(w.items(), g)}
    return {"steps": STEPS, "by": "forward", "micro": 0, "unmarked": ["data"]}


@loop
def truncated_backward_by_hand(o, device):
    """A state goes from one part of a sequence to the next, cut off in between."""
    cell = nn.GRUCell(IN, HIDDEN).to(device)
    state = torch.zeros(BATCH, HIDDEN, device=device)
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        x = batch(device)
        with o.phase("forward"):
            state = cell(x, state)
            loss = state.square().mean()
        with o.phase("backward"):
            loss.backward()
        update_by_hand(o, cell)
        state = state.detach()
    return {"steps": STEPS, "by": "forward", "micro": STEPS}
