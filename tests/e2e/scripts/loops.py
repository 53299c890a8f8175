"""Training loops of many kinds, each with its own account: loops.py cpu|cuda [NAME...].

Each runs in a child of its own, with a trace of its own; NAME.json says what it did: between
which markers what was going on (oracle.py), how many steps there were, by what they end, and
in which bucket tensors of a shape that nothing else has belong.
"""

import copy
import os
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import torch
from oracle import Oracle
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

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


# ---- optimizers of torch's, used in other ways -------------------------------------------


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


@loop
def leaves_gradients_on(o, device):
    model = first(o, device)
    optimizer = Plain(model.parameters())
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


@loop
def lamb(o, device):
    """Weight decay and trust ratio on the parameter itself: nodes are made in the step."""

    class Lamb(torch.optim.Optimizer):
        def step(self):
            for p in self.param_groups[0]["params"]:
                s = self.state[p]
                if not s:
                    s["m"] = torch.zeros_like(p)
                s["m"].mul_(0.9).add_(p.grad)
                update = s["m"] + 0.01 * p
                ratio = (p.norm() / update.norm()).detach()
                p.data.add_(update.data, alpha=-float(ratio) * 1e-3)

    model = first(o, device)
    optimizer = Lamb(model.parameters(), {})
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


def closure_of(o, optimizer, model, x):
    def closure():
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        with o.phase("forward"):
            loss = model(x).square().mean()
        with o.phase("backward"):
            loss.backward()
        return loss

    return closure


@loop
def closure_with_gradients_on(o, device):
    model = first(o, device)
    optimizer = Plain(model.parameters())
    x = batch(device)
    kept = []
    for _ in range(STEPS):
        with o.phase("optimizer"):
            kept.append(optimizer.step(closure_of(o, optimizer, model, x)))
    return {"steps": STEPS, "micro": STEPS}


@loop
def closure_with_its_own_batch(o, device):
    """The closure prepares its batch, too; gradients are set back between its forward and its
    backward."""
    model = first(o, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def closure():
        with o.phase("data"):
            x = batch(device) * 2
        with o.phase("forward"):
            loss = model(x).square().mean()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        with o.phase("backward"):
            loss.backward()
        return loss

    kept = []
    for _ in range(STEPS):
        with o.phase("optimizer"):
            kept.append(optimizer.step(closure))
    return {"steps": STEPS, "micro": STEPS}


@loop
def lbfgs_without_modules(o, device):
    w = torch.randn(4001, device=device, requires_grad=True)
    x = torch.randn(4001, device=device)
    optimizer = torch.optim.LBFGS([w], max_iter=3, line_search_fn="strong_wolfe")
    o.after("data")
    o.mark("data")

    def closure():
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        with o.phase("forward"):
            loss = (w * x).sum() ** 2 + (w * w).sum()
        with o.phase("backward"):
            loss.backward()
        return loss

    kept = []
    for _ in range(2):
        with o.phase("optimizer"):
            kept.append(optimizer.step(closure))
    return {"steps": 2}


@loop
def line_search(o, device):
    """A step that asks its model again, without gradients."""

    class Search(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, value):
            best = None
            for rate in (0.1, 0.01):
                with o.phase("optimizer"):
                    moves = [p.grad * rate for g in self.param_groups for p in g["params"]]
                for p, d in zip(self.param_groups[0]["params"], moves):
                    p.sub_(d)
                with o.phase("forward"):
                    best = value()
            return best

    model = first(o, device)
    optimizer = Search(model.parameters(), {})
    for _ in range(STEPS):
        x = batch(device)
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        train(o, model, x)
        with o.phase("optimizer"):
            optimizer.step(lambda: model(x))
    return {"steps": STEPS, "micro": STEPS}


@loop
def checkpoint_in_closure(o, device):
    model = first(o, device)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)
    x = batch(device)
    calls = []

    def part(x):
        calls.append(1)
        if len(calls) % 2:
            return model(x)
        with o.phase("recompute"):
            return model(x)

    def closure():
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        with o.phase("forward"):
            loss = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False).sum()
        with o.phase("backward"):
            loss.backward()
        return loss

    kept = []
    for _ in range(2):
        with o.phase("optimizer"):
            kept.append(optimizer.step(closure))
    return {"steps": 2}


