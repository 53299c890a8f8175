# memory: 2100MiB
# cause: forward hooks append feature maps to a list that nobody empties
# fix: stop_leak
# levers: stop_leak smaller_batch=32 checkpointing bf16_autocast
import os

import torch
import torchvision
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")


class Recorder:
    """Collects feature maps for a picture in the log."""

    def __init__(self, model, layers):
        self.maps = []
        for name in layers:
            model.get_submodule(name).register_forward_hook(self)

    def __call__(self, module, inputs, output):
        self.maps.append(output.mean(1)[:4].detach().cpu() if LEVER == "stop_leak" else output)


model = torchvision.models.resnet34(weights=None).cuda()
if LEVER == "checkpointing":
    from torch.utils.checkpoint import checkpoint
    for block in [*model.layer1, *model.layer2, *model.layer3, *model.layer4]:
        block.forward = lambda x, f=block.forward: checkpoint(f, x, use_reentrant=False)
recorder = Recorder(model, ["layer1", "layer2", "layer3"])
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
batch = int(VALUE) if LEVER == "smaller_batch" else 32
for step in range(30):
    images = torch.randn(batch, 3, 224, 224, device="cuda")
    labels = torch.zeros(batch, dtype=torch.long, device="cuda")
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
