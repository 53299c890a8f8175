"""Pose as rank 0 of 8 with the real NCCL process group; print what memory it took.

usage: ranks.py ddp|fsdp2
"""
import json, sys
import torch, torch.nn as nn, torch.distributed as dist

dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=8)
WIDTH, LAYERS = 1024, 8
with torch.device("cuda"):
    model = nn.Sequential(*(nn.TransformerEncoderLayer(WIDTH, 16, 4 * WIDTH, batch_first=True,
                                                       dropout=0.0) for _ in range(LAYERS)))
parameters = sum(p.numel() * p.element_size() for p in model.parameters())
if sys.argv[1] == "ddp":
    from torch.nn.parallel import DistributedDataParallel
    model = DistributedDataParallel(model, device_ids=[0])
else:
    from torch.distributed._composable.fsdp import fully_shard
    for layer in model:
        fully_shard(layer)
    fully_shard(model)
optimizer = torch.optim.AdamW(model.parameters())
torch.cuda.empty_cache()
torch.cuda.reset_peak_memory_stats()
for _ in range(3):
    model(torch.randn(2, 256, WIDTH, device="cuda")).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
print(json.dumps({"parameters": parameters, "allocated": torch.cuda.memory_allocated(),
                  "peak": torch.cuda.max_memory_allocated(),
                  "reserved": torch.cuda.memory_reserved()}))
dist.destroy_process_group()
