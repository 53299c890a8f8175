# memory: 1600MiB
# cause: a replay buffer keeps its frames on the GPU
# fix: stop_leak
# levers: stop_leak smaller_batch=256 8bit_optimizer
import collections
import os
import random

import torch
import torch.nn as nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 256
ENVS, CAPACITY = 64, 400
Transition = collections.namedtuple("Transition", "state action reward next_state")


class QNet(nn.Module):
    def __init__(self, actions=6):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten())
        self.value = nn.Sequential(nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, actions))

    def forward(self, frames):
        return self.value(self.features(frames))


class ReplayBuffer:
    def __init__(self):
        self.memory = collections.deque(maxlen=CAPACITY)

    def push(self, *tensors):
        if LEVER == "stop_leak":
            tensors = [t.cpu() for t in tensors]
        self.memory.append(Transition(*tensors))

    def sample(self, n):
        picked = random.sample(list(self.memory), max(1, n // ENVS))
        return [torch.cat(column).cuda() for column in zip(*picked)]


policy, target = QNet().cuda(), QNet().cuda().requires_grad_(False)
target.load_state_dict(policy.state_dict())
if LEVER == "8bit_optimizer":
    from bitsandbytes.optim import Adam8bit as Adam
else:
    from torch.optim import Adam
optimizer = Adam(policy.parameters(), lr=1e-4)
buffer = ReplayBuffer()
state = torch.zeros(ENVS, 4, 84, 84, device="cuda")
for step in range(60):
    for _ in range(4):
        with torch.no_grad():
            action = policy(state).argmax(1)
        next_state = torch.rand(ENVS, 4, 84, 84, device="cuda")
        buffer.push(state, action, torch.ones(ENVS, device="cuda"), next_state)
        state = next_state
    if len(buffer.memory) * ENVS < BATCH:
        continue
    s, a, r, s2 = buffer.sample(BATCH)
    q = policy(s).gather(1, a[:, None]).squeeze(1)
    with torch.no_grad():
        expected = r + 0.99 * target(s2).max(1).values
    loss = nn.functional.smooth_l1_loss(q, expected)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
