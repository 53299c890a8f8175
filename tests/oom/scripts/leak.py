"""The losses are kept for a mean at the end, and with each of them its whole graph."""
import torch
from model import Decoder, die, loss_of

model = Decoder().cuda()
optimizer = torch.optim.AdamW(model.parameters())
history = []
try:
    for step in range(1000):
        ids = torch.randint(0, 8000, (4, 512), device="cuda")
        hidden = model.embed(ids)
        for block in model.blocks[:2]:
            hidden = block(hidden)
        loss = model.head(hidden).square().mean()
        history.append(hidden.mean())
        loss.backward(retain_graph=True)
        optimizer.step()
        optimizer.zero_grad()
except torch.OutOfMemoryError as error:
    die(error)
