# memory: 1250MiB
# cause: the log-probabilities of an episode keep its graphs until it is over, and episodes get longer
# fix: smaller_batch checkpointing bf16_autocast checkpoint_turns
# levers: smaller_batch=32 bf16_autocast checkpointing checkpoint_turns no_grad stop_leak 8bit_optimizer
"""REINFORCE on pictures of a game; saved_log_probs are stacked when the episode is over."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
ENVS = int(VALUE) if LEVER == "smaller_batch" else 32


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Sequential(nn.Conv2d(4, 32, 8, 4), nn.ReLU()),
                                    nn.Sequential(nn.Conv2d(32, 64, 4, 2), nn.ReLU()),
                                    nn.Sequential(nn.Conv2d(64, 64, 3, 1), nn.ReLU())])
        self.fc, self.action = nn.Linear(3136, 512), nn.Linear(512, 6)

    def forward(self, x):
        for conv in self.convs:
            x = checkpoint(conv, x, use_reentrant=False) if LEVER == "checkpointing" else conv(x)
        return self.action(F.relu(self.fc(x.flatten(1))))


policy = Policy().cuda()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(policy.parameters(), lr=1e-2)
else:
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
amp = torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")


def select_action(state):
    with amp:
        if LEVER == "checkpoint_turns":
            logits = checkpoint(policy, state, use_reentrant=False)
        else:
            logits = policy(state)
    dist = torch.distributions.Categorical(logits=logits.float(), validate_args=False)
    action = logits.argmax(-1)
    return action, dist.log_prob(action)


for episode in range(7):
    saved_log_probs, rewards = [], []
    for t in range(30 + 20 * episode):
        state = torch.rand(ENVS, 4, 84, 84).cuda()
        with torch.set_grad_enabled(LEVER != "no_grad"):
            action, log_prob = select_action(state)
        saved_log_probs.append(log_prob.detach().cpu() if LEVER == "stop_leak" else log_prob)
        rewards.append(torch.ones(ENVS).cuda())
    returns, R = [], 0
    for r in reversed(rewards):
        R = r + 0.99 * R
        returns.insert(0, R)
    policy_loss = -(torch.stack(saved_log_probs).cuda() * torch.stack(returns)).sum()
    optimizer.zero_grad()
    policy_loss.backward()
    optimizer.step()
