# memory: 960MiB
# cause: the actor's imagined futures start from every state of the batch, fifteen steps each, with the world model's gradients on
# fix: smaller_batch bf16_autocast checkpointing
# levers: smaller_batch=8 checkpointing bf16_autocast foreach_off fused_optimizer unowned_gradients
"""A world model and an actor: the model is learned from sequences, the actor inside of it."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 32
LENGTH, HORIZON, STATE, ACTIONS = 32, 15, 512, 6

world = nn.ModuleDict({"embed": nn.Linear(1024, STATE), "cell": nn.GRUCell(STATE + ACTIONS, STATE),
                       "reward": nn.Sequential(nn.Linear(STATE, STATE), nn.ELU(), nn.Linear(STATE, 1)),
                       "decode": nn.Linear(STATE, 1024)}).cuda()
actor = nn.Sequential(nn.Linear(STATE, STATE), nn.ELU(), nn.Linear(STATE, ACTIONS)).cuda()
how = {"foreach": False} if LEVER == "foreach_off" else {"fused": True} if LEVER == "fused_optimizer" else {}
world_opt = torch.optim.Adam(world.parameters(), lr=3e-4, **how)
actor_opt = torch.optim.Adam(actor.parameters(), lr=1e-4, **how)


def cell(state, action):
    x = torch.cat([state, action], -1)
    return world["cell"](x, state)


def dream(state, action):
    return checkpoint(cell, state, action, use_reentrant=False) if LEVER == "checkpointing" else cell(state, action)


for step in range(10):
    seen = torch.randn(LENGTH, BATCH, 1024, device="cuda")
    acted = torch.randn(LENGTH, BATCH, ACTIONS, device="cuda")
    state, states, loss = torch.zeros(BATCH, STATE, device="cuda"), [], 0
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        for t in range(LENGTH):
            state = cell(state + world["embed"](seen[t]), acted[t])
            states.append(state)
            loss = loss + F.mse_loss(world["decode"](state).float(), seen[t])
    world_opt.zero_grad()
    loss.backward()
    world_opt.step()
    if step < 2:                                     # the model first
        continue
    if LEVER == "unowned_gradients":
        world.requires_grad_(False)
    dreamed, gain = torch.cat(states).detach().float(), 0
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        for _ in range(HORIZON):
            dreamed = dream(dreamed, torch.tanh(actor(dreamed)))
            gain = gain + world["reward"](dreamed).float().mean()
    actor_opt.zero_grad()
    (-gain).backward()
    actor_opt.step()
    world.requires_grad_(True)
    print(step, flush=True)
