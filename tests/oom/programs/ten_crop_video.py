# memory: 5200MiB
# cause: the evaluation folds ten views of each clip into the batch (under no_grad already)
# fix: smaller_batch bf16_autocast shorter_sequence
# levers: smaller_batch=8 bf16_autocast shorter_sequence=16 checkpointing 8bit_optimizer zero_grad_first empty_cache
"""Action recognition with torchvision's R3D-18; ten-view testing after each epoch."""
import os

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
from torchvision.models.video import r3d_18

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 8
FRAMES = int(VALUE) if LEVER == "shorter_sequence" else 16
AMP = LEVER == "bf16_autocast"

net = r3d_18(weights=None, num_classes=400).cuda()
if LEVER == "checkpointing":
    for name in ("layer1", "layer2", "layer3", "layer4"):
        stage = getattr(net, name)
        stage.forward = lambda x, run=stage.forward: checkpoint(run, x, use_reentrant=False) if net.training else run(x)
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.SGD8bit(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
else:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10)


def clips(n):
    for _ in range(n):
        yield torch.rand(BATCH, 3, FRAMES, 140, 180), torch.randint(0, 400, (BATCH,))


def random_crop(video, size=112):
    y, x = (int(torch.randint(0, n - size, ())) for n in video.shape[-2:])
    return video[..., y:y + size, x:x + size].contiguous()


def ten_views(video, size=112):
    h, w = video.shape[-2:]
    corners = [(0, 0), (0, w - size), (h - size, 0), (h - size, w - size), ((h - size) // 2, (w - size) // 2)]
    views = torch.stack([video[..., y:y + size, x:x + size] for y, x in corners], 1)
    return torch.cat([views, views.flip(-1)], 1)


def train_epoch():
    net.train()
    for video, label in clips(4):
        video, label = random_crop(video).cuda(), label.cuda()
        if LEVER == "zero_grad_first":
            optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=AMP):
            loss = F.cross_entropy(net(video), label)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 40)
        optimizer.step()
    schedule.step()


@torch.no_grad()
def evaluate():
    net.eval()
    right = total = 0
    for video, label in clips(3):
        views = ten_views(video).cuda()
        with torch.autocast("cuda", torch.bfloat16, enabled=AMP):
            scores = net(views.flatten(0, 1)).softmax(-1)
        scores = scores.unflatten(0, views.shape[:2]).mean(1)
        right += (scores.argmax(-1).cpu() == label).sum().item()
        total += len(label)
    return right / total


for epoch in range(2):
    train_epoch()
    if LEVER == "empty_cache":
        torch.cuda.empty_cache()
    print("epoch", epoch, "accuracy", evaluate())
