"""The batch is too large: the third one is six times the first two."""
import torch
from model import Decoder, die, loss_of

model = Decoder().cuda()
optimizer = torch.optim.AdamW(model.parameters())
try:
    for batch in (4, 4, 48):
        ids = torch.randint(0, 8000, (batch, 512), device="cuda")
        loss = loss_of(model, ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
except torch.OutOfMemoryError as error:
    die(error)
