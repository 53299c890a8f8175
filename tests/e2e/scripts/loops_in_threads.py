"""Loops of several threads and processes."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from loops_common import (BATCH, STEPS, batch, drop, first, in_threads, kinds, loop, net, step,
                          train, update_by_hand)
from torch import nn


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
        update_by_hand(o, two)
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
        update_by_hand(o, two)
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
                update_by_hand(o, model)

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
