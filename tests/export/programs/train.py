"""A training that PyTorch's own memory history watches as well.

usage: train.py SNAPSHOT [short] [oom]
The snapshot is taken after the last step, or where memory ran out; short: two steps, not five."""
import sys

import torch
from torch import nn

snapshot, then = sys.argv[1], sys.argv[2:]
record = {"max_entries": 200_000, "stacks": "python"}
if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 9):
    record["global_record_annotations"] = True
torch.cuda.memory._record_memory_history(**record)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


def main():
    model = nn.Sequential(*[Block(384) for _ in range(3)]).to("cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    try:
        for step in range(2 if "short" in then else 5):
            x = torch.randn(24, 100 + 7 * (step == 3), 384, device="cuda")
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if "oom" in then:
            torch.empty(1 << 40, dtype=torch.uint8, device="cuda")
    except torch.cuda.OutOfMemoryError:
        pass
    torch.cuda.memory._dump_snapshot(snapshot)
    print(torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated())


main()
