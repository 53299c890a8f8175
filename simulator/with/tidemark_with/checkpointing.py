"""checkpointing.py - checkpointing=NAME: torch.utils.checkpoint around the modules of a list, or
around each module of a class. Where a model of Hugging Face has a call for it, that is used."""
import types

from .lever import Lever
from .models import is_list


class Checkpointing(Lever):
    def after_torch(self, torch, models):
        import torch.utils.checkpoint
        self.torch, self.models = torch, models
        models.on_first_run(self, self.wrap)

    def wrap(self, root):
        if not any(p.requires_grad for p in root.parameters()):
            return
        if self.hugging_face(root):
            return
        name, chosen = self.named(root) if self.value else self.largest(root)
        for module in chosen:
            self.wrap_one(module)
        if chosen:
            self.report.applied(f"{len(chosen)} modules of {name} ({type(chosen[0]).__name__})")

    def hugging_face(self, root):
        """It also keeps the cache of keys and values out of what is made again."""
        for module in root.modules():
            enable = getattr(module, "gradient_checkpointing_enable", None)
            if not enable or not getattr(module, "supports_gradient_checkpointing", False):
                continue
            enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            self.report.applied(f"gradient_checkpointing_enable() of {type(module).__name__}")
            return True
        return False

    def named(self, root):
        """Of a path the module, or the modules of that list; else all of a class."""
        wanted = self.value
        for path, module in root.named_modules():
            if path and (path == wanted or path.endswith("." + wanted) or
                         wanted.endswith("." + path)):
                return path, children(module) if is_list(module) else [module]
        found, skip = [], set()
        for module in root.modules():
            if id(module) not in skip and type(module).__name__ == wanted:
                found += children(module) if module is root and is_list(module) else [module]
                skip.update(id(inner) for inner in module.modules())
        return wanted, found

    def largest(self, root):
        """Of lists whose members are more than one layer, if there are any."""
        def size(item):
            inner = children(item[1])
            deep = any(len(list(child.children())) for child in inner)
            return deep, sum(p.numel() for child in inner for p in child.parameters())
        lists = [(path or type(root).__name__, module) for path, module in root.named_modules()
                 if is_list(module) and len(children(module)) > 1]
        if not lists:
            return "", []
        path, module = max(lists, key=size)  # the outermost of equals
        return path, children(module)

    def wrap_one(self, module):
        """An attribute of the module, in front of its class's: no name and no state changes."""
        if "_call_impl" in module.__dict__:
            return
        torch, models = self.torch, self.models

        def checkpointed(module, *args, **kwargs):
            former = types.MethodType(type(module)._call_impl, module)
            if not torch.is_grad_enabled() or models.in_backward():
                return models.enter(former, *args, **kwargs)
            return torch.utils.checkpoint.checkpoint(models.enter, former, *args,
                                                     use_reentrant=False, **kwargs)
        # bound: a copy of the module gets one of its own
        module._call_impl = types.MethodType(checkpointed, module)

    def why_not(self, models):
        if self.value:
            return f"no module and no class is called '{self.value}': {models.text()}"
        return f"no ModuleList and no Sequential: {models.text()}"


def children(module):
    return list(module.children())
