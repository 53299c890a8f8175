"""batch.py with a batch of its own, as a lever says; then what the device itself says."""
import json
import os
import sys

import torch
from model import Decoder, loss_of

batch = int(sys.argv[1])
model = Decoder().cuda()
optimizer = torch.optim.AdamW(model.parameters())
for size in (4, 4, batch):
    ids = torch.randint(0, 8000, (size, 512), device="cuda")
    loss = loss_of(model, ids)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
del loss, ids
if len(sys.argv) > 2:
    torch.cuda.empty_cache()
last = torch.empty(10001, device="cuda")
free, total = torch.cuda.mem_get_info()
with open(os.environ["TRUTH"], "w") as file:
    json.dump({"used": total - free, "total": total,
               "allocated": torch.cuda.memory_allocated(),
               "reserved": torch.cuda.memory_reserved()}, file)
os._exit(0)  # nothing is freed any more: the trace ends as the device stood
