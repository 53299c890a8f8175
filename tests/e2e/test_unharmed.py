"""The traced program does what it does without the library, to the bit."""

import hashlib
import re
import signal

import pytest

SEEDED = """
import sys, torch
torch.manual_seed(5)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
model = torch.nn.Sequential(
    torch.nn.Linear(33, 101), torch.nn.Dropout(0.3), torch.nn.GELU(), torch.nn.Linear(101, 13)
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for i in range(6):
    x, y = torch.randn(7, 33), torch.randint(13, (7,))
    loss = torch.nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    print(i, loss.item().hex(), flush=True)
print(sorted(sys.modules) == sorted(sys.modules), len(vars(sys.modules["__main__"])))
print(torch.randn(3).tolist())
torch.save([p.detach() for p in model.parameters()], "parameters.pt")
"""

WITHOUT_MEMORY = """
import torch
torch.set_num_threads(1)
device = "cuda" if torch.cuda.is_available() else "cpu"
class Told(torch.Tensor):
    asked = 0
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        cls.asked += 1
        return super().__torch_function__(function, types, args, kwargs or {})
class Holder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3).to(device)
        self.register_buffer("told", torch.zeros(3).to(device).as_subclass(Told))
holder = Holder()
asked = Told.asked
# gradients without storage
table = torch.nn.Embedding(50, 8, sparse=True).to(device)
for i in range(3):
    table(torch.tensor([1, 2, 3], device=device)).sum().backward()
    table.weight.grad = None
# tensors without memory: inside their mode, left by it, and below as torch.compile traces
from torch._subclasses.fake_tensor import FakeTensorMode
with FakeTensorMode():
    fake = torch.nn.Linear(4, 4, device=device)
    x = torch.randn(2, 4, device=device)
    fake(x).sum().backward()
fake(x).sum().backward()
# memory that is shared until somebody writes to it
shared = torch.randn(8, 8, device=device)
lazy = torch.nn.Parameter(torch._lazy_clone(shared))
torch.randn(4, 8, device=device).matmul(lazy).sum()
# the library looks for names at the first forward and after each step, and finds all of these
holder.lazy, holder.fake = lazy, fake
optimizer = torch.optim.SGD(holder.linear.parameters(), 0.1)
for i in range(3):
    holder.linear(torch.randn(2, 3, device=device)).sum().backward()
    optimizer.step()
    for _ in range(100):
        pass
print("asked:", Told.asked - asked)
model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU()).to(device)
compiled = torch.compile(model, backend="aot_eager")
compiled(torch.randn(5, 16, device=device)).sum().backward()
print("still shared:", torch._C._is_cow_tensor(lazy), torch._C._is_cow_tensor(shared))
"""

ENDS = """
import os, signal, sys, torch
model = torch.nn.Linear(33, 101)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for i in range(3):
    model(torch.randn(7, 33)).sum().backward()
    optimizer.step()
print("trained", flush=True)
{end}
"""


def outcome(run):
    saved = run.folder / "parameters.pt"
    digest = hashlib.sha256(saved.read_bytes()).hexdigest() if saved.exists() else None
    return run.code, run.stdout, run.stderr, digest


@pytest.mark.parametrize("stacks", ["none", "all"])
def test_output_status_and_parameters_are_the_same_to_the_bit(trace, stacks):
    plain = trace(SEEDED, preload=False)
    traced = trace(SEEDED, env={"TIDEMARK_STACKS": stacks})
    assert plain.files == [] and len(traced.files) == 1
    assert outcome(plain)[3] is not None
    assert outcome(traced) == outcome(plain)


@pytest.mark.parametrize("device", ["cpu", "cuda13", "cuda12"])
def test_tensors_without_memory_are_asked_in_silence(trace, device):
    """libtorch's C API prints on stderr, with a stack, what it catches."""
    def lines(run):  # but for the time and process that torch's log lines begin with
        return [re.sub(r"^([A-Z]\d{4}) \S+ \d+", r"\1", line) for line in run.stderr.splitlines()]
    plain = trace(WITHOUT_MEMORY, device=device, preload=False)
    traced = trace(WITHOUT_MEMORY, device=device, env={"TIDEMARK_ENRICH": "each"})
    assert plain.code == traced.code == 0, traced.stderr
    assert plain.stdout == traced.stdout == "asked: 0\nstill shared: True True\n"
    assert lines(traced) == lines(plain)
    t = traced.open()
    assert [b for b in t.births() if b.shape == "[50, 8]"]
    assert t.one("SELECT count(*) FROM tensor WHERE name LIKE '%linear.weight'")


