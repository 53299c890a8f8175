# memory: 2350MiB
# cause: log-probabilities of the whole vocabulary in float32, for a score of one token each
# fix: chunked_loss smaller_batch
# levers: chunked_loss smaller_batch=16 shorter_sequence=512
"""Scores texts with a language model (a GRU), without gradients."""
import os
import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 512
VOCAB = 50257


class GRULM(nn.Module):
    def __init__(self, d=768):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, d)
        self.rnn = nn.GRU(d, d, 2, batch_first=True)
        self.head = nn.Linear(d, VOCAB, bias=False)

    def hidden(self, ids):
        return self.rnn(self.embed(ids))[0]


def scores(model, hidden, following):
    log_p = torch.log_softmax(model.head(hidden).float(), -1)
    return log_p.gather(-1, following.unsqueeze(-1)).squeeze(-1)


model = GRULM().to("cuda", torch.bfloat16).eval()
total = 0.0
with torch.inference_mode():
    for _ in range(6):
        ids = torch.randint(VOCAB, (BATCH, LENGTH), device="cuda")
        hidden, following = model.hidden(ids[:, :-1]), ids[:, 1:]
        if LEVER == "chunked_loss":
            parts = [scores(model, h, f) for h, f in zip(hidden.split(32, 1), following.split(32, 1))]
            total += torch.cat(parts, 1).sum().item()
        else:
            total += scores(model, hidden, following).sum().item()
