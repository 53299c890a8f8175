"""Pose as one rank of eight; print what collectives on small data gave to the host.
As rank 0, unless `tidemark simulate` sets another.
"""
import json, os, warnings
import torch, torch.distributed as dist

warnings.simplefilter("ignore")
torch.cuda.set_device(0)
if "RANK" in os.environ:
    dist.init_process_group("nccl")
else:
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=8)
rank, world, said = dist.get_rank(), dist.get_world_size(), {}
on_device = dict(device="cuda")

mine = {"rank": rank, "text": "x" * 10001}
for name, given in ("all_gather_object", mine), ("again", [7]):
    said[name] = [None] * world
    dist.all_gather_object(said[name], given)
said["gather_object"] = [None] * world if rank == 0 else None
dist.gather_object(mine, said["gather_object"])

slots = [torch.empty(1, dtype=torch.int64, device="cuda") for _ in range(world)]
dist.all_gather(slots, torch.tensor([10001], **on_device))
said["all_gather"] = [slot.item() for slot in slots]
row = torch.empty(world, dtype=torch.int32, device="cuda")
dist.all_gather_into_tensor(row, torch.tensor([20002], dtype=torch.int32, **on_device))
said["all_gather_into_tensor"] = [number.item() for number in row]

number = torch.tensor([12.5], **on_device)
dist.broadcast(number, src=0)
said["broadcast"] = number.item()
objects = ["kept"]
if rank == 0:
    dist.broadcast_object_list(objects, src=0)
said["mine"] = objects[0]

summed = [torch.tensor(10, dtype=kind, **on_device)
          for kind in (torch.float32, torch.bfloat16, torch.int64)]
for tensor in summed:
    dist.all_reduce(tensor)
said["sum"] = [tensor.item() for tensor in summed]
most = torch.tensor(10, **on_device)
dist.all_reduce(most, op=dist.ReduceOp.MAX)
said["max"] = most.item()
mean = torch.tensor(2.5, **on_device)
dist.all_reduce(mean, op=dist.ReduceOp.AVG)
said["mean"] = mean.item()
share = torch.empty(2, **on_device)
dist.reduce_scatter_tensor(share, torch.full((2 * world,), 3.0).cuda())
said["scattered"] = [number.item() for number in share]

loss = torch.randn(10001, **on_device).pow(2).mean()  # no kernel wrote it: still plausible
dist.all_reduce(loss)
said["computed"] = loss.item()
print(json.dumps(said))
dist.destroy_process_group()