class Sam(torch.optim.Optimizer):
    def __init__(self, o, parameters):
        super().__init__(parameters, {})
        self.o, self.base = o, torch.optim.SGD(self.param_groups, lr=0.1, momentum=0.9)

    @torch.no_grad()
    def first_step(self):
        norm = torch.stack([p.grad.norm() for p in self.param_groups[0]["params"]]).norm()
        for p in self.param_groups[0]["params"]:
            self.state[p]["old"] = p.data.clone()
            p.add_(p.grad * (0.05 / (float(norm) + 1e-12)))

    @torch.no_grad()
    def second_step(self):
        for p in self.param_groups[0]["params"]:
            p.data = self.state[p]["old"]
        self.base.step()

    @torch.no_grad()
    def step(self, closure):
        closure = torch.enable_grad()(closure)
        with self.o.phase("optimizer"):
            self.first_step()
        self.zero_grad()
        closure()
        with self.o.phase("optimizer"):
            self.second_step()


@loop
def sam(o, device):
    """Two forwards and backwards a step; what is between them is no Optimizer.step."""
    model = first(o, device)
    optimizer = Sam(o, model.parameters())
    for _ in range(STEPS):
        x = batch(device)
        train(o, model, x)
        with o.phase("optimizer"):
            optimizer.first_step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        train(o, model, x)
        with o.phase("optimizer"):
            optimizer.second_step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": 2 * STEPS}


@loop
def sam_with_closure(o, device):
    model = first(o, device)
    optimizer = Sam(o, model.parameters())
    for _ in range(STEPS):
        x = batch(device)
        train(o, model, x)
        with o.phase("optimizer"):
            optimizer.step(lambda: train(o, model, x))
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": 2 * STEPS}


class Lookahead(torch.optim.Optimizer):
    """Calls another optimizer; has slow weights of its own."""

    def __init__(self, inner, patched):
        if patched:
            super().__init__(inner.param_groups, {})
        self.inner, self.slow, self.count = inner, {}, 0
        self.param_groups = inner.param_groups

    @torch.no_grad()
    def step(self):
        self.inner.step()
        self.count += 1
        for p in self.param_groups[0]["params"]:
            if p not in self.slow:
                self.slow[p] = p.clone()
            elif self.count % 2 == 0:
                self.slow[p].add_((p - self.slow[p]) * 0.5)
                p.copy_(self.slow[p])


@loop
def lookahead(o, device):
    model = first(o, device)
    optimizer = Lookahead(torch.optim.Adam(model.parameters()), True)
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


@loop
def differentiable_optimizer(o, device):
    """Its step builds a graph, and no backward follows in it."""
    model = first(o, device)
    w = [p.detach().clone().requires_grad_() for p in model.parameters()]
    rate = torch.tensor(0.1, device=device, requires_grad=True)
    for _ in range(STEPS):
        fast = [p.clone() for p in w]
        optimizer = torch.optim.SGD(fast, lr=rate, differentiable=True)
        for p in fast:
            p.grad = torch.ones_like(p)
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("forward"):
            loss = sum(p.square().sum() for p in fast)
        with o.phase("backward"):
            loss.backward()
        o.mark("clip")  # no optimizer takes these gradients up
        drop(w)
    return {"steps": STEPS, "unmarked": ["data", "clip"]}


