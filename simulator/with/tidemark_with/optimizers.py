"""optimizers.py - foreach_off, fused_optimizer and 8bit_optimizer."""
import functools

from .lever import Lever


def before_each_step(function):
    """Of any optimizer. torch.optim deletes its module's name."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook
    register_optimizer_step_pre_hook(function)


class Flags(Lever):
    """Sets flags of every parameter group before an optimizer steps: they may come from its
    arguments, from a group of its own or from a checkpoint that was loaded."""
    flag, wanted = "", {}

    def __init__(self, report, value):
        super().__init__(report, value)
        self.others = set()   # classes of optimizers that have no such flag
        self.already = set()  # ... and of those that have it as it should be

    def after_torch(self, torch, models):
        before_each_step(self.before_step)

    def before_step(self, optimizer, args, kwargs):
        groups = getattr(optimizer, "param_groups", [])
        if not any(self.changes(group) for group in groups):
            has = all(self.flag in group for group in groups)
            (self.already if has else self.others).add(type(optimizer).__name__)
            return
        for group in groups:
            if self.changes(group):
                group.update({k: v for k, v in self.wanted.items() if k in group})
        self.report.applied(type(optimizer).__name__)

    def why_not(self, models):
        if self.already:
            return f"{' and '.join(sorted(self.already))} has {self.flag}={self.wanted[self.flag]}"
        if self.others:
            return f"{' and '.join(sorted(self.others))} has no '{self.flag}'"
        return f"no optimizer stepped; {models.text()}"


class ForeachOff(Flags):
    flag, wanted = "foreach", {"foreach": False}

    def __init__(self, report, value):
        super().__init__(report, value)
        self.fused = set()

    def changes(self, group):
        return "foreach" in group and group["foreach"] is not False and not group.get("fused")

    def before_step(self, optimizer, args, kwargs):
        if any(group.get("fused") for group in getattr(optimizer, "param_groups", [])):
            self.fused.add(type(optimizer).__name__)
        super().before_step(optimizer, args, kwargs)

    def why_not(self, models):
        if self.fused:
            return f"{' and '.join(sorted(self.fused))} is fused, which is not foreach"
        return super().why_not(models)


class FusedOptimizer(Flags):
    flag, wanted = "fused", {"fused": True, "foreach": False}

    def changes(self, group):
        return "fused" in group and not group["fused"] and not group.get("differentiable")


class EightBitOptimizer(Lever):
    """A class of torch that bitsandbytes has in 8 bits makes that one instead of itself; other
    names for the class, imported before or after, are the same class."""
    KINDS = {"Adam": "Adam8bit", "AdamW": "AdamW8bit", "Adagrad": "Adagrad8bit",
             "RMSprop": "RMSprop8bit"}
    DROPPED = ("foreach", "fused", "maximize", "capturable", "differentiable")

    def __init__(self, report, value):
        super().__init__(report, value)
        self.why, self.met = None, set()

    def after_torch(self, torch, models):
        for name, other in self.KINDS.items():
            self.replace(getattr(torch.optim, name), other)
        before_each_step(lambda optimizer, args, kwargs: self.met.add(type(optimizer).__name__))

    def replace(self, kind, other):
        def make(cls, *args, **kwargs):
            if cls is not kind:  # a class of the program's own
                return object.__new__(cls)
            try:
                import bitsandbytes
                eight_bit = getattr(bitsandbytes.optim, other)
            except Exception as error:
                self.why = f"bitsandbytes cannot be imported ({error}); 'pip install bitsandbytes'"
                return object.__new__(cls)
            kept = {k: v for k, v in kwargs.items() if k not in self.DROPPED}
            try:
                optimizer = eight_bit(*args, **kept)
            except Exception as error:
                self.why = f"{other} of bitsandbytes refuses its arguments: {error}"
                return object.__new__(cls)
            self.report.applied(f"{other} of bitsandbytes for {kind.__name__}")
            return optimizer
        kind.__new__ = staticmethod(functools.wraps(object.__new__)(make))

    def why_not(self, models):
        if self.why:
            return self.why
        if self.met:
            return (f"bitsandbytes has no 8-bit {' or '.join(sorted(self.met))}; it has "
                    + ", ".join(self.KINDS.values()))
        return f"no optimizer was made; {models.text()}"
