# memory: 2.5GiB
# cause: losses of micro-batches are summed and propagated back once
# fix: backward_each
# levers: backward_each smaller_batch=16 checkpointing bf16_autocast
"""Speech-like frames through a convolutional stack; 4 micro-batches make a step."""
import os
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
MICRO, ACCUMULATE = int(VALUE) if LEVER == "smaller_batch" else 16, 4


class TDNN(nn.Module):
    def __init__(self, channels=512, layers=8):
        super().__init__()
        self.front = nn.Conv1d(80, channels, 5, padding=2)
        self.layers = nn.ModuleList()
        for i in range(layers):
            self.layers.append(nn.Sequential(
                nn.Conv1d(channels, channels, 3, padding=2 ** (i % 4), dilation=2 ** (i % 4)),
                nn.BatchNorm1d(channels), nn.ReLU()))
        self.back = nn.Linear(channels, 1000)

    def forward(self, frames):
        x = self.front(frames)
        for layer in self.layers:
            if LEVER == "checkpointing":
                x = x + checkpoint(layer, x, use_reentrant=False)
            else:
                x = x + layer(x)
        return self.back(x.mean(-1))


def micro_batch():
    return (torch.randn(MICRO, 80, 1000, device="cuda"),
            torch.zeros(MICRO, dtype=torch.long, device="cuda"))


net = TDNN().cuda()
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
for step in range(3):
    opt.zero_grad()
    total = 0
    for _ in range(ACCUMULATE):
        x, y = micro_batch()
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = nn.functional.cross_entropy(net(x), y) / ACCUMULATE
        if LEVER == "backward_each":
            loss.backward()
        else:
            total = total + loss
    if LEVER != "backward_each":
        total.backward()
    opt.step()
