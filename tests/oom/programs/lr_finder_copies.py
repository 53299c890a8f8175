# memory: 3150MiB
# cause: a learning-rate finder keeps deep copies of the model and the optimizer to put them back, and they stay
# fix: frozen_copy_elsewhere stop_leak load_on_cpu
# levers: frozen_copy_elsewhere stop_leak load_on_cpu 8bit_optimizer foreach_off fused_optimizer smaller_batch=32 checkpointing zero_grad_first bf16_autocast
import copy
import os

import torch
import torch.utils.checkpoint
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32


class LRFinder:
    def __init__(self, model, optimizer, criterion):
        self.model, self.optimizer, self.criterion = model, optimizer, criterion
        self.history = {"lr": [], "loss": []}
        if LEVER in ("frozen_copy_elsewhere", "stop_leak", "load_on_cpu"):
            self.model_state = {k: v.cpu() for k, v in model.state_dict().items()}
        else:
            self.model_state = copy.deepcopy(model.state_dict())
        self.optimizer_state = copy.deepcopy(optimizer.state_dict())

    def range_test(self, loader, end_lr=10, num_iter=5):
        base = self.optimizer.param_groups[0]["lr"]
        for i, (x, y) in zip(range(num_iter), loader):
            lr = base * (end_lr / base) ** (i / num_iter)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.history["lr"].append(lr)
            self.history["loss"].append(train_batch(self.model, self.optimizer, self.criterion, x, y))

    def reset(self):
        self.model.load_state_dict(self.model_state)
        self.optimizer.load_state_dict(self.optimizer_state)


def train_batch(model, optimizer, criterion, x, y):
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = criterion(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def loader(batch, size):
    while True:
        yield torch.randn(batch, 3, size, size, device="cuda"), torch.zeros(batch, dtype=torch.long, device="cuda")


class Wide(nn.Module):
    def __init__(self, widths=(64, 256, 512, 1024, 1024)):
        super().__init__()
        self.features = nn.Sequential()
        last = 3
        for w in widths:
            self.features.append(nn.Sequential(nn.Conv2d(last, w, 3, 2, 1), nn.BatchNorm2d(w), nn.ReLU(),
                                               nn.Conv2d(w, w, 3, 1, 1), nn.BatchNorm2d(w), nn.ReLU()))
            last = w
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * last, 4096), nn.ReLU(),
                                        nn.Linear(4096, 1000))

    def forward(self, x):
        for stage in self.features:
            if LEVER == "checkpointing":
                x = torch.utils.checkpoint.checkpoint(stage, x, use_reentrant=False)
            else:
                x = stage(x)
        return self.classifier(x)


def optimizer_for(model):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-6)
    return torch.optim.AdamW(model.parameters(), lr=1e-6, foreach=False if LEVER == "foreach_off" else None,
                             fused=True if LEVER == "fused_optimizer" else None)


model = Wide().cuda()
optimizer = optimizer_for(model)
criterion = nn.CrossEntropyLoss()
finder = LRFinder(model, optimizer, criterion)
finder.range_test(loader(8, 128))
finder.reset()
for _, (x, y) in zip(range(5), loader(BATCH, 192)):
    train_batch(model, optimizer, criterion, x, y)
