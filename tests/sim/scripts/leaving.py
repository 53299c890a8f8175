"""Trains, and ends without once giving Python's lock away."""
import sys
import time

import torch

model = torch.nn.Linear(50, 70, device="cuda")
print("[]", flush=True)
sys.setswitchinterval(100)
for step in range(2):
    model(torch.randn(33, 50, device="cuda")).sum().backward()
until = time.monotonic() + 0.2
while time.monotonic() < until:
    pass
