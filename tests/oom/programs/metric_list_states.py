# memory: 1600MiB
# cause: a metric keeps every prediction on the GPU and is never reset
# fix: stop_leak
# levers: stop_leak smaller_batch=256 8bit_optimizer zero_grad_first foreach_off fused_optimizer
import os
import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")


class MeanAveragePrecision:
    """Needs all scores to rank them, and so keeps them."""

    def __init__(self):
        self.scores, self.targets = [], []

    def update(self, scores, targets):
        self.scores.append(scores.detach())
        self.targets.append(targets)

    def compute(self):
        return torch.cat(self.scores).topk(10, dim=1).indices

    def reset(self):
        self.scores.clear()
        self.targets.clear()


class Tagger(nn.Module):
    def __init__(self, vocabulary=20000, tags=8000):
        super().__init__()
        self.bag = nn.EmbeddingBag(vocabulary, 256)
        self.layers = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, tags))

    def forward(self, words):
        return self.layers(self.bag(words))


def make(params):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.AdamW8bit(params)
    return torch.optim.AdamW(params, **{"foreach_off": {"foreach": False},
                                        "fused_optimizer": {"fused": True}}.get(LEVER, {}))


batch = int(VALUE) if LEVER == "smaller_batch" else 256
model, metric = Tagger().cuda(), MeanAveragePrecision()
optimizer = make(model.parameters())
for epoch in range(4):
    for _ in range(50):
        words = torch.randint(0, 20000, (batch, 64)).cuda()
        tags = torch.zeros(batch, 8000, device="cuda")
        if LEVER == "zero_grad_first":
            optimizer.zero_grad()
        scores = model(words)
        loss = nn.functional.binary_cross_entropy_with_logits(scores, tags)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if LEVER == "stop_leak":
            metric.update(scores.cpu(), tags.bool().cpu())
        else:
            metric.update(scores, tags.bool())
