# memory: 1950MiB
# cause: SGD's first step makes momentum buffers beside the temporaries of weight decay
# fix: foreach_off fused_optimizer
# levers: foreach_off fused_optimizer 8bit_optimizer smaller_batch=8 bf16_autocast optimizer_in_backward
"""VGG-like, as in a course: most weights are in the classifier."""
import os

import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 8
SETTINGS = dict(lr=0.01, momentum=0.9, weight_decay=5e-4)


class VGG(nn.Module):
    def __init__(self, plan=(64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"), classes=1000):
        super().__init__()
        layers, last = [], 3
        for item in plan:
            if item == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(last, item, 3, padding=1), nn.ReLU(inplace=True)]
                last = item
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(512 * 16, 6144), nn.ReLU(True), nn.Dropout(), nn.Linear(6144, 6144),
                                        nn.ReLU(True), nn.Dropout(), nn.Linear(6144, classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


model = VGG().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.SGD8bit(model.parameters(), **SETTINGS)
elif LEVER == "optimizer_in_backward":
    optimizer = None
    for p in model.parameters():
        mine = torch.optim.SGD([p], **SETTINGS)
        p.register_post_accumulate_grad_hook(lambda _, o=mine: o.step() or o.zero_grad())
else:
    optimizer = torch.optim.SGD(model.parameters(), **SETTINGS, foreach=False if LEVER == "foreach_off" else None,
                                fused=True if LEVER == "fused_optimizer" else None)
criterion = nn.CrossEntropyLoss()
for i in range(4):
    inputs, targets = torch.randn(BATCH, 3, 128, 128).cuda(), torch.zeros(BATCH, dtype=torch.long).cuda()
    if optimizer:
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = criterion(model(inputs), targets)
    loss.backward()
    if optimizer:
        optimizer.step()