@loop
def optimizer_in_backward(o, device):
    model = first(o, device)
    optimizers = {p: torch.optim.AdamW([p], foreach=False) for p in model.parameters()}

    def hook(p):
        with o.phase("clip"):
            nn.utils.clip_grad_norm_([p], 1.0)
        with o.phase("optimizer"):
            optimizers[p].step()
        with o.phase("zero_grad"):
            optimizers[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(hook)
    for _ in range(STEPS):
        train(o, model, batch(device))
    return {"steps": STEPS, "micro": STEPS, "clip": "backward",
            "buckets": {f"[{HIDDEN}, {IN}]": {"parameter", "gradient", "optimizer", "temporary"}}}


@loop
def optimizer_in_backward_and_after(o, device):
    """Half of the parameters step in the backward, half after it: one step."""
    model = first(o, device)
    one = torch.optim.AdamW(model[0].parameters())
    rest = torch.optim.AdamW(model[2].parameters())
    left = []

    def hook(p):
        left.append(p)
        if len(left) == 2:
            left.clear()
            with o.phase("optimizer"):
                one.step()
            with o.phase("zero_grad"):
                one.zero_grad()

    for p in model[0].parameters():
        p.register_post_accumulate_grad_hook(hook)
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("optimizer"):
            rest.step()
        with o.phase("zero_grad"):
            rest.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


def accumulates(o, device, micro, steps=2):
    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(steps):
        for _ in range(micro):
            train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": steps, "micro": steps * micro}


@loop
def accumulation_of_2(o, device):
    return accumulates(o, device, 2)


@loop
def accumulation_of_8(o, device):
    return accumulates(o, device, 8)


@loop
def accumulation_of_32(o, device):
    return accumulates(o, device, 32)


@loop
def accumulation_in_a_thread(o, device):
    """Where Python's main thread waits nobody can look for optimizers."""
    said = {}
    t = threading.Thread(target=lambda: said.update(accumulates(o, device, 8)))
    t.start()
    t.join()
    return said


@loop
def two_losses(o, device):
    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(STEPS):
        x = batch(device)
        with o.phase("forward"):
            y = model(x)
            one, two = y.square().mean(), y.abs().mean()
        with o.phase("backward"):
            one.backward(retain_graph=True)
        with o.phase("backward"):
            two.backward()
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": 2 * STEPS}


@loop
def critic_and_actor(o, device):
    """Reinforcement learning: inferences, then two optimizers after one backward."""
    actor, critic = net(device), net(device, 55)
    optimizers = [torch.optim.Adam(m.parameters()) for m in (actor, critic)]
    o.after("data")
    o.mark("data")
    for i in range(STEPS):
        x = batch(device)
        with torch.no_grad(), o.phase("eval"):
            for _ in range(3):
                a = actor(x)
        with o.phase("forward"):
            loss = (actor(x) - a).square().mean() + critic(x).square().mean()
        with o.phase("backward"):
            loss.backward()
        with o.phase("optimizer"):
            optimizers[0].step()
            optimizers[1].step()
        with o.phase("zero_grad"):
            for optimizer in optimizers:
                optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


@loop
def average_of_weights(o, device):
    model = first(o, device)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
        with torch.no_grad(), o.phase("optimizer"):
            for a, p in zip(average.parameters(), model.parameters()):
                a.add_((p - a) * 0.1)
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


@loop
def adversarial(o, device):
    """Inner forwards and autograd.grad for the input, then the model's own."""
    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(STEPS):
        x = batch(device)
        for _ in range(3):
            x.requires_grad_()
            with o.phase("forward"):
                loss = model(x).square().mean()
            with o.phase("backward"):
                (slope,) = torch.autograd.grad(loss, x)
            o.mark("free")
            x = (x + 0.1 * slope.sign()).detach()
        train(o, model, x)
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


@loop
def maml(o, device):
    """Inner steps by hand through which the outer backward goes."""
    w = nn.Parameter(torch.randn(77, 55, device=device))
    optimizer = torch.optim.Adam([w])
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        x = torch.randn(BATCH, 77, device=device)
        fast = w
        for _ in range(2):
            with o.phase("forward"):
                loss = (x @ fast).square().mean()
            with o.phase("backward"):
                (g,) = torch.autograd.grad(loss, fast, create_graph=True)
            with o.phase("forward"):
                fast = fast - 0.1 * g
        with o.phase("forward"):
            loss = (x @ fast).square().mean()
        with o.phase("backward"):
            loss.backward()
        with o.phase("optimizer"):
            optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


@loop
def warm_restarts(o, device):
    """Another optimizer takes over, and a scheduler goes on."""
    model = first(o, device)
    for _ in range(2):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2)
        for _ in range(3):
            train(o, model, batch(device))
            with o.phase("optimizer"):
                optimizer.step()
            schedule.step()
            with o.phase("zero_grad"):
                optimizer.zero_grad()
    return {"steps": 6, "micro": 6}


@loop
def steps_itself(o, device):
    """As Lightning's modules: the step is taken inside the module's own call."""

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = net(device)
            self.optimizer = Plain(self.model.parameters())

        def forward(self, x):
            train(o, self.model, x)
            with o.phase("optimizer"):
                self.optimizer.step()
            with o.phase("zero_grad"):
                self.optimizer.zero_grad()

    whole = Whole()
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        whole(batch(device))
    return {"steps": STEPS, "micro": STEPS}


