"""Use Gloo beside NCCL as libraries do, in a process that poses as a rank; print what came."""
import datetime, json, os
import torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

dist.init_process_group("cpu:gloo,cuda:nccl", timeout=datetime.timedelta(seconds=120))
torch.cuda.set_device(0)
rank, world, said = dist.get_rank(), dist.get_world_size(), {}
host = dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=120))
half = dist.new_group([r for r in range(world) if r % 2 == rank % 2], backend="gloo")
said["groups"] = [dist.get_backend(host), dist.get_world_size(host), dist.get_world_size(half),
                  dist.get_rank(half)]
for group in host, half:
    dist.barrier(group)
dist.monitored_barrier(host)

mine = {"rank": rank}
said["all_gather_object"] = [None] * world
dist.all_gather_object(said["all_gather_object"], mine, group=host)
said["gather_object"] = [None] * dist.get_world_size(half)
first = dist.get_process_group_ranks(half)[0]
dist.gather_object(mine, said["gather_object"] if rank == first else None, dst=first, group=half)
said["broadcast_object_list"] = ["kept"]
dist.broadcast_object_list(said["broadcast_object_list"], src=0, group=host)
said["on_device"] = ["kept"]
dist.broadcast_object_list(said["on_device"], src=0)

slots = [torch.zeros(3) for _ in range(world)]
dist.all_gather(slots, torch.tensor([1.0, 2.0, 3.0]))
said["all_gather"] = [slot.tolist() for slot in slots]
total = torch.tensor([10, 1])
dist.all_reduce(total)
said["sum"] = total.tolist()
on_device = torch.tensor([10], device="cuda")
dist.all_reduce(on_device)
said["sum"] += [on_device.item()]

mesh = init_device_mesh("cuda", (2, world // 2), mesh_dim_names=("replicas", "shards"))
said["mesh"] = [mesh.get_coordinate(), mesh["shards"].size()]
hosts = init_device_mesh("cpu", (world,))
said["mesh"] += [hosts.size()]
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(101, 101).cuda())
model(torch.randn(7, 101, device="cuda")).sum().backward()
said["sitecustomize"] = os.environ.get("PROGRAMS_OWN")
print(json.dumps(said))
dist.destroy_process_group()
