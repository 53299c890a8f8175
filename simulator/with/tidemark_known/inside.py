"""inside.py - tensor subclasses that PyTorch writes in Python: what they make of their parts is
made below the mode, which is left for the call. Of nested tensors it decides sizes, so the mode
goes along inside. The others (DTensor) compute nothing that a program steers by."""
import functools

KINDS = frozenset((("torch.nested._internal.nested_tensor", "NestedTensor"),))


class Inside:
    def __init__(self, known):
        self.known, self.seen = known, set()

    def __call__(self, kinds):
        for kind in kinds:
            if kind not in self.seen:
                self.seen.add(kind)
                if (kind.__module__, kind.__name__) in KINDS:
                    self.go_along(kind)

    def go_along(self, kind):
        former = kind.__dict__["__torch_dispatch__"].__func__
        known = self.known

        @functools.wraps(former)
        def dispatch(cls, *args, **kwargs):
            if known.compiled:
                return former(cls, *args, **kwargs)
            with known:
                return former(cls, *args, **kwargs)
        kind.__torch_dispatch__ = classmethod(dispatch)
