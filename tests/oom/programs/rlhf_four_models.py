# memory: 2550MiB
# cause: policy, critic, reference and reward model lie on one card, two of them with gradients and states
# fix: frozen_copy_elsewhere 8bit_optimizer offload
# levers: frozen_copy_elsewhere smaller_batch=4 bf16_autocast checkpointing 8bit_optimizer foreach_off fused_optimizer optimizer_in_backward
"""PPO from human feedback, in one process: generate, score, learn."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 4
WORDS, D, LAYERS, PROMPT, NEW = 16000, 768, 5, 64, 16
ELSEWHERE = LEVER == "frozen_copy_elsewhere"
frozen = torch.device("cpu" if ELSEWHERE else "cuda")


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.mlp = nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D))

    def forward(self, x):
        b, s, _ = x.shape
        q, k, v = (t.view(b, s, 12, -1).transpose(1, 2) for t in self.qkv(self.ln1(x)).chunk(3, -1))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, s, D))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, out):
        super().__init__()
        self.embed = nn.Embedding(WORDS, D)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.head = nn.Linear(D, out, bias=False)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            again = LEVER == "checkpointing" and torch.is_grad_enabled()
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return self.head(x)


actor, critic = GPT(WORDS).cuda(), GPT(1).cuda()
reference, reward = GPT(WORDS).to(frozen).eval(), GPT(1).to(frozen).eval()
for p in [*reference.parameters(), *reward.parameters()]:
    p.requires_grad_(False)


def adam(model, lr):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.AdamW8bit(model.parameters(), lr=lr)
    how = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {})
    return torch.optim.AdamW(model.parameters(), lr=lr, **how)


class InBackward:
    """A step of each parameter as soon as it has its gradient."""

    def __init__(self, model, lr):
        self.each = {p: torch.optim.AdamW([p], lr=lr) for p in model.parameters()}
        for p in self.each:
            p.register_post_accumulate_grad_hook(self.one)

    def one(self, p):
        self.each[p].step()
        self.each[p].zero_grad()

    def step(self):
        pass

    zero_grad = step


make = InBackward if LEVER == "optimizer_in_backward" else adam
actor_optim, critic_optim = make(actor, 1e-6), make(critic, 5e-6)


def logprobs(model, ids):
    logits = model(ids)[:, :-1].float()
    return torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None].to(logits.device)).squeeze(-1)


amp = torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast")
for iteration in range(2):
    ids = torch.randint(WORDS, (BATCH, PROMPT)).cuda()
    with torch.no_grad(), amp:
        for _ in range(NEW):
            ids = torch.cat([ids, actor(ids)[:, -1].argmax(-1, keepdim=True)], 1)
        old, values = logprobs(actor, ids), critic(ids).squeeze(-1)[:, 1:]
        ref = logprobs(reference, ids.to(frozen)).cuda()
        score = reward(ids.to(frozen))[:, -1, 0].cuda()
        advantage = score[:, None] - 0.1 * (old - ref) - values
    for _ in range(2):
        with amp:
            ratio = (logprobs(actor, ids) - old).exp()
            policy_loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
        actor_optim.zero_grad()
        policy_loss.backward()
        actor_optim.step()
        with amp:
            value_loss = (critic(ids).squeeze(-1)[:, 1:] - values - advantage).pow(2).mean()
        critic_optim.zero_grad()
        value_loss.backward()
        critic_optim.step()
