"""More kinds of training loops, as loops.py has them: more_loops.py cpu|cuda [NAME...].

Those of several threads or several ways of ending a step, of optimizers that are asked in
unusual ways, and of what goes wrong in the middle.
"""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from loops import (BATCH, HIDDEN, IN, OUT, STEPS, Plain, batch, drop, first, in_threads, kinds,
                   loop, main, net, train)
from torch import nn


def by_hand(o, model):
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


# ---- several threads ----------------------------------------------------------------------


class Turns:
    """Threads go on one after the other, in the order of their numbers."""

    def __init__(self, count):
        self.count, self.whose, self.changed = count, 0, threading.Condition()

    def __call__(self, i, work):
        with self.changed:
            self.changed.wait_for(lambda: self.whose == i)
            work()
            self.whose = (i + 1) % self.count
            self.changed.notify_all()


@loop
def trainers_step_in_turn(o, device):
    """Three forwards and backwards, then three steps, one after the other."""
    classes, widths = kinds(3)
    turns = Turns(3)

    def work(i, model, width):
        optimizer = torch.optim.AdamW(model.parameters())
        x = torch.randn(BATCH, width, device=device)
        for _ in range(STEPS):
            turns(i, lambda: model(x).square().sum().backward())
            turns(i, optimizer.step)
            optimizer.zero_grad()

    in_threads(device, work, classes, widths)
    o.marks.clear()
    return {"steps": 3 * STEPS, "micro": 3 * STEPS}


@loop
def trainers_begin_later(o, device):
    """One has trained for a while when the others begin."""
    classes, widths = kinds(3)
    turns = Turns(3)

    def work(i, model, width):
        optimizer = torch.optim.AdamW(model.parameters())
        x = torch.randn(BATCH, width, device=device)
        for n in range(STEPS):
            turns(i, lambda: n < i or model(x).square().sum().backward())
            turns(i, lambda: n < i or optimizer.step())
            turns(i, optimizer.zero_grad)

    in_threads(device, work, classes, widths)
    o.marks.clear()
    return {"steps": 3 * STEPS - 3, "micro": 3 * STEPS - 3}


@loop
def optimizers_in_a_pool(o, device):
    """Two optimizers step side by side on threads of a pool: one step."""
    model = first(o, device)
    optimizers = [torch.optim.AdamW(m.parameters()) for m in (model[0], model[2])]
    gate = threading.Barrier(2)

    def work(optimizer):
        gate.wait()
        optimizer.step()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(STEPS):
            train(o, model, batch(device))
            with o.phase("optimizer"):
                list(pool.map(work, optimizers))
            with o.phase("zero_grad"):
                for optimizer in optimizers:
                    optimizer.zero_grad()
    return {"steps": STEPS, "micro": STEPS}


@loop
def forwards_in_a_pool(o, device):
    """As DataParallel, but the threads stay; often enough to doubt that anybody steps."""
    models = [net(device), net(device, 55)]
    optimizer = torch.optim.AdamW([p for m in models for p in m.parameters()])
    o.after("data")
    o.mark("data")
    with ThreadPoolExecutor(2) as pool:
        for _ in range(70):
            x = batch(device)
            with o.phase("forward"):
                parts = list(pool.map(lambda m: m(x).square().mean(), models))
                loss = parts[0] + parts[1]
            with o.phase("backward"):
                loss.backward()
            step(o, optimizer)
    return {"steps": 70, "micro": 70}


@loop
def gradients_of_workers(o, device):
    """Threads run forward and backward, each on its part; the main thread steps."""
    models = [net(device), net(device, 55)]
    optimizer = torch.optim.AdamW([p for m in models for p in m.parameters()])
    xs = [batch(device) for _ in models]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(70):
            list(pool.map(lambda m, x: m(x).square().mean().backward(), models, xs))
            optimizer.step()
            optimizer.zero_grad()
    o.marks.clear()
    return {"steps": 70, "micro": 140}


