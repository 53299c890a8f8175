# memory: 16GiB
# cause: a memory fraction from a shared machine's configuration
# fix: raise_limit
# levers: raise_limit smaller_batch=256 checkpointing bf16_autocast
"""Trains beside a server: half of the card was set aside for it once."""
import os
import torch
import torchvision
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
if LEVER != "raise_limit":
    torch.cuda.set_per_process_memory_fraction(0.35)

model = torchvision.models.resnet50(weights=None, num_classes=200)
if LEVER == "checkpointing":
    for name in ("layer1", "layer2", "layer3", "layer4"):
        for block in getattr(model, name):
            block.forward = (lambda f: lambda x: checkpoint(f, x, use_reentrant=False))(block.forward)
model.to("cuda", memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
criterion = torch.nn.CrossEntropyLoss()
batch = int(VALUE) if LEVER == "smaller_batch" else 256
for step in range(3):
    images = torch.randn(batch, 3, 128, 128, device="cuda").to(memory_format=torch.channels_last)
    labels = torch.randint(200, (batch,), device="cuda")
    optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = criterion(model(images), labels)
    loss.backward()
    optimizer.step()
