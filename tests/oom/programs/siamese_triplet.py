# memory: 3000MiB
# cause: three forwards of one network before one backward
# fix: smaller_batch checkpointing bf16_autocast
# levers: smaller_batch=96 checkpointing bf16_autocast 8bit_optimizer
"""Face embeddings with a triplet loss: anchor, positive, negative through one ResNet."""
import os

import torch
import torchvision

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")


def embedding_net():
    net = torchvision.models.resnet18(weights=None, num_classes=128)
    if LEVER == "checkpointing":
        from torch.utils.checkpoint import checkpoint
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            for block in stage:
                plain = block.forward
                block.forward = lambda x, f=plain: checkpoint(f, x, use_reentrant=False)
    return net.cuda()


def faces(n):
    return [torch.randn(n, 3, 160, 160, device="cuda") for _ in range(3)]


net = embedding_net()
loss_fn = torch.nn.TripletMarginLoss(margin=0.2)
if LEVER == "8bit_optimizer":
    import bitsandbytes as bnb
    opt = bnb.optim.Adam8bit(net.parameters(), lr=1e-3)
else:
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
batch = int(VALUE) if LEVER == "smaller_batch" else 96
for step in range(3):
    anchor, positive, negative = faces(batch)
    opt.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = loss_fn(net(anchor), net(positive), net(negative))
    loss.backward()
    opt.step()
