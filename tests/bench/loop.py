"""CPU time of one torch.empty() and its free, thirteen Python frames deep; see pairs.py.

usage: loop.py   (traced or not by LD_PRELOAD)
For each line on stdin prints the nanoseconds that a pair took: the least of four bursts, each
small enough for a ring.
"""

import sys
import time

import torch


def deep(frames):
    if frames:
        return deep(frames - 1)
    best = None
    for _ in range(4):
        start = time.thread_time_ns()
        for _ in range(4000):
            torch.empty(64)
        each = (time.thread_time_ns() - start) / 4000
        best = each if best is None else min(best, each)
        time.sleep(0.05)  # the writer empties the ring
    return best


torch.set_num_threads(1)
layer = torch.nn.Linear(3, 3)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
for _ in range(3):  # as in a training that is under way: names have been looked for
    layer(torch.randn(2, 3)).sum().backward()
    optimizer.step()
deep(12)
print("ready", flush=True)
for _ in sys.stdin:
    print(round(deep(12)), flush=True)
