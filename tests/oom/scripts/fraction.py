"""The process may use a third of the card, and the card has plenty."""
import torch
from model import Decoder, die, loss_of

torch.cuda.set_per_process_memory_fraction(0.3)
model = Decoder().cuda()
optimizer = torch.optim.AdamW(model.parameters())
try:
    for step in range(3):
        ids = torch.randint(0, 8000, (8 + 16 * step, 512), device="cuda")
        loss = loss_of(model, ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
except torch.OutOfMemoryError as error:
    die(error)
