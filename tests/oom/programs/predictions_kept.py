# memory: 1450MiB
# cause: predictions of a whole test set are collected on the GPU
# fix: stop_leak
# levers: stop_leak smaller_batch=16 bf16_autocast
"""Predicts masks for a test set; a model that has just been trained for an epoch."""
import os

import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
batch = int(VALUE) if LEVER == "smaller_batch" else 16


class FCN(nn.Sequential):
    def __init__(self, classes=12):
        super().__init__(nn.Conv2d(3, 48, 3, 2, 1), nn.ReLU(), nn.Conv2d(48, 96, 3, 2, 1), nn.ReLU(),
                         nn.Conv2d(96, 96, 3, 1, 1), nn.ReLU(), nn.Conv2d(96, classes, 1),
                         nn.Upsample(scale_factor=4, mode="bilinear"))


def train(model, steps):
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(steps):
        x = torch.randn(4, 3, 256, 256, device="cuda")
        loss = model(x).logsumexp(1).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@torch.inference_mode()
def predict(model, batches):
    model.eval()
    results = []
    for _ in range(batches):
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            probabilities = model(torch.randn(batch, 3, 256, 256, device="cuda")).softmax(1)
        results.append(probabilities.cpu() if LEVER == "stop_leak" else probabilities)
    return results


model = FCN().cuda()
train(model, 6)
predict(model, 30)
