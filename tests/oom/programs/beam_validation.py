# memory: 1150MiB
# cause: beam search in the validation records a graph over all tokens and beams
# fix: no_grad
# levers: no_grad smaller_batch=32 bf16_autocast stop_leak
"""A translation model, trained with teacher forcing and validated with beam search every few steps."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

BATCH, BEAMS = int(VALUE) if LEVER == "smaller_batch" else 32, 4


class Seq2Seq(nn.Module):
    def __init__(self, vocab=16000, width=512):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.encoder = nn.LSTM(width, width, batch_first=True)
        self.cell = nn.LSTMCell(width, width)
        self.out = nn.Linear(width, vocab)

    def forward(self, source, target):
        _, (h, c) = self.encoder(self.embed(source))
        h, c, logits = h[0], c[0], []
        for t in range(target.shape[1]):
            h, c = self.cell(self.embed(target[:, t]), (h, c))
            logits.append(self.out(h))
        return torch.stack(logits, 1)

    def beam_search(self, source, length=40):
        _, (h, c) = self.encoder(self.embed(source))
        h = h[0].repeat_interleave(BEAMS, 0)
        c = c[0].repeat_interleave(BEAMS, 0)
        token = torch.ones(len(h), dtype=torch.long, device="cuda")
        score = torch.zeros(len(source), BEAMS, device="cuda")
        for _ in range(length):
            h, c = self.cell(self.embed(token), (h, c))
            logp = F.log_softmax(self.out(h), -1)
            logp = logp.detach() if LEVER == "stop_leak" else logp
            best = (score[..., None] + logp.view(len(source), BEAMS, -1)).view(len(source), -1).topk(BEAMS, -1)
            score = best.values
            token = (best.indices % 16000).flatten()
            row = torch.arange(len(source), device="cuda")[:, None] * BEAMS
            back = (best.indices // 16000 + row).flatten()
            h, c = h[back], c[back]
        return score


net = Seq2Seq().cuda()
opt = torch.optim.Adam(net.parameters())
for step in range(12):
    source = torch.randint(0, 16000, (BATCH, 20), device="cuda")
    target = torch.randint(0, 16000, (BATCH, 20), device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = F.cross_entropy(net(source, target).flatten(0, 1), target.flatten())
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 4 == 3:
        with torch.set_grad_enabled(LEVER != "no_grad"):
            net.eval()
            print(net.beam_search(torch.randint(0, 16000, (BATCH, 20), device="cuda")).mean().item())
            net.train()
