# memory: 5050MiB
# simulate: --rank 0 --world 4
# cause: DDP's buckets are a second copy of the gradients
# fix: bucket_view
# levers: bucket_view 8bit_optimizer foreach_off fused_optimizer smaller_batch=4 shorter_sequence=256 checkpointing bf16_autocast
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")


class Layer(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.attn = nn.MultiheadAttention(d, 16, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x):
        y = self.n1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.n2(x))


class LanguageModel(nn.Module):
    def __init__(self, vocab=12000, d=1024, depth=14):
        super().__init__()
        self.embed = nn.Embedding(vocab, d)
        self.layers = nn.ModuleList(Layer(d) for _ in range(depth))
        self.out = nn.Linear(d, vocab)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if LEVER == "checkpointing" else layer(x)
        return self.out(x)


def main():
    dist.init_process_group("nccl")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    batch = int(VALUE) if LEVER == "smaller_batch" else 4
    length = int(VALUE) if LEVER == "shorter_sequence" else 256
    model = DistributedDataParallel(LanguageModel().cuda(),
                                    gradient_as_bucket_view=LEVER == "bucket_view")
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        optimizer = bitsandbytes.optim.AdamW8bit(model.parameters())
    else:
        kind = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}
        optimizer = torch.optim.AdamW(model.parameters(), **kind.get(LEVER, {}))
    for _ in range(4):
        ids = torch.randint(12000, (batch, length), device="cuda")
        with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
            loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
