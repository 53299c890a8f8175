# memory: 2950MiB
# cause: for its evaluation the averaged weights are put into the model, whose own are kept beside them on the GPU
# fix: frozen_copy_elsewhere zero_grad_first 8bit_optimizer
# levers: frozen_copy_elsewhere 8bit_optimizer smaller_batch=16 bf16_autocast checkpointing zero_grad_first
"""torch_ema's way: ema.store(), ema.copy_to(), evaluate, ema.restore()."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16
shadow_device = "cpu" if LEVER == "frozen_copy_elsewhere" else "cuda"


class ExponentialMovingAverage:
    def __init__(self, parameters, decay):
        self.decay = decay
        self.shadow_params = [p.clone().detach().to(shadow_device) for p in parameters]
        self.collected_params = None

    @torch.no_grad()
    def update(self, parameters):
        for s, p in zip(self.shadow_params, parameters):
            s.sub_((1 - self.decay) * (s - p.to(s.device)))

    @torch.no_grad()
    def copy_to(self, parameters):
        for s, p in zip(self.shadow_params, parameters):
            p.data.copy_(s.data)

    def store(self, parameters):
        self.collected_params = [p.clone().to(shadow_device) for p in parameters]

    def restore(self, parameters):
        for c, p in zip(self.collected_params, parameters):
            p.data.copy_(c.data)
        self.collected_params = None


class Net(nn.Module):
    def __init__(self, d=1024, depth=14):
        super().__init__()
        self.inside, self.out = nn.Linear(256, d), nn.Linear(d, 10)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
                                    for _ in range(depth))

    def forward(self, x):
        x = self.inside(x)
        for b in self.blocks:
            x = x + (checkpoint(b, x, use_reentrant=False) if LEVER == "checkpointing" else b(x))
        return self.out(x)


def evaluate(model):
    model.eval()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(BATCH, 256).cuda())
    model.train()


model = Net().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters())
else:
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
ema = ExponentialMovingAverage(model.parameters(), 0.995)
for epoch in range(2):
    for _ in range(5):
        x, y = torch.randn(BATCH, 256).cuda(), torch.zeros(BATCH, dtype=torch.long).cuda()
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(model.parameters())
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    ema.store(model.parameters())
    ema.copy_to(model.parameters())
    evaluate(model)
    ema.restore(model.parameters())
