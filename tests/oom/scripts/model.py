"""A small decoder that every script of this folder trains."""
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, 8, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(),
                                 nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attn(x, x, x, need_weights=False)[0]
        return x + self.mlp(self.norm(x))


class Decoder(nn.Module):
    def __init__(self, vocabulary=8000, width=512, layers=6):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def loss_of(model, ids):
    logits = model(ids)
    return nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten())


def train(model, batches):
    """Steps on batches of these sizes, 512 tokens each, until one runs out of memory."""
    optimizer = torch.optim.AdamW(model.parameters())
    try:
        for batch in batches:
            ids = torch.randint(0, 8000, (batch, 512), device="cuda")
            loss = loss_of(model, ids)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    except torch.OutOfMemoryError as error:
        die(error)


def die(error):
    """What a run does after an OOM: raise it, or be killed before anything is written."""
    import os
    import signal
    if os.environ.get("THEN") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise error