@pytest.mark.parametrize(
    "end, code",
    [
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("raise ValueError('on purpose')", 1),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_a_program_ends_as_it_ends_without_the_library(trace, end, code):
    source = ENDS.replace("{end}", end)
    plain, traced = trace(source, preload=False), trace(source)
    assert plain.code == traced.code == code
    assert plain.stdout == traced.stdout
    assert plain.stderr.replace("/run1/script.py", "/run2/script.py") == traced.stderr
    assert len(traced.files) == 1


@pytest.mark.parametrize(
    "end, status", [("sys.exit(3)", 3), ("os._exit(4)", 4), ("raise ValueError('x')", 1)]
)
def test_the_trace_of_a_program_that_left_is_complete(trace, end, status):
    run = trace(ENDS.replace("{end}", end))
    t = run.open()
    assert t.one("SELECT ended, exit_status FROM run") == ("exit", status)
    assert t.one("SELECT count(*) FROM step WHERE complete") == 3
    assert run.left_over == []


def test_a_program_that_never_touches_torch_leaves_nothing_and_says_nothing(trace):
    run = trace("import os, json\nprint('hello')\n")
    assert (run.code, run.stdout, run.stderr) == (0, "hello\n", "")
    assert run.files == [] and run.left_over == []


def test_a_program_that_only_imports_torch_leaves_nothing(trace, device):
    run = trace("import torch\nprint('hello')\n", device=device)
    assert (run.code, run.stdout, run.stderr) == (0, "hello\n", "")
    assert run.files == [] and run.left_over == []


@pytest.mark.parametrize("device", ["cuda13", "cuda12"])
def test_a_backward_inside_another_needs_no_device(trace, device):
    """Beside a device that is never used nothing is recorded: nodes have no numbers to get."""
    run = trace("""
import torch
from torch.utils.checkpoint import checkpoint
layer = torch.nn.Linear(33, 101)
for _ in range(3):
    x = torch.randn(7, 33, requires_grad=True)
    checkpoint(lambda x: layer(x).relu(), x, use_reentrant=True).sum().backward()
print("done")
""", device=device)
    assert (run.code, run.stdout) == (0, "done\n"), run.stderr
    assert run.files == [] and run.left_over == []


def test_torch_keeps_no_callback(trace, device):
    """With one, it builds its lists of callbacks anew at every node of a backward."""
    run = trace("""
import ctypes, pathlib, torch
layer = torch.nn.Linear(3, 5).to("cuda" if torch.cuda.is_available() else "cpu")
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
for _ in range(3):
    with torch.autograd.profiler.record_function("tidemark.phase:own"):
        layer(torch.randn(2, 3, device=layer.weight.device)).sum().backward()
        optimizer.step()
torch_cpu = ctypes.CDLL(str(pathlib.Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
asked = torch_cpu._ZN2at18hasGlobalCallbacksEv, torch_cpu._ZN2at23hasThreadLocalCallbacksEv
for has in asked:
    has.restype = ctypes.c_bool
print([has() for has in asked])
""", device=device)
    assert (run.code, run.stdout) == (0, "[False, False]\n"), run.stderr
    # steps are told by such scopes: they were seen all the same
    assert [step[0] for step in run.open().steps() if step[3]] == [1, 2, 3]


def test_it_is_not_visible_in_python(trace):
    source = """
import sys, torch
before = set(sys.modules), set(dir(torch.nn.Module)), set(vars(sys.modules["__main__"]))
hooks = torch.nn.modules.module._global_forward_hooks
model = torch.nn.Linear(3, 5)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
state = set(vars(model)), set(vars(optimizer))
for i in range(3):
    model(torch.randn(2, 3)).sum().backward()
    optimizer.step()
assert (set(vars(model)), set(vars(optimizer))) == state
assert not hooks and not model._forward_hooks
after = set(sys.modules), set(dir(torch.nn.Module)), set(vars(sys.modules["__main__"]))
print(*(sorted(b - a) for a, b in zip(before, after)))
"""
    plain, traced = trace(source, preload=False), trace(source)
    assert traced.code == 0, traced.stderr
    assert traced.stdout == plain.stdout
