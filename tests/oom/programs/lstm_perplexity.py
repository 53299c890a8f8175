# memory: 2GiB
# cause: an LSTM's state is carried through an evaluation with its graph
# fix: no_grad stop_leak
# levers: no_grad stop_leak smaller_batch=64 shorter_sequence=128 zero_grad_first
import contextlib
import math
import os
import torch
import torch.nn as nn

lever, _, value = os.environ.get("LEVER", "").partition("=")


class CharModel(nn.Module):
    """Predicts the next character of a long text, window after window."""

    def __init__(self, chars=256, hidden=512):
        super().__init__()
        self.embedding = nn.Embedding(chars, 128)
        self.lstm = nn.LSTM(128, hidden, num_layers=2, batch_first=True)
        self.decoder = nn.Linear(hidden, chars)

    def forward(self, text, state=None):
        out, state = self.lstm(self.embedding(text), state)
        return self.decoder(out), state


batch = int(value) if lever == "smaller_batch" else 64
window = int(value) if lever == "shorter_sequence" else 128
model = CharModel().cuda()
optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()


def windows(count):
    for _ in range(count):
        text = torch.randint(0, 256, (batch, window + 1), device="cuda")
        yield text[:, :-1], text[:, 1:].reshape(-1)


def train():
    state = None
    for text, following in windows(8):
        if state is not None:
            state = tuple(s.detach() for s in state)
        logits, state = model(text, state)
        loss = loss_fn(logits.reshape(-1, 256), following)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if lever == "zero_grad_first":
            optimizer.zero_grad()


def perplexity():
    state, total = None, 0.0
    with torch.no_grad() if lever == "no_grad" else contextlib.nullcontext():
        for text, following in windows(40):
            logits, state = model(text, state)
            if lever == "stop_leak":
                state = tuple(s.detach() for s in state)
            total += loss_fn(logits.reshape(-1, 256), following).item()
    return math.exp(total / 40)


for epoch in range(2):
    train()
    print(epoch, perplexity())
