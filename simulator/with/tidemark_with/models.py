"""models.py - which modules run, and a word before one does.

A root is a module with parameters that no other module calls: the model, for most programs.
Modules that are called in a backward (to be made again by checkpointing) are not.
"""
import functools, threading, weakref


class Models:
    def __init__(self, torch):
        self.torch = torch
        self.local = threading.local()
        self.seen = weakref.WeakSet()
        self.texts = []       # of each root, as it first ran
        self.listeners = []   # levers, and what they do with a root before its first run
        self.wrappers = []    # (root, arguments, keywords, call) -> result, around each run
        self.patched = False

    def on_first_run(self, lever, function):
        self.listeners.append((lever, function))
        self.watch()

    def around(self, function):
        self.wrappers.append(function)
        self.watch()

    @property
    def inside(self):
        """This thread is in a module that has parameters, or in a backward."""
        return getattr(self.local, "depth", 0) > 0 or self.in_backward()

    def in_backward(self):
        task = getattr(self.torch._C, "_current_graph_task_id", None)
        return bool(task) and task() != -1

    def enter(self, call, *args, **kwargs):
        """A call in which no module is a root."""
        self.local.depth = getattr(self.local, "depth", 0) + 1
        try:
            return call(*args, **kwargs)
        finally:
            self.local.depth -= 1

    def watch(self):
        """Torch's hooks on all modules see no keywords; so its way into a module is changed."""
        if self.patched:
            return
        self.patched = True
        module_class = self.torch.nn.Module
        former = module_class._call_impl
        compiling = getattr(self.torch.compiler, "is_compiling", lambda: False)

        @functools.wraps(former)
        def call_root_or_not(self_, *args, **kwargs):
            if compiling() or self.inside or next(self_.parameters(), None) is None:
                return former(self_, *args, **kwargs)
            return self.enter(self.run, self_, former, args, kwargs)
        if module_class.__call__ is former:  # before 2.1
            module_class.__call__ = call_root_or_not
        module_class._call_impl = call_root_or_not

    def run(self, root, former, args, kwargs):
        if root not in self.seen:
            self.seen.add(root)
            if len(self.texts) < 4:
                self.texts.append(described(root))
            for lever, listen in self.listeners:
                try:
                    listen(root)
                except Exception as error:
                    lever.report.absent(f"{type(root).__name__} refuses it: "
                                        f"{type(error).__name__}: {error}")
        own = root.__dict__.get("_call_impl")  # a lever's, of a moment ago

        def call(*args, **kwargs):
            return own(*args, **kwargs) if own else former(root, *args, **kwargs)
        for wrapper in self.wrappers:
            call = functools.partial(wrapper, root, call)
        return call(*args, **kwargs)

    def text(self):
        """Which modules there are, for a sentence."""
        if not self.texts:
            return "no module with parameters ran"
        return "the modules that ran are " + "; ".join(self.texts)


def described(root):
    """GPT (embed Embedding, blocks ModuleList of 12 Block, head Linear)"""
    parts = []
    for name, child in root.named_children():
        text = f"{name} {type(child).__name__}"
        inside = list(child.children())
        if is_list(child) and inside:
            text += f" of {len(inside)} {type(inside[0]).__name__}"
        elif inside:
            text += " (" + ", ".join(n for n, _ in child.named_children()) + ")"
        parts.append(text)
    more = f", and {len(parts) - 8} more" if len(parts) > 8 else ""
    inner = ", ".join(parts[:8]) + more
    return type(root).__name__ + (f" ({inner})" if inner else "")


def is_list(module):
    return type(module).__name__ in ("ModuleList", "Sequential")
