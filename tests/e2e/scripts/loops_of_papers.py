"""Loops of papers and other libraries, and what goes wrong in the middle."""

import copy

import torch
from loops_common import (BATCH, OUT, Plain, STEPS, batch, first, loop, net, step, train)
from torch import nn


# ---- optimizers asked in other ways -------------------------------------------------------


@loop
def gan(o, device):
    """A step of the critic on a cut off picture, a step of the maker through the critic."""
    maker, critic = net(device), nn.Linear(OUT, 1).to(device)
    optimizers = [torch.optim.Adam(m.parameters()) for m in (maker, critic)]
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        x, real = batch(device), torch.randn(BATCH, OUT, device=device)
        with o.phase("forward"):
            fake = maker(x)
            loss = critic(real).mean() - critic(fake.detach()).mean()
        with o.phase("backward"):
            loss.backward()
        step(o, optimizers[1])
        with o.phase("forward"):
            loss = critic(fake).mean()
        with o.phase("backward"):
            loss.backward()
        step(o, optimizers[0])
    return {"steps": 2 * STEPS, "micro": 2 * STEPS}


@loop
def gan_with_penalty(o, device):
    """... the critic with a penalty on its slope at a point between both."""
    maker, critic = net(device), nn.Sequential(nn.Linear(OUT, 55), nn.Tanh(), nn.Linear(55, 1))
    critic.to(device)
    optimizers = [torch.optim.Adam(m.parameters()) for m in (maker, critic)]
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        x, real = batch(device), torch.randn(BATCH, OUT, device=device)
        with o.phase("forward"):
            fake = maker(x)
        o.mark("free")  # a point between the two
        between = torch.lerp(real, fake.detach(), 0.3).requires_grad_()
        with o.phase("forward"):
            y = critic(between).sum()
        with o.phase("backward"):
            (slope,) = torch.autograd.grad(y, between, create_graph=True)
        with o.phase("forward"):
            loss = critic(real).mean() - critic(fake.detach()).mean() + slope.norm()
        with o.phase("backward"):
            loss.backward()
        step(o, optimizers[1])
        with o.phase("forward"):
            loss = critic(fake).mean()
        with o.phase("backward"):
            loss.backward()
        step(o, optimizers[0])
    return {"steps": 2 * STEPS, "micro": 2 * STEPS}


@loop
def accumulates_without_sync(o, device):
    """DistributedDataParallel; all but the last backward of a step keep to themselves."""
    import contextlib

    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    model = nn.parallel.DistributedDataParallel(net(device))
    optimizer = torch.optim.AdamW(model.parameters())
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        for i in range(3):
            with model.no_sync() if i < 2 else contextlib.nullcontext():
                train(o, model, batch(device))
        step(o, optimizer)
    dist.destroy_process_group()
    return {"steps": STEPS, "micro": 3 * STEPS}


@loop
def meta_learning(o, device):
    """Inner steps on copies of the weights, through which the outer backward goes."""
    from torch.func import functional_call

    model = first(o, device)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(STEPS):
        for _ in range(2):
            x, fast = batch(device), dict(model.named_parameters())
            for _ in range(2):
                with o.phase("forward"):
                    loss = functional_call(model, fast, (x,)).square().mean()
                with o.phase("backward"):
                    g = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
                with o.phase("forward"):
                    fast = {k: v - 0.1 * d for (k, v), d in zip(fast.items(), g)}
            with o.phase("forward"):
                loss = functional_call(model, fast, (x,)).square().mean()
            with o.phase("backward"):
                loss.backward()
        step(o, optimizer)
    return {"steps": STEPS, "micro": 2 * STEPS}


@loop
def schedule_free(o, device):
    """Weights are moved to the average for an evaluation, and back, outside of any step."""

    class Free(Plain):
        @torch.no_grad()
        def swap(self, way):
            for p in self.param_groups[0]["params"]:
                if "m" in self.state[p]:
                    p.add_(self.state[p]["m"] * (0.1 * way))

    model = first(o, device)
    optimizer = Free(model.parameters())
    for _ in range(STEPS):
        with o.phase("optimizer"):
            optimizer.swap(-1)
        train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
            optimizer.swap(1)
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        x = batch(device)
        with torch.no_grad(), o.phase("eval"):
            model(x).sum()
    return {"steps": STEPS, "micro": STEPS, "unmarked": ["data"]}


@loop
def averaged_model(o, device):
    """torch's own wrapper for an average, asked after each step."""
    from torch.optim.swa_utils import AveragedModel

    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())
    average = AveragedModel(model)
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("optimizer"):
            optimizer.step()
            average.update_parameters(model)
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS, "counts": True}


@loop
def scaler_that_skips(o, device):
    """Some gradients overflow, the first ones among them: no optimizer steps then."""
    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler("cpu" if device == "cpu" else "cuda", init_scale=4.0)
    for i in range(2 * STEPS):
        x = batch(device)
        with o.phase("forward"):
            loss = model(x).square().mean() * (float("inf") if i in (0, 1, 5) else 1.0)
            loss = scaler.scale(loss)
        with o.phase("backward"):
            loss.backward()
        with o.phase("optimizer"):
            o.mark("free")  # the look for overflows
            scaler.step(optimizer)
            scaler.update()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": 2 * STEPS - 3, "micro": 2 * STEPS}


@loop
def compiled_step(o, device):
    model = first(o, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    stepping = torch.compile(lambda: optimizer.step(), backend="eager")
    for _ in range(STEPS):
        train(o, model, batch(device))
        with o.phase("free"):  # the compiler at work, too
            stepping()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "by": "forward", "micro": STEPS}


