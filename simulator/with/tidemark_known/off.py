"""off.py - where known values cannot be had: inside of what torch.compile made, which would look
into the mode as if it were the program's, and inside of a CUDA graph, which is not called again
when it is replayed. The log says so. Where they are of no use the mode is taken off as well."""
import functools, threading, types

from . import backward


def where_it_cannot_be(torch, known):
    told = set()

    def tell(where):
        if where not in told:
            told.add(where)
            known.reads.write(f"not known inside of {where}")

    compiled(torch, known, tell)
    graphs(torch, known, tell)
    swap(torch, known)
    optimizers(torch, known)
    backward.brings(torch, known)
    threads(known)


def threads(known):
    """Modes are a thread's own."""
    former = getattr(threading.Thread, "_bootstrap_inner", None)

    def begin(self):
        with known:
            return former(self)
    if former:
        threading.Thread._bootstrap_inner = functools.wraps(former)(begin)


def take_off(torch, known):
    """From this thread's modes; those above it stay. What was there of it, or None."""
    count = torch._C._len_torch_function_stack()
    modes = [torch._C._pop_torch_function_stack() for _ in range(count)]
    taken = None
    for mode in reversed(modes):
        if backward.is_known(mode, known):
            taken = mode
        else:
            torch._C._push_on_torch_function_stack(mode)
    return taken


def put_back(torch, taken):
    count = torch._C._len_torch_function_stack()
    modes = [torch._C._pop_torch_function_stack() for _ in range(count)]
    for mode in (taken, *reversed(modes)):
        torch._C._push_on_torch_function_stack(mode)


def aside(torch, known, function, may=lambda *args, **kwargs: True):
    """The function, run without the mode where it may."""
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        taken = take_off(torch, known) if may(*args, **kwargs) else None
        try:
            return function(*args, **kwargs)
        finally:
            if taken:
                put_back(torch, taken)
    return wrapper


def optimizers(torch, known):
    """What a step of PyTorch's own optimizers and a clipping do with gradients is unknown in any
    case, and half of all calls of a training. A closure, and LBFGS that looks at numbers, go by."""
    def hook(step):
        ours = step.__module__.startswith("torch.optim") and step.__module__ != "torch.optim.lbfgs"
        return former(aside(torch, known, step, without_closure) if ours else step)

    former = torch.optim.Optimizer.profile_hook_step
    torch.optim.Optimizer.profile_hook_step = staticmethod(hook)
    torch.optim.Optimizer.zero_grad = aside(torch, known, torch.optim.Optimizer.zero_grad)
    clip = aside(torch, known, torch.nn.utils.clip_grad_norm_, without_error)
    torch.nn.utils.clip_grad_norm_ = torch.nn.utils.clip_grad.clip_grad_norm_ = clip


def without_closure(optimizer, closure=None, *args, **kwargs):
    return closure is None


def without_error(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    return not error_if_nonfinite


def compiled(torch, known, tell):
    def may(*args, **kwargs):
        known.compiled = True
        tell("torch.compile")
        return True
    around_compiled(torch, lambda found: aside(torch, known, found, may))


def around_compiled(torch, without):
    """without(function) -> the function that runs what torch.compile made."""
    former = torch.compile

    @functools.wraps(former)
    def wrapper(*args, **kwargs):
        from torch._dynamo.eval_frame import _TorchDynamoContext
        if not getattr(_TorchDynamoContext, "_tidemark_known", False):
            _TorchDynamoContext._tidemark_known = True
            call = _TorchDynamoContext.__call__

            def made(context, function):
                found = call(context, function)
                return without(found) if type(found) is types.FunctionType else found
            _TorchDynamoContext.__call__ = made
        return former(*args, **kwargs)
    torch.compile = wrapper


def graphs(torch, known, tell):
    """A replay writes what the capture wrote: such tensors are known no longer."""
    kind, written = torch.cuda.CUDAGraph, {}
    begin, finish, replay = kind.capture_begin, kind.capture_end, kind.replay

    @functools.wraps(begin)
    def capture_begin(self, *args, **kwargs):
        tell("a CUDA graph")
        self._tidemark_before = (take_off(torch, known), known.memory.versions())
        return begin(self, *args, **kwargs)

    @functools.wraps(finish)
    def capture_end(self):
        taken, before = self.__dict__.pop("_tidemark_before", (None, {}))
        try:
            return finish(self)
        finally:
            written[id(self)] = known.memory.changed(before)
            if taken:
                put_back(torch, taken)

    @functools.wraps(replay)
    def replayed(self):
        known.memory.lose_at(written.get(id(self), ()))
        return replay(self)
    kind.capture_begin, kind.capture_end, kind.replay = capture_begin, capture_end, replayed


def swap(torch, known):
    """torch refuses to swap tensors that anybody holds a weak reference to."""
    former = torch.utils.swap_tensors

    @functools.wraps(former)
    def swap_tensors(t1, t2):
        known.memory.forget(t1)
        known.memory.forget(t2)
        return former(t1, t2)
    torch.utils.swap_tensors = swap_tensors
