# memory: 2700MiB
# cause: the foreach optimizer's temporaries are as large as the model
# fix: foreach_off fused_optimizer
# levers: foreach_off fused_optimizer 8bit_optimizer smaller_batch=64 optimizer_in_backward bf16_autocast
import os

import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
rows = int(VALUE) if LEVER == "smaller_batch" else 64


class DLRMTop(nn.Module):
    def __init__(self, features=2048):
        super().__init__()
        sizes = [features, 6144, 6144, 6144, 4096, 2048, 1]
        self.mlp = nn.Sequential()
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            self.mlp.append(nn.Linear(a, b))
            if b > 1:
                self.mlp.append(nn.ReLU())

    def forward(self, x):
        return self.mlp(x)


def optimizer_for(params):
    match LEVER:
        case "foreach_off":
            return torch.optim.Adam(params, lr=1e-4, amsgrad=False, foreach=False)
        case "fused_optimizer":
            return torch.optim.Adam(params, lr=1e-4, fused=True)
        case "8bit_optimizer":
            import bitsandbytes
            return bitsandbytes.optim.Adam8bit(params, lr=1e-4)
    return torch.optim.Adam(params, lr=1e-4)


model = DLRMTop().cuda()
if LEVER == "optimizer_in_backward":
    for p in model.parameters():
        own = torch.optim.Adam([p], lr=1e-4)
        p.register_post_accumulate_grad_hook(lambda _, o=own: o.step() or o.zero_grad())
else:
    optimizer = optimizer_for(model.parameters())
for step in range(5):
    x = torch.randn(rows, 2048, device="cuda")
    y = torch.zeros(rows, 1, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
    loss.backward()
    if LEVER != "optimizer_in_backward":
        optimizer.step()
        optimizer.zero_grad()
