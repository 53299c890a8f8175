"""Training programs that keep account of themselves: workloads.py NAME cpu|cuda [STEPS] [--unmarked].

Layer widths are odd and occur once, so that a shape says whose it is.
"""

import math
import sys

import torch
from oracle import Oracle
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

BATCH = 7


class MLP(nn.Module):
    def __init__(self, widths=(33, 101, 55, 13)):
        super().__init__()
        self.fc1 = nn.Linear(widths[0], widths[1])
        self.act1 = nn.Tanh()
        self.fc2 = nn.Linear(widths[1], widths[2])
        self.act2 = nn.Tanh()
        self.fc3 = nn.Linear(widths[2], widths[3])

    def forward(self, x):
        return self.fc3(self.act2(self.fc2(self.act1(self.fc1(x)))))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (
            y.view(b, t, self.heads, c // self.heads).transpose(1, 2)
            for y in self.qkv(x).split(c, dim=2)
        )
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(c // self.heads)
        mask = torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
        weights = F.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, t, c))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width + 1)
        self.down = nn.Linear(4 * width + 1, width)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.down(F.gelu(self.up(self.ln2(x))))


class GPT(nn.Module):
    """checkpointed: None, "reentrant" or "nonreentrant"; oracle marks recomputation."""

    def __init__(self, vocabulary=331, width=44, heads=4, layers=3, length=19,
                 checkpointed=None, oracle=None):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.checkpointed, self.oracle = checkpointed, oracle

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            if self.checkpointed:
                x = checkpoint(
                    self.watched(block), x, use_reentrant=self.checkpointed == "reentrant"
                )
            else:
                x = block(x)
        return self.head(self.ln(x))

    def watched(self, block):
        """The second call of a checkpointed function is the recomputation."""
        calls = []

        def call(x):
            calls.append(1)
            if len(calls) == 1:
                return block(x)
            # What the engine allocates next is the backward's again.
            with self.oracle.phase("recompute"):
                return block(x)

        return call


def batch(device, width=33, classes=13):
    return (
        torch.randn(BATCH, width, device=device),
        torch.randint(classes, (BATCH,), device=device),
    )


def batches(o, steps, make):
    """(number, batch) of each step. The first is made before anything else: setup."""
    first = [make()]
    o.after("data")
    o.step(complete=False)
    yield 0, first.pop()
    for i in range(1, steps):
        yield i, make()


def tokens(device, n=3, length=19):
    return torch.randint(331, (n, length), device=device)


def backward(o, loss):
    with o.phase("backward"):
        loss.backward()


def mlp(o, device, steps=3, zero_first=True, to_none=True, sgd=False):
    model = MLP().to(device)
    optimizer = (
        torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        if sgd else torch.optim.AdamW(model.parameters(), lr=1e-3)
    )
    for i, (x, y) in batches(o, steps, lambda: batch(device)):
        if zero_first:
            with o.phase("zero_grad"):
                optimizer.zero_grad(set_to_none=to_none)
        with o.phase("forward"):
            loss = F.cross_entropy(model(x), y)
        backward(o, loss)
        with o.phase("optimizer"):
            optimizer.step()
        o.step()
        if not zero_first:
            with o.phase("zero_grad"):
                optimizer.zero_grad(set_to_none=to_none)
    o.fact(
        outputs={"fc1": [BATCH, 101], "fc2": [BATCH, 55], "fc3": [BATCH, 13]},
        weights={"fc1": [101, 33], "fc2": [55, 101], "fc3": [13, 55]},
        parameters={n: list(p.shape) for n, p in model.named_parameters()},
        optimizer=type(optimizer).__name__, model=type(model).__name__,
    )


def mlp_zero_last(o, device):
    mlp(o, device, zero_first=False)


def mlp_zero_in_place(o, device):
    mlp(o, device, to_none=False)


