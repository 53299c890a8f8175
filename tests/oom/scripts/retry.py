"""An OOM is caught, and the run goes on with half the batch."""
import torch
from model import Decoder, loss_of

model = Decoder(layers=2).cuda()
optimizer = torch.optim.AdamW(model.parameters())
batch = 96
for step in range(4):
    while True:
        try:
            loss = loss_of(model, torch.randint(0, 8000, (batch, 512), device="cuda"))
            loss.backward()
            break
        except torch.OutOfMemoryError:
            loss = None
            optimizer.zero_grad()
            batch //= 2
    optimizer.step()
    optimizer.zero_grad()
