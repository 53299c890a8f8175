"""A training step, to be timed with and without something that watches it; see pairs.py.

usage: step.py DEVICE MODE BLOCK    (MODE: bare, history, profiler; tracing is LD_PRELOAD's)
For each line on stdin runs BLOCK steps and prints the CPU nanoseconds that a step took, of
all threads but the tracer's own writer.
"""
import os
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

DEVICE, MODE, BLOCK = sys.argv[1], sys.argv[2], int(sys.argv[3])
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
                if f.read().strip() != "tidemark":
                    # the clock of one thread, as pthread_getcpuclockid() makes its number
                    total += time.clock_gettime_ns(~int(task) << 3 | 6)
        except OSError:
            pass  # a thread that has just ended
    return total * 1e-9


def settle():
    """The program on one core, the tracer's writer on another: no thread is moved about."""
    cores = sorted(os.sched_getaffinity(0))
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as f:
            writer = f.read().strip() == "tidemark"
        os.sched_setaffinity(int(task), cores[1:] if writer and cores[1:] else cores[:1])


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = GPT().to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, foreach=True)
    batch = torch.randint(VOCAB, (BATCH, LENGTH + 1))

    def steps(n):
        for _ in range(n):
            ids = batch.to(DEVICE)
            loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    steps(5)
    if MODE == "history":
        torch.cuda.memory._record_memory_history(stacks="all", max_entries=1_000_000)
    if MODE == "profiler":
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, with_stack=True
        ).start()
    settle()
    steps(100)  # a run's first steps differ: memory comes in, names are looked for
    print("ready", flush=True)
    for _ in sys.stdin:
        steps(1)  # the others had the caches
        start = cpu_seconds()
        steps(BLOCK)
        print(round((cpu_seconds() - start) / BLOCK * 1e9), flush=True)
    os._exit(0)  # a profiler's report is not what is measured


main()
