"""Sequences grow, and the features of each are kept for a memory bank. They are put where
the hidden states of the sequence before lay: what is left of that is too small for the
next one, so that a third of the card is free and no piece of it is large enough."""
import torch
from torch import nn
from model import die

wide = nn.Linear(64, 5120, bias=False).cuda()
narrow = nn.Linear(5120, 3072, bias=False).cuda()
optimizer = torch.optim.SGD([*wide.parameters(), *narrow.parameters()])
bank = []
try:
    for length in range(8192, 1 << 20, 512):
        sequence = torch.randn(length, 64, device="cuda")
        with torch.no_grad():
            hidden = wide(sequence)
            bank.append(narrow(hidden))
        del hidden
        loss = narrow(wide(sequence[:64])).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
except torch.OutOfMemoryError as error:
    die(error)
