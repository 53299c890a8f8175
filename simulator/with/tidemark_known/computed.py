"""computed.py - `--values computed`: the whole program is computed on the host as well, so that what
it reads is what a card would give it, but for rounding and for what random numbers are drawn.

A mode of torch's dispatcher goes by each operator, in the backward and in an optimizer's step too.
The operator is called on the simulated device as it stands, whose kernels do nothing; then the
same one is called on the host, with the same memory as its arguments (device memory is address
space of this process), and what it gives is put into the result's. Slow: for small models.
An operator that the host does not have is said in the log.
"""
import functools

from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map

from . import counted, off, stand_ins
from .memory import Memory
from .sizes import tell


class Computed(TorchDispatchMode):
    def __init__(self, torch, reads):
        super().__init__()
        self.torch, self.reads, self.on_host = torch, reads, Memory(torch).on_host
        self.plans, self.kinds = {}, (torch.Tensor, torch.nn.Parameter)
        self.capturing = getattr(torch.cuda, "is_current_stream_capturing", lambda: False)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        plan = self.plans.get(func)
        if plan is None:
            plan = self.plans[func] = Plan(self.torch, func)
        if plan.passes:
            return func(*args, **kwargs)
        found = Found(self)
        if not found.look(args, kwargs):
            return func(*args, **kwargs)
        if found.wrapped:  # its own class takes it apart, and the parts come by here
            return NotImplemented
        if found.strange or self.capturing():
            self.lacks(func, "a CUDA graph" if not found.strange else None)
            return func(*args, **kwargs)
        seed = self.seed_of(found, kwargs) if plan.draws else None
        told = self.told(plan, args, kwargs)
        try:
            result = func(*args, **kwargs)
        finally:
            if told is not None:
                tell(None)
        given = None
        try:
            given = self.compute(plan, args, kwargs, result, seed)
        except Exception:
            self.lacks(func)
        # a flag of the host's, in place of the device's
        return given if isinstance(result, bool) and isinstance(given, bool) else result

    # before the call

    def told(self, plan, args, kwargs):
        """The device is told which sizes it is going to ask itself for."""
        numbers = counted.NUMBERS.get(plan.name)
        if numbers is None:
            return None
        try:
            with _disable_current_modes():
                found = numbers(self.torch, *self.host(args), **self.host(kwargs))
        except Exception:
            return None
        tell(found)
        return found

    def seed_of(self, found, kwargs):
        """Of what is drawn now: a card's generator counts what was drawn before."""
        try:
            generator = kwargs.get("generator")
            if generator is None:
                index = found.index if found.index is not None else self.torch.cuda.current_device()
                generator = self.torch.cuda.default_generators[index]
            with _disable_current_modes():
                seed, offset = generator.get_state()[:16].view(self.torch.int64).tolist()
            return (seed * 0x9e3779b97f4a7c15 + offset) % (1 << 63)
        except Exception:
            return 0

    # on the host

    def host(self, value):
        return tree_map(self.alias, value)

    def alias(self, value):
        torch = self.torch
        if isinstance(value, torch.Tensor):
            if not value.is_cuda:
                return value.detach() if value.requires_grad else value
            alias = self.on_host(value)
            alias = alias.conj() if value.is_conj() else alias
            return torch._neg_view(alias) if value.is_neg() else alias
        if isinstance(value, torch.device):
            return torch.device("cpu")
        return value

    def compute(self, plan, args, kwargs, result, seed):
        torch = self.torch
        with _disable_current_modes(), torch.no_grad():
            host_args, host_kwargs = self.host(args), self.host(kwargs)
            if host_kwargs.get("generator") is not None:
                host_kwargs["generator"] = None
            if host_kwargs.get("pin_memory"):
                host_kwargs["pin_memory"] = False
            drawn = None
            if seed is not None:
                drawn = torch.get_rng_state()
                torch.default_generator.manual_seed(seed)
            try:
                given = self.call(plan, host_args, host_kwargs)
            finally:
                if drawn is not None:
                    torch.set_rng_state(drawn)
            self.put(plan, result, given)
        return given

    def call(self, plan, args, kwargs):
        other = stand_ins.BY_NAME.get(plan.name)
        if other is not None:
            return other(self.torch, *args, **kwargs)
        try:
            return plan.func(*args, **kwargs)
        except (RuntimeError, NotImplementedError):  # 16 bits that the host has no kernel for
            if plan.writes:
                raise
            return plan.func(*wider(self.torch, args), **wider(self.torch, kwargs))

    def put(self, plan, result, given):
        results = result if isinstance(result, (tuple, list)) else (result,)
        givens = given if isinstance(given, (tuple, list)) else (given,)
        if len(results) != len(givens):
            raise ValueError(plan.name)
        for index, (part, value) in enumerate(zip(results, givens)):
            if plan.is_alias(index) or value is None:
                continue
            if isinstance(part, (tuple, list)):
                for one, other in zip(part, value):
                    self.write(one, other)
            else:
                self.write(part, value)

    def write(self, part, value):
        if not isinstance(part, self.torch.Tensor) or part is value:
            return
        if part.shape != value.shape:
            raise ValueError("another size")
        (self.on_host(part) if part.is_cuda else part.detach()).copy_(value)

    def lacks(self, func, inside=None):
        name = inside or str(func)
        self.reads.once(f"not computed {name}")


