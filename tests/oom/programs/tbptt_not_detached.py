# memory: 1300MiB
# cause: the state is carried from chunk to chunk without detach, and retain_graph=True was added to silence the error
# fix: stop_leak
# levers: stop_leak smaller_batch=64 shorter_sequence=200 bf16_autocast 8bit_optimizer foreach_off fused_optimizer zero_grad_first
import os

import torch
import torch.nn.functional as F
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
CHUNK = int(VALUE) if LEVER == "shorter_sequence" else 200
SENSORS, CHUNKS = 48, 8


class Forecaster(nn.Module):
    def __init__(self, hidden=512, layers=2):
        super().__init__()
        self.inputs = nn.Sequential(nn.Linear(SENSORS, hidden), nn.LayerNorm(hidden), nn.ReLU())
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True, dropout=0.1)
        self.mean, self.spread = nn.Linear(hidden, SENSORS), nn.Linear(hidden, SENSORS)

    def forward(self, x, state=None):
        h, state = self.lstm(self.inputs(x), state)
        return self.mean(h), F.softplus(self.spread(h)) + 1e-3, state


def nll(mean, spread, target):
    return (0.5 * ((target - mean) / spread).square() + spread.log()).mean()


model = Forecaster().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
for epoch in range(2):
    # one long recording per row; the optimizer steps when the whole of it has been seen
    recording = torch.randn(BATCH, CHUNK * CHUNKS + 1, SENSORS)
    state, total = None, 0.0
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    for i in range(CHUNKS):
        part = recording[:, i * CHUNK:(i + 1) * CHUNK + 1].cuda()
        if state is not None and LEVER == "stop_leak":
            state = tuple(s.detach() for s in state)
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            mean, spread, state = model(part[:, :-1], state)
            loss = nll(mean, spread, part[:, 1:]) / CHUNKS
        if i == 0:
            optimizer.zero_grad()
        loss.backward(retain_graph=LEVER != "stop_leak")
        total += loss.item()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    plateau.step(total)
    print("epoch", epoch, total)
