"""Be a rank with the real NCCL process group; print what memory it took.

usage: ranks.py ddp|fsdp1|fsdp2 [WORLD [RANK FILE]]
Without a file that the ranks share, poses as rank 0 of 8 or WORLD.
"""
import functools, json, sys
import torch, torch.nn as nn, torch.distributed as dist

kind, world = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8
rank, store = 0, dist.HashStore()
if len(sys.argv) > 4:
    rank, store = int(sys.argv[3]), dist.FileStore(sys.argv[4], world)
torch.cuda.set_device(rank if torch.cuda.device_count() > rank else 0)
dist.init_process_group("nccl", store=store, rank=rank, world_size=world)
WIDTH, LAYERS = 1024, 8
with torch.device("cuda"):
    model = nn.Sequential(*(nn.TransformerEncoderLayer(WIDTH, 16, 4 * WIDTH, batch_first=True,
                                                       dropout=0.0) for _ in range(LAYERS)))
parameters = sum(p.numel() * p.element_size() for p in model.parameters())
if kind == "ddp":
    from torch.nn.parallel import DistributedDataParallel
    model = DistributedDataParallel(model, device_ids=[torch.cuda.current_device()])
elif kind == "fsdp1":
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
    policy = functools.partial(transformer_auto_wrap_policy,
                               transformer_layer_cls={nn.TransformerEncoderLayer})
    model = FullyShardedDataParallel(model, auto_wrap_policy=policy, use_orig_params=True,
                                     device_id=torch.cuda.current_device())
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
