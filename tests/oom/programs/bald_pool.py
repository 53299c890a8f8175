# memory: 8GiB
# cause: unlabelled texts are scored between the rounds by many dropout passes, all of them with a graph
# fix: no_grad
# levers: no_grad smaller_batch=32 shorter_sequence=128 checkpointing bf16_autocast 8bit_optimizer foreach_off zero_grad_first
"""Active learning (BALD) with a small BERT: net.train() must stay on for the dropout."""
import os

import torch
from transformers import BertConfig, BertForSequenceClassification

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 128
VOCAB, PASSES = 8000, 12

net = BertForSequenceClassification(BertConfig(
    vocab_size=VOCAB, hidden_size=384, num_hidden_layers=4, num_attention_heads=6, intermediate_size=1536, num_labels=6))
if LEVER == "checkpointing":
    net.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
net.cuda().train()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(net.parameters(), lr=5e-5)
else:
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-5, foreach=False if LEVER == "foreach_off" else None)


def amp():
    return torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")


class Pool:
    def __init__(self, n):
        self.texts, self.labels = torch.randint(0, VOCAB, (n, LENGTH)), torch.randint(0, 6, (n,))
        self.open, self.labelled = list(range(96, n)), list(range(96))

    def rows(self, indices, size):
        for i in range(0, len(indices), size):
            part = indices[i:i + size]
            yield part, self.texts[part].cuda(), self.labels[part].cuda()


def bald(logits):
    """Mutual information of the prediction and the weights; logits: passes x texts x classes."""
    p = logits.float().softmax(-1)
    mean = p.mean(0)
    entropy = -(mean * (mean + 1e-9).log()).sum(-1)
    return entropy + (p * (p + 1e-9).log()).sum(-1).mean(0)


def score(pool):
    scores = {}
    with torch.set_grad_enabled(LEVER != "no_grad"):
        for part, ids, _ in pool.rows(pool.open, 2 * BATCH):
            with amp():
                logits = torch.stack([net(input_ids=ids).logits for _ in range(PASSES)])
            scores.update(zip(part, bald(logits).tolist()))
    return scores


def train(pool):
    for _, ids, y in pool.rows(pool.labelled, BATCH):
        if LEVER == "zero_grad_first":
            optimizer.zero_grad()
        with amp():
            loss = net(input_ids=ids, labels=y).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


pool = Pool(96 + 256)
for turn in range(2):
    loss = train(pool)
    scores = score(pool)
    chosen = sorted(scores, key=scores.get, reverse=True)[:32]
    pool.labelled += chosen
    pool.open = [i for i in pool.open if i not in set(chosen)]
    print("round", turn, "loss", loss, "labelled", len(pool.labelled))
