"""mode.py - goes by each call that the program makes of PyTorch, in Python: the call is made as
it stands, and where its values are known they are computed on the host and put into the
result's memory. See operators.py for what is done with which.

Only calls in Python come by: what PyTorch calls by itself (a backward) is unknown, which is
what it would be anyhow. Nothing here may end a call that would go well: what fails is unknown.
"""
import sys, types

from torch._C import _get_tracing_state as tracing
from torch.overrides import TorchFunctionMode, handle_torch_function

from . import backward, guesses, operators, sizes
from .arguments import Arguments, Unknown
from .inside import Inside
from .making import Making
from .memory import FINITE, GUESSED, SHARE, Holder, version_of

OURS = __file__, backward.__file__
ASKING = handle_torch_function.__code__.co_filename, backward.__file__
FILLS = frozenset(("copy_", "fill_", "zero_"))


class Call:
    """What the program called. That it fails is the program's; that we do is not."""
    __slots__ = ("function", "name", "result", "done", "failed")

    def __init__(self, function, name):
        self.function, self.name, self.done, self.failed = function, name, False, False

    def __call__(self, args, kwargs):
        try:
            self.result = self.function(*args, **kwargs)
        except BaseException:
            self.failed = True
            raise
        self.done = True
        return self.result


def forget_frames(error):
    """Ours, which hold arguments."""
    step = error.__traceback__.tb_next
    while step:
        if step.tb_frame.f_code.co_filename in OURS:
            step.tb_frame.clear()
        step = step.tb_next


