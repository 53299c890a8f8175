# memory: 1350MiB
# cause: a rollout is collected with gradients on: each stored value keeps its graph
# fix: no_grad stop_leak
# levers: no_grad stop_leak smaller_batch=1024 8bit_optimizer zero_grad_first
"""PPO with many environments at once and a recurrent-free actor-critic."""
import os
from contextlib import nullcontext
import torch
from torch import nn
from torch.distributions import Normal

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
ENVS, HORIZON = (int(VALUE) if LEVER == "smaller_batch" else 1024), 64


class ActorCritic(nn.Module):
    def __init__(self, obs=376, act=17, width=1024):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(obs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(),
                                   nn.Linear(width, width), nn.Tanh())
        self.mean, self.critic = nn.Linear(width, act), nn.Linear(width, 1)
        self.log_std = nn.Parameter(torch.zeros(act))

    def forward(self, obs):
        h = self.trunk(obs)
        return Normal(self.mean(h), self.log_std.exp(), validate_args=False), self.critic(h).squeeze(-1)


def collect(agent):
    obs = torch.randn(ENVS, 376, device="cuda")
    storage = {"obs": [], "action": [], "logp": [], "value": []}
    with torch.no_grad() if LEVER == "no_grad" else nullcontext():
        for _ in range(HORIZON):
            policy, value = agent(obs)
            action = (policy.mean + policy.stddev * torch.randn_like(policy.mean)).detach()
            logp = policy.log_prob(action).sum(-1)
            if LEVER == "stop_leak":
                logp, value = logp.detach(), value.detach()
            for key, tensor in zip(storage, (obs, action, logp, value)):
                storage[key].append(tensor)
            obs = torch.randn(ENVS, 376, device="cuda")
    return {key: torch.cat(tensors).detach() for key, tensors in storage.items()}


agent = ActorCritic().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(agent.parameters(), lr=3e-4)
else:
    optimizer = torch.optim.Adam(agent.parameters(), lr=3e-4)
for iteration in range(3):
    rollout = collect(agent)
    for start in range(0, ENVS * HORIZON, 4096):
        part = {k: v[start:start + 4096] for k, v in rollout.items()}
        policy, value = agent(part["obs"])
        ratio = (policy.log_prob(part["action"]).sum(-1) - part["logp"]).exp()
        loss = -torch.min(ratio, ratio.clamp(0.8, 1.2)).mean() + (value - part["value"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