def gpt(o, device, checkpointed=None, steps=3):
    model = GPT(checkpointed=checkpointed, oracle=o).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for i, t in batches(o, steps, lambda: tokens(device)):
        with o.phase("forward"):
            logits = model(t[:, :-1])
            loss = F.cross_entropy(logits.reshape(-1, 331), t[:, 1:].reshape(-1))
        backward(o, loss)
        with o.phase("optimizer"):
            optimizer.step()
        o.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    o.fact(
        outputs={"head": [3, 18, 331], "blocks.0.attn.qkv": None},
        parameters={n: list(p.shape) for n, p in model.named_parameters()},
        optimizer="AdamW", model="GPT",
    )


def gpt_reentrant(o, device):
    gpt(o, device, "reentrant")


def gpt_nonreentrant(o, device):
    gpt(o, device, "nonreentrant")


def lbfgs(o, device, steps=2):
    model = MLP().to(device)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    x, y = batch(device)

    def closure():
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        with o.phase("forward"):
            loss = F.cross_entropy(model(x), y)
        backward(o, loss)
        return loss

    o.step(complete=False)
    o.after("data")
    losses = []  # kept: given up, the loss would be freed when the step has ended already
    for _ in range(steps):
        with o.phase("optimizer"):
            losses.append(optimizer.step(closure))
        o.step()


def accumulation(o, device, steps=3, micro=4):
    model = MLP().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = batch(device)
    o.after("data")
    for i in range(steps):
        for j in range(micro):
            if i + j:
                x, y = batch(device)
            else:
                o.step(complete=False)
            with o.phase("forward"):
                loss = F.cross_entropy(model(x), y) / micro
            backward(o, loss)
        with o.phase("optimizer"):
            optimizer.step()
        o.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    o.fact(micro_steps=micro)


def evaluation(o, device, steps=2):
    """Trains, evaluates under no_grad, trains again; batches come from a DataLoader."""
    data = torch.utils.data.TensorDataset(
        torch.randn(2 * BATCH, 33), torch.randint(13, (2 * BATCH,))
    )
    model = MLP().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    o.step(complete=False)
    o.after("data")
    o.mark("data")
    for _ in range(steps):
        for x, y in torch.utils.data.DataLoader(data, batch_size=BATCH):
            x, y = x.to(device), y.to(device)
            with o.phase("forward"):
                loss = F.cross_entropy(model(x), y)
            backward(o, loss)
            with o.phase("optimizer"):
                optimizer.step()
            o.step()
            with o.phase("zero_grad"):
                optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            for x, y in torch.utils.data.DataLoader(data, batch_size=BATCH):
                with o.phase("eval"):
                    x, y = x.to(device), y.to(device)
                    F.cross_entropy(model(x), y)
        model.train()


def autograd_grad(o, device, steps=3):
    """Gradients by torch.autograd.grad, put into .grad by hand."""
    model = MLP().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for i, (x, y) in batches(o, steps, lambda: batch(device)):
        with o.phase("forward"):
            loss = F.cross_entropy(model(x), y)
        with o.phase("backward"):
            gradients = torch.autograd.grad(loss, list(model.parameters()))
        for p, g in zip(model.parameters(), gradients):
            p.grad = g
        with o.phase("optimizer"):
            optimizer.step()
        o.step()


def clipping(o, device, steps=3):
    model = MLP().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for i, (x, y) in batches(o, steps, lambda: batch(device)):
        with o.phase("forward"):
            loss = F.cross_entropy(model(x), y)
        backward(o, loss)
        with o.phase("clip"):
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        with o.phase("optimizer"):
            optimizer.step()
        o.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()


