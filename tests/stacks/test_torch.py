"""The innermost nn.Module, seen from inside operators, with a real torch."""
import sys

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import walkers
from walkers import capture

inside = []
seen = []


class Watch(TorchDispatchMode):
    """Walks where an operator allocates."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        got = capture()
        seen.append((str(func), got.module, got.cls, id(inside[-1]) if inside else 0,
                     type(inside[-1]).__name__ if inside else ""))
        return func(*args, **(kwargs or {}))


def tracked(cls):
    """cls whose forward notes which module is running."""

    class Tracked(cls):
        def forward(self, *args):
            inside.append(self)
            try:
                return super().forward(*args)
            finally:
                inside.pop()

    Tracked.__name__ = "T" + cls.__name__
    return Tracked


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = tracked(nn.Linear)(8, 16)
        self.act = tracked(nn.GELU)()
        self.second = tracked(nn.Linear)(16, 8)

    def forward(self, x):
        y = self.second(self.act(self.first(x + 1)))
        return x * 2 + y  # in the block itself, after its children


def run(model):
    del seen[:]
    with Watch():
        model(torch.ones(4, 8))
        torch.ones(3)
    wrong = [s for s in seen if (s[1], s[2]) != (s[3], s[4])]
    assert not wrong, wrong[:3]
    assert len({s[1] for s in seen}) > 8 and any(s[1] == 0 for s in seen)
    return len(seen)


def main():
    if walkers.init():
        return walkers.SKIP
    B = tracked(Block)
    Sequential = tracked(nn.Sequential)
    model = Sequential(B(), Sequential(B(), tracked(nn.Dropout)(0.5)), tracked(nn.LayerNorm)(8))
    n = run(model)
    # Hooks send the call through the longer way, where self is a cell of a closure.
    for m in model.modules():
        m.register_forward_hook(lambda mod, args, out: None)
    n += run(model)
    print("torch %s, Python %s: %d operators, innermost module right"
          % (torch.__version__, sys.version.split()[0], n))
    return 0


if __name__ == "__main__":
    sys.exit(main())
