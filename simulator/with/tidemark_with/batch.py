"""batch.py - smaller_batch=N: the first N samples of each batch that a DataLoader yields; where
the program has none, of what its model is given, and of what the model's result is held
against."""
import collections.abc, functools

from .lever import Lever


def batch_of(data, torch):
    """The first dimension of the first tensor; 0: there is none."""
    if isinstance(data, torch.Tensor):
        return data.shape[0] if data.dim() else 0
    if isinstance(data, collections.abc.Mapping):
        data = list(data.values())
    if isinstance(data, (list, tuple)):
        return next((size for size in (batch_of(part, torch) for part in data) if size), 0)
    return 0


def first_of(data, whole, wanted, torch):
    """data, with `wanted` of `whole` samples."""
    def cut(part):
        return first_of(part, whole, wanted, torch)
    if isinstance(data, torch.Tensor):
        is_batch = data.dim() and data.shape[0] == whole and not isinstance(data, torch.nn.Parameter)
        return data[:wanted] if is_batch else data
    if isinstance(data, collections.abc.MutableMapping):
        try:
            other = data.copy()  # its own class: a BatchEncoding has .to()
            for key, part in data.items():
                other[key] = cut(part)
            return other
        except Exception:
            return {key: cut(part) for key, part in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(cut, data))
    if isinstance(data, (list, tuple)):
        if len(data) == whole and not any(isinstance(part, torch.Tensor) for part in data):
            return data[:wanted]  # a text for each sample
        return type(data)(map(cut, data))
    return data


class SmallerBatch(Lever):
    def __init__(self, report, value):
        super().__init__(report, value)
        self.wanted = int(value)
        self.whole, self.why, self.loads = 0, None, False

    def after_torch(self, torch, models):
        self.torch, self.models, self.mode = torch, models, None
        import torch.utils.data.dataloader as dataloader
        base = dataloader._BaseDataLoaderIter
        former = base.__next__

        @functools.wraps(former)
        def next_batch(iterator):
            return self.loaded(former(iterator))
        base.__next__ = next_batch
        models.around(self.around)

    def loaded(self, data):
        self.loads = True
        whole = batch_of(data, self.torch)
        if whole <= self.wanted:
            self.why = self.why or f"the data loader yields batches of {whole}"
            return data
        self.report.applied(f"{self.wanted} of {whole} samples that the data loader yields")
        return first_of(data, whole, self.wanted, self.torch)

    def around(self, root, call, *args, **kwargs):
        whole = 0 if self.loads else batch_of((args, kwargs), self.torch)
        if whole <= self.wanted:
            if whole:
                self.why = self.why or f"{type(root).__name__} is given batches of {whole}"
            return call(*args, **kwargs)
        self.whole = whole
        self.report.applied(f"{self.wanted} of {whole} samples that {type(root).__name__} is given")
        self.hold_against()
        args = first_of(args, whole, self.wanted, self.torch)
        kwargs = first_of(kwargs, whole, self.wanted, self.torch)
        return call(*args, **kwargs)

    def hold_against(self):
        """What the program compares the result with is cut as well: labels of the whole batch,
        outside of the model."""
        if self.mode:
            return
        lever, torch = self, self.torch
        from torch.overrides import TorchFunctionMode

        class Match(TorchFunctionMode):
            def __torch_function__(self, function, kinds, args=(), kwargs=None):
                kwargs = kwargs or {}
                if not lever.models.inside:
                    args, kwargs = lever.matched(args, kwargs)
                return function(*args, **kwargs)
        self.mode = Match()
        self.mode.__enter__()

    def matched(self, args, kwargs):
        torch, whole, wanted = self.torch, self.whole, self.wanted
        sizes = {part.shape[0] for part in (*args, *kwargs.values())
                 if isinstance(part, torch.Tensor) and part.dim()}
        if len(sizes) < 2:
            return args, kwargs
        for size in sizes:  # tokens: k of them a sample
            if size % whole == 0 and size // whole * wanted in sizes:
                cut = size // whole * wanted
                return (first_of(args, size, cut, torch), first_of(kwargs, size, cut, torch))
        return args, kwargs

    def why_not(self, models):
        return self.why or super().why_not(models)