def scaler_skips(o, device, steps=4):
    """GradScaler; in the second step an infinite gradient makes it leave the step out."""
    model = MLP().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cuda", init_scale=8.0)
    for i, (x, y) in batches(o, steps, lambda: batch(device)):
        with o.phase("forward"):
            with torch.autocast("cuda", dtype=torch.float16):
                loss = F.cross_entropy(model(x), y)
            scaled = scaler.scale(loss)
        backward(o, scaled)
        with o.phase("clip"):
            scaler.unscale_(optimizer)
        # Kernels of a simulated device compute nothing: what they would have found is
        # put there. A copy of four bytes is real.
        found = scaler._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
        with o.phase("clip"):
            for t in found.values():
                t.copy_(torch.tensor(float(i == 1)))
        with o.phase("clip" if i == 1 else "optimizer"):
            scaler.step(optimizer)
        scaler.update()
        if i != 1:
            o.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()
    o.fact(skipped=1)


def gan(o, device, steps=3):
    """Two models, two optimizers, in turns: each optimizer's step ends a step."""
    generator, critic = MLP((11, 77, 55, 33)).to(device), MLP((33, 91, 29, 1)).to(device)
    first = torch.optim.Adam(critic.parameters(), lr=1e-3)
    second = torch.optim.Adam(generator.parameters(), lr=1e-3)
    real, noise = torch.randn(BATCH, 33, device=device), torch.randn(BATCH, 11, device=device)
    o.step(complete=False)
    o.after("data")
    for _ in range(steps):
        with o.phase("zero_grad"):
            first.zero_grad()
        with o.phase("forward"):
            loss = critic(generator(noise).detach()).mean() - critic(real).mean()
        backward(o, loss)
        with o.phase("optimizer"):
            first.step()
        o.step()
        with o.phase("zero_grad"):
            second.zero_grad()
        with o.phase("forward"):
            loss = -critic(generator(noise)).mean()
        backward(o, loss)
        with o.phase("optimizer"):
            second.step()
        o.step()


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        raise RuntimeError("on purpose")


def exception(o, device, steps=3):
    """In the second step the backward raises half way; the program goes on."""
    model = MLP().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for i, (x, y) in batches(o, steps, lambda: batch(device)):
        if i == 1:
            with o.phase("forward"):
                hidden = Broken.apply(model.act1(model.fc1(x)))
                loss = F.cross_entropy(model.fc3(model.act2(model.fc2(hidden))), y)
            with o.phase("backward"):
                try:
                    loss.backward()
                except RuntimeError as error:
                    assert "on purpose" in str(error)
            del hidden, loss
            x, y = batch(device)
        with o.phase("zero_grad"):
            optimizer.zero_grad()
        with o.phase("forward"):
            loss = F.cross_entropy(model(x), y)
        backward(o, loss)
        with o.phase("optimizer"):
            optimizer.step()
        o.step()


def create_graph(o, device, steps=3):
    """A gradient penalty: a backward whose own graph is then gone through again."""
    model = MLP().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for i, (x, y) in batches(o, steps, lambda: batch(device)):
        x.requires_grad_()
        with o.phase("forward"):
            loss = F.cross_entropy(model(x), y)
        with o.phase("backward"):
            (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        with o.phase("forward"):
            total = loss + slope.square().sum()
        backward(o, total)
        with o.phase("optimizer"):
            optimizer.step()
        o.step()
        with o.phase("zero_grad"):
            optimizer.zero_grad()


WORKLOADS = {
    f.__name__: f
    for f in (
        mlp, mlp_zero_last, mlp_zero_in_place, gpt, gpt_reentrant, gpt_nonreentrant, lbfgs,
        accumulation, evaluation, autograd_grad, clipping, scaler_skips, gan, exception,
        create_graph,
    )
}


def main():
    words = [w for w in sys.argv[1:] if w != "--unmarked"]
    torch.manual_seed(1)
    oracle = Oracle(words[1], marks="--unmarked" not in sys.argv)
    more = {"steps": int(words[2])} if words[2:] else {}
    WORKLOADS[words[0]](oracle, words[1], **more)
    oracle.write()


if __name__ == "__main__":
    main()
