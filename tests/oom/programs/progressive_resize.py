# memory: 3600MiB
# cause: the pictures grow between epochs: the cache is cut for the old size
# fix: expandable_segments
# levers: empty_cache smaller_batch=32 checkpointing bf16_autocast
import os
import torch
import torchvision
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32


def fit(model, optimizer, side, steps):
    criterion = nn.CrossEntropyLoss()
    for _ in range(steps):
        x = torch.randn(BATCH, 3, side, side, device="cuda")
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = criterion(model(x), torch.zeros(BATCH, dtype=torch.long, device="cuda"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


model = torchvision.models.densenet121(weights=None, memory_efficient=LEVER == "checkpointing").cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for side in (96, 128, 144, 160, 176, 192):
    if LEVER == "empty_cache":
        torch.cuda.empty_cache()
    fit(model, optimizer, side, 2)
