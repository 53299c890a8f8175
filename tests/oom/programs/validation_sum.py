# memory: 1650MiB
# cause: the validation loss is summed as a tensor with its graph
# fix: no_grad stop_leak
# levers: no_grad stop_leak smaller_batch=256 8bit_optimizer zero_grad_first checkpointing bf16_autocast foreach_off
import os
from contextlib import nullcontext

import torch
from torch import nn, optim
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 256


class TextCNN(nn.Module):
    def __init__(self, words=20000, dim=128, filters=(3, 4, 5)):
        super().__init__()
        self.embedding = nn.Embedding(words, dim)
        self.convs = nn.ModuleList([nn.Conv1d(dim, 256, k, padding=k // 2) for k in filters])
        self.fc = nn.Linear(256 * len(filters), 14)

    def forward(self, text):
        x = self.embedding(text).transpose(1, 2)
        if LEVER == "checkpointing":
            maps = [checkpoint(conv, x, use_reentrant=False) for conv in self.convs]
        else:
            maps = [conv(x) for conv in self.convs]
        return self.fc(torch.cat([m.relu().amax(-1) for m in maps], 1))


def batches(count):
    for _ in range(count):
        yield torch.randint(20000, (BATCH, 128), device="cuda"), \
            torch.zeros(BATCH, dtype=torch.long, device="cuda")


def train_epoch(model, criterion, optimizer):
    model.train()
    for text, label in batches(10):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = criterion(model(text), label)
        loss.backward()
        optimizer.step()
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()


def validate(model, criterion):
    model.eval()
    val_loss = 0
    with torch.no_grad() if LEVER == "no_grad" else nullcontext():
        for text, label in batches(25):
            with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
                loss = criterion(model(text), label)
            val_loss += loss.item() if LEVER == "stop_leak" else loss
    return val_loss / 25


model = TextCNN().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters())
else:
    optimizer = optim.Adam(model.parameters(), foreach=False if LEVER == "foreach_off" else None)
for epoch in range(2):
    train_epoch(model, nn.CrossEntropyLoss(), optimizer)
    print(epoch, float(validate(model, nn.CrossEntropyLoss())))
