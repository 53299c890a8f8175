# memory: 3500MiB
# cause: a trainer class evaluates every few steps with gradients on, on a larger batch
# fix: no_grad
# levers: no_grad shorter_sequence=256 smaller_batch=64 checkpointing bf16_autocast zero_grad_first 8bit_optimizer foreach_off fused_optimizer
"""Text classification with a trainer class of the house, as one finds in many repositories."""
import contextlib
import os
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")


@dataclass
class Config:
    vocab: int = 20000
    width: int = 512
    layers: int = 6
    heads: int = 8
    length: int = int(VALUE) if LEVER == "shorter_sequence" else 256
    train_batch: int = 16
    eval_batch: int = int(VALUE) if LEVER == "smaller_batch" else 64
    eval_every: int = 5
    max_steps: int = 12


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.tokens = nn.Embedding(c.vocab, c.width)
        self.position = nn.Parameter(torch.zeros(c.length, c.width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(c.width, c.heads, 4 * c.width, batch_first=True,
                                       norm_first=True) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        self.head = nn.Linear(c.width, 20)

    def forward(self, ids):
        x = self.tokens(ids) + self.position
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if LEVER == "checkpointing" else block(x)
        return self.head(self.norm(x).mean(1))


class Trainer:
    def __init__(self, config):
        self.config = config
        self.device = torch.device("cuda")
        self.model = Encoder(config).to(self.device)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        self.optimizer = self.make_optimizer()
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda s: min(1, (s + 1) / 10))
        self.amp = torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")

    def make_optimizer(self):
        if LEVER == "8bit_optimizer":
            import bitsandbytes
            return bitsandbytes.optim.AdamW8bit(self.model.parameters(), lr=3e-4)
        return torch.optim.AdamW(self.model.parameters(), lr=3e-4,
                                 foreach=False if LEVER == "foreach_off" else None,
                                 fused=True if LEVER == "fused_optimizer" else None)

    def batches(self, size, count):
        c = self.config
        for _ in range(count):
            yield (torch.randint(c.vocab, (size, c.length)).to(self.device),
                   torch.zeros(size, dtype=torch.long).to(self.device))

    def training_step(self, ids, labels):
        self.model.train()
        if LEVER == "zero_grad_first":
            self.optimizer.zero_grad()
        with self.amp:
            loss = self.criterion(self.model(ids), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        return loss.item()

    def evaluate(self):
        self.model.eval()
        losses, right = [], 0
        with torch.no_grad() if LEVER == "no_grad" else contextlib.nullcontext(), self.amp:
            for ids, labels in self.batches(self.config.eval_batch, 4):
                logits = self.model(ids)
                losses.append(self.criterion(logits, labels).item())
                right += (logits.argmax(-1) == labels).sum().item()
        return sum(losses) / len(losses), right

    def train(self):
        for step, (ids, labels) in enumerate(self.batches(self.config.train_batch,
                                                          self.config.max_steps), 1):
            self.training_step(ids, labels)
            if step % self.config.eval_every == 0:
                self.evaluate()


Trainer(Config()).train()
