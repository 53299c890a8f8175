"""A run that fits the card, were it not for somebody else on it (TIDEMARK_SIM_OUTSIDE)."""
import torch
from model import Decoder, die, loss_of

model = Decoder().cuda()
optimizer = torch.optim.AdamW(model.parameters())
try:
    for step in range(3):
        ids = torch.randint(0, 8000, (8, 512), device="cuda")
        loss = loss_of(model, ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
except torch.OutOfMemoryError as error:
    die(error)