@loop
def evaluates_in_the_middle(o, device):
    """... of a step that accumulates."""
    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(STEPS):
        for _ in range(2):
            train(o, model, batch(device))
            with torch.no_grad():
                x = batch(device)
                with o.phase("eval"):
                    model(x).sum()
        step(o, optimizer)
    return {"steps": STEPS, "micro": 2 * STEPS, "unmarked": ["data"]}


@loop
def rollouts(o, device):
    """Many inferences, then several updates on what they brought."""
    actor = first(o, device)
    optimizer = torch.optim.Adam(actor.parameters())
    for _ in range(3):
        seen = []
        with torch.no_grad():
            for _ in range(4):
                x = batch(device)
                with o.phase("eval"):
                    a = actor(x).softmax(1).multinomial(1)
                seen.append((x, a))
        for x, a in seen:
            with o.phase("forward"):
                loss = -actor(x).log_softmax(1).gather(1, a).mean()
            with o.phase("backward"):
                loss.backward()
            with o.phase("clip"):
                nn.utils.clip_grad_norm_(actor.parameters(), 0.5)
            step(o, optimizer)
    return {"steps": 12, "micro": 12, "unmarked": ["data"]}


@loop
def cached_gradients(o, device):
    """A contrastive loss over more than fits: chunks without a graph, the gradient of the
    whole with regard to their outputs, and the chunks once more."""
    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(STEPS):
        xs = [batch(device) for _ in range(3)]
        with torch.no_grad(), o.phase("eval"):
            ys = [model(x) for x in xs]
        with o.phase("forward"):
            leaf = torch.cat(ys).requires_grad_()
            loss = (leaf @ leaf.t()).logsumexp(1).mean()
        with o.phase("backward"):
            (g,) = torch.autograd.grad(loss, leaf)
        for x, part in zip(xs, g.split(BATCH)):
            with o.phase("forward"):
                y = model(x)
            with o.phase("backward"):
                y.backward(part)
        step(o, optimizer)
    return {"steps": STEPS, "micro": 3 * STEPS, "unmarked": ["forward"]}


@loop
def steps_between_two_losses(o, device):
    """Two backwards of one forward, with a step after each."""
    model, other = net(device), net(device, 55)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (model, other)]
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        x = batch(device)
        with o.phase("forward"):
            one, two = model(x).square().mean(), other(x).square().mean()
        for loss, optimizer in zip((one, two), optimizers):
            with o.phase("backward"):
                loss.backward()
            step(o, optimizer)
    return {"steps": 2 * STEPS, "micro": 2 * STEPS}


# ---- what goes wrong, and is caught --------------------------------------------------------


class Oops(Exception):
    pass


def caught(work):
    try:
        work()
    except Oops:
        return
    raise AssertionError("nothing was thrown")


class Throws(nn.Module):
    on = False

    def forward(self, x):
        if Throws.on:
            raise Oops
        return x


@loop
def forward_that_throws(o, device):
    model = nn.Sequential(net(device), Throws()).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    o.after("data")
    o.mark("data")
    for i in range(STEPS):
        if i % 2:
            x, Throws.on = batch(device), True
            with o.phase("forward"):
                caught(lambda: model(x))
            Throws.on = False
            del x
            o.mark("free")  # data of a second try, or a forward that goes on
        train(o, model, batch(device))
        step(o, optimizer)
    return {"steps": STEPS, "micro": STEPS}


@loop
def backward_that_throws(o, device):
    """In the middle of it; the batch is passed over."""
    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())

    def throws(g):
        raise Oops

    for i in range(STEPS):
        x = batch(device)
        with o.phase("forward"):
            y = model(x)
            if i % 2:
                y.register_hook(throws)
            loss = y.square().mean()
        with o.phase("backward"):
            if i % 2:
                caught(loss.backward)
            else:
                loss.backward()
        if i % 2:
            with o.phase("zero_grad"):
                optimizer.zero_grad()
        else:
            step(o, optimizer)
    return {"steps": STEPS - STEPS // 2}


@loop
def step_that_throws(o, device):
    """Before it does anything, at every second; and goes on with the next batch."""

    class Wary(Plain):
        throws = False

        def step(self):
            kept = [p.grad * 2 for p in self.param_groups[0]["params"]]
            if self.throws:
                raise Oops
            del kept
            super().step()

    model = first(o, device)
    optimizer = Wary(model.parameters())
    for i in range(STEPS):
        train(o, model, batch(device))
        optimizer.throws = bool(i % 2)
        with o.phase("optimizer"):
            if i % 2:
                caught(optimizer.step)
            else:
                optimizer.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


@loop
def closure_that_throws(o, device):
    model = nn.Sequential(net(device), Throws()).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    o.after("data")
    o.mark("data")
    kept = []
    for i in range(STEPS):
        x = batch(device)

        def closure():
            with o.phase("zero_grad"):
                optimizer.zero_grad()
            train(o, model, x)

        Throws.on = bool(i % 2)
        with o.phase("optimizer"):
            if i % 2:
                caught(lambda: optimizer.step(closure))
            else:
                kept.append(optimizer.step(closure))
    Throws.on = False
    return {"steps": (STEPS - STEPS // 2, STEPS), "micro": STEPS - STEPS // 2}


@loop
def copies_between_steps(o, device):
    """The best weights so far are kept, as a copy on the same device."""
    model = first(o, device)
    optimizer = torch.optim.AdamW(model.parameters())
    best = None
    for _ in range(STEPS):
        train(o, model, batch(device))
        step(o, optimizer)
        o.mark("free")
        best = copy.deepcopy(model.state_dict())
        o.mark("data")
    assert best
    return {"steps": STEPS, "micro": STEPS}
