# memory: 4350MiB
# cause: batches are padded to their longest text, and a long one comes late in the epoch
# fix: shorter_sequence smaller_batch checkpointing
# levers: shorter_sequence=512 smaller_batch=16 checkpointing bf16_autocast flash_attention zero_grad_first 8bit_optimizer foreach_off fused_optimizer
"""Fine-tunes a BERT-like encoder; each batch is as long as its longest text."""
import math
import os

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16
MAX_LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 512
LENGTHS = [64, 96, 71, 88, 120, 64, 93, 77, 110, 64, 85, 128, 99, 70, 64, 101, 92, 83, 75, 512, 90, 66]


class SelfAttention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.dense = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(0.1)

    def split(self, x):
        return x.view(x.size(0), x.size(1), self.heads, -1).permute(0, 2, 1, 3)

    def forward(self, hidden_states, attention_mask):
        q, k, v = self.split(self.query(hidden_states)), self.split(self.key(hidden_states)), \
            self.split(self.value(hidden_states))
        if LEVER == "flash_attention":
            context = nn.functional.scaled_dot_product_attention(q, k, v, attention_mask, 0.1)
        else:
            scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.size(-1)) + attention_mask
            probs = self.dropout(nn.functional.softmax(scores, dim=-1))
            context = torch.matmul(probs, v)
        return self.dense(context.permute(0, 2, 1, 3).flatten(2))


class Layer(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.attention = SelfAttention(hidden, heads)
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.intermediate, self.output = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, mask):
        x = self.norm1(x + self.dropout(self.attention(x, mask)))
        return self.norm2(x + self.dropout(self.output(nn.functional.gelu(self.intermediate(x)))))


class Bert(nn.Module):
    def __init__(self, vocab=30522, hidden=512, heads=8, layers=8):
        super().__init__()
        self.word, self.position = nn.Embedding(vocab, hidden), nn.Embedding(512, hidden)
        self.layer = nn.ModuleList([Layer(hidden, heads) for _ in range(layers)])
        self.classifier = nn.Linear(hidden, 4)

    def forward(self, input_ids, attention_mask):
        mask = (1.0 - attention_mask[:, None, None, :].float()) * -10000.0
        x = self.word(input_ids) + self.position(torch.arange(input_ids.size(1), device=input_ids.device))
        for layer in self.layer:
            x = checkpoint(layer, x, mask, use_reentrant=False) if LEVER == "checkpointing" else layer(x, mask)
        return self.classifier(x[:, 0])


def collate(length):
    length = min(length, MAX_LENGTH)
    return {"input_ids": torch.randint(30522, (BATCH, length)),
            "attention_mask": torch.ones(BATCH, length, dtype=torch.long)}, torch.zeros(BATCH, dtype=torch.long)


model = Bert().to("cuda")
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=2e-5)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True if LEVER == "fused_optimizer" else None,
                                  foreach=False if LEVER == "foreach_off" else None)
for length in LENGTHS:
    inputs, labels = collate(length)
    inputs = {k: v.to("cuda") for k, v in inputs.items()}
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = nn.functional.cross_entropy(model(**inputs), labels.to("cuda"))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