def wider(torch, value):
    def one(x):
        narrow = isinstance(x, torch.Tensor) and x.dtype in (torch.float16, torch.bfloat16)
        return x.float() if narrow else x
    return tree_map(one, value)


class Found:
    """What is among an operator's arguments."""
    __slots__ = ("mode", "index", "wrapped", "strange", "on_device")

    def __init__(self, mode):
        self.mode, self.index = mode, None
        self.wrapped = self.strange = self.on_device = False

    def look(self, args, kwargs):
        """Is it the device's?"""
        tree_map(self.one, (args, kwargs))
        return self.on_device

    def one(self, value):
        torch = self.mode.torch
        if isinstance(value, torch.Tensor):
            if type(value) not in self.mode.kinds:
                self.wrapped = self.wrapped or hasattr(value, "__tensor_flatten__")
                self.strange = self.strange or not self.wrapped and value.is_cuda
                self.on_device = self.on_device or value.is_cuda or self.wrapped
            elif value.is_cuda:
                self.on_device, self.index = True, value.device.index
                self.strange = self.strange or value.layout is not torch.strided
        elif isinstance(value, torch.device) and value.type == "cuda":
            self.on_device = True
            self.index = value.index if value.index is not None else self.index
        return value


class Plan:
    """What is to be done about an operator."""

    def __init__(self, torch, func):
        self.torch, self.func = torch, func
        schema, tags = func._schema, getattr(func, "tags", ())
        self.name = func.name().split("::")[-1]
        self.aliases = [part.alias_info is not None for part in schema.returns]
        self.writes = schema.is_mutable
        tensors = any("Tensor" in str(part.type) for part in schema.returns)
        changes_views = any(str(tag).endswith(".inplace_view") for tag in tags)
        views = any(part.alias_info is not None and not part.alias_info.is_write
                    for part in schema.returns)
        self.passes = func.namespace not in ("aten", "prims") or changes_views or views or \
            self.name in stand_ins.LEFT or \
            not (tensors or self.writes or self.name == "equal")
        self.draws = any(str(tag).endswith(".nondeterministic_seeded") for tag in tags)

    def is_alias(self, index):
        return self.aliases[index] if index < len(self.aliases) else False


def start(torch, reads):
    mode = Computed(torch, reads)
    mode.__enter__()
    off.threads(mode)

    def without(made):
        """What torch.compile made has operators of its own, which no mode goes by."""
        @functools.wraps(made)
        def aside(*args, **kwargs):
            reads.once("not computed what torch.compile made")
            with _disable_current_modes():
                return made(*args, **kwargs)
        return aside
    off.around_compiled(torch, without)
