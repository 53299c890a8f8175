# memory: 3GiB
# cause: the jacobian of all outputs at once: as many backwards side by side
# fix: smaller_batch
# levers: smaller_batch=1024 bf16_autocast
"""A contractive autoencoder: the square of the encoder's jacobian, by torch.func, is part of the loss."""
import os
import torch
from torch import nn
import torch.nn.functional as F

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")

from torch.func import jacrev, vmap

BATCH = int(VALUE) if LEVER == "smaller_batch" else 1024
encode = nn.Sequential(nn.Linear(784, 1024), nn.Sigmoid(), nn.Linear(1024, 128), nn.Sigmoid()).cuda()
decode = nn.Linear(128, 784).cuda()
opt = torch.optim.Adam([*encode.parameters(), *decode.parameters()])
for step in range(4):
    x = torch.rand(BATCH, 784, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        jacobian = vmap(jacrev(lambda one: encode(one)))(x)
        loss = F.mse_loss(decode(encode(x)), x) + 1e-4 * jacobian.square().sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
