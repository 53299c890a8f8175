# memory: 5400MiB
# simulate: --rank 0 --world 8
# cause: each rank of DDP has the whole model, its gradients twice, and all of Adam's states
# fix: shard 8bit_optimizer smaller_batch checkpointing
# levers: shard 8bit_optimizer bucket_view foreach_off fused_optimizer smaller_batch=32 checkpointing bf16_autocast
"""A masked autoencoder; two micro-batches a step with no_sync. shard: the optimizer's states only."""
import contextlib
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32
PATCH, SIDE = 16, 224


def stack(d, heads, depth):
    return nn.ModuleList(nn.TransformerEncoderLayer(d, heads, 4 * d, 0.0, "gelu", batch_first=True, norm_first=True)
                         for _ in range(depth))


class MaskedAutoencoder(nn.Module):
    def __init__(self, d=1024, depth=14, small=512, small_depth=2, keep=0.25):
        super().__init__()
        self.n = (SIDE // PATCH) ** 2
        self.kept = int(keep * self.n)
        self.patch, self.place = nn.Linear(3 * PATCH ** 2, d), nn.Parameter(torch.zeros(self.n, d))
        self.encoder, self.decoder = stack(d, 16, depth), stack(small, 8, small_depth)
        self.bridge, self.mask = nn.Linear(d, small), nn.Parameter(torch.zeros(small))
        self.places, self.out = nn.Parameter(torch.zeros(self.n, small)), nn.Linear(small, 3 * PATCH ** 2)

    def run(self, layers, x):
        for layer in layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return x

    def forward(self, images):
        patches = nn.functional.unfold(images, PATCH, stride=PATCH).transpose(1, 2)
        order = torch.randperm(self.n)
        x = self.run(self.encoder, self.patch(patches[:, order[:self.kept]]) + self.place[order[:self.kept]])
        x = torch.cat([self.bridge(x), self.mask.expand(len(x), self.n - self.kept, -1)], 1) + self.places[order]
        x = self.out(self.run(self.decoder, x))
        return (x - patches[:, order])[:, self.kept:].square().mean()


def optimizer_for(parameters):
    if LEVER == "shard":
        return ZeroRedundancyOptimizer(parameters, torch.optim.AdamW, lr=1.5e-4, weight_decay=0.05)
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.AdamW8bit(parameters, lr=1.5e-4, weight_decay=0.05)
    return torch.optim.AdamW(parameters, lr=1.5e-4, weight_decay=0.05, foreach=False if LEVER == "foreach_off" else None,
                             fused=True if LEVER == "fused_optimizer" else None)


def main():
    dist.init_process_group("nccl")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    model = DistributedDataParallel(MaskedAutoencoder().cuda(), gradient_as_bucket_view=LEVER == "bucket_view")
    optimizer = optimizer_for(model.parameters())
    for step in range(3):
        for micro in range(2):
            images = torch.rand(BATCH, 3, SIDE, SIDE).cuda()
            with model.no_sync() if micro == 0 else contextlib.nullcontext():
                with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
                    loss = model(images) / 2
                loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if dist.get_rank() == 0:
            print(step, loss.item())
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