# ---- no optimizer of torch's ------------------------------------------------------------


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


# ---- threads ----------------------------------------------------------------------------


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


@loop
def trainers_side_by_side(o, device):
    classes, widths = kinds(3)
    gate = threading.Barrier(3)

    def work(i, model, width):
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(STEPS):
            gate.wait()
            loss = model(torch.randn(BATCH, width, device=device)).square().sum()
            gate.wait()
            loss.backward()
            gate.wait()
            optimizer.step()
            optimizer.zero_grad()

    in_threads(device, work, classes, widths)
    return {"steps": 3 * STEPS, "micro": 3 * STEPS, "layers": dict(zip(map(str, widths), (
        c.__name__ for c in classes)))}


@loop
def hand_loops_side_by_side(o, device):
    classes, widths = kinds(2)
    gate = threading.Barrier(2)

    def work(i, model, width):
        for _ in range(STEPS):
            gate.wait()
            loss = model(torch.randn(BATCH, width, device=device)).square().sum()
            gate.wait()
            loss.backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.01 * p.grad
            drop(model.parameters())

    in_threads(device, work, classes, widths)
    # with the program both their last steps end
    return {"steps": (2 * STEPS - 1, 2 * STEPS), "by": "forward", "micro": 2 * STEPS,
            "layers": dict(zip(map(str, widths), (c.__name__ for c in classes)))}


@loop
def backward_in_a_pool(o, device):
    """Forward and step on the main thread, each backward on one of a pool."""
    classes, widths = kinds(1)
    model = nn.Sequential(*[classes[0](widths[0], widths[0]) for _ in range(4)]).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    o.after("data")
    o.mark("data")
    with ThreadPoolExecutor(2) as pool:
        for _ in range(STEPS):
            x = torch.randn(BATCH, widths[0], device=device)
            with o.phase("forward"):
                loss = model(x).square().sum()
            with o.phase("backward"):
                pool.submit(loss.backward).result()
            with o.phase("optimizer"):
                optimizer.step()
            with o.phase("zero_grad"):
                optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS,
            "layers": {str(widths[0]): classes[0].__name__}}


@loop
def replicas(o, device):
    """As DataParallel: each forward in new threads, one backward for all of them."""
    classes, widths = kinds(2)
    models = [nn.Sequential(*[c(w, w) for _ in range(4)]).to(device)
              for c, w in zip(classes, widths)]
    optimizer = torch.optim.AdamW([p for m in models for p in m.parameters()])
    for _ in range(STEPS):
        parts = [None, None]

        def forward(i):
            parts[i] = models[i](torch.randn(BATCH, widths[i], device=device)).square().sum()

        threads = [threading.Thread(target=forward, args=(i,)) for i in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        (parts[0] + parts[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS,
            "layers": dict(zip(map(str, widths), (c.__name__ for c in classes)))}


@loop
def forked_after_forward(o, device):
    """A child's nodes are its own: its first ones have the parent's numbers."""
    classes, widths = kinds(2)
    parent = nn.Sequential(*[classes[0](widths[0], widths[0]) for _ in range(4)])
    model = nn.Sequential(*[classes[1](widths[1], widths[1]) for _ in range(4)])
    kept = parent(torch.randn(BATCH, widths[0])).square().sum()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        o.marks.clear()
        kept.backward()
        return None
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(STEPS):
        model(torch.randn(BATCH, widths[1])).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    kept.backward()
    o.marks.clear()
    return {"steps": STEPS, "micro": STEPS + 1, "layers": {str(widths[1]): classes[1].__name__},
            "strange": str(widths[0])}


def run(name, device):
    os.environ["TIDEMARK_TEST_TRUTH"] = f"{name}.json"
    torch.manual_seed(1)
    oracle = Oracle(device)
    facts = LOOPS[name](oracle, device)
    if facts is not None:
        oracle.fact(pid=os.getpid(), **{
            k: {s: sorted(b) for s, b in v.items()} if k == "buckets" else v
            for k, v in facts.items()})
        oracle.write()


def main():
    device, names = sys.argv[1], sys.argv[2:] or list(LOOPS)
    for name in names:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                run(name, device)
                code = 0
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        if status:
            sys.exit(f"{name} failed: {status}")


if __name__ == "__main__":
    main()
