"""A training step of 300 small parameters beside 20,000 live tensors; see pairs.py.

usage: flat.py plain|flat [STEPS]
plain: each parameter has its own memory; flat: they are views into one buffer, and so are
their gradients, as FSDP1, DDP's gradient_as_bucket_view and fused optimizers make them.
With STEPS runs so many; else for each line on stdin runs 10 and prints what one took, in ns.
"""
import sys
import time

import torch

COUNT, SIZE = 300, 64
FLAT = sys.argv[1] == "flat"
if FLAT:
    buffer, gradients = torch.randn(COUNT * SIZE), torch.zeros(COUNT * SIZE)
    parameters = [torch.nn.Parameter(p) for p in buffer.split(SIZE)]
    for parameter, gradient in zip(parameters, gradients.split(SIZE)):
        parameter.grad = gradient
else:
    parameters = [torch.nn.Parameter(torch.randn(SIZE)) for _ in range(COUNT)]
beside = [torch.empty(101) for _ in range(20000)]
optimizer = torch.optim.SGD(parameters, 0.01)


def step():
    total = 0
    for parameter in parameters:
        total = total + (parameter * 2).sum()
    total.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=not FLAT)


if len(sys.argv) > 2:
    for _ in range(int(sys.argv[2])):
        step()
    sys.exit()
torch.set_num_threads(1)
for _ in range(5):
    step()
print("ready", flush=True)
for _ in sys.stdin:
    began = time.monotonic_ns()
    for _ in range(10):
        step()
    print((time.monotonic_ns() - began) // 10, flush=True)
