# memory: 1100MiB
# cause: the forward algorithm of a CRF keeps a matrix of tags by tags for each time step
# fix: checkpoint_turns
# levers: checkpoint_turns smaller_batch=64 bf16_autocast shorter_sequence=200
"""A tagger with a CRF: the partition function is summed up over time, tag by tag."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

from torch.utils.checkpoint import checkpoint

BATCH = int(VALUE) if LEVER == "smaller_batch" else 64
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 200
TAGS = 120


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(8000, 256)
        self.lstm = nn.LSTM(256, 256, batch_first=True, bidirectional=True)
        self.out = nn.Linear(512, TAGS)
        self.moves = nn.Parameter(torch.zeros(TAGS, TAGS))

    def step(self, alpha, scores):
        return torch.logsumexp(alpha[:, :, None] + self.moves[None] + scores[:, None, :], 1)

    def forward(self, words, tags):
        scores = self.out(self.lstm(self.embed(words))[0])
        alpha = scores[:, 0]
        for t in range(1, scores.shape[1]):
            if LEVER == "checkpoint_turns":
                alpha = checkpoint(self.step, alpha, scores[:, t], use_reentrant=False)
            else:
                alpha = self.step(alpha, scores[:, t])
        moves = self.moves[tags[:, :-1], tags[:, 1:]].sum(1)
        gold = scores.gather(2, tags[..., None]).sum((1, 2)) + moves
        return (torch.logsumexp(alpha, 1) - gold).mean()


net = Tagger().cuda()
opt = torch.optim.Adam(net.parameters())
for step in range(4):
    words = torch.randint(0, 8000, (BATCH, LENGTH), device="cuda")
    tags = torch.randint(0, TAGS, (BATCH, LENGTH), device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = net(words, tags)
    opt.zero_grad()
    loss.backward()
    opt.step()
