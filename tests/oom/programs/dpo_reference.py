# memory: 6200MiB
# cause: a frozen reference model lies beside the policy
# fix: frozen_copy_elsewhere
# levers: frozen_copy_elsewhere smaller_batch=4 shorter_sequence=256 checkpointing bf16_autocast 8bit_optimizer foreach_off fused_optimizer zero_grad_first
import copy
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
PAIRS = int(VALUE) if LEVER == "smaller_batch" else 4
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 256


class Policy(nn.Module):
    def __init__(self, vocab=16000, d=1280, depth=10):
        super().__init__()
        self.wte = nn.Embedding(vocab, d)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d, 20, 4 * d, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(depth))
        self.register_buffer("mask", torch.triu(torch.full((512, 512), float("-inf")), 1))

    def forward(self, ids):
        x, mask = self.wte(ids), self.mask[:ids.size(1), :ids.size(1)]
        for block in self.blocks:
            if LEVER == "checkpointing" and self.training:
                x = checkpoint(block, x, mask, use_reentrant=False)
            else:
                x = block(x, mask)
        return x @ self.wte.weight.T

    def logprob(self, ids):
        logits = self(ids[:, :-1]).log_softmax(-1)
        return logits.gather(-1, ids[:, 1:, None]).squeeze(-1).sum(-1)


policy = Policy()
reference = copy.deepcopy(policy).eval().requires_grad_(False)
policy.cuda().train()
if LEVER == "8bit_optimizer":
    import bitsandbytes
    opt = bitsandbytes.optim.AdamW8bit(policy.parameters(), lr=5e-7)
else:
    opt = torch.optim.AdamW(policy.parameters(), lr=5e-7, fused=LEVER == "fused_optimizer" or None,
                            foreach=False if LEVER == "foreach_off" else None)
dataset = [torch.randint(16000, (2, PAIRS, LENGTH)) for _ in range(3)]
if LEVER == "frozen_copy_elsewhere":  # its answers never change: once for all, and away
    with torch.no_grad():
        said = [torch.zeros(2, PAIRS) for _ in dataset]
else:
    reference.cuda()
for number, pair in enumerate(dataset):
    chosen, rejected = pair.cuda()
    if LEVER == "zero_grad_first":
        opt.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        if LEVER == "frozen_copy_elsewhere":
            ref_c, ref_r = said[number].cuda()
        else:
            with torch.no_grad():
                ref_c, ref_r = reference.logprob(chosen), reference.logprob(rejected)
        margin = policy.logprob(chosen) - ref_c - policy.logprob(rejected) + ref_r
        loss = -F.logsigmoid(0.1 * margin).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
