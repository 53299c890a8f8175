# memory: 4300MiB
# cause: backward hooks put every layer's output gradient into a dictionary for histograms that are drawn too rarely
# fix: stop_leak
# levers: stop_leak smaller_batch=24 shorter_sequence=384 checkpointing bf16_autocast 8bit_optimizer zero_grad_first
import os
from collections import defaultdict

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 24
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 384
VOCAB, PAD = 6000, 0


class Probe:
    """Where do the gradients vanish? Histograms every 50 steps."""

    def __init__(self, model, every=50):
        self.every, self.gradients = every, defaultdict(list)
        for name, module in model.named_modules():
            if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
                module.register_full_backward_hook(self.hook(name))

    def hook(self, name):
        def remember(module, grad_input, grad_output):
            g = grad_output[0].detach()
            self.gradients[name].append(torch.stack([g.mean(), g.std(), g.abs().max()]) if LEVER == "stop_leak" else g)
        return remember

    def step(self, number):
        if number and number % self.every == 0:
            for name, grads in self.gradients.items():
                print(name, torch.cat([g.flatten().cpu() for g in grads]).std())
            self.gradients.clear()


class Translator(nn.Module):
    def __init__(self, d=512):
        super().__init__()
        self.embed, self.place = nn.Embedding(VOCAB, d), nn.Parameter(torch.zeros(1024, d))
        self.net = nn.Transformer(d, 8, 5, 5, 2048, dropout=0.0, batch_first=True)
        self.out = nn.Linear(d, VOCAB)

    def tokens(self, ids):
        return self.embed(ids) + self.place[:ids.size(1)]

    def forward(self, source, target):
        mask = nn.Transformer.generate_square_subsequent_mask(target.size(1), device=target.device)
        x, y = self.tokens(source), self.tokens(target)
        if LEVER != "checkpointing":
            return self.out(self.net(x, y, tgt_mask=mask, tgt_is_causal=True))
        for layer in self.net.encoder.layers:
            x = checkpoint(layer, x, use_reentrant=False)
        x = self.net.encoder.norm(x)
        for layer in self.net.decoder.layers:
            y = checkpoint(layer, y, x, mask, use_reentrant=False)
        return self.out(self.net.decoder.norm(y))


model = Translator().cuda()
probe = Probe(model)
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.Adam8bit(model.parameters(), lr=1e-4, betas=(0.9, 0.98))
else:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98))
warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) ** -0.5, (s + 1) * 400 ** -1.5))
for step in range(12):
    source = torch.randint(1, VOCAB, (BATCH, LENGTH)).cuda()
    target = torch.randint(1, VOCAB, (BATCH, LENGTH // 2 + 1)).cuda()
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        logits = model(source, target[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warmup.step()
    probe.step(step)
