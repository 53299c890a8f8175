"""Coroutines, generators and greenlets that allocate by turns."""

import asyncio

import torch
from common import Training, say, steps

try:
    import greenlet
except ImportError:
    greenlet = None

trainings = [Training(33 + i, 101 + i) for i in range(3)]


async def train(training):
    for _ in range(steps(30)):
        line = training.step()
        await asyncio.sleep(0)
    return line


async def main():
    return await asyncio.gather(*map(train, trainings))


say(*asyncio.run(main()))
if greenlet:
    def turn(n, other):
        for _ in range(50):
            torch.empty(6001 + n, dtype=torch.uint8)
            other[0].switch()

    first, second = [None], [None]
    first[0] = greenlet.greenlet(lambda: turn(1, second))
    second[0] = greenlet.greenlet(lambda: turn(2, first))
    first[0].switch()
say("done")
