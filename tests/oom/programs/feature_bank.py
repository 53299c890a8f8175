# memory: 1450MiB
# cause: a feature bank grows by torch.cat in every step
# fix: stop_leak
# levers: stop_leak smaller_batch=512 8bit_optimizer
import os
import torch
import torch.nn as nn
import torch.nn.functional as F

lever, _, value = os.environ.get("LEVER", "").partition("=")
batch = int(value) if lever == "smaller_batch" else 512

encoder = nn.Sequential(nn.Linear(1024, 2048), nn.BatchNorm1d(2048), nn.ReLU(), nn.Linear(2048, 2048),
                        nn.BatchNorm1d(2048), nn.ReLU(), nn.Linear(2048, 512)).cuda()
classifier = nn.Linear(512, 100).cuda()
parameters = [*encoder.parameters(), *classifier.parameters()]
if lever == "8bit_optimizer":
    import bitsandbytes as bnb
    opt = bnb.optim.Adam8bit(parameters, lr=1e-3)
else:
    opt = torch.optim.Adam(parameters, lr=1e-3)

bank = torch.empty(0, 512, device="cpu" if lever == "stop_leak" else "cuda")
for epoch in range(6):
    for it in range(150):
        x = torch.randn(batch, 1024, device="cuda")
        y = torch.zeros(batch, dtype=torch.long, device="cuda")
        z = F.normalize(encoder(x), dim=1)
        loss = F.cross_entropy(classifier(z), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        # for a nearest-neighbour check at the end
        bank = torch.cat([bank, z.detach().to(bank.device)])
