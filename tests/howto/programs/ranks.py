"""Data parallel, a rank a process: the training of docs/howto/torchrun.md."""
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
model = DistributedDataParallel(nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 10)))
optimizer = torch.optim.AdamW(model.parameters())
for _ in range(3):
    model(torch.randn(32 * (1 + dist.get_rank()), 256)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
dist.destroy_process_group()
