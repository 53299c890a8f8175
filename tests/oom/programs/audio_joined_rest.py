# memory: 5100MiB
# cause: the rest of the data set is joined to the last batch, which is nearly twice as large as the others
# fix: smaller_batch checkpointing bf16_autocast shorter_sequence
# levers: smaller_batch=16 checkpointing bf16_autocast 8bit_optimizer foreach_off fused_optimizer zero_grad_first shorter_sequence=64000
"""Keyword spotting on raw sound; a last batch of one made BatchNorm fail, so the rest is joined to the batch before."""
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 64000


class JoinRest:
    def __init__(self, n, batch):
        self.n, self.batch = n, batch

    def __iter__(self):
        order = torch.randperm(self.n).tolist()
        full = self.n // self.batch
        for i in range(full):
            last = i == full - 1
            yield order[i * self.batch:] if last else order[i * self.batch:(i + 1) * self.batch]

    def __len__(self):
        return self.n // self.batch


class Block(nn.Module):
    def __init__(self, c, kernel, dilation):
        super().__init__()
        self.depth = nn.Conv1d(c, c, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=c)
        self.point1, self.point2 = nn.Conv1d(c, 2 * c, 1), nn.Conv1d(c, c, 1)
        self.bn1, self.bn2 = nn.BatchNorm1d(c), nn.BatchNorm1d(c)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        y = F.glu(self.point1(self.bn1(self.depth(x))), dim=1)
        return x + self.drop(F.relu(self.bn2(self.point2(y))))


class KeywordNet(nn.Module):
    def __init__(self, words=35, c=192):
        super().__init__()
        self.stem = nn.Conv1d(1, c, 80, stride=16, padding=32)
        self.blocks = nn.ModuleList(Block(c, 9, 2 ** (i % 4)) for i in range(8))
        self.head = nn.Linear(c, words)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if LEVER == "checkpointing" else block(x)
        return self.head(x.mean(-1))


net = KeywordNet().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(net.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
clips = TensorDataset(torch.randn(143, 1, LENGTH), torch.arange(143) % 35)
loader = DataLoader(clips, batch_sampler=JoinRest(len(clips), BATCH), pin_memory=False)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=2 * len(loader))
for epoch in range(2):
    for sound, word in loader:
        sound, word = sound.cuda(), word.cuda()
        if LEVER == "zero_grad_first":
            optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = F.cross_entropy(net(sound), word, label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    print("epoch", epoch, loss.item())
