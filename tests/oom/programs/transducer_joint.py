# memory: 1850MiB
# cause: the joint of a transducer has a place for every frame, label and symbol
# fix: smaller_batch chunked_loss
# levers: smaller_batch=16 chunked_loss bf16_autocast 8bit_optimizer
"""RNN-T without its own kernels: the joint is written out (B, T, U, V)."""
import os
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
B, T, U, V = (int(VALUE) if LEVER == "smaller_batch" else 16), 200, 40, 1024


class Transducer(nn.Module):
    def __init__(self, d=320):
        super().__init__()
        self.encoder = nn.LSTM(80, d, 3, batch_first=True)
        self.embed = nn.Embedding(V, d)
        self.predictor = nn.GRU(d, d, batch_first=True)
        self.out = nn.Linear(d, V)

    def lattice(self, enc, pred, labels):
        joint = self.out(torch.tanh(enc[:, :, None] + pred[:, None]))
        log_p = joint.log_softmax(-1)
        symbol = log_p.gather(-1, labels[:, None, :, None].expand(-1, log_p.size(1), -1, 1))
        return symbol.squeeze(-1), log_p[..., 0]

    def forward(self, mel, labels):
        enc, _ = self.encoder(mel)
        pred, _ = self.predictor(self.embed(labels))
        if LEVER == "chunked_loss":
            parts = [checkpoint(self.lattice, enc[i:i + 1], pred[i:i + 1], labels[i:i + 1],
                                use_reentrant=False) for i in range(len(mel))]
            return [torch.cat(part) for part in zip(*parts)]
        return self.lattice(enc, pred, labels)


net = Transducer().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    opt = bitsandbytes.optim.AdamW8bit(net.parameters(), lr=1e-3)
else:
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
for step in range(3):
    mel, labels = torch.randn(B, T, 80).cuda(), torch.randint(1, V, (B, U)).cuda()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        emit, blank = net(mel, labels)
        loss = -(emit.sum(1).mean() + blank.sum(1).mean()) / T
    opt.zero_grad()
    loss.backward()
    opt.step()
