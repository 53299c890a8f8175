"""What tracing adds to a training step, beside what PyTorch's own recorders add.

usage: step.py DEVICE MODE STEPS    (MODE: bare, history, profiler; tracing is LD_PRELOAD's)
Prints the CPU milliseconds per step of all threads but the tracer's: least, median.
"""

import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

DEVICE, MODE, STEPS = sys.argv[1], sys.argv[2], int(sys.argv[3])
LAYERS, WIDTH, HEADS, VOCAB, BATCH, LENGTH = 12, 96, 4, 512, 2, 32


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = (
            self.qkv(self.norm1(x))
            .view(BATCH, LENGTH, 3, HEADS, WIDTH // HEADS)
            .permute(2, 0, 3, 1, 4)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(BATCH, LENGTH, WIDTH))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCAB, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, ids):
        x = self.tokens(ids) + self.places.weight
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def cpu_seconds():
    """Of all threads but the tracer's own writer, which has a core of its own in practice."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as f:
                if f.read().strip() == "tidemark":
                    continue
            with open(f"/proc/self/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
        except OSError:
            pass  # a thread that has just ended
    return total * 1e-9


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = GPT().to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, foreach=True)
    batch = torch.randint(VOCAB, (BATCH, LENGTH + 1))
    recorder = None
    if MODE == "history":
        torch.cuda.memory._record_memory_history(stacks="all", max_entries=1_000_000)
    times = []
    for i in range(STEPS):
        if MODE == "profiler" and i == 5:
            recorder = torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CPU],
                profile_memory=True,
                with_stack=True,
            )
            recorder.start()
        start = cpu_seconds()
        ids = batch.to(DEVICE)
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(cpu_seconds() - start)
    times = sorted(times[5:])
    print(f"{times[0] * 1e3:.4f} {times[len(times) // 2] * 1e3:.4f}")
    sys.stdout.flush()
    os._exit(0)  # a profiler's report is not what is measured


main()
