"""modes.py - bf16_autocast and no_grad_in_eval: a mode of torch around the model."""
import functools, os, sys

from .lever import Lever
from .optimizers import before_each_step

HERE = os.path.dirname(os.path.abspath(__file__))


class Bf16Autocast(Lever):
    """On from a model's forward to the backward, so that the loss is computed in it as in the
    usual `with torch.autocast(...)`. Each forward begins it anew: its copies of weights are not
    kept from a forward without gradients to one with."""

    def __init__(self, report, value):
        super().__init__(report, value)
        self.why = None

    def after_torch(self, torch, models):
        self.torch, self.models = torch, models
        models.around(self.around)
        for owner, name in ((torch.autograd, "backward"), (torch.autograd, "grad"),
                            (torch.Tensor, "backward")):
            former = getattr(owner, name)
            setattr(owner, name, self.closing(former))
        before_each_step(lambda optimizer, args, kwargs: self.close())

    def closing(self, former):
        @functools.wraps(former)
        def backward(*args, **kwargs):
            self.close()
            return former(*args, **kwargs)
        return backward

    def close(self):
        mode, self.models.local.autocast = getattr(self.models.local, "autocast", None), None
        if mode:
            mode.__exit__(None, None, None)

    def around(self, root, call, *args, **kwargs):
        torch = self.torch
        self.close()
        if torch.is_autocast_enabled():
            self.why = "the program has autocast on already"
            return call(*args, **kwargs)
        if not any(p.dtype == torch.float32 for p in root.parameters()):
            self.why = f"the parameters of {type(root).__name__} are not float32"
            return call(*args, **kwargs)
        mode = torch.autocast("cuda", dtype=torch.bfloat16)
        mode.__enter__()
        self.models.local.autocast = mode
        self.report.applied(type(root).__name__)
        return call(*args, **kwargs)

    def why_not(self, models):
        return self.why or super().why_not(models)


class NoGradInEval(Lever):
    """Around each forward of a model that the program itself has put into eval mode. A value is
    a place, FILE:LINE, or a model, by its name in the script or its class: without asking for the
    mode. What a gradient goes through to an input
    (a perceptual loss) is left."""

    def __init__(self, report, value):
        super().__init__(report, value)
        self.evaluated = False

    def after_torch(self, torch, models):
        self.torch = torch
        models.around(self.around)
        former = torch.nn.Module.train
        lever = self

        @functools.wraps(former)
        def train(self, mode=True):
            if not mode and is_users(calling_frame()):
                self.__dict__["_tidemark_put_in_eval"] = True
                lever.evaluated = True
            return former(self, mode)
        torch.nn.Module.train = train

    def wanted(self, root):
        if self.value and ":" not in self.value:
            script = sys.modules.get("__main__")
            return getattr(script, self.value, None) is root or type(root).__name__ == self.value
        if self.value:
            frame = sys._getframe(2)
            while frame:
                if f"{frame.f_code.co_filename}:{frame.f_lineno}".endswith("/" + self.value):
                    return True
                frame = frame.f_back
            return False
        return not root.training and any(
            "_tidemark_put_in_eval" in m.__dict__ for m in first_of_each(root))

    def around(self, root, call, *args, **kwargs):
        torch = self.torch
        inputs = [t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor)]
        if not torch.is_grad_enabled() or any(t.requires_grad for t in inputs) or \
                not self.wanted(root):
            return call(*args, **kwargs)
        self.report.applied(type(root).__name__)
        with torch.no_grad():
            return call(*args, **kwargs)

    def why_not(self, models):
        if self.value:
            where = "at " if ":" in self.value else "that is called "
            return f"no model was called with gradients {where}{self.value}; {models.text()}"
        if not self.evaluated:
            return f"the program puts no model into eval mode; {models.text()}"
        return f"no model in eval mode ran with gradients on; {models.text()}"


def first_of_each(root):
    """The root, and what a wrapper (DDP, torch.compile) holds."""
    yield root
    children = list(root.children())
    if len(children) == 1:
        yield from first_of_each(children[0])


def calling_frame():
    """The innermost frame that is neither of this folder nor of torch.nn."""
    frame = sys._getframe(1)
    while frame and (frame.f_code.co_filename.startswith(HERE) or
                     "/torch/nn/" in frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def is_users(frame):
    file = frame.f_code.co_filename if frame else ""
    libraries = ("/site-packages/", "/dist-packages/", "/torch/", "/transformers/", "/accelerate/",
                 "/lightning/", "/pytorch_lightning/", "/peft/")
    return not any(mark in file for mark in libraries)
