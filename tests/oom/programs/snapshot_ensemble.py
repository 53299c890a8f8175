# memory: 2150MiB
# cause: a copy of the weights is kept on the GPU after every epoch
# fix: stop_leak frozen_copy_elsewhere
# levers: stop_leak frozen_copy_elsewhere smaller_batch=64 8bit_optimizer
import copy, os, torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
batch = int(VALUE) if LEVER == "smaller_batch" else 64
net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 4096),
                    nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 100)).cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(net.parameters(), lr=1e-3)
else:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=4)

snapshots = []
for epoch in range(24):
    for _ in range(4):
        x = torch.randn(batch, 3, 32, 32, device="cuda")
        y = torch.zeros(batch, device="cuda", dtype=torch.long)
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    if LEVER in ("stop_leak", "frozen_copy_elsewhere"):
        snapshots.append({name: w.cpu() for name, w in net.state_dict().items()})
    else:
        snapshots.append(copy.deepcopy(net.state_dict()))
