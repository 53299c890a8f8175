"""Allocates under 100,000 Python frames."""

import sys
import threading

import torch
from common import Training, say, steps


def down(n):
    if n:
        return down(n - 1)
    return [torch.empty(4001 + i, dtype=torch.uint8) for i in range(20)]


training = Training(27)
sys.setrecursionlimit(200_000)
threading.stack_size(512 << 20)
kept = []
thread = threading.Thread(target=lambda: kept.extend(down(100_000)))
thread.start()
thread.join()
for i in range(steps(30)):
    say(i, training.step(), len(kept))
