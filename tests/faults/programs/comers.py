"""Threads that come and go, a few allocations each, while the main thread trains."""

import threading

import torch
from common import Training, say, steps


def work(i):
    for n in range(40):
        torch.empty(10001 + 100 * i + n, dtype=torch.uint8)


training = Training(7)
for i in range(steps(30)):
    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    [t.start() for t in threads]
    say(i, training.step())
    [t.join() for t in threads]
