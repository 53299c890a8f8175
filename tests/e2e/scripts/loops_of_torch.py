"""Loops with optimizers of torch's, used in other ways."""

import copy
import threading

import torch
from loops_common import (BATCH, HIDDEN, IN, Plain, STEPS, batch, drop, first, loop, net,
                          train)
from torch import nn
from torch.utils.checkpoint import checkpoint


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