class Known(Making, TorchFunctionMode):
    def __init__(self, torch, memory, reads, limit, plausible):
        super().__init__()
        self.torch, self.memory, self.reads, self.plausible = torch, memory, reads, plausible
        self.whole_limit, self.float_limit = limit, max(limit // 256, 1 << 12)
        self.kinds, self.entries = memory.kinds, memory.entries
        self.handlers, self.generator = {}, None
        self.compiled, self.inside = False, Inside(self)
        self.data = torch.Tensor.data.__get__

    def __torch_function__(self, function, kinds, args=(), kwargs=None):
        try:
            handler, name, by_first = self.handlers[function]
        except KeyError:
            handler, name, by_first = self.find(function)
        call = None
        if kinds:
            self.inside(kinds)
        try:
            if kwargs and kwargs.get("out") is not None and handler not in (None, self.on_python):
                handler = self.on_out
            elif handler is None or by_first and args and id(args[0]) not in self.entries and \
                    type(args[0]) in self.kinds:
                return function(*args, **kwargs) if kwargs else function(*args)
            call = Call(function, name)
            if tracing() is not None:
                return call(args, kwargs or {})
            return handler(call, args, kwargs or {})
        except BaseException as error:
            if call is None or call.failed or not isinstance(error, Exception):
                forget_frames(error)
                del args, kwargs  # who catches it keeps this frame, and must not keep these
                raise
        # what failed is ours
        return call.result if call.done else function(*args, **(kwargs or {}))

    def find(self, function):
        """What is done with it, its name, and whether an unknown first argument settles it."""
        name = operators.name_of(function)
        kind = operators.KINDS.get(name)
        module = getattr(function, "__module__", None) or ""
        if module.startswith(("torch.nn.functional", "torch.distributed")) and kind != "compute":
            kind = None
        handler = getattr(self, "on_" + kind.strip("_"), None) if kind else None
        if handler is None and isinstance(function, types.FunctionType):
            handler = self.on_python
        by_first = kind == "view" or kind == "compute" and not (
            name in operators.TELLING or name in guesses.BY_NAME or name in sizes.BY_VALUES)
        self.handlers[function] = handler, name, by_first
        return self.handlers[function]

    def on_python(self, call, args, kwargs):
        """A function of PyTorch's in Python, which asked us before it began. Where the program has
        put one of its own in that place, it has run already, and is not to run again."""
        frame = sys._getframe(2)  # of what called torch.overrides, which called us
        while frame.f_code.co_filename in ASKING:
            frame = frame.f_back
        asked, module = frame.f_code, str(frame.f_globals.get("__name__"))
        if call.function.__code__.co_filename != asked.co_filename and not asked.co_freevars and \
                module.startswith("torch."):
            call.function = types.FunctionType(asked, frame.f_globals)
        return call(args, kwargs)

    # arguments and results

    def is_small(self, tensor):
        limit = self.float_limit if tensor.is_floating_point() else self.whole_limit
        return tensor.numel() * tensor.element_size() <= limit

    def host(self, value, into, assume=None):
        kind = type(value)
        if kind in self.kinds:
            if not value.is_cuda:
                return value
            holder = self.memory.of(value)
            if holder is None and assume and value.numel() <= guesses.FEW:
                holder = self.assume(value, assume)
            if holder is None or not self.is_small(value):
                raise Unknown
            into.on_device = True
            into.assumed |= holder.assumed
            return self.memory.on_host(value)
        if kind is tuple or kind is list:
            return kind([self.host(part, into, assume) for part in value])
        if kind is self.torch.device:
            return self.torch.device("cpu")
        if kind is str and value.startswith("cuda"):
            return "cpu"
        if isinstance(value, self.torch.Tensor):
            raise Unknown
        return value

    def arguments(self, args, kwargs, assume=None):
        """The same on the host; None where a value is not known or none is on the device."""
        found = Arguments()
        try:
            found.args = [self.host(value, found, assume) for value in args]
            found.kwargs = {name: self.host(value, found, assume) if name != "device" else "cpu"
                            for name, value in kwargs.items() if name != "out"}
        except Exception:
            return None
        return found if found.on_device and "out" not in kwargs else None

    def on_host(self, value, may_assume):
        """One argument that decides a size; of the device's tensors in it the small ones may be
        given values."""
        found = Arguments()
        assume = may_assume and self.plausible and guesses.fill_deciding
        try:
            value = self.host(value, found, assume)
        except Exception:
            return None, None
        return (found, value) if found.on_device else (None, None)

    def calculate(self, function, args, kwargs):
        """On the host; None where that fails. Neither recorded by autograd nor seen by modes."""
        torch = self.torch
        graded = torch.is_grad_enabled()
        try:
            torch._C._set_grad_enabled(False)
            if torch._C._len_torch_dispatch_stack():
                from torch.utils._python_dispatch import _disable_current_modes
                with _disable_current_modes():
                    return function(*args, **kwargs)
            return function(*args, **kwargs)
        except Exception:
            return None
        finally:
            torch._C._set_grad_enabled(graded)

    def copy(self, to, values):
        return self.calculate(self.torch.Tensor.copy_, (to, values), {}) is not None

    def place(self, result, values, assumed):
        """Puts the values into the result, and gives what the program is to get."""
        if values is None:
            return result
        if isinstance(result, (bool, int, float)):
            self.reads.flag(assumed)
            return values
        if isinstance(result, (tuple, list)):
            for part, value in zip(result, values):
                self.place(part, value, assumed)
        elif type(result) in self.kinds and result.is_cuda and self.is_small(result) and \
                result.shape == values.shape:
            if self.copy(self.memory.on_host(result), values):
                self.memory.write(result, assumed)
        return result

    def assume(self, tensor, fill=guesses.fill):
        """Gives an unknown tensor a plausible value, and its holder."""
        if not self.plausible:
            return None
        fill(self.torch, self.memory.on_host(tensor), self.reads)
        is_mask = tensor.dtype is self.torch.bool and tensor.numel() > 1
        self.memory.learn(tensor, GUESSED | SHARE if is_mask else GUESSED)
        return self.memory.of(tensor)

    # a handler for each kind of function

    def on_compute(self, call, args, kwargs):
        name = call.name
        found = self.arguments(args, kwargs)
        if found is None and self.plausible and name in operators.TELLING:
            found = self.arguments(args, kwargs, assume=guesses.fill_compared
                                   if name in operators.COMPARING else guesses.fill)
        if found and found.assumed & GUESSED and name in guesses.CHOOSING:
            found = None  # of values that are all the same it would be the first
        if found and found.assumed & SHARE and name in guesses.ASKING:
            found = None  # nobody knows it of a mask that is taken to be so full
        if name in sizes.BY_VALUES:
            result = self.sized(call, args, kwargs)
        else:
            result = call(args, kwargs)
        if found is None:
            if self.plausible and name in guesses.BY_NAME:
                self.guess(name, result, args, kwargs)
            return result
        if not self.all_small(result):
            return result
        if found.assumed and name in operators.FINITE:
            found.assumed = FINITE
        return self.place(result, self.calculate(call.function, found.args, found.kwargs),
                          found.assumed)

    def sized(self, call, args, kwargs):
        """A call that may ask the device for sizes, also in its backward."""
        with sizes.expected(self, call.name, args, kwargs) as told:
            result = call(args, kwargs)
        if told and call.name in sizes.INDEXING:
            sizes.in_backward(self.torch, args[0] if call.name == "__setitem__" else result, args, told)
        return result

    def all_small(self, result):
        if isinstance(result, (tuple, list)):
            return all(map(self.all_small, result))
        return not isinstance(result, self.torch.Tensor) or self.is_small(result)

    def guess(self, name, result, args, kwargs):
        try:
            rests = FINITE if name in operators.FINITE else \
                GUESSED | SHARE if name in operators.COMPARING else GUESSED
            for tensor in guesses.BY_NAME[name](self, result, args, kwargs) or ():
                self.memory.learn(tensor, rests)
        except Exception:
            pass

    def on_getitem(self, call, args, kwargs):
        whole, index = args
        if is_plain(index):
            return self.on_view(call, args, kwargs)
        return self.on_compute(call, (whole, self.bounded(index)), kwargs)

    def on_view(self, call, args, kwargs):
        whole = args[0] if args else None
        holder = self.memory.of(whole) if id(whole) in self.entries else None
        result = call(args, kwargs)
        if holder is not None:
            begin = whole.data_ptr()
            end = begin + whole.untyped_storage().nbytes()
            for part in result if isinstance(result, (tuple, list)) else (result,):
                self.spread(call, args, kwargs, part, holder, begin, end)
        return result

    def bounded(self, index):
        """Bounds of slices that are on the device, as the numbers they are."""
        if type(index) is tuple:
            return tuple(map(self.bounded, index))
        if type(index) is not slice:
            return index
        return slice(*(self.on_read(Call(self.torch.Tensor.__index__, "__index__"), (bound,), {})
                       if type(bound) in self.kinds else bound
                       for bound in (index.start, index.stop, index.step)))

    def spread(self, call, args, kwargs, part, holder, begin, end):
        if type(part) not in self.kinds or not part.is_cuda:
            return
        if begin <= part.data_ptr() < end or not part.numel():
            if part is args[0]:
                holder.version = version_of(part)
            self.memory.share(part, holder if call.function != self.data else
                              Holder(part._version, holder.assumed, holder.memory))
        elif self.is_small(part):
            self.place(part, self.calculate(
                call.function, (self.memory.on_host(args[0]), *args[1:]), kwargs), holder.assumed)

    def on_change(self, call, args, kwargs):
        target = args[0] if args else None
        if type(target) not in self.kinds:
            return call(args, kwargs)
        if not target.is_cuda:
            return self.on_move(call, args, kwargs)
        name = call.name
        if name == "__setitem__":
            args = (target, self.bounded(args[1]), *args[2:])
        holder = self.memory.of(target)
        fills = name in FILLS and self.is_small(target)
        if holder is None and not fills:
            return self.sized(call, args, kwargs)
        found = Arguments()
        try:
            found.args = [self.memory.on_host(target)]
            found.args += [self.host(value, found) for value in args[1:]]
            found.kwargs = {key: self.host(value, found) for key, value in kwargs.items()}
        except Exception:
            found = None
        result = self.sized(call, args, kwargs)
        if found is None:
            self.memory.lose(target)
            return result
        self.calculate(call.function, found.args, found.kwargs)
        if holder is None:
            self.memory.learn(target, found.assumed)
        else:
            holder.assumed |= found.assumed
            holder.version = version_of(target)
        if name == "_amp_update_scale_" and self.memory.entries.get(id(args[1])):
            self.memory.learn(args[1], found.assumed)
        return result

    def on_move(self, call, args, kwargs):
        """`to` and its like; a copy into a tensor of the host."""
        result = call(args, kwargs)
        source = args[0] if args else None
        if type(result) not in self.kinds or type(source) not in self.kinds:
            return result
        if result is source:
            source = args[1] if len(args) > 1 else None
            if type(source) not in self.kinds or result.is_cuda:
                return result
        if not result.is_cuda:
            if source.is_cuda:
                self.reads.copied_back(self, result, source)
            return result
        if id(source) not in self.entries and source.is_cuda or not self.is_small(result):
            return result
        holder = self.memory.of(source) if source.is_cuda else None
        if holder is None and source.is_cuda:
            return result
        values = source if holder is None else self.memory.on_host(source)
        if self.copy(self.memory.on_host(result), values):
            self.memory.learn(result, holder.assumed if holder else 0)
        return result

    def on_read(self, call, args, kwargs):
        tensor = args[0]
        if type(tensor) not in self.kinds or not tensor.is_cuda:
            return call(args, kwargs)
        holder = self.memory.of(tensor)
        result = call(args, kwargs)  # waits for the device as it does on a card
        if holder is None and tensor.numel() <= guesses.FEW:
            holder = self.assume(tensor)
        if holder is None:
            return result
        if holder.assumed:
            self.reads.read(call.name, holder.assumed)
        value = self.calculate(call.function, (self.memory.on_host(tensor), *args[1:]), kwargs)
        return result if value is None else value

    def on_iter(self, call, args, kwargs):
        tensor = args[0]
        if id(tensor) not in self.entries or not tensor.dim():
            return call(args, kwargs)
        return iter(self.on_view(Call(self.torch.Tensor.unbind, "unbind"), (tensor, 0), {}))

    def on_contains(self, call, args, kwargs):
        result = call(args, kwargs)
        found = self.arguments(args, kwargs)
        if found is None:
            return result
        return self.place(result, self.calculate(call.function, found.args, found.kwargs),
                          found.assumed)

    def on_repr(self, call, args, kwargs):
        tensor = args[0]
        if type(tensor) not in self.kinds or not tensor.is_cuda:
            return call(args, kwargs)
        with self, self.reads.printing():
            return self.torch._tensor_str._str(tensor, **kwargs)

    def on_format(self, call, args, kwargs):
        tensor, form = args
        if type(tensor) not in self.kinds or not tensor.is_cuda or tensor.dim():
            return call(args, kwargs)
        return self.on_read(Call(self.torch.Tensor.item, "item"), (tensor,), {}).__format__(form)

    def on_data_set(self, call, args, kwargs):
        """tensor.data = value"""
        result = call(args, kwargs)
        holder = self.memory.of(args[1]) if id(args[1]) in self.entries else None
        if holder is not None and type(args[0]) in self.kinds:
            self.memory.share(args[0], Holder(version_of(args[0]), holder.assumed, holder.memory))
        return result

    def on_requires_grad_set(self, call, args, kwargs):
        """The last thing that is done to a tensor that is loaded from a file."""
        result = call(args, kwargs)
        tensor = args[0]
        if type(tensor) in self.kinds and tensor.is_cuda and self.is_small(tensor) and \
                self.memory.of(tensor) is None and self.memory.is_just_written(tensor):
            self.memory.learn(tensor)
        return result

    def on_data_ptr(self, call, args, kwargs):
        """Who has the address may write there."""
        self.memory.lose(args[0])
        return call(args, kwargs)

    def on_amp_foreach_non_finite_check_and_unscale(self, call, args, kwargs):
        """GradScaler's check. Gradients are taken to be finite: the flag stays down."""
        flag = args[1]
        holder = self.memory.of(flag) if self.plausible else None
        result = call(args, kwargs)
        if holder is not None:
            holder.version = version_of(flag)
            if args[0] and self.memory.of(args[0][0]) is None:
                holder.assumed |= FINITE
                self.reads.count("finite", "GradScaler")
        return result


def is_plain(index):
    """True: no tensor in it, so that what it gives is a view."""
    kind = type(index)
    if kind is tuple:
        return all(map(is_plain, index))
    if kind is slice:
        return index.start.__class__ in PLAIN and index.stop.__class__ in PLAIN and \
            index.step.__class__ in PLAIN
    return kind in PLAIN and kind is not bool


PLAIN = frozenset((int, type(None), type(Ellipsis)))
