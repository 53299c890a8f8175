# memory: 2000MiB
# cause: all triplets of a batch (a cube of the batch) are compared once mining begins
# fix: smaller_batch
# levers: smaller_batch=512 checkpointing bf16_autocast 8bit_optimizer foreach_off fused_optimizer
"""Metric learning: cross-entropy for a warm-up, then batch-all triplets (Moindrot's recipe)."""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 512
WARMUP = 3


class EmbeddingNet(nn.Module):
    def __init__(self, out=128):
        super().__init__()
        layers, last = [], 3
        for w in (32, 64, 128, 256):
            layers += [nn.Conv2d(last, w, 3, 2, 1), nn.BatchNorm2d(w), nn.PReLU()]
            last = w
        self.backbone = nn.ModuleList(layers)
        self.fc = nn.Linear(last * 16, out)

    def forward(self, x):
        for layer in self.backbone:
            if LEVER == "checkpointing":
                x = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return F.normalize(self.fc(x.flatten(1)))


def batch_all_triplet_loss(labels, embeddings, margin=0.2):
    dot = embeddings @ embeddings.t()
    square = dot.diag()
    distances = (square[None, :] - 2 * dot + square[:, None]).clamp(min=0)
    triplet = distances.unsqueeze(2) - distances.unsqueeze(1) + margin
    equal = labels[None, :] == labels[:, None]
    other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    mask = (equal & other).unsqueeze(2) & (~equal).unsqueeze(1)
    triplet = F.relu(mask.float() * triplet)
    return triplet.sum() / ((triplet > 1e-16).float().sum() + 1e-16)


net = EmbeddingNet().cuda()
classifier = nn.Linear(128, 100).cuda()
params = [*net.parameters(), *classifier.parameters()]
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(params, lr=1e-3)
else:
    optimizer = torch.optim.Adam(params, lr=1e-3, foreach=False if LEVER == "foreach_off" else None,
                                 fused=True if LEVER == "fused_optimizer" else None)
for step in range(6):
    images = torch.randn(BATCH, 3, 64, 64, device="cuda")
    labels = torch.randint(100, (BATCH,), device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        embeddings = net(images)
        if step < WARMUP:
            loss = F.cross_entropy(classifier(embeddings), labels)
        else:
            loss = batch_all_triplet_loss(labels, embeddings)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