@loop
def gradients_of_workers_and_of_the_main_thread(o, device):
    """... which does a part itself."""
    models = [net(device), net(device, 55)]
    optimizer = torch.optim.AdamW([p for m in models for p in m.parameters()])
    xs = [batch(device) for _ in models]
    with ThreadPoolExecutor(1) as pool:
        for _ in range(70):
            other = pool.submit(lambda: models[1](xs[1]).square().mean().backward())
            models[0](xs[0]).square().mean().backward()
            other.result()
            optimizer.step()
            optimizer.zero_grad()
    o.marks.clear()
    return {"steps": 70, "micro": 140}


@loop
def step_in_the_background(o, device):
    """The optimizer works on a thread of its own while the next forward has begun."""
    model, other = net(device), net(device, 55)
    optimizer = torch.optim.AdamW(model.parameters())
    with ThreadPoolExecutor(1) as pool:
        for _ in range(STEPS):
            (model(batch(device)).square().mean() + other(batch(device)).mean()).backward()
            pool.submit(optimizer.step).result()
            optimizer.zero_grad()
            drop(other.parameters())
    o.marks.clear()
    return {"steps": STEPS, "micro": STEPS}


# ---- an optimizer, and a loop by hand -----------------------------------------------------


@loop
def optimizer_and_by_hand_in_turn(o, device):
    """One thread; steps end with the optimizer, which trains one of two models."""
    one, two = net(device), net(device, 55)
    optimizer = torch.optim.AdamW(one.parameters())
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        train(o, one, batch(device))
        step(o, optimizer)
        train(o, two, batch(device))
        by_hand(o, two)
    return {"steps": STEPS, "micro": 2 * STEPS}


@loop
def by_hand_and_optimizer_in_turn(o, device):
    """The other one first: that an optimizer steps is known after the first of them."""
    one, two = net(device), net(device, 55)
    optimizer = torch.optim.AdamW(one.parameters())
    o.after("data")
    o.mark("data")
    for _ in range(STEPS):
        train(o, two, batch(device))
        by_hand(o, two)
        train(o, one, batch(device))
        step(o, optimizer)
    return {"steps": (STEPS, STEPS + 1), "by": "either", "micro": 2 * STEPS}


@loop
def by_hand_beside_an_optimizer(o, device):
    """Two threads: one steps an optimizer, the other updates by hand, in turn."""
    classes, widths = kinds(2)
    turns = Turns(2)

    def work(i, model, width):
        optimizer = torch.optim.AdamW(model.parameters()) if i else None

        def update():
            if i:
                step(o, optimizer)
            else:
                by_hand(o, model)

        for _ in range(3 * STEPS):
            turns(i, lambda: train(o, model, torch.randn(BATCH, width, device=device)))
            turns(i, update)

    o.after("data")
    o.mark("data")
    in_threads(device, work, classes, widths)
    # the last by hand ends with the program
    return {"steps": (6 * STEPS - 1, 6 * STEPS), "by": "forward", "micro": 6 * STEPS,
            "unmarked": ["data"]}


@loop
def by_hand_in_place_beside_an_optimizer(o, device):
    """... by hand in place, which nothing tells from a share of the optimizer's gradients."""
    classes, widths = kinds(2)
    gate = threading.Barrier(2)

    def work(i, model, width):
        optimizer = torch.optim.AdamW(model.parameters()) if i else None
        x = torch.randn(BATCH, width, device=device)
        for _ in range(70):
            gate.wait()
            model(x).square().sum().backward()
            gate.wait()
            if i:
                optimizer.step()
                optimizer.zero_grad()
            else:
                for p in model.parameters():
                    p.data.add_(p.grad, alpha=-0.01)
                    p.grad.zero_()

    in_threads(device, work, classes, widths)
    o.marks.clear()
    return {"steps": 70, "micro": 140}


# ---- by hand ------------------------------------------------------------------------------


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
        by_hand(o, cell)
        state = state.detach()
    return {"steps": STEPS, "by": "forward", "micro": STEPS}


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


if __name__ == "__main__":
    main()
